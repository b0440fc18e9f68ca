"""Two rooms to be watched: a dot that keeps to its heading, and lights that go out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from forethought.worlds.physics.scene import LENGTH
from forethought.worlds.two_rooms import SIZE, Layout, TwoRoomsConfig, draw

ROOMS = TwoRoomsConfig(wall_range=(20.0, 44.0), door_range=(12.0, 52.0), dot_sigma=2.0)
STEPS = 3
"""World steps between frames."""
REACH = 7.5
"""Pixels of the 64x64 picture from the dot's middle beyond which it changes nothing."""
DARK_FRAMES = 5
"""How long the lights are out. They dim evenly from the first frame on, and go out at half of their
light, so that it can be foreseen when; and they come back after as many frames each time."""


@dataclass(frozen=True, kw_only=True)
class RoomScene:
    """A dot on its way; positions are in pixels of the 64x64 picture of the two rooms.

    Attributes:
        wall: x of the wall.
        door: y of the door.
        start: of the dot.
        step: what is asked of it in each world step; it slides along what stops it.
        dark: the first frame without light; None where the lights stay on.
        length: frames.
    """

    wall: float
    door: float
    start: tuple[float, float]
    step: tuple[float, float]
    dark: int | None = None
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


def picture(scene: RoomScene, way: Float[np.ndarray, "t 2"]) -> UInt8[np.ndarray, "t 32 32 3"]:
    """The frames of a way through a scene's rooms, at half their size.

    The way need not be the scene's own: what no dot could have done is drawn like this.
    """
    places = np.round(way * 16) / 16
    large = draw(scene.layout(len(way)), places).astype(np.uint16)
    half = SIZE // 2
    tiles = large.reshape(len(way), half, 2, half, 2, 3)
    # Added up in whole numbers, so that a mirror image of it is one in every bit.
    frames = ((tiles.sum((2, 4)) + 2) // 4).astype(np.uint8)
    if scene.dark is not None:
        for frame in range(scene.dark):
            left = 2 * scene.dark - frame - 1
            frames[frame] = frames[frame].astype(np.uint16) * left // (2 * scene.dark)
        frames[scene.dark : scene.dark + DARK_FRAMES] = 0
    return frames


def draw_rooms(generator: np.random.Generator, *, length: int = LENGTH) -> RoomScene:
    """Any rooms, any way through them; many ways lead to the wall or to the door."""
    wall = generator.uniform(*ROOMS.wall_range)
    door = generator.uniform(*ROOMS.door_range)
    side = generator.choice([-1.0, 1.0])
    room = (ROOMS.margin, wall - 2.5) if side < 0 else (wall + 2.5, SIZE - ROOMS.margin)
    aim = generator.random()
    start = (generator.uniform(*room), generator.uniform(ROOMS.margin, SIZE - ROOMS.margin))
    # Straight through the door, or straight at the wall, as often as anywhere.
    if aim < 0.3:
        start = (start[0], float(np.clip(door + generator.uniform(-7, 7), 2, SIZE - 2)))
        heading = 0.0 if side < 0 else np.pi
        heading += generator.uniform(-0.15, 0.15)
    elif aim < 0.7:
        heading = (0.0 if side < 0 else np.pi) + generator.uniform(-0.5, 0.5)
    else:
        heading = generator.uniform(-np.pi, np.pi)
    speed = generator.uniform(0.7, 1.0) * ROOMS.max_step
    return RoomScene(
        wall=wall,
        door=door,
        start=start,
        step=(speed * np.cos(heading), speed * np.sin(heading)),
        dark=int(generator.integers(3, length - DARK_FRAMES)) if generator.random() < 0.7 else None,
        length=length,
    )
