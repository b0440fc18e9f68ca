"""The memory of the recipe for two rooms and a sign spans all that a task takes."""

from __future__ import annotations

from forethought import recipes, worlds
from forethought.memory import SlotPredictorConfig


def test_the_memory_reaches_back_from_either_door_to_the_sign() -> None:
    world = worlds.make("two_rooms_sign", 50)
    recipe = recipes.get("two_rooms_sign")
    config = recipe.training(world.signature).world_model
    assert isinstance(config.predictor, SlotPredictorConfig)
    span = config.predictor.window * config.action_block
    assert span >= world.path_length().max() + config.action_block
    assert recipe.recording is not None
    assert span < recipe.recording.episode_length
