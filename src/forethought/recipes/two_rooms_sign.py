"""The recipe for two rooms and a sign: a memory of slots keeps what is out of sight."""

from __future__ import annotations

from forethought.actor import PredictiveSampling
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
BLOCK = 4
WINDOW, HORIZON = 18, 4
"""Model steps that the memory spans, and that are foreseen beyond it: a clip is a whole episode."""


def two_rooms_sign() -> Recipe:
    """What was seen at the beginning of an episode is remembered to its end."""
    return Recipe(
        name="two_rooms_sign",
        description="a sign seen once opens a later door: a memory of slots spans the episode",
        training=_training,
        acting=Acting(
            # Far enough to come from the end of the corridor to the goal. The way bends once: noise
            # with a knot in the middle goes through the farther door and back, which noise of each
            # step by itself, or pushes that are held, do not.
            planner=PredictiveSampling(
                horizon=10, num_samples=128, num_iterations=3, std=2.0, num_knots=3
            ),
            goal=place_of,
        ),
        recording=Recording(
            world="two_rooms_sign", num_episodes=1500, episode_length=EPISODE, num_worlds=50
        ),
        planning=PlanningProtocol(episodes=100, budget=EPISODE),
    )


def place_of(observation: Observation) -> CostTerm:
    """To the place that the goal is seen from; what else is seen there does not matter.

    Where a plan ends is what counts: the way through the safe door leads away from the goal first.
    """
    return probed_goal(
        observation=observation, quantities=("position.x", "position.y"), running=0.1
    )


def _training(signature: Signature) -> TrainConfig:
    (camera,) = signature.cameras
    return TrainConfig(
        recipe="two_rooms_sign",
        world_model=WorldModelConfig(
            perception=PerceptionConfig(
                encoders={camera: CNNConfig(width=32, patch=8, channels=(32, 48))}
            ),
            predictor=SlotPredictorConfig(window=WINDOW),
            action_block=BLOCK,
        ),
        objective=JEPAConfig(
            optimiser=OptimiserConfig(num_steps=1000, batch_size=16, learning_rate=3e-3, clip=5.0),
            regularisers=(
                # The sign is seen in a tenth of the pictures and is soon out of sight: unless every
                # dimension has to vary, it is too faint in the latents for a memory to find.
                VICRegConfig(weight=4.0, covariance=0.25),
                InverseDynamicsConfig(weight=3.0),
            ),
            horizon=HORIZON,
            # Credit for what was written long ago reaches it at once, not through imagined steps.
            each_step=1.0,
        ),
        probes=ProbeTrainingConfig(key=TRUTH),
        # No guardrails are meant here.
        calibration=None,
    )
