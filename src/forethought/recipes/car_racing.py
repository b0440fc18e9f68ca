"""The recipe for driving: a model of what steering and pedal do, learned without a driver.

Nothing that is recorded says where the road is or how one should drive. What is wanted is asked of
two sensors of the car's own, as a person feels them: to go at a speed, and not over grass.
"""

from __future__ import annotations

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor

from forethought.actor import CEM
from forethought.cost import QuantityTerm, quantity_term
from forethought.evaluation.planning import PlanningProtocol
from forethought.learning import (
    AugmentationConfig,
    JEPAConfig,
    OptimiserConfig,
    ProbeTrainingConfig,
    TrainConfig,
)
from forethought.perception import CNNConfig, PerceptionConfig
from forethought.recipes.recipe import Acting, Recipe, Recording
from forethought.types import STATE, Observation, Signature
from forethought.world_model import (
    InverseDynamicsConfig,
    ResidualMLPConfig,
    TemporalSmoothnessConfig,
    VICRegConfig,
    WorldModelConfig,
)

CRUISING = 15.0
"""Metres per second: fast enough for the tasks, and slower than the oracle, which knows the way."""
GRASS_WEIGHT, SPEED_WEIGHT = 20.0, 2.0
GRASS_FREE = 0.05
"""What is foreseen of grass is never quite zero; so much of it costs nothing."""


def car_racing() -> Recipe:
    """Two frames show the motion; the search looks a second ahead."""
    return Recipe(
        name="car_racing",
        description="driving from pixels, learned from straying about; some minutes on a CPU",
        training=_training,
        acting=Acting(
            planner=CEM(
                horizon=8,
                num_samples=96,
                num_iterations=3,
                num_elites=10,
                shared_noise=0.8,
                held_share=0.25,
            ),
            goal=keep_driving,
        ),
        recording=Recording(
            world="car_racing", num_episodes=1000, episode_length=30, num_worlds=25
        ),
        planning=PlanningProtocol(episodes=50, budget=150),
    )


def keep_driving(observation: Observation) -> QuantityTerm:
    """To drive at cruising speed, off the grass, as the car's own sensors would tell.

    Args:
        observation: a goal, which is not looked at: no place is sought.
    """
    return quantity_term("drive", _drive, quantities=("speed", "grass"))


def _drive(told: Mapping[str, Float[Tensor, "b n h"]]) -> Float[Tensor, "b n h"]:
    off_speed = (CRUISING - told["speed"]).abs() / CRUISING
    return SPEED_WEIGHT * off_speed + GRASS_WEIGHT * (told["grass"] - GRASS_FREE).clamp_min(0)


def _training(signature: Signature) -> TrainConfig:
    (camera,) = signature.cameras
    return TrainConfig(
        recipe="car_racing",
        world_model=WorldModelConfig(
            perception=PerceptionConfig(
                encoders={camera: CNNConfig(width=32, patch=4, channels=(32, 48, 64))},
                frame_stack=2,
            ),
            predictor=ResidualMLPConfig(hidden=(256, 256)),
            action_block=2,
        ),
        objective=JEPAConfig(
            optimiser=OptimiserConfig(num_steps=2000, batch_size=32, learning_rate=2e-3, clip=5.0),
            regularisers=(
                VICRegConfig(weight=1.0, covariance=0.25),
                InverseDynamicsConfig(weight=1.0),
                TemporalSmoothnessConfig(weight=0.5),
            ),
            horizon=8,
            # Left and right are alike: each clip is shown either way round.
            augmentation=AugmentationConfig(mirrored=(0,), action_dim=signature.action.dim),
        ),
        probes=ProbeTrainingConfig(key=STATE, num_steps=2000),
    )
