"""Behaviours for recording: what to do when nothing is known yet about a world.

Independent noise hardly moves a thing with inertia; actions that persist reach further.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from forethought.types import ActionSpec, Observation, World

Behaviour = Callable[[Observation], np.ndarray]
"""From observations ``(b, ...)`` to actions ``(b, dim)`` float32, or ``(b,)`` int64."""


def explore(world: World, seed: int) -> Behaviour:
    """The world's own way of being explored."""
    return world.explore(seed)


def independent_random(world: World, seed: int) -> Behaviour:
    """Actions drawn evenly from all that are allowed, each by itself: the plainest of all.

    Args:
        world: what is explored, from where it stands.
        seed: of the randomness.
    """
    generator, spec = np.random.default_rng(seed), world.signature.action

    def act(observation: Observation) -> np.ndarray:
        if spec.discrete:
            return generator.integers(spec.num_choices, size=world.num_worlds)
        drawn = generator.uniform(spec.low, spec.high, size=(world.num_worlds, spec.dim))
        return drawn.astype(np.float32)

    return act


def persistent_random(world: World, seed: int, *, persistence_steps: float = 8.0) -> Behaviour:
    """Random actions that last: for worlds that know nothing better.

    Vectors follow an Ornstein-Uhlenbeck process (Uhlenbeck and Ornstein, 1930) within the box,
    integers are held for a random time.

    Args:
        world: what is explored, from where it stands.
        seed: of the randomness.
        persistence_steps: world steps over which an action is remembered.
    """
    generator = np.random.default_rng(seed)
    keep = float(np.exp(-1.0 / persistence_steps))
    begin = _held_choices if world.signature.action.discrete else _wandering_vectors
    return begin(world.signature.action, world.num_worlds, keep, generator)


def _held_choices(
    spec: ActionSpec, num_worlds: int, keep: float, generator: np.random.Generator
) -> Behaviour:
    action = generator.integers(spec.num_choices, size=num_worlds)

    def act(observation: Observation) -> np.ndarray:
        nonlocal action
        drawn = generator.integers(spec.num_choices, size=num_worlds)
        action = np.where(generator.random(num_worlds) < keep, action, drawn)
        return action

    return act


def _wandering_vectors(
    spec: ActionSpec, num_worlds: int, keep: float, generator: np.random.Generator
) -> Behaviour:
    low, high = np.array(spec.low, np.float64), np.array(spec.high, np.float64)
    # Two thirds of the range within one deviation: the bounds are met often, not always.
    spread = 1.5
    noise = generator.normal(size=(num_worlds, spec.dim))

    def act(observation: Observation) -> np.ndarray:
        nonlocal noise
        kick = generator.normal(size=noise.shape)
        noise = keep * noise + np.sqrt(1 - keep**2) * kick
        action = (low + high) / 2 + (high - low) / 2 * noise / spread
        return np.clip(action, low, high).astype(np.float32)

    return act
