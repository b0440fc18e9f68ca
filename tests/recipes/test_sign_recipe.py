"""The memory of the recipe for two rooms and a sign spans all that a task takes."""

from __future__ import annotations

from forethought import recipes, worlds
from forethought.memory import SlotPredictorConfig


def test_the_memory_reaches_back_from_either_door_to_the_sign() -> None:
    world = worlds.make("two_rooms_sign", 50)
    recipe = recipes.get("two_rooms_sign")
    config = recipe.training(world.signature)
    predictor, block = config.world_model.predictor, config.world_model.action_block
    assert isinstance(predictor, SlotPredictorConfig)
    span = predictor.window * block
    assert span >= world.path_length().max() + block
    assert recipe.recording is not None
    # A clip is what is remembered, and what is foreseen beyond it.
    clip = (predictor.window + config.objective.horizon) * block
    assert clip <= recipe.recording.episode_length


def test_plans_reach_from_the_end_of_the_corridor_to_the_goal() -> None:
    """The farther way round, for a dot that goes as fast as it can."""
    world = worlds.make("two_rooms_sign", 200)
    recipe = recipes.get("two_rooms_sign")
    longest = world.path_length().max()
    corridor = (world.config.hall[0] - world.position[:, 0].max()) / world.config.max_step
    assert recipe.acting is not None
    block = recipe.training(world.signature).world_model.action_block
    assert recipe.acting.planner.horizon * block >= longest - corridor
