"""The recipe for MuJoCo's arm from pixels: take the pose that a picture shows."""

from __future__ import annotations

from forethought.actor import CEM
from forethought.cost.critic import QuasimetricDistanceConfig
from forethought.data.record import TRUTH
from forethought.evaluation.planning import PlanningProtocol
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


def reacher() -> Recipe:
    """Two frames show the speed of both joints; the critic is a quasimetric, as of all momentum."""
    return Recipe(
        name="reacher",
        description="MuJoCo's arm from pixels: poses above chance, not yet kept; two minutes",
        training=_training,
        acting=Acting(planner=CEM(horizon=6, num_samples=96, num_iterations=3, num_elites=10)),
        recording=Recording(world="reacher", num_episodes=600, episode_length=80, num_worlds=50),
        planning=PlanningProtocol(episodes=100, budget=80, hold=10),
    )


def _training(signature: Signature) -> TrainConfig:
    (camera,) = signature.cameras
    return TrainConfig(
        recipe="reacher",
        world_model=WorldModelConfig(
            perception=PerceptionConfig(
                encoders={camera: CNNConfig(width=32, patch=4, channels=(32, 48, 64))},
                frame_stack=2,
            ),
            predictor=ResidualMLPConfig(hidden=(192, 192)),
            action_block=3,
        ),
        objective=JEPAConfig(
            optimiser=OptimiserConfig(num_steps=1500, batch_size=32, learning_rate=3e-3, clip=5.0),
            regularisers=(
                VICRegConfig(weight=1.0, covariance=0.25),
                InverseDynamicsConfig(weight=1.0),
                TemporalSmoothnessConfig(weight=0.5),
            ),
            horizon=6,
        ),
        critic=CriticTrainingConfig(
            critic=QuasimetricDistanceConfig(hidden=(128, 128), embedding=16),
            optimiser=OptimiserConfig(num_steps=2500, batch_size=256, learning_rate=1e-3),
            other_episodes=0.5,
            discount=0.98,
        ),
        probes=ProbeTrainingConfig(key=TRUTH),
    )
