"""Recipes for the two-rooms worlds."""

from __future__ import annotations

from forethought.actor import CEM
from forethought.cost.critic import MetricDistanceConfig
from forethought.data.record import TRUTH
from forethought.learning import (
    CriticTrainingConfig,
    JEPAConfig,
    OptimiserConfig,
    ProbeTrainingConfig,
    TrainConfig,
)
from forethought.perception import CNNConfig, PerceptionConfig
from forethought.recipes.recipe import Acting, Recipe, Recording
from forethought.types import Signature
from forethought.world_model import (
    InverseDynamicsConfig,
    ResidualMLPConfig,
    TemporalSmoothnessConfig,
    VICRegConfig,
    WorldModelConfig,
)


def two_rooms() -> Recipe:
    """The fixed wall: one latent vector, a metric critic, a short search; seconds on a CPU."""
    return Recipe(
        name="two_rooms",
        description="two rooms with a fixed wall, from pixels; under a minute on a CPU",
        training=_plain,
        acting=Acting(planner=CEM(horizon=4, num_samples=64, num_iterations=2, num_elites=8)),
        recording=Recording(world="two_rooms", num_episodes=600, episode_length=100),
    )


def _plain(signature: Signature) -> TrainConfig:
    (camera,) = signature.cameras
    return TrainConfig(
        recipe="two_rooms",
        world_model=WorldModelConfig(
            perception=PerceptionConfig(
                encoders={camera: CNNConfig(width=16, patch=4, channels=(32, 48, 64))}
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
            optimiser=OptimiserConfig(num_steps=2500, batch_size=256, learning_rate=1e-3),
            other_episodes=0.5,
        ),
        probes=ProbeTrainingConfig(key=TRUTH),
    )
