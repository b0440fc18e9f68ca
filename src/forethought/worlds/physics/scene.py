"""Small flat worlds of moving things, told as data, and what pymunk makes of them.

Positions are in pixels of a 32x32 picture, x to the right, y downwards; time is in frames. Without
gravity a scene is seen from above: things slide without friction and bounce without loss from each
other, from walls and from the border of the picture. With gravity it is seen from the side: things
fall, land, and stay where something is under them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
import pymunk
from jaxtyping import Bool, Float

SIZE = 32
LENGTH = 22
FLOOR = 29.0
"""y of the floor of scenes that are seen from the side."""
SUBSTEPS = 10
STAYS = 5
"""Frames that a screen which comes and goes is up."""
BOUNCE_WITH_GRAVITY = 0.3


class Form(Enum):
    """What a thing looks like from above or from the side."""

    DISC = 0
    SQUARE = 1
    TRIANGLE = 2


@dataclass(frozen=True, kw_only=True)
class Thing:
    """Something that moves.

    Attributes:
        form: its outline.
        colour: red, green, blue.
        radius: of the disc, or half the side of the others.
        position: x and y of its middle at the first frame.
        velocity: pixels per frame at the first frame, or when it is let go.
        held_until: frame at which a hand lets it go; 0 where none holds it.
    """

    form: Form
    colour: tuple[int, int, int]
    radius: float
    position: tuple[float, float]
    velocity: tuple[float, float] = (0.0, 0.0)
    held_until: int = 0


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A rectangle that stands where it is: a wall, a platform.

    Attributes:
        low: x and y of its upper left corner.
        high: x and y of its lower right corner.
    """

    low: tuple[float, float]
    high: tuple[float, float]


class Growth(Enum):
    """From where a screen comes."""

    ALWAYS = 0
    MIDDLE_X = 1
    MIDDLE_Y = 2
    LEFT = 3
    RIGHT = 4
    TOP = 5
    BOTTOM = 6


@dataclass(frozen=True, kw_only=True)
class Screen:
    """What hides all that lies behind it while it is up.

    Nothing about it is a surprise: one that comes has begun to in the first frame, and goes on
    evenly; one that will go again is of a lighter grey, and stays for :data:`STAYS` frames.

    Attributes:
        bar: the place that it covers; whole pixels.
        growth: from where it comes, and where it goes to.
        up: first frame at which it covers all of its place.
        goes: whether it goes again, as fast as it came.
    """

    bar: Bar
    growth: Growth = Growth.ALWAYS
    up: int = 0
    goes: bool = False

    @property
    def down(self) -> int:
        """First frame at which it no longer covers all of its place."""
        return self.up + STAYS

    def cover(self, frame: int) -> float:
        """The share of its place that it covers in a frame."""
        if self.growth is Growth.ALWAYS:
            return 1.0
        step = 1 / (self.up + 1)
        going = 1 - (frame - self.down + 1) * step if self.goes else 1.0
        return float(np.clip(min((frame + 1) * step, going), 0.0, 1.0))


@dataclass(frozen=True, kw_only=True)
class Scene:
    """All that is needed to know what happens.

    Attributes:
        things: what moves.
        walls: what stands.
        screens: what hides.
        gravity: pixels per frame and frame; 0 for scenes seen from above.
        length: frames.
    """

    things: tuple[Thing, ...]
    walls: tuple[Bar, ...] = ()
    screens: tuple[Screen, ...] = ()
    gravity: float = 0.0
    length: int = LENGTH


@dataclass(frozen=True, kw_only=True)
class Motion:
    """Where the things of a scene are in every frame.

    Attributes:
        position: pixels.
        velocity: pixels per frame.
        angle: radians.
    """

    position: Float[np.ndarray, "t n 2"]
    velocity: Float[np.ndarray, "t n 2"]
    angle: Float[np.ndarray, "t n"]


