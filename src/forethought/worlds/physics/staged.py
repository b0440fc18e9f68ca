"""Scenes in which things go out of sight for a while: what happens there has to be known.

Each is one that tells something only to who remembers: a thing passes behind a screen, is covered
and uncovered, meets a wall or another thing where nobody sees it. Drawn at random, few clips would
be such; a model that is to learn what things do unseen needs many. Screens are of every width: what
is learned of a thing that is gone for a moment is where memory of one that is gone for long begins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from forethought.worlds.physics.drawing import COLOURS
from forethought.worlds.physics.rooms import ROOMS, RoomScene, curtain
from forethought.worlds.physics.scene import SIZE, Bar, Form, Growth, Scene, Screen, Thing

PALETTE = tuple(COLOURS.values())
FORMS = tuple(Form)
EVEN = (Form.DISC, Form.SQUARE)
"""Forms that look the same upside down."""
GRAVITY = 0.3
Staged = Callable[[np.random.Generator], Scene | RoomScene]
"""Draws a scene; not every one can begin as it is drawn (see ``free``)."""


# --------------------------------------------------------------------------------------- pieces


def _thing(generator: np.random.Generator, forms: Sequence[Form] = EVEN) -> Thing:
    """Something to look at; where it is and goes is still to be said."""
    return Thing(
        form=forms[int(generator.integers(len(forms)))],
        colour=PALETTE[generator.integers(len(PALETTE))],
        radius=float(generator.uniform(2.7, 3.4)),
        position=(0.0, 0.0),
    )


def _unlike(generator: np.random.Generator) -> tuple[Thing, Thing]:
    """Two things that differ in their form alone."""
    thing = _thing(generator)
    first, second = generator.permutation(len(FORMS))[:2]
    return replace(thing, form=FORMS[first]), replace(thing, form=FORMS[second])


def _curtain(
    generator: np.random.Generator, left: int, right: int, *, falls: bool = False
) -> Screen:
    """A screen over whole columns: there from the start, or coming and staying; never one-sided."""
    bar = Bar(low=(float(left), 0.0), high=(float(right), float(SIZE)))
    if not falls and generator.random() < 0.3:
        return Screen(bar=bar)
    growth = Growth.MIDDLE_X if generator.random() < 0.5 else Growth.MIDDLE_Y
    return Screen(bar=bar, growth=growth, up=int(generator.integers(2, 5)))


def _in_the_middle(
    generator: np.random.Generator, half: tuple[int, int], *, falls: bool = False
) -> Screen:
    """A curtain in the middle of the picture, its half as wide as one of the numbers in a range."""
    wide = int(generator.integers(*half))
    return _curtain(generator, SIZE // 2 - wide, SIZE // 2 + wide, falls=falls)


def _veils(generator: np.random.Generator) -> tuple[Screen, Screen]:
    """Screens before both halves, which come and go."""
    up = int(generator.integers(3, 7))
    growth = (Growth.TOP, Growth.BOTTOM, Growth.MIDDLE_Y, Growth.MIDDLE_X)[generator.integers(4)]
    first, second = _both_sides(int(generator.integers(14, 17)))
    return (
        Screen(bar=first, growth=growth, up=up, goes=True),
        Screen(bar=second, growth=growth, up=up, goes=True),
    )


def _both_sides(inner: int) -> tuple[Bar, Bar]:
    """From the left edge so far, and from the right."""
    return (
        Bar(low=(0.0, 0.0), high=(float(inner), float(SIZE))),
        Bar(low=(float(SIZE - inner), 0.0), high=(float(SIZE), float(SIZE))),
    )


def _through(generator: np.random.Generator, thing: Thing, lane: float) -> Thing:
    """From the left edge to the right, in a lane."""
    speed = float(generator.uniform(1.3, 2.0))
    start = thing.radius + 0.5 + float(generator.uniform(0, 1.5))
    return replace(thing, position=(start, lane), velocity=(speed, 0.0))


# ------------------------------------------------------------------------------ covered, passing


def covered(generator: np.random.Generator) -> Scene:
    """A thing at rest on one side; screens come before both sides, and go."""
    thing = _thing(generator, FORMS)
    x, y = generator.uniform(4.5, 10.5), generator.uniform(5, SIZE - 5)
    return Scene(things=(replace(thing, position=(float(x), float(y))),), screens=_veils(generator))


def unlike_covered(generator: np.random.Generator) -> Scene:
    """Two things of unlike form at rest are covered and uncovered."""
    first, second = _unlike(generator)
    x, y = float(generator.uniform(4.5, 10.5)), float(generator.uniform(5, SIZE - 5))
    things = (replace(first, position=(x, y)), replace(second, position=(SIZE - x, y)))
    return Scene(things=things, screens=_veils(generator))


def comes_back(generator: np.random.Generator) -> Scene:
    """A thing goes behind one of two screens, meets the border there, and comes back out."""
    thing = _thing(generator, FORMS)
    edge = int(generator.integers(3, 12))
    place = (float(generator.uniform(edge + 5, SIZE - edge - 1)), float(generator.uniform(5, 27)))
    thing = replace(thing, position=place, velocity=(-float(generator.uniform(1.2, 2.0)), 0.0))
    return Scene(things=(thing,), screens=tuple(Screen(bar=bar) for bar in _both_sides(edge)))


def in_a_lane(generator: np.random.Generator) -> Scene:
    """In behind a screen on one side of the middle, and out of it there."""
    thing = _through(generator, _thing(generator), float(generator.uniform(4.5, 11)))
    return Scene(things=(thing,), screens=(_in_the_middle(generator, (1, 8)),))


def in_any_lane(generator: np.random.Generator) -> Scene:
    """In on one side, out on the other."""
    thing = _through(generator, _thing(generator), float(generator.uniform(4.5, SIZE - 4.5)))
    return Scene(things=(thing,), screens=(_in_the_middle(generator, (1, 8)),))


def any_form(generator: np.random.Generator) -> Scene:
    """The same with things of every form."""
    scene = in_any_lane(generator)
    form = FORMS[generator.integers(len(FORMS))]
    return replace(scene, things=tuple(replace(thing, form=form) for thing in scene.things))


def two_screens(generator: np.random.Generator) -> Scene:
    """Behind one screen, seen between the two, and behind the other."""
    width, gap = int(generator.integers(3, 9)), int(generator.integers(2, 4))
    middle = SIZE // 2 + 1
    bars = (
        Bar(low=(float(middle - gap - width), 0.0), high=(float(middle - gap), float(SIZE))),
        Bar(low=(float(middle + gap), 0.0), high=(float(middle + gap + width), float(SIZE))),
    )
    thing = replace(_thing(generator), radius=float(generator.uniform(2.6, 2.9)))
    thing = _through(generator, thing, float(generator.uniform(4.5, 11)))
    thing = replace(thing, velocity=(float(generator.uniform(1.2, 1.6)), 0.0))
    return Scene(things=(thing,), screens=tuple(Screen(bar=bar) for bar in bars))


def aslant(generator: np.random.Generator) -> Scene:
    """Aslant behind the screen, through the middle of the picture, and aslant out of it."""
    slope = float(generator.uniform(0.35, 0.75))
    thing = _through(generator, _thing(generator), 0.0)
    x, (speed, _) = thing.position[0], thing.velocity
    thing = replace(
        thing,
        position=(x, SIZE / 2 - slope * (SIZE / 2 - x)),
        velocity=(0.9 * speed, 0.9 * slope * speed),
    )
    return Scene(things=(thing,), screens=(_in_the_middle(generator, (1, 8)),))


def slow_and_fast(generator: np.random.Generator) -> Scene:
    """A slow and a fast thing, each in its lane, are side by side behind the screen."""
    speeds = float(generator.uniform(0.9, 1.15)), float(generator.uniform(1.75, 2.1))
    meet, lane = float(generator.uniform(5.5, 6.5)), float(generator.uniform(4.5, 10))
    thing = _thing(generator)
    things = tuple(
        replace(thing, position=(SIZE / 2 - speed * meet, at), velocity=(speed, 0.0))
        for speed, at in zip(speeds, (lane, SIZE - lane), strict=True)
    )
    return Scene(things=things, screens=(_in_the_middle(generator, (1, 8)),))


def columns(generator: np.random.Generator) -> Scene:
    """Two things of unlike form, in two columns, pass behind a screen."""
    half, column = int(generator.integers(1, 8)), float(generator.uniform(4.5, 11))
    one, other = _unlike(generator)
    moving = _through(generator, one, column)
    (along, _), (speed, _) = moving.position, moving.velocity
    down = bool(generator.random() < 0.5)
    things = tuple(
        replace(
            thing,
            position=(at, along if down else SIZE - along),
            velocity=(0.0, speed if down else -speed),
        )
        for thing, at in ((one, column), (other, SIZE - column))
    )
    growth = (Growth.ALWAYS, Growth.MIDDLE_X, Growth.MIDDLE_Y)[generator.integers(3)]
    bar = Bar(low=(0.0, float(SIZE // 2 - half)), high=(float(SIZE), float(SIZE // 2 + half)))
    screen = Screen(bar=bar, growth=growth, up=int(generator.integers(2, 5)))
    return Scene(things=things, screens=(screen,))


# ------------------------------------------------------------------------------ meeting, falling


def wall_behind(generator: np.random.Generator) -> Scene:
    """Of two lanes a wall closes one; then a screen hides it, and two things go in."""
    half = int(generator.integers(7, 9))
    left, right = SIZE // 2 - half, SIZE // 2 + half
    lane = float(generator.uniform(6, 9))
    x = float(generator.integers(left, right - 3))
    wall = Bar(low=(x, max(0.0, round(lane) - 5.0)), high=(x + 3, round(lane) + 5.0))
    moving = _through(generator, _thing(generator), lane)
    other = replace(moving, position=(moving.position[0], SIZE - lane))
    growth = (Growth.MIDDLE_Y, Growth.LEFT)[generator.integers(2)]
    screen = replace(
        _curtain(generator, left, right, falls=True),
        growth=growth,
        up=int(generator.integers(3, 5)),
    )
    return Scene(things=(moving, other), walls=(wall,), screens=(screen,))


def passed_on(generator: np.random.Generator) -> Scene:
    """A thing meets an equal one at rest behind the screen, which goes on in its place."""
    lane = float(generator.uniform(5, SIZE - 5))
    thing = _thing(generator)
    coming, resting = _through(generator, thing, lane), replace(thing, position=(SIZE / 2, lane))
    screen = _in_the_middle(generator, (4, 11), falls=True)
    return Scene(things=(coming, resting), screens=(screen,))


def let_go(generator: np.random.Generator) -> Scene:
    """Two things are held; under one is a platform, just behind the upper edge of a screen."""
    thing = _thing(generator)
    x = float(np.round(generator.uniform(5, 10) * 16) / 16)
    platform = int(generator.integers(15, 22))
    half = float(generator.uniform(3.0, 5.0))
    middle = x + float(generator.uniform(-1, 1)) * (half - 1.5)
    walls = [Bar(low=(middle - half, float(platform)), high=(middle + half, platform + 3.0))]
    if generator.random() < 0.25:
        # On the other side stands one too, but the thing's middle is beyond its edge.
        edge = SIZE - x + thing.radius * 0.6 + float(generator.uniform(0.5, 1.5))
        if edge + 4 < SIZE:
            walls.append(Bar(low=(edge, float(platform)), high=(float(SIZE), platform + 3.0)))
    top = platform - int(generator.integers(0, 3))
    y = platform - thing.radius - float(generator.uniform(2.2, 4.5))
    release = int(generator.integers(6, 9))
    screen = Screen(
        bar=Bar(low=(0.0, float(top)), high=(float(SIZE), float(SIZE))),
        growth=(Growth.BOTTOM, Growth.MIDDLE_X, Growth.MIDDLE_Y)[generator.integers(3)],
        up=int(generator.integers(3, release)),
    )
    return Scene(
        things=tuple(replace(thing, position=(at, y), held_until=release) for at in (x, SIZE - x)),
        walls=tuple(walls),
        screens=(screen,),
        gravity=GRAVITY,
    )


# ------------------------------------------------------------------------------------ two rooms


def past_the_door(generator: np.random.Generator) -> RoomScene:
    """Rooms that look the same upside down, and a dot that passes their door aslant."""
    wall = float(np.round(generator.uniform(28, 36) * 16) / 16)
    slant = float(generator.uniform(0.25, 0.5)) * float(generator.choice([-1.0, 1.0]))
    start = 32.0 - np.tan(slant) * (wall - 5) + float(generator.uniform(-2, 2))
    return _rooms(generator, wall=wall, door=32.0, start=start, slant=slant)


def at_the_door(generator: np.random.Generator) -> RoomScene:
    """A dot that sets out straight for the door, on one side of the middle."""
    door = float(np.round(generator.uniform(12, 23) * 16) / 16)
    wall = float(np.round(generator.uniform(28, 36) * 16) / 16)
    start = door + float(generator.uniform(-2.5, 2.5))
    slant = float(generator.uniform(-0.1, 0.1))
    return _rooms(generator, wall=wall, door=door, start=start, slant=slant)


def at_the_wall(generator: np.random.Generator) -> RoomScene:
    """A dot that sets out straight for the wall, where no door is."""
    return walled(at_the_door(generator))


def walled(scene: RoomScene) -> RoomScene:
    """The same with its door on the other side of the middle: where it was, the wall goes on."""
    return replace(scene, door=2.0 * SIZE - scene.door)


def in_sight(generator: np.random.Generator) -> RoomScene:
    """The same with nothing before it: what a wall does and a door has to be seen first."""
    stage = (past_the_door, at_the_door, at_the_wall)[generator.integers(3)]
    return replace(stage(generator), screens=())


def _rooms(
    generator: np.random.Generator, *, wall: float, door: float, start: float, slant: float
) -> RoomScene:
    """A dot that sets out for a wall, before which a screen comes."""
    speed = float(generator.uniform(0.9, 1.0)) * ROOMS.max_step
    screen = replace(
        curtain(generator, wall),
        growth=Growth.MIDDLE_Y,
        up=int(generator.integers(4, 7)),
        goes=False,
    )
    return RoomScene(
        wall=wall,
        door=door,
        start=(float(generator.uniform(3, 8)), start),
        step=(speed * np.cos(slant), speed * np.sin(slant)),
        screens=(screen,),
    )


STAGED: tuple[tuple[Staged, ...], ...] = (
    (covered, comes_back),
    (in_a_lane, in_any_lane, any_form, two_screens),
    (aslant,),
    (wall_behind, let_go),
    (slow_and_fast, passed_on),
    (unlike_covered, columns),
    (past_the_door,),
    (at_the_door, at_the_wall, in_sight),
)
"""Kinds of scenes by what has to be known of them: that things stay, that they go on, where to,
what is in their way, how fast each was, which is which, where a dot in rooms goes, and what stops
it. Each kind is shown as often."""
