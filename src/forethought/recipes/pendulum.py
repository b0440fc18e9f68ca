"""The recipe for the pendulum from pixels: motion that cannot simply be undone."""

from __future__ import annotations

from functools import partial

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


def pendulum() -> Recipe:
    """Two frames show velocity; the critic is a quasimetric, since falling is not climbing."""
    return Recipe(
        name="pendulum",
        description="Gymnasium's pendulum from pixels: swing up and hold; about two minutes",
        training=partial(momentum_training, recipe="pendulum", predictor=(128, 128), num_steps=900),
        acting=Acting(planner=CEM(horizon=6, num_samples=64, num_iterations=3, num_elites=8)),
        recording=Recording(world="pendulum", num_episodes=1500, episode_length=60, num_worlds=50),
        planning=PlanningProtocol(episodes=100, budget=200, hold=20),
    )


def momentum_training(
    signature: Signature, *, recipe: str, predictor: tuple[int, ...], num_steps: int
) -> TrainConfig:
    """Of worlds with momentum, seen by one camera: two frames, one latent vector, a quasimetric.

    Args:
        signature: of the data.
        recipe: the name it goes by.
        predictor: width of each hidden layer of the predictor.
        num_steps: of pretraining.
    """
    (camera,) = signature.cameras
    return TrainConfig(
        recipe=recipe,
        world_model=WorldModelConfig(
            perception=PerceptionConfig(
                encoders={camera: CNNConfig(width=32, patch=4, channels=(32, 48, 64))},
                frame_stack=2,
            ),
            predictor=ResidualMLPConfig(hidden=predictor),
            action_block=3,
        ),
        objective=JEPAConfig(
            optimiser=OptimiserConfig(
                num_steps=num_steps, batch_size=32, learning_rate=3e-3, clip=5.0
            ),
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
