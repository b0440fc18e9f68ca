"""The blocks: what is expected of things, and how it is broken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from forethought.evaluation.physics.controls import motion, pixel_difference
from forethought.evaluation.physics.quadruplets import (
    UNSEEN,
    Block,
    Frames,
    Quadruplet,
    Symmetry,
    crosswise,
    mirrored,
    recoloured,
    turned,
    upside_down,
)
from forethought.worlds.physics import RoomScene, Scene, draw, free, picture, simulate, staged

Draw = Callable[[np.random.Generator], Quadruplet | None]
Stage = Callable[[np.random.Generator], Scene]
EXCHANGES = ((1, 0, 2), (2, 1, 0), (0, 2, 1), (1, 2, 0), (2, 0, 1))


# -------------------------------------------------------------------------- how clips are joined


@dataclass(frozen=True, kw_only=True)
class _Shot:
    """A scene as it is seen, and as it would be with no screen before it."""

    frames: Frames
    bare: Frames

    def seen(self, symmetry: Symmetry) -> _Shot:
        """From another side."""
        return _Shot(
            frames=np.ascontiguousarray(symmetry(self.frames)),
            bare=np.ascontiguousarray(symmetry(self.bare)),
        )

    def crosswise(self, symmetry: Symmetry, *, back: bool = False) -> Quadruplet | None:
        """Against its own image; see :func:`crosswise`."""
        return crosswise(self.frames, symmetry, back=back, bare=self.bare)


def _mirror(stage: Stage, *, either_way: bool = False) -> Draw:
    """Scenes against their mirror images; perhaps the image is the one to begin with."""

    def drawn(generator: np.random.Generator) -> Quadruplet | None:
        shot = _shot(stage(generator))
        if shot is None:
            return None
        return (_either_way(generator, shot) if either_way else shot).crosswise(mirrored)

    return drawn


def _lanes(stage: Stage, *, back: bool = False) -> Draw:
    """Scenes against themselves with their two lanes exchanged; perhaps seen from the side."""

    def drawn(generator: np.random.Generator) -> Quadruplet | None:
        shot = _shot(stage(generator))
        if shot is None:
            return None
        shot, side = _perhaps_turned(generator, _either_way(generator, shot))
        return shot.crosswise(mirrored if side else upside_down, back=back)

    return drawn


def _there_or_back(stage: Stage) -> Draw:
    """Scenes in which things cross the picture, against those in which they come from the right."""

    def drawn(generator: np.random.Generator) -> Quadruplet | None:
        shot = _shot(stage(generator))
        if shot is None:
            return None
        shot, side = _perhaps_turned(generator, shot)
        return shot.crosswise(upside_down if side else mirrored)

    return drawn


def _recoloured(generator: np.random.Generator) -> Quadruplet | None:
    """Behind a screen and out of it in the same colour: or in another."""
    scene = staged.any_form(generator)
    order = EXCHANGES[generator.integers(len(EXCHANGES))]
    (thing,) = scene.things
    shot = _shot(scene)
    if shot is None or tuple(thing.colour[i] for i in order) == thing.colour:
        return None
    return _either_way(generator, shot).crosswise(recoloured(order))


def _shot(scene: Scene) -> _Shot | None:
    """A scene as it happens; None where it cannot begin like this."""
    if not free(scene, gap=0.25):
        return None
    motion = simulate(scene)
    return _Shot(frames=draw(scene, motion), bare=draw(replace(scene, screens=()), motion))


def _perhaps_turned(generator: np.random.Generator, shot: _Shot) -> tuple[_Shot, bool]:
    """The same seen from the side, half of the time: for scenes that look alike in both ways."""
    side = bool(generator.random() < 0.5)
    return (shot.seen(turned) if side else shot), side


def _either_way(generator: np.random.Generator, shot: _Shot) -> _Shot:
    """From the left or from the right."""
    return shot.seen(mirrored) if generator.random() < 0.5 else shot


# ------------------------------------------------------------------------------------ two rooms


def _on_its_way(generator: np.random.Generator) -> Quadruplet | None:
    """Behind the screen the dot goes on through the door: or is where no way leads it."""
    scene = staged.past_the_door(generator)
    way = scene.way()
    if way[-1, 0] < scene.wall:
        return None
    return _either_way(generator, _rooms_shot(scene, way)).crosswise(upside_down)


def _through_the_wall(generator: np.random.Generator) -> Quadruplet | None:
    """Behind the screen the dot comes through the door: or through the wall."""
    scene = staged.at_the_door(generator)
    way = scene.way()
    gone = scene.hides(way)
    begins, seen = int(gone.argmax()), np.flatnonzero(~gone)
    if way[-1, 0] < scene.wall or gone.sum() < UNSEEN or seen[-1] < begins:
        return None
    # The same way in rooms whose wall would have stopped it.
    walled = staged.walled(scene)
    if walled.way()[-1, 0] > scene.wall:
        return None
    can, cannot = _rooms_shot(scene, way), _rooms_shot(walled, way)
    uncovered = (can.frames != cannot.frames).any((1, 2, 3))
    # What tells the rooms apart is covered before the dot is near: its rim before a wall could
    # otherwise be seen to change, or to move, otherwise than before the floor.
    if uncovered.sum() < 2 or uncovered[begins:].any() or not _alike(can.frames, cannot.frames):
        return None
    if generator.random() < 0.5:
        can, cannot = can.seen(mirrored), cannot.seen(mirrored)
    return _four(can, cannot, begins=begins)


def _alike(first: Frames, second: Frames) -> bool:
    """Whether all that pixels and their motion say of two clips is the same."""
    both = np.stack([first, second])
    return all(np.array_equal(*said) for said in (pixel_difference(both), *motion(both)))


def _rooms_shot(scene: RoomScene, way: np.ndarray) -> _Shot:
    """A way through rooms, which need not be the one that the dot would take."""
    return _Shot(frames=picture(scene, way), bare=picture(replace(scene, screens=()), way))


def _four(can: _Shot, cannot: _Shot, *, begins: int) -> Quadruplet:
    """A possible and an impossible clip, and both upside down."""
    can_too, cannot_too = can.seen(upside_down), cannot.seen(upside_down)
    return Quadruplet(
        possible=(can.frames, can_too.frames),
        impossible=(cannot.frames, cannot_too.frames),
        begins=begins,
        bare=Quadruplet(
            possible=(can.bare, can_too.bare),
            impossible=(cannot.bare, cannot_too.bare),
            begins=begins,
        ),
    )


BLOCKS = {
    block.name: block
    for block in (
        Block(
            name="permanence",
            says="what is covered is still there when it is uncovered",
            draws=(_mirror(staged.covered), _mirror(staged.comes_back)),
        ),
        Block(
            name="continuity",
            says="what goes behind a screen comes out on its way, not on another",
            draws=(_lanes(staged.in_a_lane), _lanes(staged.two_screens, back=True)),
        ),
        Block(
            name="solidity",
            says="a wall that was seen stops things, and where there is none they pass",
            draws=(_lanes(staged.wall_behind),),
        ),
        Block(
            name="gravity",
            says="what is let go falls, unless something is under it",
            draws=(_mirror(staged.let_go, either_way=True),),
        ),
        Block(
            name="inertia",
            says="things keep their direction and speed, and pass them on when they meet",
            draws=(
                _there_or_back(staged.in_any_lane),
                _lanes(staged.aslant),
                _lanes(staged.slow_and_fast),
                _there_or_back(staged.passed_on),
            ),
        ),
        Block(
            name="constancy",
            says="things keep their colour and their form",
            draws=(_recoloured, _mirror(staged.columns), _mirror(staged.unlike_covered)),
        ),
        Block(
            name="two_rooms",
            says="out of sight a dot neither jumps nor passes through a wall",
            draws=(_on_its_way, _through_the_wall),
        ),
    )
}
"""The blocks by name."""

__all__ = ["BLOCKS"]
