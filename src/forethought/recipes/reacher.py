"""The recipes for MuJoCo's arm: take the pose that a picture shows, or that joints tell."""

from __future__ import annotations

from functools import partial

from forethought.actor import CEM
from forethought.cost import ProbedGoal, probed_goal
from forethought.evaluation.planning import PlanningProtocol
from forethought.recipes.pendulum import momentum_training
from forethought.recipes.point_hazards import WITH_MOMENTUM, measured_state
from forethought.recipes.recipe import Acting, Recipe, Recording
from forethought.types import Observation


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


def reacher_joints() -> Recipe:
    """The joints are measured, so that the arm's state is known; the goal is where its tip is."""
    return Recipe(
        name="reacher_joints",
        description="MuJoCo's arm from the angles of its joints: half a minute on a CPU",
        training=partial(measured_state, recipe="reacher_joints", block=3),
        acting=Acting(planner=WITH_MOMENTUM, goal=place_of_the_tip),
        recording=Recording(world="reacher_joints", num_episodes=1000, episode_length=80),
        planning=PlanningProtocol(episodes=100, budget=80, hold=10),
    )


def place_of_the_tip(observation: Observation) -> ProbedGoal:
    """To where the fingertip is in the goal's pose, whichever way the elbow bends."""
    return probed_goal(observation=observation, quantities=("fingertip.x", "fingertip.y"))
