"""Another world than was recorded: the same, but for what actions do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from forethought.types import Observation, World
from forethought.worlds.wrapped import Wrapped


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


class Shifted(Wrapped):
    """A world whose actions do something else than they did; the oracle does not know of it.

    Args:
        world: with continuous actions.
        config: what has changed.
    """

    def __init__(self, world: World, config: ShiftConfig) -> None:
        super().__init__(world)
        self.config = config
        self.name = f"{world.name}, actions by {config.scale:g}, noise {config.noise:g}"
        spec = world.signature.action
        self._half = (np.array(spec.high) - np.array(spec.low)) / 2
        self._generator = np.random.default_rng(config.seed)

    def reset(self, seeds: Sequence[int]) -> Observation:
        """See :class:`forethought.types.World`."""
        self._generator = np.random.default_rng(self.config.seed)
        return super().reset(seeds)

    def step(self, actions: np.ndarray) -> Observation:
        """See :class:`forethought.types.World`."""
        noise = self._half * self.config.noise * self._generator.standard_normal(actions.shape)
        return self.world.step((self.config.scale * actions + noise).astype(np.float32))
