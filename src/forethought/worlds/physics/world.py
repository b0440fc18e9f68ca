"""Clips of what can happen, of every kind, and the world that shows them: one that is only watched.

Most clips are staged, so that something goes out of sight in them (see ``staged``). Of the others
some show rooms, some things that fall, most things that slide and bounce about, with walls in their
way and screens before them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, UInt8

from forethought.types import ActionSpec, ArraySpec, ForethoughtError, Observation, Signature
from forethought.worlds.physics.drawing import draw
from forethought.worlds.physics.rooms import RoomScene, draw_rooms, picture
from forethought.worlds.physics.scene import (
    LENGTH,
    SIZE,
    Bar,
    Growth,
    Scene,
    Screen,
    Thing,
    free,
    hidden,
    simulate,
)
from forethought.worlds.physics.staged import FORMS, GRAVITY, PALETTE, STAGED
from forethought.worlds.picture import CAMERA

CHANCES = {"staged": 0.9, "rooms": 0.03, "falling": 0.02}
"""Shares of the kinds of clips; the others slide."""


@dataclass(frozen=True, kw_only=True)
class Film:
    """A clip, and what is true of the thing that it is about.

    Attributes:
        frames: what is seen.
        position: of its first thing, in pixels.
        velocity: pixels per frame.
        hidden: whether it is out of sight.
    """

    frames: UInt8[np.ndarray, "t 32 32 3"]
    position: Float[np.ndarray, "t 2"]
    velocity: Float[np.ndarray, "t 2"]
    hidden: Bool[np.ndarray, " t"]

    def mirrored(self) -> Film:
        """Left and right exchanged."""
        return replace(
            self,
            frames=np.ascontiguousarray(self.frames[:, :, ::-1]),
            position=self.position * (-1, 1) + (SIZE, 0),
            velocity=self.velocity * (-1, 1),
        )

    def turned(self) -> Film:
        """Rows and columns exchanged."""
        return replace(
            self,
            frames=np.ascontiguousarray(self.frames.swapaxes(1, 2)),
            position=self.position[:, ::-1],
            velocity=self.velocity[:, ::-1],
        )


def film(scene: Scene) -> Film:
    """A scene as it happens."""
    motion = simulate(scene)
    return Film(
        frames=draw(scene, motion),
        position=motion.position[:, 0],
        velocity=motion.velocity[:, 0],
        hidden=hidden(scene, motion)[:, 0],
    )


def film_rooms(scene: RoomScene) -> Film:
    """A way through rooms as it happens."""
    way = scene.way()
    return Film(
        frames=picture(scene, way),
        position=way / 2,
        velocity=np.gradient(way, axis=0) / 2,
        hidden=scene.hides(way),
    )


def possible(seed: int) -> Film:
    """A clip of what can happen; the same seed gives the same clip."""
    generator = np.random.default_rng(seed)
    kind = generator.random()
    if kind < CHANCES["staged"]:
        return draw_staged(generator)
    if kind < CHANCES["staged"] + CHANCES["rooms"]:
        return film_rooms(draw_rooms(generator))
    if kind < CHANCES["staged"] + CHANCES["rooms"] + CHANCES["falling"]:
        return film(draw_falling(generator))
    return film(draw_sliding(generator))


def draw_staged(generator: np.random.Generator) -> Film:
    """A clip in which something goes out of sight, from any side that leaves its physics as it is.

    What falls is mirrored at most; what is seen from above may be turned as well.
    """
    kind = STAGED[generator.integers(len(STAGED))]
    stage = kind[generator.integers(len(kind))]
    mirror, flip, turn = generator.random(3) < 0.5
    scene = stage(generator)
    while isinstance(scene, Scene) and not free(scene, gap=0.25):
        scene = stage(generator)
    seen = film(scene) if isinstance(scene, Scene) else film_rooms(scene)
    if mirror:
        seen = seen.mirrored()
    if isinstance(scene, Scene) and scene.gravity:
        return seen
    if flip:
        seen = seen.turned().mirrored().turned()
    return seen.turned() if turn and isinstance(scene, Scene) else seen


# ------------------------------------------------------------------------------- seen from above


def draw_sliding(generator: np.random.Generator) -> Scene:
    """Things that slide and bounce, or lie still; most set out for a screen, or will be hidden."""
    while True:
        screens = _screens(generator)
        walls = _walls(generator, screens)
        count = int(generator.choice([1, 2, 3], p=[0.45, 0.45, 0.1]))
        things = tuple(_slider(generator, screens) for _ in range(count))
        scene = Scene(things=things, walls=walls, screens=screens)
        if free(scene):
            return scene


def _slider(generator: np.random.Generator, screens: Sequence[Screen]) -> Thing:
    """A thing at rest, or moving along an axis or aslant, often towards a screen."""
    radius = generator.uniform(2.6, 3.6)
    place = generator.uniform(radius + 0.5, SIZE - radius - 0.5, 2)
    speed, heading = generator.uniform(0.9, 2.1), generator.uniform(-np.pi, np.pi)
    way = generator.random()
    if way < 0.2:
        speed = 0.0
    elif way < 0.55:
        heading = generator.integers(4) * np.pi / 2
    if screens and generator.random() < 0.85:
        bar = screens[int(generator.integers(len(screens)))].bar
        aim = generator.uniform(bar.low, bar.high)
        if way < 0.2:
            place = np.clip(aim, radius + 0.5, SIZE - radius - 0.5)
        elif way < 0.55:
            # Along an axis, in a lane that the screen lies in.
            axis = int(generator.integers(2))
            place[1 - axis] = np.clip(aim[1 - axis], radius + 0.5, SIZE - radius - 0.5)
            heading = axis * np.pi / 2 + (np.pi if place[axis] > aim[axis] else 0.0)
        else:
            heading = np.arctan2(aim[1] - place[1], aim[0] - place[0])
    return Thing(
        form=FORMS[generator.integers(len(FORMS))],
        colour=PALETTE[generator.integers(len(PALETTE))],
        radius=radius,
        position=(float(place[0]), float(place[1])),
        velocity=(float(speed * np.cos(heading)), float(speed * np.sin(heading))),
    )


def _screens(generator: np.random.Generator) -> tuple[Screen, ...]:
    """None, one or two screens, each there always or for a while."""
    count = int(generator.choice([0, 1, 2], p=[0.1, 0.6, 0.3]))
    return tuple(_screen(generator) for _ in range(count))


def _screen(generator: np.random.Generator) -> Screen:
    tall = generator.random()
    # Narrow ones hide a thing in part, or for a moment: what is learned there holds for others.
    width = int(generator.integers(3, 17))
    height = SIZE if tall < 0.4 else int(generator.integers(9, 25))
    if generator.random() < 0.25:
        width, height = height, width
    left = int(generator.integers(0, SIZE - width + 1))
    top = int(generator.integers(0, SIZE - height + 1))
    growth, up, goes = Growth.ALWAYS, 0, False
    if generator.random() < 0.6:
        growth = Growth(int(generator.integers(1, 7)))
        up = int(generator.integers(2, 7))
        goes = bool(generator.random() < 0.6)
    bar = Bar(low=(float(left), float(top)), high=(float(left + width), float(top + height)))
    return Screen(bar=bar, growth=growth, up=up, goes=goes)


def _walls(generator: np.random.Generator, screens: Sequence[Screen]) -> tuple[Bar, ...]:
    """Walls, seen from the start; behind a screen that comes later as often as elsewhere."""
    walls = []
    for _ in range(int(generator.choice([0, 1, 2], p=[0.4, 0.4, 0.2]))):
        thick, long = 3.0, float(generator.integers(8, 16))
        size = (thick, long) if generator.random() < 0.75 else (long, thick)
        low = np.array([generator.integers(2, SIZE - 2 - int(side)) for side in size], float)
        later = [one for one in screens if one.growth is not Growth.ALWAYS]
        if later and generator.random() < 0.7:
            bar = later[int(generator.integers(len(later)))].bar
            low = np.clip(
                np.round(generator.uniform(bar.low, bar.high) - np.array(size) / 2), 0, 29
            )
        walls.append(
            Bar(
                low=(float(low[0]), float(low[1])),
                high=(float(low[0] + size[0]), float(low[1] + size[1])),
            )
        )
    # What nobody could have seen is behind no screen that was there from the start.
    return tuple(wall for wall in walls if not any(_always_hides(one, wall) for one in screens))


def _always_hides(screen: Screen, wall: Bar) -> bool:
    """Whether a screen that is always there covers a part of a wall."""
    overlaps = all(
        wall.low[axis] < screen.bar.high[axis] and screen.bar.low[axis] < wall.high[axis]
        for axis in (0, 1)
    )
    return screen.growth is Growth.ALWAYS and overlaps


# ------------------------------------------------------------------------------ seen from the side


def draw_falling(generator: np.random.Generator) -> Scene:
    """Things that are held and let go, or thrown, over platforms and the floor."""
    while True:
        count = int(generator.choice([1, 2], p=[0.35, 0.65]))
        screens = _low_screen(generator)
        platforms = _platforms(generator, screens)
        release = int(generator.integers(3, 12))
        things = tuple(
            _falling(generator, platforms, release if generator.random() < 0.8 else None)
            for _ in range(count)
        )
        scene = Scene(things=things, walls=platforms, screens=screens, gravity=GRAVITY)
        if free(scene):
            return scene


def _falling(
    generator: np.random.Generator, platforms: Sequence[Bar], release: int | None
) -> Thing:
    """Held above a platform or beside one, or thrown."""
    radius = generator.uniform(2.6, 3.6)
    place = np.array([generator.uniform(4, SIZE - 4), generator.uniform(6, 16)])
    if platforms and generator.random() < 0.6:
        bar = platforms[int(generator.integers(len(platforms)))]
        place[0] = generator.uniform(bar.low[0] - 2, bar.high[0] + 2)
        place[1] = bar.low[1] - radius - generator.uniform(0.6, 5)
    velocity = (0.0, 0.0)
    if release is None:
        velocity = (generator.uniform(-1.2, 1.2), generator.uniform(-2.2, 0.5))
    return Thing(
        form=FORMS[generator.integers(2)],
        colour=PALETTE[generator.integers(len(PALETTE))],
        radius=radius,
        position=(float(place[0]), float(place[1])),
        velocity=velocity,
        held_until=release or 0,
    )


def _low_screen(generator: np.random.Generator) -> tuple[Screen, ...]:
    """Mostly one that hides the lower part of the picture."""
    if generator.random() < 0.2:
        return ()
    top = int(generator.integers(12, 24))
    left, right = 0, SIZE
    if generator.random() < 0.3:
        left = int(generator.integers(0, 12))
        right = left + int(generator.integers(10, SIZE - left + 1))
    up, goes = int(generator.integers(2, 7)), bool(generator.random() < 0.3)
    growth = Growth(int(generator.integers(1, 7))) if generator.random() < 0.9 else Growth.ALWAYS
    bar = Bar(low=(float(left), float(top)), high=(float(right), float(SIZE)))
    return (Screen(bar=bar, growth=growth, up=up, goes=goes),)


def _platforms(generator: np.random.Generator, screens: Sequence[Screen]) -> tuple[Bar, ...]:
    """Up to two, mostly just under the upper edge of the screen that will hide them."""
    walls = []
    for _ in range(int(generator.choice([0, 1, 2], p=[0.15, 0.55, 0.3]))):
        width = int(generator.integers(7, 14))
        left = int(generator.integers(0, SIZE - width + 1))
        top = int(generator.integers(12, 25))
        if screens and generator.random() < 0.7:
            top = min(int(screens[0].bar.low[1]) + int(generator.integers(0, 4)), 25)
        walls.append(Bar(low=(float(left), float(top)), high=(float(left + width), top + 3.0)))
    return tuple(wall for wall in walls if not any(_always_hides(one, wall) for one in screens))


# -------------------------------------------------------------------------------------- the world


class Physics:
    """``num_worlds`` clips side by side; implements :class:`forethought.types.World`.

    There is nothing to be done in it: the one action is of no effect, and there is no goal.

    Args:
        num_worlds: clips.
    """

    name = "physics"

    def __init__(self, num_worlds: int = 1) -> None:
        self.num_worlds = num_worlds
        self.signature = Signature(
            observation={CAMERA: ArraySpec(shape=(SIZE, SIZE, 3), dtype="uint8")},
            action=ActionSpec(dim=1, low=(-1.0,), high=(1.0,), names=("nothing",)),
            rate_hz=10.0,
        )
        self.reset(range(num_worlds))

    def reset(self, seeds: Sequence[int]) -> Observation:
        """See :class:`forethought.types.World`."""
        self.seeds, self.num_worlds, self._steps = tuple(map(int, seeds)), len(seeds), 0
        self._films = [possible(seed) for seed in self.seeds]
        return self.observe()

    def step(self, actions: np.ndarray) -> Observation:
        """See :class:`forethought.types.World`.

        The action on the last frame is taken, and the picture stays.

        Raises:
            ForethoughtError: a step behind the end of the clips.
        """
        if self._steps == LENGTH:
            raise ForethoughtError(
                f"world 'physics': clips of {LENGTH} frames are over, and another step was asked "
                f"for; record with --length {LENGTH} or less, or reset the world."
            )
        self._steps += 1
        return self.observe()

    def observe(self) -> Observation:
        """See :class:`forethought.types.World`."""
        return {CAMERA: np.stack([one.frames[self._frame()] for one in self._films])}

    def goal(self) -> Observation:
        """The last frames: there is nothing to be reached."""
        return {CAMERA: np.stack([one.frames[-1] for one in self._films])}

    def succeeded(self) -> Bool[np.ndarray, " b"]:
        """Never: there is nothing to succeed in."""
        return np.zeros(self.num_worlds, bool)

    def truth(self) -> Mapping[str, np.ndarray]:
        """Of the first thing of a clip: where, how fast (per frame), and whether out of sight."""
        now = self._frame()
        rows = [
            (*one.position[now], *one.velocity[now], float(one.hidden[now])) for one in self._films
        ]
        names = ("position.x", "position.y", "velocity.x", "velocity.y", "hidden")
        return dict(zip(names, np.array(rows).T, strict=True))

    def goal_truth(self) -> Mapping[str, np.ndarray]:
        """Nothing."""
        return {}

    def groups(self) -> Mapping[str, np.ndarray]:
        """No kinds of tasks."""
        return {}

    def oracle(self) -> np.ndarray:
        """Does nothing."""
        return np.zeros((self.num_worlds, 1), np.float32)

    def path_length(self) -> np.ndarray:
        """Unknown."""
        return np.full(self.num_worlds, np.nan)

    def explore(self, seed: int) -> Callable[[Observation], np.ndarray]:
        """Watches."""
        return lambda observation: self.oracle()

    def _frame(self) -> int:
        return min(self._steps, LENGTH - 1)
