"""Where the tasks of a protocol come from: drawn by the world, at chosen distances, or recorded.

Each is a small frozen object with a method that draws tasks from a seed. A task that is drawn can
be begun again and again, so that whoever is compared does the very same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from jaxtyping import Bool, Float, Int

from forethought.data.record import TRUTH
from forethought.data.store import Dataset
from forethought.types import ForethoughtError, Observation, Placeable, World

TRIES = 20
"""Times that as many tasks as are wanted are drawn, to find those whose start is not their goal."""
FAR_TRIES = 200
"""The same where tasks of some distances are sought among all."""


@dataclass(frozen=True, kw_only=True)
class TaskSet:
    """Tasks, one for each copy of a world.

    Attributes:
        seeds: that each copy is reset with.
        solved: ``(b,)`` starts that satisfy their goal already, and were kept.
        bands: ``(b,)`` masks of tasks that are reported apart by how far their goals are; empty
            where that is told by their path length alone.
        held_out: whether no training saw what they are made of.
        start: quantities that the copies are put to, ``(b,)`` each; empty for as the seed says.
        goal: those at the goals.
        origins: episode and row of each recorded start; empty for tasks that are drawn.
    """

    seeds: tuple[int, ...]
    solved: Bool[np.ndarray, " b"]
    bands: Mapping[str, Bool[np.ndarray, " b"]] = field(default_factory=dict)
    held_out: bool = True
    start: Mapping[str, np.ndarray] = field(default_factory=dict)
    goal: Mapping[str, np.ndarray] = field(default_factory=dict)
    origins: tuple[tuple[int, int], ...] = ()

    def begin(self, world: World) -> Observation:
        """Puts the copies of a world to the starts of the tasks; returns what they see."""
        observation = world.reset(self.seeds)
        if not self.start:
            return observation
        return _placeable(world).place(self.start, self.goal)


class Tasks(Protocol):
    """Where tasks come from; a frozen dataclass."""

    def draw(self, world: World, *, count: int, seed: int) -> TaskSet:
        """So many tasks, the same ones for the same seed.

        Args:
            world: that they are for; it is reset.
            count: how many.
            seed: they are drawn from seeds from here on.

        Raises:
            ForethoughtError: there are too few.
        """
        ...

    def to_json(self) -> dict[str, Any]:
        """What they are, as JSON types: results are compared only where this is the same."""
        ...


@dataclass(frozen=True, kw_only=True)
class DrawnTasks:
    """Tasks as the world draws them, but for those whose start satisfies the goal."""

    def draw(self, world: World, *, count: int, seed: int) -> TaskSet:
        """See :class:`Tasks`."""
        seeds: list[int] = []
        for first in range(seed, seed + TRIES * count, count):
            candidates = range(first, first + count)
            world.reset(candidates)
            unsolved = ~np.asarray(world.succeeded())
            seeds += [one for one, is_open in zip(candidates, unsolved, strict=True) if is_open]
            if len(seeds) >= count:
                return TaskSet(seeds=tuple(seeds[:count]), solved=np.zeros(count, bool))
        raise ForethoughtError(
            f"world {world.name!r}: of {TRIES * count} tasks only {len(seeds)} start away from "
            "their goal; its tasks are too easy to measure anything. Tighten its success rule."
        )

    def to_json(self) -> dict[str, Any]:
        """See :class:`Tasks`."""
        return {"from": "seeds"}


@dataclass(frozen=True, kw_only=True)
class TasksAtDistance:
    """Tasks whose goals are so many world steps away by the true path; as many of each distance.

    Attributes:
        distances: world steps of the shortest path.
        tolerance: world steps by which a path may be shorter or longer.
    """

    distances: tuple[float, ...] = (25, 50, 75, 100)
    tolerance: float = 5.0

    def draw(self, world: World, *, count: int, seed: int) -> TaskSet:
        """See :class:`Tasks`; tasks that the world draws are sifted."""
        if not self.distances or min(self.distances) <= 0 or self.tolerance <= 0:
            raise ForethoughtError(
                f"distances={self.distances}, tolerance={self.tolerance}: give world steps above 0."
            )
        wanted = _shares(count, len(self.distances))
        found: list[list[int]] = [[] for _ in self.distances]
        farthest = 0.0
        for first in range(seed, seed + FAR_TRIES * count, count):
            candidates = range(first, first + count)
            lengths = self._lengths(world, candidates)
            farthest = max(farthest, float(lengths.max()))
            for kept, distance, number in zip(found, self.distances, wanted, strict=True):
                near = np.abs(lengths - distance) <= self.tolerance
                free = [s for s, fits in zip(candidates, near, strict=True) if fits]
                free = [s for s in free if not any(s in other for other in found)]
                kept += free[: number - len(kept)]
            if all(len(kept) == number for kept, number in zip(found, wanted, strict=True)):
                return self._set(found)
        shortage = ", ".join(
            f"{len(kept)} of {number} at {distance:g} steps"
            for kept, number, distance in zip(found, wanted, self.distances, strict=True)
        )
        raise ForethoughtError(
            f"world {world.name!r}: of {FAR_TRIES * count} tasks there are {shortage}; the "
            f"farthest goal is {farthest:g} steps away. Ask for distances that there are, or for "
            "fewer episodes."
        )

    def _lengths(self, world: World, seeds: Sequence[int]) -> Float[np.ndarray, " b"]:
        """Of the paths of tasks; -1 where they are solved already."""
        world.reset(seeds)
        lengths = np.asarray(world.path_length(), np.float64)
        if np.isnan(lengths).any():
            raise ForethoughtError(
                f"world {world.name!r} does not know how long its paths are, so that tasks cannot "
                "be chosen by them. Leave the distances out, or take tasks from recordings "
                "(RecordedTasks, --steps)."
            )
        return np.where(world.succeeded(), -1.0, lengths)

    def _set(self, found: Sequence[Sequence[int]]) -> TaskSet:
        seeds = np.sort(np.concatenate([np.array(one, np.int64) for one in found]))
        bands = {
            f"{distance:g} steps": np.isin(seeds, kept)
            for distance, kept in zip(self.distances, found, strict=True)
        }
        solved = np.zeros(len(seeds), bool)
        return TaskSet(seeds=tuple(seeds.tolist()), solved=solved, bands=bands)

    def to_json(self) -> dict[str, Any]:
        """See :class:`Tasks`."""
        return {
            "from": "seeds",
            "distances": list(self.distances),
            "tolerance": self.tolerance,
        }


@dataclass(frozen=True, kw_only=True)
class RecordedTasks:
    """Tasks from recordings: a moment of an episode, and what it had come to some steps later.

    That it can be done in so many steps is shown by the recording; how many it takes is less.

    Attributes:
        data: episodes of a simulated world, with its truth.
        episodes: those that tasks are taken from: what training held out, for honest figures; None
            for all, those that were trained on too.
        steps: world steps between start and goal; as many tasks of each.
        keep_solved: leave in starts that satisfy their goal already.
    """

    data: Dataset
    episodes: tuple[int, ...] | None
    steps: tuple[int, ...] = (25,)
    keep_solved: bool = False

    def draw(self, world: World, *, count: int, seed: int) -> TaskSet:
        """See :class:`Tasks`; the world must be a :class:`forethought.types.Placeable`."""
        _placeable(world)
        if TRUTH not in self.data.signature.observation:
            raise ForethoughtError(
                f"{self.data.path}: tasks are taken from recordings that hold {TRUTH!r}, found "
                f"{sorted(self.data.signature.observation)}. Record the world with `forethought "
                "record`, or draw tasks from seeds."
            )
        moments = _Moments(self.data, self.episodes)
        generator = np.random.default_rng(seed)
        parts = [
            self._drawn(world, moments, number, steps, seed, generator)
            for steps, number in zip(self.steps, _shares(count, len(self.steps)), strict=True)
        ]
        rows = np.concatenate([chosen for chosen, _ in parts])
        later = np.repeat(self.steps, [len(chosen) for chosen, _ in parts])
        return TaskSet(
            seeds=tuple(range(seed, seed + count)),
            solved=np.concatenate([solved for _, solved in parts]),
            bands={f"{steps} steps": later == steps for steps in self.steps},
            held_out=self.episodes is not None,
            start=moments.truth(rows),
            goal=moments.truth(rows + later),
            origins=tuple(map(tuple, moments.origins(rows).tolist())),
        )

    def _drawn(
        self,
        world: World,
        moments: _Moments,
        count: int,
        steps: int,
        seed: int,
        generator: np.random.Generator,
    ) -> tuple[Int[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
        """Rows at which tasks start, in order, and whether they are solved there."""
        rows = moments.with_later(steps)
        if len(rows) < count:
            raise ForethoughtError(
                f"{self.data.path}: {len(rows)} moments have another {steps} steps later in their "
                f"episode, expected {count} or more. Ask for fewer steps or episodes, or record "
                "longer ones."
            )
        if self.keep_solved:
            chosen = np.sort(generator.choice(rows, count, replace=False))
            return chosen, self._solved(world, moments, chosen, steps, seed)
        order = generator.permutation(rows)
        found = np.zeros(0, np.int64)
        for first in range(0, min(len(order), TRIES * count), count):
            some = order[first : first + count]
            found = np.append(found, some[~self._solved(world, moments, some, steps, seed)])
            if len(found) >= count:
                return np.sort(found[:count]), np.zeros(count, bool)
        raise ForethoughtError(
            f"{self.data.path}: of the moments tried only {len(found)} have not yet come to where "
            f"they are {steps} steps later, expected {count}. Ask for more steps or fewer episodes."
        )

    def _solved(
        self, world: World, moments: _Moments, rows: Int[np.ndarray, " n"], steps: int, seed: int
    ) -> Bool[np.ndarray, " n"]:
        world.reset(range(seed, seed + len(rows)))
        _placeable(world).place(moments.truth(rows), moments.truth(rows + steps))
        return np.asarray(world.succeeded()).copy()

    def to_json(self) -> dict[str, Any]:
        """See :class:`Tasks`."""
        return {
            "from": self.data.path.name,
            "recorded": dict(self.data.origin),
            "episodes": None if self.episodes is None else list(self.episodes),
            "steps": list(self.steps),
            "keep_solved": self.keep_solved,
        }


class _Moments:
    """The truth of recorded episodes, row by row, one after another."""

    def __init__(self, data: Dataset, episodes: Sequence[int] | None) -> None:
        arrays = data.load(episodes, keys=[TRUTH])
        self._values = arrays.observation[TRUTH].numpy()
        self._names = arrays.signature.observation[TRUTH].names
        self._first = arrays.offsets.numpy()
        self._episodes = np.array(arrays.episodes)
        self._episode = np.repeat(np.arange(len(self._episodes)), arrays.lengths.numpy())

    def with_later(self, steps: int) -> Int[np.ndarray, " n"]:
        """Rows with another one so many steps later in their episode."""
        rows = np.arange(len(self._values))
        return rows[rows + steps < self._first[self._episode + 1]]

    def truth(self, rows: Int[np.ndarray, " n"]) -> dict[str, Float[np.ndarray, " n"]]:
        """Quantities by name."""
        return {name: self._values[rows, i] for i, name in enumerate(self._names)}

    def origins(self, rows: Int[np.ndarray, " n"]) -> Int[np.ndarray, "n 2"]:
        """Episode, and row in it."""
        episode = self._episode[rows]
        return np.stack([self._episodes[episode], rows - self._first[episode]], axis=1)


def _placeable(world: World) -> Placeable:
    if not isinstance(world, Placeable):
        raise ForethoughtError(
            f"world {world.name!r} cannot be put into a recorded state (it is no "
            "forethought.types.Placeable). Draw tasks from seeds: DrawnTasks, TasksAtDistance."
        )
    return world


def _shares(count: int, parts: int) -> list[int]:
    """So many, split as evenly as can be."""
    return [count // parts + (i < count % parts) for i in range(parts)]
