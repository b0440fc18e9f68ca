"""Two clips of what can happen and two of what cannot, alike in all that a pixel can tell.

After IntPhys (Riochet et al., 2018): the impossible clips are the possible ones, cut where all in
which these differ is out of sight, and joined crosswise. Here the second possible clip is moreover
the first one's image under a symmetry that leaves physics as it is (a mirror, or an exchange of
colours). What is counted over pixels or over changes of pixels is then the same number in each
frame of all four clips, so that whoever looks at pixels alone can but guess.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, UInt8

from forethought.types import ForethoughtError

Frames = UInt8[np.ndarray, "t 32 32 3"]
Symmetry = Callable[[np.ndarray], np.ndarray]

SEEN_BEFORE = 3
SEEN_AFTER = 2
UNSEEN = 4
"""Frames that what differs is out of sight, at least; behind each of two screens half of them."""
MOST_DRAWS = 2000


@dataclass(frozen=True, kw_only=True)
class Quadruplet:
    """Four clips; the impossible one of a pair begins as the possible one does.

    Attributes:
        possible: two clips of what can happen.
        impossible: two that begin like them, and go on as nothing can.
        begins: frame of the first difference within a pair.
        bare: the same four with nothing before what happens: who is not surprised there, either,
            does not lack memory. None where it was not asked for.
    """

    possible: tuple[Frames, Frames]
    impossible: tuple[Frames, Frames]
    begins: int
    bare: Quadruplet | None = None

    def pair(self, number: int) -> tuple[Frames, Frames]:
        """A possible clip and the impossible one that begins like it."""
        return self.possible[number], self.impossible[number]


@dataclass(frozen=True, kw_only=True)
class Block:
    """One thing that an infant knows, and clips that break it.

    Attributes:
        name: of the block.
        says: what is expected, in a sentence.
        draws: ways to show it, each as often: a quadruplet by a generator, or None where what was
            drawn shows nothing of it.
    """

    name: str
    says: str
    draws: tuple[Callable[[np.random.Generator], Quadruplet | None], ...]

    def quadruplet(self, seed: int) -> Quadruplet:
        """Four clips; the same seed gives the same.

        Raises:
            ForethoughtError: nothing that fits was drawn.
        """
        name = int.from_bytes(self.name.encode()[:8], "little")
        generator = np.random.default_rng((name, seed))
        # Another kind in place of one that seldom fits would make that kind rare.
        draw = self.draws[generator.integers(len(self.draws))]
        for _ in range(MOST_DRAWS):
            drawn = draw(generator)
            if drawn is not None:
                return drawn
        raise ForethoughtError(
            f"block {self.name!r}, seed {seed}: of {MOST_DRAWS} scenes none was such that what "
            "differs is out of sight for a while; widen the screens or what is drawn."
        )

    def pair(self, seed: int) -> tuple[Frames, Frames]:
        """A possible clip and an impossible one; seeds 0 and 1, 2 and 3, ... share four clips."""
        return self.quadruplet(seed // 2).pair(seed % 2)


def mirrored(frames: Frames) -> Frames:
    """Left and right exchanged."""
    return frames[:, :, ::-1]


def upside_down(frames: Frames) -> Frames:
    """Top and bottom exchanged."""
    return frames[:, ::-1]


def turned(frames: Frames) -> Frames:
    """Rows and columns exchanged."""
    return frames.swapaxes(1, 2)


def recoloured(order: tuple[int, int, int]) -> Symmetry:
    """Red, green and blue exchanged; what is grey stays as it is."""
    return lambda frames: frames[..., list(order)]


def crosswise(
    frames: Frames, symmetry: Symmetry, *, back: bool = False, bare: Frames | None = None
) -> Quadruplet | None:
    """Joins a clip and its image where they are the same; None where they never are in between.

    Args:
        frames: a possible clip.
        symmetry: makes another one of it.
        back: change over a second time, where they are the same once more.
        bare: the clip with nothing before what happens, to be joined likewise.
    """
    other = np.ascontiguousarray(symmetry(frames))
    cuts = meetings(frames, other)
    if len(cuts) != (2 if back else 1):
        return None
    swap = np.zeros(len(frames), bool)
    swap[cuts[0] : cuts[1] if back else None] = True
    joined = _joined(frames, other, swap)
    differs = (joined[0] != frames).any((1, 2, 3))
    before = (frames != other)[: cuts[0]].any((1, 2, 3)).sum()
    begins = int(np.flatnonzero(differs)[0]) if differs.any() else 0
    if before < SEEN_BEFORE or differs.sum() < SEEN_AFTER:
        return None
    if begins - cuts[0] < UNSEEN // len(cuts):
        return None
    four = Quadruplet(possible=(frames, other), impossible=joined, begins=begins)
    if bare is None:
        return four
    image = np.ascontiguousarray(symmetry(bare))
    return replace(
        four,
        bare=Quadruplet(
            possible=(bare, image), impossible=_joined(bare, image, swap), begins=cuts[0]
        ),
    )


def _joined(frames: Frames, other: Frames, swap: Bool[np.ndarray, " t"]) -> tuple[Frames, Frames]:
    """Two clips with some of their frames exchanged."""
    exchanged = swap[:, None, None, None]
    return np.where(exchanged, other, frames), np.where(exchanged, frames, other)


def meetings(first: Frames, second: Frames) -> list[int]:
    """Frames from which on two clips are the same for a while, and differ before and after."""
    same: Bool[np.ndarray, " t"] = (first == second).all((1, 2, 3))
    if same.all():
        return []
    first_difference, last_difference = np.flatnonzero(~same)[[0, -1]]
    begins = same & ~np.concatenate([[False], same[:-1]])
    places = np.flatnonzero(begins)
    return [int(at) for at in places if first_difference < at < last_difference]
