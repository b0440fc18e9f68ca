"""What the worlds that are seen from above share: the size, the colours, and drawing small things.

Positions are in pixels of the image, x to the right, y downwards; the centre of the first pixel is
at (0.5, 0.5).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from forethought.types import IMAGES

SIZE = 64
CAMERA = IMAGES + "top"

FLOOR = np.array([238, 240, 243], np.float32)
WALL = np.array([70, 82, 99], np.float32)
DOT = np.array([214, 48, 49], np.float32)
OBSTACLE = np.array([41, 98, 196], np.float32)


@dataclass(frozen=True, kw_only=True)
class Stamp:
    """A small round thing that can be drawn anywhere.

    Attributes:
        colour: red, green, blue.
        reach: pixels from its centre beyond which nothing is drawn.
        opacity: squared distances from the centre to weights from 0 to 1.
    """

    colour: Float[np.ndarray, " 3"]
    reach: int
    opacity: Callable[[np.ndarray], np.ndarray]


def dot(sigma: float, colour: Float[np.ndarray, " 3"] = DOT) -> Stamp:
    """A Gaussian dot; beyond four and a half deviations it changes no pixel."""
    return Stamp(
        colour=colour,
        reach=int(np.ceil(4.5 * sigma)),
        opacity=lambda squared: np.exp(squared * np.float32(-0.5 / sigma**2)),
    )


def disc(radius: float, colour: Float[np.ndarray, " 3"]) -> Stamp:
    """A disc with an antialiased rim."""
    return Stamp(
        colour=colour,
        reach=int(np.ceil(radius + 1)),
        opacity=lambda squared: np.clip(np.float32(radius + 0.5) - np.sqrt(squared), 0, 1),
    )


def paint(
    images: UInt8[np.ndarray, "b 64 64 3"], stamp: Stamp, at: Float[np.ndarray, "b 2"]
) -> None:
    """Draws a thing into each image, in place; what lies outside an image is left out."""
    width = 2 * stamp.reach + 1
    corner = np.clip(np.floor(at).astype(np.int64) - stamp.reach, 0, SIZE - width)
    pixels = corner[:, :, None] + np.arange(width)
    squared = ((pixels + 0.5 - at[:, :, None]) ** 2).astype(np.float32)
    weight = stamp.opacity(squared[:, 1, :, None] + squared[:, 0, None, :])[..., None]
    window = (np.arange(len(at))[:, None, None], pixels[:, 1, :, None], pixels[:, 0, None, :])
    ground = images[window].astype(np.float32)
    images[window] = ground + weight * (stamp.colour - ground) + np.float32(0.5)
