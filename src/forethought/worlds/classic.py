"""Two classics from pixels, with goals: a pendulum to swing up and a pole to balance."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.envs.classic_control.cartpole import CartPoleEnv
from gymnasium.envs.classic_control.pendulum import PendulumEnv

from forethought.worlds.adapter import (
    GoalTask,
    GymnasiumConfig,
    GymnasiumWorld,
    gymnasium_world,
    reduced,
    sampled,
)
from forethought.worlds.restorable import RestorableTask, RestorableWorld

RENDER_SIZE = 512
ANGLES = 4096
UPRIGHT_DEGREES = 20.0


class SwingUp(RestorableTask):
    """Stand upright, from hanging (half of the tasks) or from anywhere."""

    def begin(self, env: gymnasium.Env, generator: np.random.Generator) -> np.ndarray:
        """Hanging still, or any angle with a small velocity."""
        if self.group(generator) == "hanging":
            return put_pendulum(env, np.pi, 0.0)
        return put_pendulum(env, generator.uniform(-np.pi, np.pi), generator.uniform(-1, 1))

    def begin_exploring(self, env: gymnasium.Env, generator: np.random.Generator) -> np.ndarray:
        """Anywhere, at any speed that the pendulum can have."""
        return put_pendulum(env, generator.uniform(-np.pi, np.pi), generator.uniform(-8, 8))

    def to_goal(self, env: gymnasium.Env, generator: np.random.Generator) -> np.ndarray:
        """Upright and still."""
        return put_pendulum(env, 0.0, 0.0)

    def succeeded(self, env: gymnasium.Env, observation: np.ndarray, goal: np.ndarray) -> bool:
        """Within 20 degrees of upright."""
        return bool(np.arccos(np.clip(observation[0], -1, 1)) < np.deg2rad(UPRIGHT_DEGREES))

    def truth(self, env: gymnasium.Env, observation: np.ndarray) -> Mapping[str, float]:
        """Angle as cosine and sine (0 is up), and velocity in radians per second."""
        return dict(
            zip(("angle.cos", "angle.sin", "velocity"), map(float, observation), strict=True)
        )

    def group(self, generator: np.random.Generator) -> str:
        """Half and half."""
        return "hanging" if generator.random() < 0.5 else "anywhere"

    def oracle(self, env: gymnasium.Env, observation: np.ndarray) -> np.ndarray:
        """Pumps energy until upright is in reach, then holds by feedback (Astrom and Furuta)."""
        cosine, sine, velocity = observation
        angle = np.arctan2(sine, cosine)
        if abs(angle) < 0.6 and abs(velocity) < 3.0:
            return np.clip([-(14.0 * angle + 4.0 * velocity)], -2, 2)
        energy = velocity**2 / 6 + 5.0 * (cosine - 1)
        direction = np.sign(velocity) if velocity else 1.0
        return np.clip([-2.0 * np.sign(energy) * direction], -2, 2)

    def state(self, env: gymnasium.Env) -> np.ndarray:
        """Angle and velocity."""
        pendulum = env.unwrapped
        assert isinstance(pendulum, PendulumEnv) and pendulum.state is not None
        return np.array(pendulum.state, np.float64)

    def put_back(self, env: gymnasium.Env, state: np.ndarray) -> None:
        """See :class:`RestorableTask`."""
        put_pendulum(env, *state)

    def picture(self, env: gymnasium.Env, size: int) -> np.ndarray:
        """Gymnasium's own picture at this angle, without the arrow that it draws for the torque."""
        pendulum = env.unwrapped
        assert isinstance(pendulum, PendulumEnv) and pendulum.state is not None
        turn = float(pendulum.state[0]) / (2 * np.pi)
        return _pendulum_picture(round(turn * ANGLES) % ANGLES, size)

    def explored_action(
        self, space: spaces.Space, generator: np.random.Generator
    ) -> np.ndarray | np.int64:
        """Half of the torques are as strong as they can be: swinging up needs them."""
        action = sampled(space, generator)
        return np.sign(action) * 2 if generator.random() < 0.5 else action


