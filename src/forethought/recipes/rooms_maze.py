"""The recipe for the maze: two levels, and an account of what was tried in vain."""

from __future__ import annotations

from dataclasses import replace

from forethought.actor import CEM, Hierarchical
from forethought.cost.roadmap import RoadmapGoal
from forethought.evaluation.planning import PlanningProtocol
from forethought.learning import (
    CriticTrainingConfig,
    HierarchyTrainingConfig,
    JEPAConfig,
    OptimiserConfig,
    TrainConfig,
)
from forethought.memory import AttemptsConfig
from forethought.perception import CNNConfig, GridCNNConfig, PerceptionConfig
from forethought.recipes.recipe import Acting, Recipe, Recording
from forethought.recipes.two_rooms import grid_training, two_rooms
from forethought.types import Observation, Signature
from forethought.world_model import (
    GridPredictorConfig,
    GridPriorConfig,
    HierarchyConfig,
    LevelConfig,
)


def rooms_maze() -> Recipe:
    """The upper level goes by a map of imagined states, the lower to the next place on the way."""
    return Recipe(
        name="rooms_maze",
        description="5 x 5 rooms in layouts never seen: two levels; most of an hour on a CPU",
        training=_training,
        acting=Acting(
            planner=Hierarchical(
                upper=CEM(horizon=2, num_samples=48, num_iterations=2, num_elites=8),
                lower=CEM(
                    horizon=3,
                    num_samples=48,
                    num_iterations=2,
                    num_elites=8,
                    shared_noise=0.9,
                    held_share=0.25,
                ),
            ),
            goal=maze_map,
            attempts=AttemptsConfig(),
        ),
        recording=Recording(world="rooms_maze", num_episodes=1500, episode_length=150),
        planning=PlanningProtocol(episodes=60, budget=400),
    )


def rooms_maze_one() -> Recipe:
    """One layout, so that the dot's place is all there is to tell: as two rooms, but coarser."""
    base = two_rooms()
    return replace(
        base,
        name="rooms_maze_one",
        description="one maze of 5 x 5 rooms, from pixels; a minute or two on a CPU",
        training=_plain,
        recording=Recording(world="rooms_maze_one", num_episodes=250, episode_length=150),
        planning=PlanningProtocol(episodes=150, budget=150),
    )


def maze_map(observation: Observation) -> RoadmapGoal:
    """Ways that are less well supported than elsewhere, since rooms are small and doors many."""
    return RoadmapGoal(observation=observation, join=0.6, near=0.6, support=2)


def _plain(signature: Signature) -> TrainConfig:
    """Patches of 8 px: a quarter of the time."""
    base = two_rooms().training(signature)
    (camera,) = signature.cameras
    assert isinstance(base.objective, JEPAConfig)
    assert isinstance(base.critic, CriticTrainingConfig)
    encoder = CNNConfig(width=16, patch=8, channels=(16, 32, 32))
    return replace(
        base,
        recipe="rooms_maze_one",
        world_model=replace(
            base.world_model, perception=PerceptionConfig(encoders={camera: encoder})
        ),
        objective=replace(base.objective, horizon=4),
        critic=replace(base.critic.with_steps(3000), target_rate=0.05),
    )


def _training(signature: Signature) -> TrainConfig:
    base = grid_training(signature)
    (camera,) = signature.cameras
    # Tokens of 4 px: in coarser ones the model does not learn where walls stop it.
    world_model = replace(
        base.world_model,
        perception=PerceptionConfig(
            encoders={camera: GridCNNConfig(width=12, patch=2, channels=(16, 32))}
        ),
        predictor=GridPredictorConfig(channels=48, num_blocks=3),
    )
    optimiser = replace(base.objective.optimiser, num_steps=6000)
    level = LevelConfig(
        stride=2,
        macro_width=6,
        prior=GridPriorConfig(),
        predictor=GridPredictorConfig(channels=48, num_blocks=4),
    )
    return replace(
        base,
        recipe="rooms_maze",
        world_model=world_model,
        objective=replace(base.objective, optimiser=optimiser, horizon=4),
        hierarchy=HierarchyTrainingConfig(
            hierarchy=HierarchyConfig(levels=(level,)),
            optimiser=OptimiserConfig(
                num_steps=3000, batch_size=32, learning_rate=2e-3, warmup_steps=200, clip=5.0
            ),
            horizon=4,
        ),
    )
