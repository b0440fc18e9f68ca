"""The recipe for the pendulum held aside: overshoot is what breaks its limit."""

from __future__ import annotations

from forethought.actor import CEM
from forethought.cost import ProbedGoal, probed_goal
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


def pendulum_limits() -> Recipe:
    """Two frames show the velocity; the goal is an angle, read by a probe."""
    return Recipe(
        name="pendulum_limits",
        description="the pendulum held aside, near a limit, from pixels; two minutes on a CPU",
        training=_training,
        acting=Acting(
            planner=CEM(
                horizon=6, num_samples=96, num_iterations=4, num_elites=10, shared_noise=0.8
            ),
            goal=angle_of_the_goal,
        ),
        recording=Recording(world="pendulum_limits", num_episodes=1500, episode_length=50),
        planning=PlanningProtocol(episodes=100, budget=120, hold=20),
    )


def angle_of_the_goal(observation: Observation) -> ProbedGoal:
    """To the angle that the goal's picture shows."""
    return probed_goal(observation=observation, quantities=("angle.from_hanging",))


def _training(signature: Signature) -> TrainConfig:
    (camera,) = signature.cameras
    return TrainConfig(
        recipe="pendulum_limits",
        world_model=WorldModelConfig(
            perception=PerceptionConfig(
                encoders={camera: CNNConfig(width=32, patch=4, channels=(32, 48, 64))},
                frame_stack=2,
            ),
            predictor=ResidualMLPConfig(hidden=(128, 128)),
            action_block=3,
        ),
        objective=JEPAConfig(
            optimiser=OptimiserConfig(num_steps=1200, batch_size=32, learning_rate=3e-3, clip=5.0),
            regularisers=(
                VICRegConfig(weight=1.0, covariance=0.25),
                InverseDynamicsConfig(weight=1.0),
                TemporalSmoothnessConfig(weight=0.5),
            ),
            horizon=6,
        ),
        probes=ProbeTrainingConfig(key=TRUTH, num_steps=3000, max_rows=60_000),
    )
