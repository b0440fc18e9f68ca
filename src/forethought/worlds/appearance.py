"""The same world in other colours: hue, light, contrast, the floor, and a patch that is nothing.

What is in the scene or in the optics is in every picture, so that goals are shown like this too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8

from forethought.types import ForethoughtError, Observation, World
from forethought.worlds.wrapped import Wrapped

GREY = 127.5
"""What a picture without contrast is."""
ALIKE = 64.0
"""How far apart two colours are that are taken for quite different ones."""


@dataclass(frozen=True, kw_only=True)
class AppearanceConfig:
    """How pictures look; the defaults change nothing.

    Attributes:
        hue: degrees by which colours are turned about the grey axis.
        dimmed: share of the light that is gone.
        faded: share of the contrast that is gone: one leaves a grey picture.
        background: share by which the most frequent colour of a task's first picture, and what is
            like it, has become another.
        painted: the colour that the background becomes.
        patch: pixels of the side of a square that hides what is under it, somewhere in each task.
        pasted: colour of the patch.
        seed: of where the patches are.

    Raises:
        ForethoughtError: a share outside [0, 1], or a patch of less than no pixels.
    """

    hue: float = 0.0
    dimmed: float = 0.0
    faded: float = 0.0
    background: float = 0.0
    painted: tuple[int, int, int] = (120, 150, 90)
    patch: int = 0
    pasted: tuple[int, int, int] = (150, 60, 160)
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("dimmed", "faded", "background"):
            if not 0 <= getattr(self, name) <= 1:
                raise ForethoughtError(
                    f"{name}={getattr(self, name)}; give a share from 0 (as it was) to 1."
                )
        if self.patch < 0:
            raise ForethoughtError(f"patch={self.patch}; give its side in pixels, 0 for none.")


class Repainted(Wrapped):
    """A world that looks different, in what it shows now and in goals.

    Args:
        world: with a camera.
        config: how it looks.

    Raises:
        ForethoughtError: a world without a camera.
    """

    def __init__(self, world: World, config: AppearanceConfig) -> None:
        super().__init__(world)
        if not world.signature.cameras:
            raise ForethoughtError(
                f"world {world.name!r} has no camera, so it cannot look different; it shows "
                f"{sorted(world.signature.observation)}."
            )
        self.config = config
        self._matrix = hue_matrix(config.hue)
        self._begin(range(world.num_worlds), world.observe())

    def _begin(self, seeds: Sequence[int], seen: Observation) -> None:
        """What stays for a task: the colour of its background, and where its patch lies."""
        self._grounds = {key: frequent(seen[key]) for key in self.signature.cameras}
        draws = [np.random.default_rng((self.config.seed, int(seed))).random(2) for seed in seeds]
        self._places = np.array(draws)

    def reset(self, seeds: Sequence[int]) -> Observation:
        """See :class:`forethought.types.World`."""
        seen = super().reset(seeds)
        self._begin(seeds, seen)
        return self._repainted(seen)

    def step(self, actions: np.ndarray) -> Observation:
        """See :class:`forethought.types.World`."""
        return self._repainted(self.world.step(actions))

    def observe(self) -> Observation:
        """See :class:`forethought.types.World`."""
        return self._repainted(self.world.observe())

    def goal(self) -> Observation:
        """See :class:`forethought.types.World`."""
        return self._repainted(self.world.goal())

    def _repainted(self, seen: Observation) -> Observation:
        return {
            key: self._picture(value, self._grounds[key]) if key in self._grounds else value
            for key, value in seen.items()
        }

    def _picture(
        self, images: UInt8[np.ndarray, "b h w 3"], grounds: Float[np.ndarray, "b 3"]
    ) -> UInt8[np.ndarray, "b h w 3"]:
        c, colours = self.config, images.astype(np.float32)
        if c.background:
            off = np.linalg.norm(colours - grounds[:, None, None], axis=-1, keepdims=True)
            like = c.background * np.clip(1 - off / ALIKE, 0, 1)
            colours += like * (np.array(c.painted, np.float32) - grounds[:, None, None])
        if c.patch:
            self._paste(colours)
        if c.hue:
            colours = colours @ self._matrix
        if c.faded or c.dimmed:
            colours = (1 - c.dimmed) * (GREY + (1 - c.faded) * (colours - GREY))
        return np.clip(colours + 0.5, 0, 255).astype(np.uint8)

    def _paste(self, colours: Float[np.ndarray, "b h w 3"]) -> None:
        """The patch of each task, in place; one that is too large for the picture fills it."""
        size = np.array(colours.shape[1:3])
        side = np.minimum(self.config.patch, size)
        for picture, (top, left) in zip(colours, self._corners(size - side), strict=True):
            picture[top : top + side[0], left : left + side[1]] = self.config.pasted

    def _corners(self, room: Int[np.ndarray, " 2"]) -> Int[np.ndarray, "b 2"]:
        return np.floor(self._places * (room + 1)).astype(np.int64)


def hue_matrix(degrees: float) -> Float[np.ndarray, "3 3"]:
    """What colours ``(..., 3)`` are multiplied by to turn them about the grey axis."""
    angle = math.radians(degrees)
    same = (1 - math.cos(angle)) / 3
    across = math.sin(angle) / math.sqrt(3)
    row = [same + math.cos(angle), same + across, same - across]
    return np.array([row, row[-1:] + row[:-1], row[-2:] + row[:-2]], np.float32)


def frequent(images: UInt8[np.ndarray, "b h w 3"]) -> Float[np.ndarray, "b 3"]:
    """The most frequent colour of each picture."""
    codes = images.astype(np.int64) @ np.array([65536, 256, 1])
    found = []
    for picture in codes:
        values, counts = np.unique(picture, return_counts=True)
        found.append(values[counts.argmax()])
    most = np.array(found)
    return np.stack([most >> 16, most >> 8 & 255, most & 255], axis=1).astype(np.float32)