def simulate(scene: Scene) -> Motion:
    """What pymunk makes of a scene; the same each time."""
    space = pymunk.Space()
    space.gravity = (0.0, scene.gravity)
    space.collision_slop = 0.01
    space.iterations = 20
    _build_walls(space, scene)
    bodies = [_build_thing(space, thing, falls=scene.gravity > 0) for thing in scene.things]
    rows = []
    for frame in range(scene.length):
        rows.append([(*body.position, *body.velocity, body.angle) for body in bodies])
        for _ in range(SUBSTEPS):
            space.step(1 / SUBSTEPS)
            for thing, body in zip(scene.things, bodies, strict=True):
                if frame < thing.held_until:
                    body.position, body.velocity = thing.position, thing.velocity
                    body.angle, body.angular_velocity = 0.0, 0.0
    values = np.array(rows, np.float64).reshape(scene.length, len(bodies), 5)
    return Motion(position=values[..., :2], velocity=values[..., 2:4], angle=values[..., 4])


def free(scene: Scene, *, gap: float = 0.5) -> bool:
    """Whether every thing begins clear of walls, of the border and of the others."""
    floor = FLOOR if scene.gravity else SIZE
    for number, thing in enumerate(scene.things):
        x, y = thing.position
        reach = thing.radius + gap
        if not (reach <= x <= SIZE - reach and reach <= y <= floor - reach):
            return False
        if any(_touches(thing, wall, gap) for wall in scene.walls):
            return False
        for other in scene.things[:number]:
            apart = np.abs(np.subtract(other.position, thing.position)).max()
            if apart < thing.radius + other.radius + gap:
                return False
    return True


def hidden(scene: Scene, motion: Motion) -> Bool[np.ndarray, "t n"]:
    """Whether each thing is wholly out of sight, frame by frame."""
    out = np.zeros(motion.position.shape[:2], bool)
    for frame in range(scene.length):
        for number, thing in enumerate(scene.things):
            low, high = (
                motion.position[frame, number] - thing.radius - 0.5,
                motion.position[frame, number] + thing.radius + 0.5,
            )
            out[frame, number] = any(
                screen.cover(frame) == 1
                and (low >= screen.bar.low).all()
                and (high <= screen.bar.high).all()
                for screen in scene.screens
            )
    return out


def _touches(thing: Thing, wall: Bar, gap: float) -> bool:
    reach = thing.radius + gap
    return all(
        wall.low[axis] - reach < thing.position[axis] < wall.high[axis] + reach for axis in (0, 1)
    )


def _build_walls(space: pymunk.Space, scene: Scene) -> None:
    """The border of the picture (or the floor) and the walls, as what nothing moves."""
    bottom = FLOOR if scene.gravity else float(SIZE)
    far, size = 20.0, float(SIZE)
    border = [
        Bar(low=(-far, -far), high=(0.0, size + far)),
        Bar(low=(size, -far), high=(size + far, size + far)),
        Bar(low=(-far, bottom), high=(size + far, bottom + far)),
    ]
    if not scene.gravity:
        border.append(Bar(low=(-far, -far), high=(size + far, 0.0)))
    for bar in (*border, *scene.walls):
        (left, top), (right, low) = bar.low, bar.high
        corners = [(left, top), (right, top), (right, low), (left, low)]
        _add(space, pymunk.Poly(space.static_body, corners), falls=scene.gravity > 0)


def _build_thing(space: pymunk.Space, thing: Thing, *, falls: bool) -> pymunk.Body:
    """What moves: seen from above it keeps its bearing, seen from the side it may tip over."""
    r = thing.radius
    turns = falls and thing.form is not Form.DISC
    body = pymunk.Body(1.0, pymunk.moment_for_box(1.0, (2 * r, 2 * r)) if turns else float("inf"))
    body.position, body.velocity = thing.position, thing.velocity
    if thing.form is Form.DISC:
        shape: pymunk.Shape = pymunk.Circle(body, r)
    elif thing.form is Form.SQUARE:
        shape = pymunk.Poly(body, [(-r, -r), (r, -r), (r, r), (-r, r)])
    else:
        shape = pymunk.Poly(body, [(0.0, -r), (r, r), (-r, r)])
    space.add(body)
    _add(space, shape, falls=falls)
    return body


def _add(space: pymunk.Space, shape: pymunk.Shape, *, falls: bool) -> None:
    # The bounce of two things is the product of theirs.
    shape.elasticity = BOUNCE_WITH_GRAVITY**0.5 if falls else 1.0
    shape.friction = 0.7 if falls else 0.0
    space.add(shape)
