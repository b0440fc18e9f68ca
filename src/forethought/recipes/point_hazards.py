"""The recipe for the point among hazards: a measured state, momentum, limits on both."""

from __future__ import annotations

from forethought.actor import CEM
from forethought.cost import ProbedGoal, probed_goal
from forethought.data.record import TRUTH
from forethought.evaluation.planning import PlanningProtocol
from forethought.learning import (
    AnchoredError,
    JEPAConfig,
    LinearStartConfig,
    OptimiserConfig,
    ProbeTrainingConfig,
    TrainConfig,
)
from forethought.perception import AnchoredMLPConfig, PerceptionConfig
from forethought.recipes.recipe import Acting, Recipe, Recording
from forethought.types import STATE, Observation, Signature
from forethought.world_model import (
    InverseDynamicsConfig,
    ResidualMLPConfig,
    VICRegConfig,
    WorldModelConfig,
)

WITH_MOMENTUM = CEM(
    horizon=8,
    num_samples=128,
    num_iterations=3,
    num_elites=12,
    shared_noise=0.8,
    held_share=0.25,
)
"""What moves on has to be braked in time, so that the search looks far."""


def point_hazards() -> Recipe:
    """The state itself is part of the latent; the goal is a place, at any speed."""
    return Recipe(
        name="point_hazards",
        description="a heavy point among hazards, from its state: under a minute on a CPU",
        training=lambda signature: measured_state(signature, recipe="point_hazards", block=5),
        acting=Acting(planner=WITH_MOMENTUM, goal=place_of_the_point),
        recording=Recording(world="point_hazards", num_episodes=1600, episode_length=56),
        planning=PlanningProtocol(episodes=100, budget=200, hold=10),
    )


def place_of_the_point(observation: Observation) -> ProbedGoal:
    """To where the goal's state is."""
    return probed_goal(observation=observation, quantities=("position.x", "position.y"))


def measured_state(signature: Signature, *, recipe: str, block: int) -> TrainConfig:
    """Of worlds whose state is measured whole, velocities too: it is part of the latent.

    Args:
        signature: of the data.
        recipe: the name it goes by.
        block: world steps of a model step.
    """
    (width,) = signature.observation[STATE].shape
    return TrainConfig(
        recipe=recipe,
        world_model=WorldModelConfig(
            perception=PerceptionConfig(
                encoders={STATE: AnchoredMLPConfig(learned=width, hidden=(64, 64))}
            ),
            predictor=ResidualMLPConfig(hidden=(128, 128)),
            action_block=block,
        ),
        objective=JEPAConfig(
            optimiser=OptimiserConfig(
                num_steps=3000,
                batch_size=64,
                learning_rate=2e-3,
                warmup_steps=100,
                final_share=0.0,
            ),
            error=AnchoredError(anchored=width, learned=1.0),
            regularisers=(
                VICRegConfig(weight=0.1, covariance=0.04),
                InverseDynamicsConfig(weight=0.1),
            ),
            horizon=8,
            start=LinearStartConfig(),
        ),
        probes=ProbeTrainingConfig(key=TRUTH),
    )