class Balance(GoalTask):
    """Hold the pole upright in the middle."""

    def begin_exploring(self, env: gymnasium.Env, generator: np.random.Generator) -> np.ndarray:
        """Anywhere the pole is still up."""
        low = np.array([-1.5, -1.0, -0.18, -1.0])
        return _put_cart(env, generator.uniform(low, -low))

    def begin(self, env: gymnasium.Env, generator: np.random.Generator) -> np.ndarray:
        """Off the middle, the pole nearly upright."""
        side = generator.choice([-1.0, 1.0]) * generator.uniform(0.6, 1.2)
        return _put_cart(env, np.array([side, 0.0, generator.uniform(-0.05, 0.05), 0.0]))

    def to_goal(self, env: gymnasium.Env, generator: np.random.Generator) -> np.ndarray:
        """In the middle, still."""
        return _put_cart(env, np.zeros(4))

    def succeeded(self, env: gymnasium.Env, observation: np.ndarray, goal: np.ndarray) -> bool:
        """Cart within 0.5 of the middle, pole within 12 degrees of upright."""
        return bool(abs(observation[0]) < 0.5 and abs(observation[2]) < np.deg2rad(12))

    def truth(self, env: gymnasium.Env, observation: np.ndarray) -> Mapping[str, float]:
        """Cart and pole: position, velocity, angle in radians, angular velocity."""
        names = ("cart.position", "cart.velocity", "pole.angle", "pole.velocity")
        return dict(zip(names, map(float, observation), strict=True))

    def oracle(self, env: gymnasium.Env, observation: np.ndarray) -> np.ndarray:
        """State feedback, its sign taken."""
        x, velocity, angle, turning = observation
        return np.asarray(0.2 * x + 0.45 * velocity + 4.5 * angle + turning > 0, np.int64)


def pendulum(num_worlds: int = 1, **settings: Any) -> RestorableWorld:
    """Gymnasium's ``Pendulum-v1`` from 64x64 pixels, its torque arrow hidden."""

    def make() -> gymnasium.Env:
        env = gymnasium.make("Pendulum-v1", render_mode="rgb_array")
        return env.env if isinstance(env, gymnasium.wrappers.TimeLimit) else env

    return RestorableWorld(
        make,
        name="pendulum",
        num_worlds=num_worlds,
        task=SwingUp(),
        config=GymnasiumConfig(persistence=0.875, **settings),
    )


def cartpole(num_worlds: int = 1, **settings: Any) -> GymnasiumWorld:
    """Gymnasium's ``CartPole-v1`` from 64x64 pixels; its actions are discrete."""
    world = gymnasium_world(
        "CartPole-v1",
        num_worlds=num_worlds,
        task=Balance(),
        config=GymnasiumConfig(persistence=0.5, **settings),
    )
    world.name = "cartpole"
    return world


def put_pendulum(env: gymnasium.Env, angle: float, velocity: float) -> np.ndarray:
    """Puts the pendulum to an angle (0 is up), turning; returns the observation."""
    env.reset()
    inner = env.unwrapped
    assert isinstance(inner, PendulumEnv)
    inner.state = np.array([angle, velocity])
    inner.last_u = None
    return np.array([np.cos(angle), np.sin(angle), velocity], np.float32)


def _put_cart(env: gymnasium.Env, state: np.ndarray) -> np.ndarray:
    env.reset()
    inner = env.unwrapped
    assert isinstance(inner, CartPoleEnv)
    inner.state = np.array(state, dtype=np.float64)
    return state.astype(np.float32)


@functools.lru_cache(maxsize=2 * ANGLES)
def _pendulum_picture(angle: int, size: int) -> np.ndarray:
    """The pendulum at ``angle`` of ``ANGLES`` equal parts of a turn, drawn large and reduced.

    The picture depends on the angle alone. Drawing it takes milliseconds, since Gymnasium reads a
    file for each, and drawing it small would round the rod to whole pixels: velocities would be
    lost. A 4,096th of a turn moves the rod's end by less than a twentieth of a pixel seen.
    """
    canvas = _canvas()
    canvas.state = np.array([2 * np.pi * angle / ANGLES, 0.0])
    canvas.last_u = None
    picture = reduced(np.asarray(canvas.render()), size)
    picture.setflags(write=False)
    return picture


@functools.cache
def _canvas() -> PendulumEnv:
    env = PendulumEnv(render_mode="rgb_array")
    env.screen_dim = RENDER_SIZE
    env.reset(seed=0)
    return env
