"""Two rooms whose recordings say in words what came about, as annotated logs do.

What is said of an episode names a place that the dot has come to, in one of several ways, and one
of the places that it could be said to be in: the middle of a room is also in the room. What is
small is rather told than what is large. Some sentences are never said of a recording, and some
places are never named, so that words can be tested that were never heard together.

Positions are in pixels of the 64x64 image, x to the right, y downwards.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from forethought.types import ForethoughtError, Observation, Snapshot
from forethought.worlds.picture import SIZE
from forethought.worlds.two_rooms import FIXED, TwoRooms, TwoRoomsConfig

GOING = (
    "go to",
    "move to",
    "walk to",
    "come to",
    "make for",
    "head over to",
    "find the way to",
    "end up at",
)
"""How it is said that a place is, or was, to be come to."""
ENDS = ("", " and stay there", " and stop")
"""What may be said behind a place."""
HIGH, LOW = ("upper", "top"), ("lower", "bottom")
ROOMS, MIDDLES = ("room", "chamber"), ("middle", "centre")
HELD_OUT = 4
"""One in so many sentences is never said of a recording."""
TRIES = 100
"""Points among which a start is looked for."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A place with names.

    Attributes:
        names: what it is called.
        x: between which it lies.
        y: between which it lies.
        named: whether it is ever named in a recording.
    """

    names: tuple[str, ...]
    x: tuple[float, float]
    y: tuple[float, float]
    named: bool = True

    def holds(self, position: Float[np.ndarray, "n 2"]) -> Bool[np.ndarray, " n"]:
        """Which positions are in it."""
        x, y = position[:, 0], position[:, 1]
        return (self.x[0] <= x) & (x <= self.x[1]) & (self.y[0] <= y) & (y <= self.y[1])

    @property
    def area(self) -> float:
        """Square pixels."""
        return (self.x[1] - self.x[0]) * (self.y[1] - self.y[0])

    def sentences(self, *, held_out: bool) -> list[str]:
        """What may be said of it: those that recordings may say, or those that none does."""
        every = (f"{go} {name}{end}" for go in GOING for name in self.names for end in ENDS)
        return [one for one in every if never_said(one) is held_out]


def never_said(sentence: str) -> bool:
    """Whether no recording says a sentence."""
    return zlib.crc32(sentence.encode()) % HELD_OUT == 0


UNNAMED = (("left", "lower", "right"), ("right", "upper", "left"))
"""Corners that no recording names: room, height and side. All of their words are said of others."""


def places(config: TwoRoomsConfig) -> tuple[Place, ...]:
    """The places of two rooms with a fixed wall: their corners, ends, sides and middles, the rooms
    themselves, and the door.

    Args:
        config: its wall and door must not vary.
    """
    wall, door = config.wall_range[0], config.door_range[0]
    clear = wall - config.wall_half_thickness, wall + config.wall_half_thickness
    rooms = {"left": (config.margin, clear[0]), "right": (clear[1], SIZE - config.margin)}
    found = [one for side, x in rooms.items() for one in _in_room(config, side, x)]
    return (*found, *_at_door(wall, door, clear))


def _in_room(config: TwoRoomsConfig, room: str, x: tuple[float, float]) -> Iterator[Place]:
    thirds = np.linspace(*x, 4).tolist()
    top, high, low, bottom = np.linspace(config.margin, SIZE - config.margin, 4).tolist()
    across = {"left": (thirds[0], thirds[1]), "right": (thirds[2], thirds[3])}
    heights = {"upper": (HIGH, (top, high)), "lower": (LOW, (low, bottom))}
    for height, (said, y) in heights.items():
        for side in across:
            yield Place(
                names=tuple(_corner(room, said, side)),
                x=across[side],
                y=y,
                named=(room, height, side) not in UNNAMED,
            )
        end = (y[0], y[0] + 13) if height == "upper" else (y[1] - 13, y[1])
        yield Place(names=tuple(_of_room((f"the {one} end" for one in said), room)), x=x, y=end)
    for side in across:
        yield Place(
            names=tuple(_of_room((f"the {side} side",), room)), x=across[side], y=(top, bottom)
        )
    middle = tuple(_of_room((f"the {one}" for one in MIDDLES), room))
    yield Place(names=middle, x=(thirds[1], thirds[2]), y=(high, low))
    yield Place(names=tuple(f"the {room} {one}" for one in ROOMS), x=x, y=(top, bottom))


def _corner(room: str, heights: Sequence[str], side: str) -> Iterator[str]:
    for height in heights:
        yield from _of_room((f"the {height} {side} corner",), room)
        for called in ROOMS:
            yield f"the {side} corner at the {height} of the {room} {called}"
            yield f"the {room} {called}, {height} {side} corner"


def _of_room(names: Sequence[str] | Iterator[str], room: str) -> Iterator[str]:
    for name in names:
        for called in ROOMS:
            yield f"{name} of the {room} {called}"
            yield f"{name} in the {room} {called}"


def _at_door(wall: float, door: float, clear: tuple[float, float]) -> Iterator[Place]:
    y = (door - 8, door + 8)
    yield Place(names=("the door", "the doorway"), x=(wall - 8, wall + 8), y=y)
    for side, x in {"left": (clear[0] - 10, clear[0]), "right": (clear[1], clear[1] + 10)}.items():
        names = [
            f"the {side} side of the {one}" if one == "door" else f"the {side} of the {one}"
            for one in ("door", "doorway")
        ]
        beside = [f"a place beside the door in the {side} {one}" for one in ROOMS]
        yield Place(names=(*names, *beside), x=x, y=y)


class TwoRoomsTold(TwoRooms):
    """``num_worlds`` copies in lockstep; implements :class:`forethought.types.Telling`.

    A task is to come to a place that is asked for in words: :meth:`asked`. It succeeds anywhere in
    the place, and :meth:`goal` shows some point of it. Sentences of tasks are never said of
    recordings. Odd seeds start in the room where the place is not.

    Args:
        num_worlds: copies.
        config: geometry; the wall and the door must not vary.
        name: how results call it.
        told_share: share of the episodes of which anything is said.

    Raises:
        ForethoughtError: a wall or a door that varies.
    """

    def __init__(
        self,
        num_worlds: int = 1,
        *,
        config: TwoRoomsConfig = FIXED,
        name: str = "two_rooms_told",
        told_share: float = 0.75,
    ) -> None:
        if len({*config.wall_range}) + len({*config.door_range}) != 2:
            raise ForethoughtError(
                f"places are named in rooms that stay as they are; found wall_range="
                f"{config.wall_range} and door_range={config.door_range}, expected equal ends."
            )
        self.places = places(config)
        self.told_share = told_share
        super().__init__(num_worlds, config=config, name=name)

    def reset(self, seeds: Sequence[int]) -> Observation:
        """See :class:`forethought.types.World`."""
        super().reset(seeds)
        tasks = [self._told_task(seed) for seed in self.seeds]
        self._place, asked, goal, start = zip(*tasks, strict=True)
        self._asked, self._goal, self.position = list(asked), np.array(goal), np.array(start)
        self._across = self.layout.side(self.position) != self.layout.side(self._goal)
        return self.observe()

    def place(self, start: Mapping[str, np.ndarray], goal: Mapping[str, np.ndarray]) -> Observation:
        """See :class:`forethought.types.Placeable`; not here.

        Raises:
            ForethoughtError: always; a task is a place that is asked for in words.
        """
        raise ForethoughtError(
            f"world {self.name!r} cannot be given a recorded goal: its tasks are places asked for "
            "in words. Draw tasks from seeds (DrawnTasks, TasksAtDistance), or measure the run in "
            "'two_rooms'."
        )

    def snapshot(self) -> Snapshot:
        """See :class:`forethought.types.Simulator`."""
        place = np.array([self.places.index(one) for one in self._place])
        return {**super().snapshot(), "place": place, "asked": np.array(self._asked)}

    def restore(self, snapshot: Snapshot) -> None:
        """See :class:`forethought.types.Simulator`."""
        super().restore(snapshot)
        self._place = tuple(self.places[number] for number in snapshot["place"])
        self._asked = snapshot["asked"].tolist()

    def succeeded(self) -> Bool[np.ndarray, " b"]:
        """In the place that is asked for."""
        return np.array(
            [
                place.holds(position[None])[0]
                for place, position in zip(self._place, self.position, strict=True)
            ]
        )

    def groups(self) -> Mapping[str, np.ndarray]:
        """Tasks within a room and across rooms, and those whose place no recording names."""
        unnamed = np.array([not place.named for place in self._place])
        return {**super().groups(), "unnamed": unnamed}

    # ------------------------------------------------------------------ words

    def asked(self) -> list[str]:
        """``b`` sentences that ask for what each copy's goal is; none is said of a recording."""
        return list(self._asked)

    def sought(self) -> list[Place]:
        """``b`` places that these sentences mean."""
        return list(self._place)

    def told(self) -> list[str]:
        """See :class:`forethought.types.Telling`."""
        return [
            self._sentence(np.random.default_rng((seed, 1)), position)
            for seed, position in zip(self.seeds, self.position, strict=True)
        ]

    def _sentence(self, generator: np.random.Generator, position: np.ndarray) -> str:
        if generator.random() >= self.told_share:
            return ""
        around = [one for one in self.places if one.named and one.holds(position[None])[0]]
        small = np.array([1 / one.area for one in around])
        said = around[generator.choice(len(around), p=small / small.sum())]
        said = said.sentences(held_out=False)
        return said[generator.integers(len(said))]

    def _told_task(self, seed: int) -> tuple[Place, str, np.ndarray, np.ndarray]:
        """The place, how it is asked for, a point in it, and the start."""
        generator = np.random.default_rng((seed, 2))
        place = self.places[generator.integers(len(self.places))]
        sentences = place.sentences(held_out=True)
        asked = sentences[generator.integers(len(sentences))]
        goal = self._free(generator, place.x, place.y)
        return place, asked, goal, self._start(generator, place, goal, across=seed % 2 == 1)

    def _start(
        self, generator: np.random.Generator, place: Place, goal: np.ndarray, *, across: bool
    ) -> Float[np.ndarray, " 2"]:
        """A free point out of the place; across where the place is all of a room."""
        points = generator.uniform(self.config.margin, SIZE - self.config.margin, (TRIES, 2))
        layout = self._layout_of(0, TRIES)
        points = points[~layout.blocked(points) & ~place.holds(points)]
        apart = self._layout_of(0, len(points)).side(points) != np.copysign(
            1.0, goal[0] - self.config.wall_range[0]
        )
        return points[(apart != across).argmin()]

    def _free(
        self, generator: np.random.Generator, x: tuple[float, float], y: tuple[float, float]
    ) -> Float[np.ndarray, " 2"]:
        """A free point within bounds."""
        while True:
            point = np.array([generator.uniform(*x), generator.uniform(*y)])
            if not self._layout_of(0, 1).blocked(point[None])[0]:
                return point
