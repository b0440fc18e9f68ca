"""The recipe for MuJoCo's arm from pixels: take the pose that a picture shows."""

from __future__ import annotations

from functools import partial

from forethought.actor import CEM
from forethought.evaluation.planning import PlanningProtocol
from forethought.recipes.pendulum import momentum_training
from forethought.recipes.recipe import Acting, Recipe, Recording


def reacher() -> Recipe:
    """Two frames show the speed of both joints; the critic is a quasimetric, as of all momentum."""
    return Recipe(
        name="reacher",
        description="MuJoCo's arm from pixels: poses above chance, not yet kept; two minutes",
        training=partial(momentum_training, recipe="reacher", predictor=(192, 192), num_steps=1500),
        acting=Acting(planner=CEM(horizon=6, num_samples=96, num_iterations=3, num_elites=10)),
        recording=Recording(world="reacher", num_episodes=600, episode_length=80, num_worlds=50),
        planning=PlanningProtocol(episodes=100, budget=80, hold=10),
    )
