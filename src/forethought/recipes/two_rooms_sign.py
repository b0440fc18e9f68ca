"""The recipe for two rooms and a sign: a memory of slots keeps what is out of sight."""

from __future__ import annotations

from forethought.actor import CEM
from forethought.cost import CostTerm, probed_goal
from forethought.data.record import TRUTH
from forethought.evaluation.planning import PlanningProtocol
from forethought.learning import (
    JEPAConfig,
    OptimiserConfig,
    ProbeTrainingConfig,
    TrainConfig,
)
from forethought.memory import SlotPredictorConfig
from forethought.perception import CNNConfig, PerceptionConfig
from forethought.recipes.recipe import Acting, Recipe, Recording
from forethought.types import Observation, Signature
from forethought.world_model import (
    InverseDynamicsConfig,
    VICRegConfig,
    WorldModelConfig,
)

EPISODE = 90
BLOCK = 3


def two_rooms_sign() -> Recipe:
    """What was seen at the beginning of an episode is remembered to its end."""
    return Recipe(
        name="two_rooms_sign",
        description="a sign seen once opens a later door: a memory of slots spans the episode",
        training=_training,
        acting=Acting(
            planner=CEM(
                horizon=16,
                num_samples=256,
                num_iterations=5,
                num_elites=16,
                shared_noise=0.8,
                held_share=0.25,
            ),
            goal=place_of,
        ),
        recording=Recording(
            world="two_rooms_sign", num_episodes=3000, episode_length=EPISODE, num_worlds=50
        ),
        planning=PlanningProtocol(episodes=100, budget=EPISODE),
    )


def place_of(observation: Observation) -> CostTerm:
    """To the place that the goal is seen from; what else is seen there does not matter."""
    return probed_goal(observation=observation, quantities=("position.x", "position.y"))


def _training(signature: Signature) -> TrainConfig:
    (camera,) = signature.cameras
    return TrainConfig(
        recipe="two_rooms_sign",
        world_model=WorldModelConfig(
            perception=PerceptionConfig(
                encoders={camera: CNNConfig(width=32, patch=4, channels=(32, 48, 64))}
            ),
            predictor=SlotPredictorConfig(window=EPISODE // BLOCK - 6),
            action_block=BLOCK,
        ),
        objective=JEPAConfig(
            optimiser=OptimiserConfig(num_steps=2000, batch_size=16, learning_rate=3e-3, clip=5.0),
            regularisers=(
                VICRegConfig(weight=1.0, covariance=0.25),
                InverseDynamicsConfig(weight=3.0),
            ),
            horizon=5,
        ),
        probes=ProbeTrainingConfig(key=TRUTH),
    )
