"""How a dot explores: it keeps a heading and a speed, and changes them now and then."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from forethought.types import Observation


class Walkers:
    """Persistent, noisy random walks, each copy by its own generator.

    Args:
        seed: of the exploring.
        world_seeds: of the copies; a copy walks the same alone as beside others.
        max_step: largest displacement along each axis in one world step, in pixels.
    """

    TURN_RATE = 0.08
    SPEEDS = (0.4, 1.7)

    def __init__(self, seed: int, world_seeds: Sequence[int], max_step: float) -> None:
        self.max_step = max_step
        self.generators = [np.random.default_rng((seed, own)) for own in world_seeds]
        self.heading = np.array([g.uniform(0, 2 * np.pi) for g in self.generators])
        self.speed = np.array([g.uniform(*self.SPEEDS) for g in self.generators])

    def act(self, observation: Observation) -> np.ndarray:
        """The next push of each copy."""
        draws = np.array([g.random(6) for g in self.generators])
        noise = np.array([g.normal(size=4) for g in self.generators])
        turn = self.turns(draws)
        fresh = self.fresh_headings(draws, noise)
        self.heading = np.where(turn, fresh, self.heading + 0.15 * noise[:, 0])
        slow, fast = self.SPEEDS
        self.speed = np.where(turn, slow + (fast - slow) * draws[:, 4], self.speed)
        course = np.stack([np.cos(self.heading), np.sin(self.heading)], 1)
        action = self.speed[:, None] * course + 0.3 * noise[:, 2:]
        return np.clip(action, -self.max_step, self.max_step).astype(np.float32)

    def turns(self, draws: Float[np.ndarray, "b 6"]) -> Bool[np.ndarray, " b"]:
        """Which copies take a fresh heading and speed now.

        Args:
            draws: uniform numbers; the first is for this.
        """
        return draws[:, 0] < self.TURN_RATE

    def fresh_headings(
        self, draws: Float[np.ndarray, "b 6"], noise: Float[np.ndarray, "b 4"]
    ) -> Float[np.ndarray, " b"]:
        """Headings for copies that turn; anywhere, unless a world knows where it gets interesting.

        Args:
            draws: uniform numbers; the first and the fifth are taken.
            noise: normal numbers; all but the second are taken.
        """
        return 2 * np.pi * draws[:, 3]
