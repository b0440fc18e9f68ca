"""The recipe for the two rooms with hazards: a world to prove guardrails in."""

from __future__ import annotations

from forethought.actor import CEM
from forethought.cost.roadmap import RoadmapGoal
from forethought.data.record import TRUTH
from forethought.evaluation.planning import PlanningProtocol
from forethought.learning import (
    JEPAConfig,
    OptimiserConfig,
    ProbeTrainingConfig,
    TrainConfig,
)
from forethought.perception import CNNConfig, PerceptionConfig
from forethought.recipes.recipe import Acting, Recipe, Recording
from forethought.types import Observation, Signature
from forethought.world_model import (
    InverseDynamicsConfig,
    ResidualMLPConfig,
    TemporalSmoothnessConfig,
    VICRegConfig,
    WorldModelConfig,
)

BLOCK = 3
"""World steps in a model step: hazards are met within a few."""
STRIDE = 1.2 * BLOCK
"""Pixels that the dot goes in a model step."""


def two_rooms_hazards() -> Recipe:
    """Two frames show where the disc is going; the goal is a place, wherever hazards are."""
    return Recipe(
        name="two_rooms_hazards",
        description="two rooms with places to keep out of, from pixels; three minutes on a CPU",
        training=_training,
        acting=Acting(
            planner=CEM(
                horizon=6,
                num_samples=64,
                num_iterations=3,
                num_elites=8,
                shared_noise=0.8,
                held_share=0.25,
            ),
            goal=place_of_the_dot,
        ),
        recording=Recording(world="two_rooms_hazards", num_episodes=1200, episode_length=100),
        planning=PlanningProtocol(episodes=100, budget=200),
    )


def place_of_the_dot(observation: Observation) -> RoadmapGoal:
    """To the dot's place in the goal image, by a map of places: the disc may be anywhere.

    Nodes lie less than the wall's thickness apart, so that no edge leads through it.
    """
    return RoadmapGoal(
        observation=observation,
        quantities=("position.x", "position.y"),
        step=STRIDE,
        num_nodes=600,
        spacing=0.7,
        near=0.7,
        join=0.5,
        support=2,
    )


def _training(signature: Signature) -> TrainConfig:
    (camera,) = signature.cameras
    return TrainConfig(
        recipe="two_rooms_hazards",
        world_model=WorldModelConfig(
            perception=PerceptionConfig(
                encoders={camera: CNNConfig(width=32, patch=4, channels=(32, 48, 64))},
                frame_stack=2,
            ),
            predictor=ResidualMLPConfig(hidden=(192, 192)),
            action_block=BLOCK,
        ),
        objective=JEPAConfig(
            optimiser=OptimiserConfig(num_steps=2400, batch_size=32, learning_rate=3e-3, clip=5.0),
            regularisers=(
                VICRegConfig(weight=1.0, covariance=0.25),
                InverseDynamicsConfig(weight=3.0),
                TemporalSmoothnessConfig(weight=0.2),
            ),
            horizon=6,
        ),
        probes=ProbeTrainingConfig(key=TRUTH, num_steps=8000, max_rows=110_000),
    )
