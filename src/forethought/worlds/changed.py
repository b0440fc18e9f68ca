"""A world after a sudden change: of what actions do, of the floor, of where the camera stands."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from forethought.types import ForethoughtError, Observation, World
from forethought.worlds.wrapped import Wrapped


@dataclass(frozen=True, kw_only=True)
class ChangeConfig:
    """What has changed; the defaults change nothing.

    Attributes:
        gain: what actions are multiplied by.
        flipped: numbers of the entries of an action whose sign is turned.
        turned: degrees by which the first two entries of an action are turned, before the flips.
        sliding: share of the last push that is left over and adds to the next: 0 where the floor
            holds, close to 1 on ice, where pushes add up to ``1 / (1 - sliding)`` of each.
        camera: pixels by which every picture moves, rows (downwards) and columns (to the right);
            its border is repeated.

    Raises:
        ForethoughtError: a gain of zero, or a share of sliding outside [0, 1).
    """

    gain: float = 1.0
    flipped: tuple[int, ...] = ()
    turned: float = 0.0
    sliding: float = 0.0
    camera: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        if not math.isfinite(self.gain) or self.gain == 0:
            raise ForethoughtError(f"gain={self.gain}; give a finite number other than zero.")
        if not 0 <= self.sliding < 1:
            raise ForethoughtError(f"sliding={self.sliding}; give a share from 0 to below 1.")

    def __str__(self) -> str:
        said = {
            f"gain {self.gain:g}": self.gain != 1,
            f"flipped {self.flipped}": bool(self.flipped),
            f"turned {self.turned:g}": self.turned != 0,
            f"sliding {self.sliding:g}": self.sliding != 0,
            f"camera {self.camera}": self.camera != (0, 0),
        }
        return ", ".join(name for name, changed in said.items() if changed) or "unchanged"


class Changed(Wrapped):
    """A world after a change that nobody announces; its oracle does not know of it either.

    Pushes that have come to be larger than actions can be are made in several equal parts, since
    worlds cut actions off. Observations and goals are both seen by the moved camera.

    Args:
        world: with continuous actions.
        config: what has changed.

    Raises:
        ForethoughtError: discrete actions, or an entry to turn or flip that actions do not have.
    """

    def __init__(self, world: World, config: ChangeConfig) -> None:
        super().__init__(world)
        spec = world.signature.action
        least = max(2 if config.turned else 1, 1 + max(config.flipped, default=0))
        if spec.discrete or spec.dim < least or min(config.flipped, default=0) < 0:
            raise ForethoughtError(
                f"world {world.name!r} has actions {spec}; to change them as {config} takes "
                f"continuous ones with at least {least} entries, counted from 0."
            )
        self.config = config
        self.name = f"{world.name} ({config})"
        self._matrix = self._acting(spec.dim)
        self._longest = np.maximum(np.abs(spec.low), np.abs(spec.high))
        self._done = np.zeros((world.num_worlds, spec.dim))

    def _acting(self, dim: int) -> np.ndarray:
        """What actions are multiplied by, before they are taken in parts."""
        matrix = np.eye(dim)
        if self.config.turned:
            angle = math.radians(self.config.turned)
            cos, sin = math.cos(angle), math.sin(angle)
            matrix[:2, :2] = [[cos, sin], [-sin, cos]]
        matrix[:, list(self.config.flipped)] *= -1
        return self.config.gain * matrix

    def reset(self, seeds: Sequence[int]) -> Observation:
        """See :class:`forethought.types.World`."""
        seen = super().reset(seeds)
        self._done = np.zeros((self.num_worlds, len(self._matrix)))
        return self._moved(seen)

    def step(self, actions: np.ndarray) -> Observation:
        """See :class:`forethought.types.World`."""
        asked = np.asarray(actions, np.float64) @ self._matrix
        self._done = self.config.sliding * self._done + asked
        parts = max(1, math.ceil((np.abs(self._done) / self._longest).max() - 1e-6))
        part = (self._done / parts).astype(np.float32)
        for _ in range(parts - 1):
            self.world.step(part)
        return self._moved(self.world.step(part))

    def observe(self) -> Observation:
        """See :class:`forethought.types.World`."""
        return self._moved(self.world.observe())

    def goal(self) -> Observation:
        """See :class:`forethought.types.World`."""
        return self._moved(self.world.goal())

    def _moved(self, seen: Observation) -> Observation:
        if self.config.camera == (0, 0):
            return seen
        cameras = set(self.signature.cameras)
        return {k: self._shifted(v) if k in cameras else v for k, v in seen.items()}

    def _shifted(self, images: np.ndarray) -> np.ndarray:
        """Pictures ``(b, height, width, 3)``, moved; what was at the border fills what is bared."""
        rows, columns = (
            np.clip(np.arange(size) - by, 0, size - 1)
            for size, by in zip(images.shape[1:3], self.config.camera, strict=True)
        )
        return np.ascontiguousarray(images[:, rows][:, :, columns])


CHANGES = {
    "friction": ChangeConfig(sliding=0.8),
    "camera": ChangeConfig(camera=(4, 6)),
    "gain": ChangeConfig(gain=-1.5),
    "flip": ChangeConfig(flipped=(1,)),
}
"""Sudden changes by name: pushes of which four fifths are left over, a camera that was pushed,
pushes turned around and half as strong again, and the second entry of actions turned around."""


def named(change: str) -> ChangeConfig:
    """A change of :data:`CHANGES`.

    Raises:
        ForethoughtError: there is none of that name.
    """
    if change not in CHANGES:
        raise ForethoughtError(f"there is no change {change!r}; choose among {sorted(CHANGES)}.")
    return CHANGES[change]


def changed(world: World, **settings: object) -> Changed:
    """A world after a change, by the fields of :class:`ChangeConfig`."""
    return Changed(world, replace(ChangeConfig(), **settings))
