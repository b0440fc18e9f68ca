"""Recipes for the two-rooms worlds."""

from __future__ import annotations

from dataclasses import replace

from forethought.actor import CEM
from forethought.cost.critic import GridMetricDistanceConfig, MetricDistanceConfig
from forethought.cost.roadmap import roadmap_goal
from forethought.data.record import TRUTH
from forethought.evaluation.planning import PlanningProtocol
from forethought.learning import (
    CriticTrainingConfig,
    DistillingConfig,
    JEPAConfig,
    LocalMetricTrainingConfig,
    Mirror,
    OptimiserConfig,
    ProbeTrainingConfig,
    SquaredError,
    TrainConfig,
)
from forethought.perception import CNNConfig, GridCNNConfig, PerceptionConfig
from forethought.policy import PolicyConfig
from forethought.recipes.recipe import Acting, Recipe, Recording
from forethought.types import Signature
from forethought.world_model import (
    GridInverseDynamicsConfig,
    GridPredictorConfig,
    InverseDynamicsConfig,
    ResidualMLPConfig,
    TemporalSmoothnessConfig,
    TemporalVarianceConfig,
    VICRegConfig,
    WorldModelConfig,
)

ONE_ROUND = CEM(
    horizon=2, num_samples=32, num_iterations=1, num_elites=4, shared_noise=0.9, held_share=0.5
)
"""Pushes that are held go far, so that a few of them, around what is left of the last plan, do; and
the critic knows the way from there, so that two model steps ahead are enough."""


def two_rooms() -> Recipe:
    """The fixed wall: one latent vector, a metric critic, a short search; seconds on a CPU."""
    return Recipe(
        name="two_rooms",
        description="two rooms with a fixed wall, from pixels; under a minute on a CPU",
        training=_plain,
        acting=Acting(planner=ONE_ROUND),
        recording=Recording(world="two_rooms", num_episodes=600, episode_length=100),
    )


def two_rooms_compass() -> Recipe:
    """The fixed wall, steered by discrete actions; the same model and search."""
    return replace(
        two_rooms(),
        name="two_rooms_compass",
        description="two rooms by discrete actions, from pixels; under a minute on a CPU",
        training=lambda signature: replace(_plain(signature), recipe="two_rooms_compass"),
        recording=Recording(world="two_rooms_compass", num_episodes=600, episode_length=100),
    )


def two_rooms_random() -> Recipe:
    """Wall and door drawn per episode: tokens in a grid, a local metric, an imagined map."""
    return Recipe(
        name="two_rooms_random",
        description="two rooms with wall and door drawn per episode; six minutes on a CPU",
        training=grid_training,
        acting=Acting(
            planner=CEM(
                horizon=3,
                num_samples=64,
                num_iterations=2,
                num_elites=8,
                shared_noise=0.9,
                held_share=0.25,
            ),
            goal=roadmap_goal,
        ),
        recording=Recording(world="two_rooms_random", num_episodes=1500, episode_length=120),
        # Layouts to learn from are many tasks, each with a map to be drawn.
        distilling=DistillingConfig(
            policy=PolicyConfig(hidden=(256, 256), chunk=3, grid=(32, 32)),
            optimiser=OptimiserConfig(num_steps=2000, batch_size=64, learning_rate=1e-3),
            rounds=4,
            mirrors=(
                Mirror(axes=(0,), actions=(1,)),
                Mirror(axes=(1,), actions=(0,)),
                Mirror(axes=(0, 1), actions=(0, 1)),
            ),
        ),
        # Each task has a layout, and so a map, of its own: a second or two.
        planning=PlanningProtocol(episodes=100),
    )


def two_rooms_random_plain() -> Recipe:
    """The fixed wall's recipe on random walls: it keeps what never changes, and says so."""
    return Recipe(
        name="two_rooms_random_plain",
        description="a warning: the plain recipe on random walls keeps the wall and loses the dot",
        training=lambda signature: replace(_plain(signature), recipe="two_rooms_random_plain"),
        acting=two_rooms().acting,
        recording=two_rooms_random().recording,
    )


def grid_training(signature: Signature) -> TrainConfig:
    """Tokens in a grid and a local metric: for layouts that change from episode to episode."""
    (camera,) = signature.cameras
    return TrainConfig(
        recipe="two_rooms_random",
        world_model=WorldModelConfig(
            perception=PerceptionConfig(
                encoders={camera: GridCNNConfig(width=16, patch=4, channels=(24, 48))}
            ),
            predictor=GridPredictorConfig(channels=96, num_blocks=2),
            action_block=5,
        ),
        objective=JEPAConfig(
            optimiser=OptimiserConfig(
                num_steps=2000, batch_size=16, learning_rate=3e-3, warmup_steps=200, clip=5.0
            ),
            error=SquaredError(weight=8.0),
            regularisers=(
                VICRegConfig(weight=1.0, covariance=0.25, pool_tokens=True),
                GridInverseDynamicsConfig(weight=5.0),
                TemporalVarianceConfig(weight=1.0, share=0.5, moving_tokens=4.0),
            ),
            horizon=6,
        ),
        critic=LocalMetricTrainingConfig(
            critic=GridMetricDistanceConfig(outlooks=2 * signature.action.dim),
            optimiser=OptimiserConfig(
                num_steps=500, batch_size=8, learning_rate=2e-3, warmup_steps=30, clip=20.0
            ),
        ),
        probes=ProbeTrainingConfig(key=TRUTH),
    )


def _plain(signature: Signature) -> TrainConfig:
    (camera,) = signature.cameras
    return TrainConfig(
        recipe="two_rooms",
        world_model=WorldModelConfig(
            perception=PerceptionConfig(
                encoders={camera: CNNConfig(width=16, patch=4, channels=(16, 32, 32))}
            ),
            predictor=ResidualMLPConfig(hidden=(128, 128)),
            action_block=5,
        ),
        objective=JEPAConfig(
            optimiser=OptimiserConfig(num_steps=600, batch_size=32, learning_rate=3e-3),
            regularisers=(
                VICRegConfig(weight=1.0, covariance=0.25),
                InverseDynamicsConfig(weight=1.0),
                TemporalSmoothnessConfig(weight=0.5),
            ),
            horizon=8,
        ),
        critic=CriticTrainingConfig(
            critic=MetricDistanceConfig(hidden=(256, 256), embedding=32),
            optimiser=OptimiserConfig(num_steps=2000, batch_size=256, learning_rate=1e-3),
            other_episodes=0.5,
        ),
        probes=ProbeTrainingConfig(key=TRUTH),
    )
