"""Two rooms to be watched: a dot that keeps to its heading, and a screen before the wall."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8

from forethought.worlds.physics.drawing import veil
from forethought.worlds.physics.scene import LENGTH, Bar, Growth, Screen
from forethought.worlds.physics.scene import SIZE as SMALL
from forethought.worlds.two_rooms import SIZE, Layout, TwoRoomsConfig, draw

ROOMS = TwoRoomsConfig(
    wall_range=(20.0, 44.0), door_range=(12.0, 52.0), wall_half_thickness=3.0, dot_sigma=3.6
)
"""Shown at half their size: a wall and a dot that can still be seen there."""
STEPS = 3
"""World steps between frames."""
REACH = 6
"""Pixels of the picture from the dot's middle beyond which it is not seen."""


@dataclass(frozen=True, kw_only=True)
class RoomScene:
    """A dot on its way; positions are in pixels of the 64x64 picture of the two rooms.

    Attributes:
        wall: x of the wall.
        door: y of the door.
        start: of the dot.
        step: what is asked of it in each world step; it slides along what stops it.
        screens: what hides, in pixels of the smaller picture.
        length: frames.
    """

    wall: float
    door: float
    start: tuple[float, float]
    step: tuple[float, float]
    screens: tuple[Screen, ...] = ()
    length: int = LENGTH

    def layout(self, count: int) -> Layout:
        """The rooms, so many times."""
        return Layout(wall=np.full(count, self.wall), door=np.full(count, self.door), config=ROOMS)

    def way(self) -> Float[np.ndarray, "t 2"]:
        """Where the dot is in each frame."""
        layout, place = self.layout(1), np.array([self.start], np.float64)
        push, places = np.array([self.step], np.float64), [np.array(self.start, np.float64)]
        for _ in range(1, self.length):
            for _ in range(STEPS):
                place = layout.move(place, push)
            places.append(place[0])
        return np.stack(places)

    def hides(self, way: Float[np.ndarray, "t 2"]) -> Bool[np.ndarray, " t"]:
        """In which frames a dot on a way is out of sight."""
        out = np.zeros(len(way), bool)
        for frame, place in enumerate(way / 2):
            out[frame] = any(
                screen.cover(frame) == 1
                and (place - REACH >= screen.bar.low).all()
                and (place + REACH <= screen.bar.high).all()
                for screen in self.screens
            )
        return out


def picture(scene: RoomScene, way: Float[np.ndarray, "t 2"]) -> UInt8[np.ndarray, "t 32 32 3"]:
    """The frames of a way through a scene's rooms, at half their size.

    The way need not be the scene's own: what no dot could have done is drawn like this.
    """
    places = np.round(way * 16) / 16
    large = draw(scene.layout(len(way)), places).astype(np.uint16)
    tiles = large.reshape(len(way), SMALL, 2, SMALL, 2, 3)
    # Added up in whole numbers, so that a mirror image of it is one in every bit.
    frames = ((tiles.sum((2, 4)) + 2) // 4).astype(np.uint8)
    veil(frames, scene.screens)
    return frames


def draw_rooms(generator: np.random.Generator, *, length: int = LENGTH) -> RoomScene:
    """Any rooms, any way through them; many ways lead to the wall or to the door."""
    wall = generator.uniform(*ROOMS.wall_range)
    door = generator.uniform(*ROOMS.door_range)
    side = generator.choice([-1.0, 1.0])
    beside = ROOMS.wall_half_thickness + 1
    room = (ROOMS.margin, wall - beside) if side < 0 else (wall + beside, SIZE - ROOMS.margin)
    aim = generator.random()
    start = (generator.uniform(*room), generator.uniform(ROOMS.margin, SIZE - ROOMS.margin))
    heading = 0.0 if side < 0 else np.pi
    # Straight through the door, or straight at the wall, as often as anywhere.
    if aim < 0.35:
        start = (start[0], float(np.clip(door + generator.uniform(-7, 7), 2, SIZE - 2)))
        heading += generator.uniform(-0.15, 0.15)
    elif aim < 0.75:
        heading += generator.uniform(-0.5, 0.5)
    else:
        heading = generator.uniform(-np.pi, np.pi)
    if aim < 0.75 and generator.random() < 0.6:
        # From the far side of its room, so that it is seen on its way.
        start = (ROOMS.margin + 4 if side < 0 else SIZE - ROOMS.margin - 4, start[1])
    speed = generator.uniform(0.7, 1.0) * ROOMS.max_step
    return RoomScene(
        wall=wall,
        door=door,
        start=start,
        step=(speed * np.cos(heading), speed * np.sin(heading)),
        screens=(curtain(generator, wall),) if generator.random() < 0.8 else (),
        length=length,
    )


def curtain(generator: np.random.Generator, wall: float) -> Screen:
    """A screen before a wall, and what lies beside it."""
    half = int(generator.integers(3, 11))
    middle = round(wall / 2)
    bar = Bar(
        low=(float(max(0, middle - half)), 0.0),
        high=(float(min(SMALL, middle + half)), float(SMALL)),
    )
    # Never from the wall itself, so that it is seen where the door is.
    growth = (Growth.MIDDLE_Y, Growth.TOP, Growth.BOTTOM)[generator.integers(3)]
    return Screen(
        bar=bar,
        growth=growth,
        up=int(generator.integers(3, 6)),
        goes=bool(generator.random() < 0.25),
    )
