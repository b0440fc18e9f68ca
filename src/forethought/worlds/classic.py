"""Two classics from pixels, with goals: a pendulum to swing up and a pole to balance."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.classic_control.cartpole import CartPoleEnv
from gymnasium.envs.classic_control.pendulum import PendulumEnv

from forethought.worlds.adapter import GoalTask, GymnasiumConfig, GymnasiumWorld, gymnasium_world

RENDER_SIZE = 128
UPRIGHT_DEGREES = 20.0


class SwingUp(GoalTask):
    """Stand upright, from hanging (half of the tasks) or from anywhere."""

    def begin(self, env: gymnasium.Env, generator: np.random.Generator) -> np.ndarray:
        """Hanging still, or any angle with a small velocity."""
        if self.group(generator) == "hanging":
            return _put(env, np.pi, 0.0)
        return _put(env, generator.uniform(-np.pi, np.pi), generator.uniform(-1, 1))

    def begin_exploring(self, env: gymnasium.Env, generator: np.random.Generator) -> np.ndarray:
        """Anywhere, at any speed that the pendulum can have."""
        return _put(env, generator.uniform(-np.pi, np.pi), generator.uniform(-8, 8))

    def to_goal(self, env: gymnasium.Env, generator: np.random.Generator) -> np.ndarray:
        """Upright and still."""
        return _put(env, 0.0, 0.0)

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

    def before_render(self, env: gymnasium.Env) -> None:
        """Hides the arrow that Gymnasium draws for the torque: a camera would not see it."""
        pendulum = env.unwrapped
        assert isinstance(pendulum, PendulumEnv)
        pendulum.last_u = None


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


def pendulum(num_worlds: int = 1, **settings: Any) -> GymnasiumWorld:
    """Gymnasium's ``Pendulum-v1`` from 64x64 pixels, its torque arrow hidden."""
    _cache_pictures()

    def make() -> gymnasium.Env:
        env = gymnasium.make("Pendulum-v1", render_mode="rgb_array")
        inner = env.unwrapped
        assert isinstance(inner, PendulumEnv)
        # Drawn at twice the size that is seen: the same picture, many times faster than at 500.
        inner.screen_dim = RENDER_SIZE
        return env.env if isinstance(env, gymnasium.wrappers.TimeLimit) else env

    return GymnasiumWorld(
        make,
        name="pendulum",
        num_worlds=num_worlds,
        task=SwingUp(),
        config=GymnasiumConfig(persistence=0.9, **settings),
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


def _put(env: gymnasium.Env, angle: float, velocity: float) -> np.ndarray:
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


@functools.cache
def _cache_pictures() -> None:
    """Keeps the pendulum's arrow picture in memory: Gymnasium reads it from disk for each frame."""
    import pygame

    pygame.image.load = functools.lru_cache(maxsize=8)(pygame.image.load)
