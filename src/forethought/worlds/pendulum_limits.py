"""The pendulum from pixels, to be held aside of hanging, close to an angle it must not pass.

Gravity pulls it back with 5 sin(angle) newton metres, and the strongest torque is 2: it can be held
up to 0.41 radians from hanging. It swings without friction, so that who hurries to the goal goes
beyond it; who stops a little short has reached it too. Nothing here counts who passes
``ANGLE_LIMIT`` or ``TORQUE_LIMIT``.
"""

from __future__ import annotations

from collections.abc import Mapping

import gymnasium
import numpy as np
from gymnasium import spaces

from forethought.worlds.adapter import GymnasiumConfig, sampled
from forethought.worlds.classic import SwingUp, put_pendulum
from forethought.worlds.restorable import RestorableWorld

ANGLE_LIMIT = 0.37
"""Radians from hanging, either way, that tasks can be solved within."""
TORQUE_LIMIT = 1.9
"""Newton metres, either way, that tasks can be solved within."""
HELD_DEGREES = 4.0
"""A goal counts as reached within so many degrees."""

_GRAVITY = 5.0
_GOALS = (0.33, 0.36)
_FURTHEST_START = 0.3
_APART = 0.3


class Held(gymnasium.Wrapper):
    """The pendulum, with an angle from hanging for a goal.

    Args:
        env: the environment.
    """

    def __init__(self, env: gymnasium.Env) -> None:
        super().__init__(env)
        self.goal = 0.0


class HoldAside(SwingUp):
    """Hold an angle near hanging, from rest at another one."""

    # The oracle's torque per radian, and per radian per second: it does not overshoot.
    STIFFNESS, DAMPING = 3.0, 2.0

    def begin(self, env: gymnasium.Env, generator: np.random.Generator) -> np.ndarray:
        """At rest, well apart from the goal."""
        held = _held(env)
        held.goal = generator.choice([-1.0, 1.0]) * generator.uniform(*_GOALS)
        while True:
            start = generator.uniform(-_FURTHEST_START, _FURTHEST_START)
            if abs(start - held.goal) > _APART:
                return _hang(env, start, 0.0)

    def begin_exploring(self, env: gymnasium.Env, generator: np.random.Generator) -> np.ndarray:
        """Farther aside than any task needs, swinging."""
        return _hang(env, generator.uniform(-0.6, 0.6), generator.uniform(-1.5, 1.5))

    def to_goal(self, env: gymnasium.Env, generator: np.random.Generator) -> np.ndarray:
        """At rest at the goal."""
        return _hang(env, _held(env).goal, 0.0)

    def succeeded(self, env: gymnasium.Env, observation: np.ndarray, goal: np.ndarray) -> bool:
        """Within ``HELD_DEGREES`` of the goal."""
        gap = from_hanging(observation) - from_hanging(goal)
        return bool(abs(gap) < np.deg2rad(HELD_DEGREES))

    def truth(self, env: gymnasium.Env, observation: np.ndarray) -> Mapping[str, float]:
        """As of the pendulum, and the angle from hanging in radians, -pi to pi."""
        return {
            **super().truth(env, observation),
            "angle.from_hanging": from_hanging(observation),
        }

    def state(self, env: gymnasium.Env) -> np.ndarray:
        """Angle and velocity, and the angle of the goal."""
        return np.append(super().state(env), _held(env).goal)

    def put_back(self, env: gymnasium.Env, state: np.ndarray) -> None:
        """See :class:`forethought.worlds.restorable.RestorableTask`."""
        super().put_back(env, state[:2])
        _held(env).goal = state[2]

    def group(self, generator: np.random.Generator) -> str:
        """All alike."""
        return ""

    def oracle(self, env: gymnasium.Env, observation: np.ndarray) -> np.ndarray:
        """Carries the weight, and a damped spring pulls to the goal."""
        angle = from_hanging(observation)
        pull = self.STIFFNESS * (_held(env).goal - angle) - self.DAMPING * observation[2]
        torque = _GRAVITY * np.sin(angle) + pull
        return np.clip([torque], -TORQUE_LIMIT, TORQUE_LIMIT).astype(np.float32)

    def explored_action(
        self, space: spaces.Space, generator: np.random.Generator
    ) -> np.ndarray | np.int64:
        """Any torque."""
        return sampled(space, generator)


def pendulum_limits(num_worlds: int = 1) -> RestorableWorld:
    """Gymnasium's ``Pendulum-v1`` from 64x64 pixels, near hanging."""

    def make() -> gymnasium.Env:
        return Held(gymnasium.make("Pendulum-v1", render_mode="rgb_array").unwrapped)

    return RestorableWorld(
        make,
        name="pendulum_limits",
        num_worlds=num_worlds,
        task=HoldAside(),
        config=GymnasiumConfig(persistence=0.8, action_names=("torque",)),
    )


def from_hanging(observation: np.ndarray) -> float:
    """The angle from hanging in radians, of cosine and sine of the angle from upright."""
    cosine, sine = observation[:2]
    return float(np.arctan2(-sine, -cosine))


def _hang(env: gymnasium.Env, angle: float, velocity: float) -> np.ndarray:
    return put_pendulum(env, np.pi + angle, velocity)


def _held(env: gymnasium.Env) -> Held:
    assert isinstance(env, Held)
    return env
