"""Another world than was recorded: the same, but for what actions do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from forethought.types import Observation, World


@dataclass(frozen=True, kw_only=True)
class ShiftConfig:
    """What has changed.

    Attributes:
        scale: what actions are multiplied by before they act.
        noise: standard deviation of noise on each entry, relative to half its range.
        seed: of the noise.
    """

    scale: float = 1.0
    noise: float = 0.0
    seed: int = 0


class Shifted:
    """A world whose actions do something else than they did; the oracle does not know of it.

    Args:
        world: with continuous actions.
        config: what has changed.
    """

    def __init__(self, world: World, config: ShiftConfig) -> None:
        self.world, self.config = world, config
        self.name = f"{world.name}, actions by {config.scale:g}, noise {config.noise:g}"
        self.signature, self.num_worlds = world.signature, world.num_worlds
        spec = world.signature.action
        self._half = (np.array(spec.high) - np.array(spec.low)) / 2
        self._generator = np.random.default_rng(config.seed)

    def reset(self, seeds: Sequence[int]) -> Observation:
        """See :class:`forethought.types.World`."""
        self._generator = np.random.default_rng(self.config.seed)
        observation = self.world.reset(seeds)
        self.num_worlds = self.world.num_worlds
        return observation

    def step(self, actions: np.ndarray) -> Observation:
        """See :class:`forethought.types.World`."""
        noise = self._half * self.config.noise * self._generator.standard_normal(actions.shape)
        return self.world.step((self.config.scale * actions + noise).astype(np.float32))

    def observe(self) -> Observation:
        """See :class:`forethought.types.World`."""
        return self.world.observe()

    def goal(self) -> Observation:
        """See :class:`forethought.types.World`."""
        return self.world.goal()

    def succeeded(self) -> np.ndarray:
        """See :class:`forethought.types.World`."""
        return self.world.succeeded()

    def truth(self) -> Mapping[str, np.ndarray]:
        """See :class:`forethought.types.World`."""
        return self.world.truth()

    def goal_truth(self) -> Mapping[str, np.ndarray]:
        """See :class:`forethought.types.World`."""
        return self.world.goal_truth()

    def groups(self) -> Mapping[str, np.ndarray]:
        """See :class:`forethought.types.World`."""
        return self.world.groups()

    def oracle(self) -> np.ndarray:
        """See :class:`forethought.types.World`."""
        return self.world.oracle()

    def path_length(self) -> np.ndarray:
        """See :class:`forethought.types.World`."""
        return self.world.path_length()

    def explore(self, seed: int) -> Callable[[Observation], np.ndarray]:
        """See :class:`forethought.types.World`."""
        return self.world.explore(seed)
