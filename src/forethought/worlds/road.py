"""A closed road on grass: where one is along it, and what a camera above the car sees of it.

Places are in metres, x to the right and y upwards; headings in radians, counter-clockwise from
straight up, as Gymnasium's CarRacing has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

HALF_WIDTH = 40 / 6.0
"""Metres from the centre line to the grass."""
VIEW_METRES = 60.0
"""What the picture shows, along each side."""
AHEAD = 0.75
"""Share of the picture that lies ahead of the middle of the car."""
SIZE = 48
"""Pixels of the picture, along each side."""

GRASS = (102, 204, 102)
GRASS_SQUARES = (102, 230, 102)
SQUARE = 2000 / 6.0 / 20
"""Metres of a square of grass; every other one, both ways, is lighter."""
CAR = np.array([204, 0, 0], np.float32)
CAR_METRES = (2.4, 5.0)

_EXTENT = 270.0
_PIXELS_PER_METRE = 2.0
# The picture is sampled twice as fine each way, and reduced, so that edges move by parts of pixels.
_FINER = 2


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a point lies, as seen from the road.

    Attributes:
        along: metres along the centre line from where the road was begun.
        offset: half-widths to the left of the centre line; negative to the right of it.
        heading: of the road there.
    """

    along: float
    offset: float
    heading: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Road:
    """A closed centre line, and the polygons that are painted for it.

    Attributes:
        centre: ``(n, 2)`` its corners, in the order in which they are driven through.
        painted: polygons ``(m, 2)`` in metres with their colours, the last on top.
    """

    centre: Float[np.ndarray, "n 2"]
    painted: Sequence[tuple[Float[np.ndarray, "m 2"], tuple[int, ...]]]

    @cached_property
    def ways(self) -> Float[np.ndarray, "n 2"]:
        """From each corner to the next; the last closes the road."""
        return np.roll(self.centre, -1, axis=0) - self.centre

    @cached_property
    def lengths(self) -> Float[np.ndarray, " n"]:
        """Metres of each of them."""
        return np.linalg.norm(self.ways, axis=1)

    @cached_property
    def begins(self) -> Float[np.ndarray, " n"]:
        """Metres along the road at which each of them begins."""
        return np.concatenate([[0.0], self.lengths.cumsum()[:-1]])

    @property
    def length(self) -> float:
        """Metres once around."""
        return float(self.lengths.sum())

    def place(self, point: Float[np.ndarray, " 2"]) -> Place:
        """Where a point lies: by the nearest point of the centre line."""
        gap = point - self.centre
        share = np.clip((gap * self.ways).sum(1) / self.lengths**2, 0, 1)
        off = gap - share[:, None] * self.ways
        nearest = int((off**2).sum(1).argmin())
        way, (x, y) = self.ways[nearest] / self.lengths[nearest], off[nearest]
        left = np.sign(way[0] * y - way[1] * x)
        return Place(
            along=float(self.begins[nearest] + share[nearest] * self.lengths[nearest]),
            offset=float(left * np.hypot(x, y) / HALF_WIDTH),
            heading=float(np.arctan2(-way[0], way[1])),
        )

    def at(self, along: float) -> tuple[Float[np.ndarray, " 2"], float]:
        """The point of the centre line so many metres along, and the heading of the road there."""
        along = along % self.length
        number = int(np.searchsorted(self.begins, along, side="right")) - 1
        share = (along - self.begins[number]) / self.lengths[number]
        way = self.ways[number]
        return self.centre[number] + share * way, float(np.arctan2(-way[0], way[1]))

    def bend(self, along: float, ahead: float) -> float:
        """Radians to the left by which the road turns within so many metres."""
        return wrapped(self.at(along + ahead)[1] - self.at(along)[1])

    @cached_property
    def chart(self) -> Image.Image:
        """The road and the grass from above, upright, with room around."""
        side = round(2 * _EXTENT * _PIXELS_PER_METRE)
        image = Image.new("RGB", (side, side), GRASS)
        draw = ImageDraw.Draw(image)
        reach = int(_EXTENT / SQUARE) + 1
        for x in range(-reach, reach, 2):
            for y in range(-reach, reach, 2):
                corners = SQUARE * np.array([[x, y], [x + 1, y + 1]])
                (left, low), (right, high) = _charted(corners)
                draw.rectangle((left, high, right, low), fill=GRASS_SQUARES)
        for polygon, colour in self.painted:
            draw.polygon([tuple(corner) for corner in _charted(polygon).tolist()], fill=colour)
        return image

    def picture(
        self, point: Float[np.ndarray, " 2"], heading: float
    ) -> UInt8[np.ndarray, "48 48 3"]:
        """What a camera above a car sees that stands at a point; ahead is up."""
        fine = SIZE * _FINER
        step = VIEW_METRES / fine
        right = step * np.array([np.cos(heading), np.sin(heading)])
        down = step * np.array([np.sin(heading), -np.cos(heading)])
        corner = point - fine / 2 * right - AHEAD * fine * down
        (x, y), scale = _charted(corner[None])[0], _PIXELS_PER_METRE
        coefficients = (
            *(scale * right[0], scale * down[0], x),
            *(-scale * right[1], -scale * down[1], y),
        )
        seen = self.chart.transform(
            (fine, fine),
            Image.Transform.AFFINE,
            coefficients,
            resample=Image.Resampling.BILINEAR,
            fillcolor=GRASS,
        )
        ground = np.asarray(seen.reduce(_FINER)).astype(np.float32)
        return (ground + _CAR_SEEN * (CAR - ground) + 0.5).astype(np.uint8)


def wrapped(angle: float) -> float:
    """The same direction between -pi and pi."""
    return float((angle + np.pi) % (2 * np.pi) - np.pi)


def forward(heading: float) -> Float[np.ndarray, " 2"]:
    """The direction of a heading, of length one."""
    return np.array([-np.sin(heading), np.cos(heading)])


def _charted(points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
    """Pixels of the chart, x to the right and y downwards."""
    return _PIXELS_PER_METRE * (np.array([1, -1]) * points + _EXTENT)


def _car_seen() -> Float[np.ndarray, "48 48 1"]:
    """Share of each pixel that the car covers."""
    metres = VIEW_METRES / SIZE
    edges = np.arange(SIZE + 1) * metres

    def covered(middle: float, width: float) -> Float[np.ndarray, " 48"]:
        inside = np.clip(edges, middle - width / 2, middle + width / 2)
        return np.diff(inside) / metres

    across = covered(VIEW_METRES / 2, CAR_METRES[0])
    down = covered(AHEAD * VIEW_METRES, CAR_METRES[1])
    return (down[:, None] * across)[..., None].astype(np.float32)


_CAR_SEEN = _car_seen()
