"""A world small enough for tests: a point on a line that is pushed about, slowly where asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from forethought.types import STATE, ActionSpec, ArraySpec, Observation, Signature


class Line:
    """A :class:`forethought.types.World`; ``pause_s`` makes every step take so long."""

    name = "line"

    def __init__(self, num_worlds: int, *, pause_s: float = 0.0, broken_at: int = -1) -> None:
        self.num_worlds = num_worlds
        self.pause_s = pause_s
        self.broken_at = broken_at
        self.signature = Signature(
            observation={STATE: ArraySpec(shape=(1,), dtype="float32", names=("x",))},
            action=ActionSpec(dim=1, low=(-1.0,), high=(1.0,)),
            rate_hz=10.0,
        )
        self._x = np.zeros((num_worlds, 1), np.float32)
        self._num_resets = 0

    def reset(self, seeds: Sequence[int]) -> Observation:
        self._num_resets += 1
        starts = [np.random.default_rng(seed).normal(size=1) for seed in seeds]
        self._x = np.array(starts, np.float32)
        return self.observe()

    def step(self, actions: np.ndarray) -> Observation:
        time.sleep(self.pause_s)
        # In place on purpose: a recorder must not keep what a world goes on writing to.
        self._x += actions
        return self.observe()

    def observe(self) -> Observation:
        if self._num_resets == self.broken_at:
            return {STATE: np.full_like(self._x, np.nan)}
        return {STATE: self._x}

    def goal(self) -> Observation:
        return self.observe()

    def succeeded(self) -> np.ndarray:
        return np.zeros(self.num_worlds, bool)

    def truth(self) -> Mapping[str, np.ndarray]:
        return {"double": 2 * self._x[:, 0]}

    def goal_truth(self) -> Mapping[str, np.ndarray]:
        return {}

    def groups(self) -> Mapping[str, np.ndarray]:
        return {}

    def oracle(self) -> np.ndarray:
        return np.zeros((self.num_worlds, 1), np.float32)

    def path_length(self) -> np.ndarray:
        return np.full(self.num_worlds, np.nan)

    def explore(self, seed: int) -> Callable[[Observation], np.ndarray]:
        generator = np.random.default_rng(seed)
        return lambda _: generator.uniform(-1, 1, (self.num_worlds, 1)).astype(np.float32)
