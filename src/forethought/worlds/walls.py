"""Walls that a point cannot pass: axis-parallel rectangles, met one axis at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8

from forethought.worlds.picture import FLOOR, SIZE, WALL

# A point that rests on a face may be a rounding error inside it; that is no collision.
HAIR = 1e-9


@dataclass(frozen=True, kw_only=True)
class Walls:
    """The ``m`` walls of each of ``b`` copies.

    Rectangles that touch must overlap, so that no gap of a hair's width lies between them.

    Attributes:
        low: ``(b, m, 2)`` x and y of their upper left corners, in pixels.
        high: ``(b, m, 2)`` x and y of their lower right corners.
    """

    low: Float[np.ndarray, "b m 2"]
    high: Float[np.ndarray, "b m 2"]

    def of(self, index: int, count: int) -> Walls:
        """The walls of copy ``index``, for ``count`` copies."""
        shape = (count, *self.low.shape[1:])
        return Walls(
            low=np.broadcast_to(self.low[index], shape),
            high=np.broadcast_to(self.high[index], shape),
        )

    def blocked(self, position: Float[np.ndarray, "b 2"]) -> Bool[np.ndarray, " b"]:
        """Whether positions lie inside a wall."""
        return np.any(self._around(position), axis=1)

    def slide(
        self, position: Float[np.ndarray, "b 2"], step: Float[np.ndarray, "b 2"]
    ) -> Float[np.ndarray, "b 2"]:
        """Free positions after a step that is shorter than every wall is thick.

        First along x, then along y, each up to the first face in the way. A step along one axis
        that ends outside all walls has crossed none, since it is too short, and one that ends
        inside walls met first the nearest of their faces: corners and door posts need no care.
        """
        for axis in (0, 1):
            target = position.copy()
            target[:, axis] += step[:, axis]
            hit = self._around(target)
            ahead = np.where(hit, self.low[..., axis], np.inf).min(1)
            behind = np.where(hit, self.high[..., axis], -np.inf).max(1)
            face = np.where(step[:, axis] > 0, ahead, behind)
            target[:, axis] = np.where(hit.any(1), face, target[:, axis])
            position = target
        return position

    def background(self) -> UInt8[np.ndarray, "b 64 64 3"]:
        """Pictures of the floor and the walls, their edges antialiased."""
        ticks = np.arange(SIZE, dtype=np.float32)
        low, high = self.low[..., None].astype(np.float32), self.high[..., None].astype(np.float32)
        cover = np.clip(np.minimum(high, ticks + 1) - np.maximum(low, ticks), 0, 1)
        solid = np.zeros((len(cover), SIZE, SIZE), np.float32)
        for wall in range(cover.shape[1]):
            np.maximum(solid, cover[:, wall, 1, :, None] * cover[:, wall, 0, None, :], out=solid)
        return (FLOOR + solid[..., None] * (WALL - FLOOR) + np.float32(0.5)).astype(np.uint8)

    def _around(self, position: Float[np.ndarray, "b 2"]) -> Bool[np.ndarray, "b m"]:
        point = position[:, None]
        return np.all((point > self.low + HAIR) & (point < self.high - HAIR), axis=-1)
