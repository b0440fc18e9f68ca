"""What pixels alone say: controls that have to be at chance where clips are matched."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, UInt8

REACH = 3
BLOCK, STRIDE = 4, 2
NOISE = 2.0
"""Mean change of a block, in levels, that is no motion."""
LIGHT = 0.04
"""Share of its brightness by which a picture may change if motion is to be seen in it."""
CLIPS_AT_ONCE = 25


def pixel_difference(clips: UInt8[np.ndarray, "n t h w 3"]) -> Float[np.ndarray, "n m"]:
    """Mean absolute change of the pixels from each frame to the next."""
    found = [
        np.abs(np.diff(some.astype(np.int32), axis=1)).sum((2, 3, 4), dtype=np.int64)
        for some in _parts(clips)
    ]
    return np.concatenate(found) / float(np.prod(clips.shape[2:]))


def optical_flow(clips: UInt8[np.ndarray, "n t h w 3"]) -> Float[np.ndarray, "n m"]:
    """Mean length of the motion between frames, in pixels.

    Exhaustive block matching (Jain and Jain, 1981): each block of 4x4 pixels, two apart, is sought
    in the next frame within three pixels, by the sum of absolute differences; of equal ones the
    least motion counts. Blocks that hardly change do not move, and when the lights go on or out
    there is no motion to be seen.
    """
    return motion(clips)[0]


def flow_residual(clips: UInt8[np.ndarray, "n t h w 3"]) -> Float[np.ndarray, "n m"]:
    """Mean absolute difference that the motion of :func:`optical_flow` leaves unexplained."""
    return motion(clips)[1]


def motion(
    clips: UInt8[np.ndarray, "n t h w 3"],
) -> tuple[Float[np.ndarray, "n m"], Float[np.ndarray, "n m"]]:
    """What :func:`optical_flow` and :func:`flow_residual` say, which are had together."""
    lengths, residuals = [], []
    for some in _parts(clips):
        before = some[:, :-1].astype(np.int16)
        wide = ((0, 0), (0, 0), (REACH, REACH), (REACH, REACH), (0, 0))
        after = np.pad(some[:, 1:].astype(np.int16), wide, mode="edge")
        # The first motion that is tried is none.
        still = least = _blocks(np.abs(some[:, 1:] - before).sum(-1, dtype=np.int32))
        length = np.zeros(still.shape)
        for down, across in _motions()[1:]:
            rows = slice(REACH + down, REACH + down + some.shape[2])
            columns = slice(REACH + across, REACH + across + some.shape[3])
            cost = _blocks(np.abs(after[:, :, rows, columns] - before).sum(-1, dtype=np.int32))
            better = cost < least
            length = np.where(better, np.hypot(down, across), length)
            least = np.where(better, cost, least)
        length[still <= NOISE * BLOCK * BLOCK * 3] = 0.0
        light = some.mean((2, 3, 4))
        length[np.abs(np.diff(light, axis=1)) > LIGHT * light[:, :-1]] = 0.0
        # Sums of the same numbers in another order would differ in their last bits.
        lengths.append(np.sort(length.reshape(*length.shape[:2], -1)).mean(-1))
        residuals.append(least.sum((2, 3)) / (least[0, 0].size * BLOCK * BLOCK * 3.0))
    return np.concatenate(lengths), np.concatenate(residuals)


def _motions() -> list[tuple[int, int]]:
    """All that are tried, the shortest first."""
    ticks = range(-REACH, REACH + 1)
    return sorted(((y, x) for y in ticks for x in ticks), key=lambda one: one[0] ** 2 + one[1] ** 2)


def _blocks(values: Int[np.ndarray, "n m h w"]) -> Int[np.ndarray, "n m rows columns"]:
    """Sums over blocks."""
    sums = np.pad(values.cumsum(2).cumsum(3), ((0, 0), (0, 0), (1, 0), (1, 0)))
    rows = np.arange(0, values.shape[2] - BLOCK + 1, STRIDE)
    columns = np.arange(0, values.shape[3] - BLOCK + 1, STRIDE)
    top, bottom = sums[:, :, rows], sums[:, :, rows + BLOCK]
    ends = bottom - top
    return ends[..., columns + BLOCK] - ends[..., columns]


def _parts(clips: UInt8[np.ndarray, "n t h w 3"]) -> list[UInt8[np.ndarray, "p t h w 3"]]:
    return [clips[at : at + CLIPS_AT_ONCE] for at in range(0, len(clips), CLIPS_AT_ONCE)]


CONTROLS = {
    "pixel difference": pixel_difference,
    "optical flow": optical_flow,
    "flow residual": flow_residual,
}
"""The controls by name; each is a :class:`forethought.evaluation.physics.surprise.Surprise`."""
