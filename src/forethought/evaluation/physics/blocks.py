"""The blocks: what is expected of things, and how it is broken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from forethought.evaluation.physics.quadruplets import (
    Block,
    Frames,
    Quadruplet,
    crosswise,
    mirrored,
    recoloured,
    turned,
    upside_down,
)
from forethought.worlds.physics import (
    COLOURS,
    SIZE,
    Bar,
    Form,
    Growth,
    Scene,
    Screen,
    Thing,
    draw,
    free,
    simulate,
)
from forethought.worlds.physics.rooms import ROOMS, RoomScene, curtain, picture
from forethought.worlds.physics.world import GRAVITY

Draw = Callable[[np.random.Generator], Quadruplet | None]
PALETTE = tuple(COLOURS.values())
UPRIGHT = tuple(Form)
EVEN = (Form.DISC, Form.SQUARE)
"""Forms that look the same upside down."""
EXCHANGES = ((1, 0, 2), (2, 1, 0), (0, 2, 1), (1, 2, 0), (2, 0, 1))


# --------------------------------------------------------------------------------------- pieces


def _frames(scene: Scene) -> Frames | None:
    """A scene as it happens; None where it cannot begin like this."""
    return draw(scene, simulate(scene)) if free(scene, gap=0.25) else None


def _any_of(*variants: Draw) -> Draw:
    """Each of several ways to show the same, as often."""
    return lambda generator: variants[generator.integers(len(variants))](generator)


def _thing(generator: np.random.Generator, forms: Sequence[Form] = EVEN) -> Thing:
    """Something to look at; where it is and goes is still to be said."""
    return Thing(
        form=forms[int(generator.integers(len(forms)))],
        colour=PALETTE[generator.integers(len(PALETTE))],
        radius=float(generator.uniform(2.7, 3.4)),
        position=(0.0, 0.0),
    )


def _curtain(
    generator: np.random.Generator, left: int, right: int, *, falls: bool = False
) -> Screen:
    """A screen over whole columns: there from the start, or coming and staying; never one-sided."""
    bar = Bar(low=(float(left), 0.0), high=(float(right), float(SIZE)))
    if not falls and generator.random() < 0.3:
        return Screen(bar=bar)
    growth = Growth.MIDDLE_X if generator.random() < 0.5 else Growth.MIDDLE_Y
    return Screen(bar=bar, growth=growth, up=int(generator.integers(2, 5)))


def _perhaps_turned(
    generator: np.random.Generator, frames: Frames | None
) -> tuple[Frames | None, bool]:
    """The same seen from the side, half of the time: for scenes that look alike in both ways."""
    side = bool(generator.random() < 0.5)
    return (np.ascontiguousarray(turned(frames)) if side and frames is not None else frames), side


def _lanes(
    generator: np.random.Generator, scene: Scene, *, back: bool = False
) -> Quadruplet | None:
    """A scene against itself with its two lanes exchanged; perhaps seen from the side."""
    frames = _frames(scene)
    frames = None if frames is None else _either_way(generator, frames)
    frames, side = _perhaps_turned(generator, frames)
    if frames is None:
        return None
    return crosswise(frames, mirrored if side else upside_down, back=back)


def _either_way(generator: np.random.Generator, frames: Frames) -> Frames:
    """From the left or from the right."""
    return np.ascontiguousarray(mirrored(frames)) if generator.random() < 0.5 else frames


# ----------------------------------------------------------------------------------- permanence


def _covered_at_rest(generator: np.random.Generator) -> Quadruplet | None:
    """A thing at rest on one side; screens come before both sides, and go."""
    thing = _thing(generator, UPRIGHT)
    x, y = generator.uniform(4.5, 10.5), generator.uniform(5, SIZE - 5)
    return _unveiled(generator, (replace(thing, position=(float(x), float(y))),), mirrored)


def _unveiled(
    generator: np.random.Generator,
    things: tuple[Thing, ...],
    symmetry: Callable[[np.ndarray], np.ndarray],
) -> Quadruplet | None:
    """Screens before both halves come and go."""
    up = int(generator.integers(3, 7))
    growth = (Growth.TOP, Growth.BOTTOM, Growth.MIDDLE_Y, Growth.MIDDLE_X)[generator.integers(4)]
    inner = float(generator.integers(14, 17))
    bars = (
        Bar(low=(0.0, 0.0), high=(inner, float(SIZE))),
        Bar(low=(SIZE - inner, 0.0), high=(float(SIZE), float(SIZE))),
    )
    screens = tuple(Screen(bar=bar, growth=growth, up=up, goes=True) for bar in bars)
    frames = _frames(Scene(things=things, screens=screens))
    return None if frames is None else crosswise(frames, symmetry)


def _comes_back(generator: np.random.Generator) -> Quadruplet | None:
    """A thing goes behind one of two screens, meets the border there, and comes back out."""
    thing = _thing(generator, UPRIGHT)
    edge = int(generator.integers(9, 12))
    bars = (
        Bar(low=(0.0, 0.0), high=(float(edge), float(SIZE))),
        Bar(low=(float(SIZE - edge), 0.0), high=(float(SIZE), float(SIZE))),
    )
    place = (float(generator.uniform(edge + 5, SIZE - edge - 1)), float(generator.uniform(5, 27)))
    thing = replace(thing, position=place, velocity=(-float(generator.uniform(1.2, 2.0)), 0.0))
    frames = _frames(Scene(things=(thing,), screens=tuple(Screen(bar=bar) for bar in bars)))
    return None if frames is None else crosswise(frames, mirrored)


# ----------------------------------------------------------------------------------- continuity


def _through(generator: np.random.Generator, thing: Thing, lane: float) -> Thing:
    """From the left edge to the right, in a lane."""
    speed = float(generator.uniform(1.3, 2.0))
    start = thing.radius + 0.5 + float(generator.uniform(0, 1.5))
    return replace(thing, position=(start, lane), velocity=(speed, 0.0))


def _one_screen(generator: np.random.Generator) -> Quadruplet | None:
    """In behind the screen in one lane, out in it: or in the other."""
    half = int(generator.integers(5, 8))
    thing = _through(generator, _thing(generator), float(generator.uniform(4.5, 11)))
    curtain = _curtain(generator, SIZE // 2 - half, SIZE // 2 + half)
    return _lanes(generator, Scene(things=(thing,), screens=(curtain,)))


def _two_screens(generator: np.random.Generator) -> Quadruplet | None:
    """Between two screens a thing is seen in its lane: or in the other, and then in its own."""
    width, gap = int(generator.integers(7, 9)), int(generator.integers(2, 4))
    middle = SIZE // 2 + 1
    bars = (
        Bar(low=(float(middle - gap - width), 0.0), high=(float(middle - gap), float(SIZE))),
        Bar(low=(float(middle + gap), 0.0), high=(float(middle + gap + width), float(SIZE))),
    )
    thing = replace(_thing(generator), radius=float(generator.uniform(2.6, 2.9)))
    thing = _through(generator, thing, float(generator.uniform(4.5, 11)))
    thing = replace(thing, velocity=(float(generator.uniform(1.2, 1.6)), 0.0))
    scene = Scene(things=(thing,), screens=tuple(Screen(bar=bar) for bar in bars))
    return _lanes(generator, scene, back=True)


# ------------------------------------------------------------------------------------- solidity


def _behind_the_screen(generator: np.random.Generator) -> Quadruplet | None:
    """Of two lanes a wall closes one; then a screen hides it, and two things go in."""
    half = int(generator.integers(7, 9))
    left, right = SIZE // 2 - half, SIZE // 2 + half
    lane = float(generator.uniform(6, 9))
    thing = _thing(generator)
    x = float(generator.integers(left + 8, right - 3))
    wall = Bar(low=(x, max(0.0, round(lane) - 5.0)), high=(x + 3, round(lane) + 5.0))
    moving = _through(generator, thing, lane)
    other = replace(moving, position=(moving.position[0], SIZE - lane))
    curtain = _curtain(generator, left, right, falls=True)
    growth = (Growth.MIDDLE_Y, Growth.LEFT)[generator.integers(2)]
    curtain = replace(curtain, growth=growth, up=int(generator.integers(3, 5)))
    scene = Scene(things=(moving, other), walls=(wall,), screens=(curtain,))
    return _lanes(generator, scene)


# ---------------------------------------------------------------------------- gravity and support


def _let_go(generator: np.random.Generator) -> Quadruplet | None:
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
    held = [replace(thing, position=(at, y), held_until=release) for at in (x, SIZE - x)]
    screen = Screen(
        bar=Bar(low=(0.0, float(top)), high=(float(SIZE), float(SIZE))),
        growth=(Growth.BOTTOM, Growth.MIDDLE_X, Growth.MIDDLE_Y)[generator.integers(3)],
        up=int(generator.integers(3, release)),
    )
    scene = Scene(things=tuple(held), walls=tuple(walls), screens=(screen,), gravity=GRAVITY)
    frames = _frames(scene)
    if frames is None:
        return None
    return crosswise(_either_way(generator, frames), mirrored)


# -------------------------------------------------------------------- inertia and conservation


def _keeps_going(generator: np.random.Generator) -> Quadruplet | None:
    """In on one side, out on the other: or back, though nothing was there to turn it."""
    half = int(generator.integers(5, 8))
    thing = _through(generator, _thing(generator), float(generator.uniform(4.5, SIZE - 4.5)))
    curtain = _curtain(generator, SIZE // 2 - half, SIZE // 2 + half)
    frames, side = _perhaps_turned(generator, _frames(Scene(things=(thing,), screens=(curtain,))))
    return None if frames is None else crosswise(frames, upside_down if side else mirrored)


def _keeps_straight(generator: np.random.Generator) -> Quadruplet | None:
    """Aslant behind the screen and aslant out of it: or out as by a mirror."""
    half, slope = int(generator.integers(5, 8)), float(generator.uniform(0.35, 0.75))
    thing = _through(generator, _thing(generator), 0.0)
    x, (speed, _) = thing.position[0], thing.velocity
    thing = replace(
        thing,
        position=(x, SIZE / 2 - slope * (SIZE / 2 - x)),
        velocity=(0.9 * speed, 0.9 * slope * speed),
    )
    curtain = _curtain(generator, SIZE // 2 - half, SIZE // 2 + half)
    return _lanes(generator, Scene(things=(thing,), screens=(curtain,)))


def _keeps_speed(generator: np.random.Generator) -> Quadruplet | None:
    """A slow and a fast thing, each in its lane, meet behind the screen: and keep their speeds."""
    slow, fast = float(generator.uniform(0.9, 1.15)), float(generator.uniform(1.75, 2.1))
    meet, half = float(generator.uniform(5.5, 6.5)), int(generator.integers(6, 8))
    thing, lane = _thing(generator), float(generator.uniform(4.5, 10))
    things = tuple(
        replace(thing, position=(SIZE / 2 - speed * meet, at), velocity=(speed, 0.0))
        for speed, at in ((slow, lane), (fast, SIZE - lane))
    )
    curtain = _curtain(generator, SIZE // 2 - half, SIZE // 2 + half)
    return _lanes(generator, Scene(things=things, screens=(curtain,)))


def _passes_on(generator: np.random.Generator) -> Quadruplet | None:
    """A thing meets an equal one at rest behind the screen, which goes on in its place: or back."""
    half, lane = int(generator.integers(8, 11)), float(generator.uniform(5, SIZE - 5))
    thing = _thing(generator)
    coming = _through(generator, thing, lane)
    resting = replace(thing, position=(SIZE / 2, lane))
    curtain = _curtain(generator, SIZE // 2 - half, SIZE // 2 + half, falls=True)
    scene = Scene(things=(coming, resting), screens=(curtain,))
    frames, side = _perhaps_turned(generator, _frames(scene))
    return None if frames is None else crosswise(frames, upside_down if side else mirrored)


# ------------------------------------------------------------------------------------ constancy


def _keeps_colour(generator: np.random.Generator) -> Quadruplet | None:
    """Behind a screen and out of it in the same colour: or in another."""
    half = int(generator.integers(5, 8))
    thing = _through(
        generator, _thing(generator, UPRIGHT), float(generator.uniform(4.5, SIZE - 4.5))
    )
    order = EXCHANGES[generator.integers(len(EXCHANGES))]
    if tuple(thing.colour[i] for i in order) == thing.colour:
        return None
    curtain = _curtain(generator, SIZE // 2 - half, SIZE // 2 + half)
    frames = _frames(Scene(things=(thing,), screens=(curtain,)))
    if frames is None:
        return None
    return crosswise(_either_way(generator, frames), recoloured(order))


def _keeps_form(generator: np.random.Generator) -> Quadruplet | None:
    """Two things of unlike form in two columns pass behind a screen: or exchange their forms."""
    half, column = int(generator.integers(5, 8)), float(generator.uniform(4.5, 11))
    first, second = generator.permutation(len(UPRIGHT))[:2]
    thing = _through(generator, _thing(generator), column)
    (along, _), (speed, _) = thing.position, thing.velocity
    down = bool(generator.random() < 0.5)
    things = tuple(
        replace(
            thing,
            form=UPRIGHT[form],
            position=(at, along if down else SIZE - along),
            velocity=(0.0, speed if down else -speed),
        )
        for form, at in ((first, column), (second, SIZE - column))
    )
    growth = (Growth.ALWAYS, Growth.MIDDLE_X, Growth.MIDDLE_Y)[generator.integers(3)]
    bar = Bar(low=(0.0, float(SIZE // 2 - half)), high=(float(SIZE), float(SIZE // 2 + half)))
    screen = Screen(bar=bar, growth=growth, up=int(generator.integers(2, 5)))
    frames = _frames(Scene(things=things, screens=(screen,)))
    return None if frames is None else crosswise(frames, mirrored)


def _form_at_rest(generator: np.random.Generator) -> Quadruplet | None:
    """Two things of unlike form are covered and uncovered: each is what it was."""
    first, second = generator.permutation(len(UPRIGHT))[:2]
    thing = _thing(generator)
    x, y = float(generator.uniform(4.5, 10.5)), float(generator.uniform(5, SIZE - 5))
    things = tuple(
        replace(thing, form=UPRIGHT[form], position=(at, y))
        for form, at in ((first, x), (second, SIZE - x))
    )
    return _unveiled(generator, things, mirrored)


# ------------------------------------------------------------------------------------ two rooms


def _room_on_its_way(
    generator: np.random.Generator, *, wall: float, door: float, start: float, slant: float
) -> RoomScene:
    """A dot that sets out for a wall, before which a screen comes."""
    speed = float(generator.uniform(0.9, 1.0)) * ROOMS.max_step
    return RoomScene(
        wall=wall,
        door=door,
        start=(float(generator.uniform(3, 8)), start),
        step=(speed * np.cos(slant), speed * np.sin(slant)),
        screens=(
            replace(
                curtain(generator, wall),
                growth=Growth.MIDDLE_Y,
                up=int(generator.integers(3, 5)),
                goes=False,
            ),
        ),
    )


def _on_its_way(generator: np.random.Generator) -> Quadruplet | None:
    """Behind the screen the dot goes on through the door: or is where no way leads it."""
    # Rooms that look the same upside down, and a dot that passes the door on one side of it.
    wall = float(np.round(generator.uniform(28, 36) * 16) / 16)
    slant = float(generator.uniform(0.25, 0.5)) * float(generator.choice([-1.0, 1.0]))
    start = 32.0 - np.tan(slant) * (wall - 5) + float(generator.uniform(-2, 2))
    scene = _room_on_its_way(generator, wall=wall, door=32.0, start=start, slant=slant)
    way = scene.way()
    if way[-1, 0] < wall:
        return None
    frames = picture(scene, way)
    return crosswise(_either_way(generator, frames), upside_down)


def _through_the_wall(generator: np.random.Generator) -> Quadruplet | None:
    """Behind the screen the dot comes through the door: or through the wall."""
    door = float(np.round(generator.uniform(12, 23) * 16) / 16)
    wall = float(np.round(generator.uniform(28, 36) * 16) / 16)
    start = door + float(generator.uniform(-2.5, 2.5))
    slant = float(generator.uniform(-0.1, 0.1))
    scene = _room_on_its_way(generator, wall=wall, door=door, start=start, slant=slant)
    way = scene.way()
    if way[-1, 0] < wall:
        return None
    # The same way in rooms whose wall would have stopped it.
    walled = replace(scene, door=64.0 - door)
    if walled.way()[-1, 0] > wall:
        return None
    can, cannot = picture(scene, way), picture(walled, way)
    uncovered = (can != cannot).any((1, 2, 3))
    seen = np.flatnonzero(~scene.hides(way))
    gone = scene.hides(way)
    if not gone.any() or uncovered.sum() < 2 or uncovered[gone.argmax() :].any():
        return None
    # What tells the rooms apart is covered before the dot is there: the rim of the dot on a wall
    # could otherwise be seen to change otherwise than on the floor.
    changes = [np.abs(np.diff(one.astype(int), axis=0)).sum((1, 2, 3)) for one in (can, cannot)]
    if not np.array_equal(*changes) or seen[-1] < gone.argmax():
        return None
    can, cannot = _either_way(
        generator, np.stack([can, cannot]).reshape(-1, SIZE, SIZE, 3)
    ).reshape(2, -1, SIZE, SIZE, 3)
    return Quadruplet(
        possible=(can, np.ascontiguousarray(upside_down(can))),
        impossible=(cannot, np.ascontiguousarray(upside_down(cannot))),
        begins=int(gone.argmax()),
    )


BLOCKS = {
    block.name: block
    for block in (
        Block(
            name="permanence",
            says="what is covered is still there when it is uncovered",
            draw=_any_of(_covered_at_rest, _comes_back),
        ),
        Block(
            name="continuity",
            says="what goes behind a screen comes out on its way, not on another",
            draw=_any_of(_one_screen, _two_screens),
        ),
        Block(
            name="solidity",
            says="a wall that was seen stops things, and where there is none they pass",
            draw=_behind_the_screen,
        ),
        Block(
            name="gravity",
            says="what is let go falls, unless something is under it",
            draw=_let_go,
        ),
        Block(
            name="inertia",
            says="things keep their direction and speed, and pass them on when they meet",
            draw=_any_of(_keeps_going, _keeps_straight, _keeps_speed, _passes_on),
        ),
        Block(
            name="constancy",
            says="things keep their colour and their form",
            draw=_any_of(_keeps_colour, _keeps_form, _form_at_rest),
        ),
        Block(
            name="two_rooms",
            says="out of sight a dot neither jumps nor passes through a wall",
            draw=_any_of(_on_its_way, _through_the_wall),
        ),
    )
}
"""The blocks by name."""

__all__ = ["BLOCKS"]
