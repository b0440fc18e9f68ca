"""The recipe for the fork: a future that a coin decides, and a plan that must suit both."""

from __future__ import annotations

from forethought.actor import CEM
from forethought.cost import Cost, Worst, keep_apart, probed_goal
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
    CategoricalLatentConfig,
    InverseDynamicsConfig,
    ResidualMLPConfig,
    TemporalSmoothnessConfig,
    VICRegConfig,
    WorldModelConfig,
)

APART = 16.0
"""Pixels to keep from the obstacle, which touches at 11."""
DANGER = 2000.0
"""Pixels of way that the whole of an intrusion is worth."""


def fork() -> Recipe:
    """A latent variable holds the two futures apart; plans are made for the worse of them."""
    return Recipe(
        name="fork",
        description="an obstacle turns by chance: both turns foreseen, and the worse one avoided",
        training=_training,
        acting=Acting(
            planner=CEM(
                horizon=8,
                num_samples=128,
                num_iterations=4,
                num_elites=12,
                shared_noise=0.8,
                held_share=0.25,
            ),
            goal=clear_of_the_obstacle,
            num_outcomes=4,
        ),
        recording=Recording(world="fork", num_episodes=2000, episode_length=45, num_worlds=50),
        planning=PlanningProtocol(episodes=150, budget=120),
    )


def clear_of_the_obstacle(observation: Observation) -> Cost:
    """To the goal, with the obstacle's worst turn in mind."""
    place, obstacle = ("position.x", "position.y"), ("obstacle.x", "obstacle.y")
    seek = probed_goal(observation=observation, quantities=place)
    return (seek + DANGER * keep_apart(place, obstacle, apart=APART)).at(Worst())


def _training(signature: Signature) -> TrainConfig:
    (camera,) = signature.cameras
    return TrainConfig(
        recipe="fork",
        world_model=WorldModelConfig(
            perception=PerceptionConfig(
                encoders={camera: CNNConfig(width=32, patch=4, channels=(32, 48, 64))},
                frame_stack=2,
            ),
            predictor=ResidualMLPConfig(hidden=(192, 192)),
            action_block=3,
            latent_variable=CategoricalLatentConfig(num_choices=4, weight=0.05),
        ),
        objective=JEPAConfig(
            optimiser=OptimiserConfig(num_steps=2000, batch_size=32, learning_rate=3e-3, clip=5.0),
            regularisers=(
                VICRegConfig(weight=1.0, covariance=0.25),
                InverseDynamicsConfig(weight=3.0),
                TemporalSmoothnessConfig(weight=0.2),
            ),
            horizon=6,
        ),
        probes=ProbeTrainingConfig(key=TRUTH),
    )
