"""The blocks: what is expected of things, and how it is broken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from forethought.evaluation.physics.quadruplets import (
    UNSEEN,
    Block,
    Frames,
    Quadruplet,
    crosswise,
    mirrored,
    recoloured,
    turned,
    upside_down,
)
from forethought.worlds.physics import SIZE, Scene, draw, free, simulate, staged
from forethought.worlds.physics.rooms import picture

Draw = Callable[[np.random.Generator], Quadruplet | None]
Stage = Callable[[np.random.Generator], Scene]
EXCHANGES = ((1, 0, 2), (2, 1, 0), (0, 2, 1), (1, 2, 0), (2, 0, 1))


# -------------------------------------------------------------------------- how clips are joined


def _any_of(*variants: Draw) -> Draw:
    """Each of several ways to show the same, as often."""
    return lambda generator: variants[generator.integers(len(variants))](generator)


def _mirror(stage: Stage, *, either_way: bool = False) -> Draw:
    """Scenes against their mirror images; perhaps the image is the one to begin with."""

    def drawn(generator: np.random.Generator) -> Quadruplet | None:
        frames = _frames(stage(generator))
        if frames is None:
            return None
        return crosswise(_either_way(generator, frames) if either_way else frames, mirrored)

    return drawn


def _lanes(stage: Stage, *, back: bool = False) -> Draw:
    """Scenes against themselves with their two lanes exchanged; perhaps seen from the side."""

    def drawn(generator: np.random.Generator) -> Quadruplet | None:
        frames = _frames(stage(generator))
        if frames is None:
            return None
        frames, side = _perhaps_turned(generator, _either_way(generator, frames))
        return crosswise(frames, mirrored if side else upside_down, back=back)

    return drawn


def _there_or_back(stage: Stage) -> Draw:
    """Scenes in which things cross the picture, against those in which they come from the right."""

    def drawn(generator: np.random.Generator) -> Quadruplet | None:
        frames = _frames(stage(generator))
        if frames is None:
            return None
        frames, side = _perhaps_turned(generator, frames)
        return crosswise(frames, upside_down if side else mirrored)

    return drawn


def _recoloured(generator: np.random.Generator) -> Quadruplet | None:
    """Behind a screen and out of it in the same colour: or in another."""
    scene = staged.any_form(generator)
    order = EXCHANGES[generator.integers(len(EXCHANGES))]
    (thing,) = scene.things
    frames = _frames(scene)
    if frames is None or tuple(thing.colour[i] for i in order) == thing.colour:
        return None
    return crosswise(_either_way(generator, frames), recoloured(order))


def _frames(scene: Scene) -> Frames | None:
    """A scene as it happens; None where it cannot begin like this."""
    return draw(scene, simulate(scene)) if free(scene, gap=0.25) else None


def _perhaps_turned(generator: np.random.Generator, frames: Frames) -> tuple[Frames, bool]:
    """The same seen from the side, half of the time: for scenes that look alike in both ways."""
    side = bool(generator.random() < 0.5)
    return (np.ascontiguousarray(turned(frames)) if side else frames), side


def _either_way(generator: np.random.Generator, frames: Frames) -> Frames:
    """From the left or from the right."""
    return np.ascontiguousarray(mirrored(frames)) if generator.random() < 0.5 else frames


# ------------------------------------------------------------------------------------ two rooms


def _on_its_way(generator: np.random.Generator) -> Quadruplet | None:
    """Behind the screen the dot goes on through the door: or is where no way leads it."""
    scene = staged.past_the_door(generator)
    way = scene.way()
    if way[-1, 0] < scene.wall:
        return None
    frames = picture(scene, way)
    return crosswise(_either_way(generator, frames), upside_down)


def _through_the_wall(generator: np.random.Generator) -> Quadruplet | None:
    """Behind the screen the dot comes through the door: or through the wall."""
    scene = staged.at_the_door(generator)
    way = scene.way()
    if way[-1, 0] < scene.wall:
        return None
    # The same way in rooms whose wall would have stopped it.
    walled = replace(scene, door=64.0 - scene.door)
    if walled.way()[-1, 0] > scene.wall:
        return None
    can, cannot = picture(scene, way), picture(walled, way)
    uncovered = (can != cannot).any((1, 2, 3))
    seen = np.flatnonzero(~scene.hides(way))
    gone = scene.hides(way)
    if gone.sum() < UNSEEN or uncovered.sum() < 2 or uncovered[gone.argmax() :].any():
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
            draw=_any_of(_mirror(staged.covered), _mirror(staged.comes_back)),
        ),
        Block(
            name="continuity",
            says="what goes behind a screen comes out on its way, not on another",
            draw=_any_of(_lanes(staged.in_a_lane), _lanes(staged.two_screens, back=True)),
        ),
        Block(
            name="solidity",
            says="a wall that was seen stops things, and where there is none they pass",
            draw=_lanes(staged.wall_behind),
        ),
        Block(
            name="gravity",
            says="what is let go falls, unless something is under it",
            draw=_mirror(staged.let_go, either_way=True),
        ),
        Block(
            name="inertia",
            says="things keep their direction and speed, and pass them on when they meet",
            draw=_any_of(
                _there_or_back(staged.in_any_lane),
                _lanes(staged.aslant),
                _lanes(staged.slow_and_fast),
                _there_or_back(staged.passed_on),
            ),
        ),
        Block(
            name="constancy",
            says="things keep their colour and their form",
            draw=_any_of(_recoloured, _mirror(staged.columns), _mirror(staged.unlike_covered)),
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
