"""Mazes of rooms: which doors are open, where the walls stand, and the shortest way through.

Rooms are numbered row by row; doors are numbered with those that are passed sideways first, row by
row, then those that are passed up and down, row by row.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from forethought.types import ForethoughtError
from forethought.worlds.picture import SIZE
from forethought.worlds.walls import Walls

BUCKETS = 5
# Paths keep this far from door posts, so that a step that cuts a corner clears them.
CLEARANCE = 0.75
NO_DOOR = -1


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The geometry that all mazes of a size share: ``r`` rooms, ``m`` places for doors.

    Attributes:
        rooms_per_side: so many rooms across and down.
        wall_thickness: in pixels.
        door_width: in pixels; doors are in the middle of the wall between two rooms.

    Raises:
        ForethoughtError: the rooms are too small for their doors.
    """

    rooms_per_side: int = 5
    wall_thickness: float = 2.0
    door_width: float = 5.5

    def __post_init__(self) -> None:
        room = self.pitch - self.wall_thickness
        if self.rooms_per_side < 2 or room < self.door_width + 2:
            raise ForethoughtError(
                f"rooms_per_side={self.rooms_per_side}: rooms are {room:.1f} pixels wide, at least "
                f"2 x 2 rooms of {self.door_width + 2:.1f} pixels are needed; take fewer rooms, "
                "thinner walls or narrower doors."
            )

    @property
    def pitch(self) -> float:
        """Pixels from one room to the next."""
        return (SIZE - self.wall_thickness) / self.rooms_per_side

    @functools.cached_property
    def door_rooms(self) -> Int[np.ndarray, "m 2"]:
        """The two rooms that each door joins, the left or upper one first."""
        rooms = np.arange(self.rooms_per_side**2).reshape(2 * (self.rooms_per_side,))
        sideways = np.stack([rooms[:, :-1], rooms[:, 1:]], -1).reshape(-1, 2)
        return np.concatenate(
            [sideways, np.stack([rooms[:-1], rooms[1:]], -1).reshape(-1, 2)], axis=0
        )

    @functools.cached_property
    def door_axis(self) -> Int[np.ndarray, " m"]:
        """Along which axis each door is passed: 0 for x, 1 for y."""
        return np.repeat([0, 1], len(self.door_rooms) // 2)

    @functools.cached_property
    def door_middle(self) -> Float[np.ndarray, "m 2"]:
        """The middle of each door, in pixels."""
        return self.room_middle(self.door_rooms).mean(1)

    @functools.cached_property
    def shared_room(self) -> Int[np.ndarray, "m m"]:
        """The room that two doors both lead to; -1 where there is none."""
        mine, others = self.door_rooms[:, None, :, None], self.door_rooms[None, :, None, :]
        return np.where(mine == others, mine, -1).max((2, 3))

    @functools.cached_property
    def legs(self) -> Float[np.ndarray, "m m"]:
        """Pixels from the middle of a door to that of another of the same room; infinite else."""
        gap = np.linalg.norm(self.door_middle[:, None] - self.door_middle, axis=-1)
        return np.where((self.shared_room >= 0) & (gap > 0), gap, np.inf)

    def room_middle(self, room: Int[np.ndarray, "*n"]) -> Float[np.ndarray, "*n 2"]:
        """The middles of rooms, in pixels."""
        cell = np.stack([room % self.rooms_per_side, room // self.rooms_per_side], -1)
        return self.wall_thickness / 2 + (cell + 0.5) * self.pitch

    def room_of(self, position: Float[np.ndarray, "*n 2"]) -> Int[np.ndarray, "*n"]:
        """The rooms of positions; a door belongs to a room up to its middle."""
        cell = np.floor((position - self.wall_thickness / 2) / self.pitch).astype(np.int64)
        cell = np.clip(cell, 0, self.rooms_per_side - 1)
        return cell[..., 0] + self.rooms_per_side * cell[..., 1]

    def room_distances(self, doors: Bool[np.ndarray, " m"]) -> Int[np.ndarray, "r r"]:
        """Doors to pass from each room to each other, at the least."""
        count = self.rooms_per_side**2
        reached = np.eye(count, dtype=bool)
        distance = np.where(reached, 0, count)
        first, second = self.door_rooms[doors].T
        joined = np.eye(count)
        joined[first, second] = joined[second, first] = 1
        for steps in range(1, count):
            reached = reached @ joined > 0
            distance = np.minimum(distance, np.where(reached, steps, count))
            if reached.all():
                break
        return distance

    def walls(self, doors: Bool[np.ndarray, "b m"]) -> Walls:
        """The walls around the rooms, with gaps where doors are open."""
        half = len(self.door_rooms) // 2
        n, copies = self.rooms_per_side, len(doors)
        sideways = doors[:, :half].reshape(copies, n, n - 1)
        upright = self._wall_lines(np.moveaxis(sideways, 2, 1))
        level = self._wall_lines(doors[:, half:].reshape(copies, n - 1, n))
        return Walls(
            low=np.concatenate([upright[..., 0], level[..., ::-1, 0]], axis=1),
            high=np.concatenate([upright[..., 1], level[..., ::-1, 1]], axis=1),
        )

    def _wall_lines(self, gaps: Bool[np.ndarray, "b lines n"]) -> Float[np.ndarray, "b m 2 2"]:
        """Upright walls, two beside each gap: low and high of x, then of y.

        Walls run on into the posts where they cross, and overlap there.
        """
        n, thick, pitch = self.rooms_per_side, self.wall_thickness, self.pitch
        gaps = np.pad(gaps, ((0, 0), (1, 1), (0, 0)))[..., None]
        begin = np.broadcast_to(np.arange(n)[:, None] * pitch, gaps.shape)
        end = begin + pitch + thick
        middle, half = (begin + end) / 2, self.door_width / 2
        low = np.concatenate([begin, np.where(gaps, middle + half, begin)], -1)
        high = np.concatenate([np.where(gaps, middle - half, end), end], -1)
        along = np.stack([low, high], axis=-1)
        lines = np.arange(n + 1)[:, None, None] * pitch
        across = np.broadcast_to(np.stack([lines, lines + thick], -1), along.shape)
        return np.stack([across, along], axis=-2).reshape(len(gaps), -1, 2, 2)


@functools.lru_cache(maxsize=16)
def shared_grid(rooms_per_side: int, wall_thickness: float, door_width: float) -> Grid:
    """One grid for all worlds of the same geometry."""
    return Grid(rooms_per_side=rooms_per_side, wall_thickness=wall_thickness, door_width=door_width)


def draw_doors(
    grid: Grid, extra_share: float, generator: np.random.Generator
) -> Bool[np.ndarray, " m"]:
    """A random spanning tree of the rooms (Kruskal), and a share of the other doors."""
    order = generator.permutation(len(grid.door_rooms))
    tree_of = list(range(grid.rooms_per_side**2))
    doors, others = np.zeros(len(order), bool), []
    for door in order:
        first, second = (tree_of[room] for room in grid.door_rooms[door])
        if first == second:
            others.append(door)
            continue
        doors[door] = True
        tree_of = [first if tree == second else tree for tree in tree_of]
    doors[others[: round(extra_share * len(others))]] = True
    return doors


def layout_hash(doors: Bool[np.ndarray, " m"]) -> str:
    """A name for a layout: BLAKE2 of its door bits."""
    return hashlib.blake2b(np.packbits(doors).tobytes(), digest_size=8).hexdigest()


def held_out(doors: Bool[np.ndarray, " m"]) -> bool:
    """Whether a layout is kept for evaluation: one in five, by its hash."""
    return int(layout_hash(doors), 16) % BUCKETS == 0


# ------------------------------------------------------------------------------- the way


@dataclass(frozen=True, kw_only=True)
class Routes:
    """The shortest ways to one goal in each of ``b`` mazes.

    Which doors to pass is told by the way through their middles; the path through them is then
    pulled taut.

    Attributes:
        grid: the geometry.
        doors: ``(b, m)`` which are open.
        goal: ``(b, 2)``, in pixels.
        length: ``(b, m)`` pixels from the middle of each door to the goal; infinite if closed.
        following: ``(b, m)`` the door to pass after each; -1 where the goal is next.
    """

    grid: Grid
    doors: Bool[np.ndarray, "b m"]
    goal: Float[np.ndarray, "b 2"]
    length: Float[np.ndarray, "b m"]
    following: Int[np.ndarray, "b m"]

    def of(self, index: int, count: int) -> Routes:
        """The routes of copy ``index``, for ``count`` copies."""
        return Routes(
            grid=self.grid,
            **{
                name: np.broadcast_to(value[index], (count, *value.shape[1:]))
                for name, value in (
                    ("doors", self.doors),
                    ("goal", self.goal),
                    ("length", self.length),
                    ("following", self.following),
                )
            },
        )

    def path(
        self, start: Float[np.ndarray, "b 2"], *, num_doors: int, sweeps: int
    ) -> Float[np.ndarray, "b p 2"]:
        """Corners of the path from each start through its next doors, two for each, to the goal.

        Args:
            start: free positions.
            num_doors: doors to look ahead; behind them the path goes straight to the goal, or to
                the middle of the door after them.
            sweeps: times each corner is moved to its best place between its neighbours.
        """
        passed = self._next_doors(start, num_doors + 1)
        low, high = self._gates(start, passed)
        last = np.where(
            (passed[:, -1] >= 0)[:, None], self.grid.door_middle[passed[:, -1]], self.goal
        )
        points = np.concatenate([start[:, None], (low + high) / 2, last[:, None]], axis=1)
        for sweep in range(2 * sweeps):
            own = slice(1 + sweep % 2, -1, 2)
            before, after = points[:, sweep % 2 : -2 : 2], points[:, 2 + sweep % 2 :: 2]
            inner = slice(sweep % 2, None, 2)
            points[:, own] = _tautened(before, after, low[:, inner], high[:, inner])
        return points

    def _next_doors(
        self, start: Float[np.ndarray, "b 2"], count: int
    ) -> Int[np.ndarray, "b count"]:
        """The doors to pass from each start, in order; -1 behind the last."""
        each = np.arange(len(start))
        room, within = self.grid.room_of(start), self._doorway(start)
        leads = (self.grid.door_rooms == room[:, None, None]).any(-1)
        gap = np.linalg.norm(start[:, None] - self.grid.door_middle, axis=-1)
        door = np.where(leads, gap + self.length, np.inf).argmin(1)
        there = room == self.grid.room_of(self.goal)
        door = np.where(within >= 0, within, np.where(there, NO_DOOR, door))
        passed = [door]
        while len(passed) < count:
            door = np.where(door >= 0, self.following[each, door], NO_DOOR)
            passed.append(door)
        return np.stack(passed, axis=1)

    def _doorway(self, position: Float[np.ndarray, "b 2"]) -> Int[np.ndarray, " b"]:
        """The open door in which each position is; -1 for none."""
        grid = self.grid
        gap = np.abs(position[:, None] - grid.door_middle)
        along = np.where(grid.door_axis == 0, gap[..., 0], gap[..., 1])
        beside = np.where(grid.door_axis == 0, gap[..., 1], gap[..., 0])
        within = (along < grid.wall_thickness / 2) & (beside <= grid.door_width / 2)
        within &= self.doors
        return np.where(within.any(1), within.argmax(1), NO_DOOR)

    def _gates(
        self, start: Float[np.ndarray, "b 2"], passed: Int[np.ndarray, "b n"]
    ) -> tuple[Float[np.ndarray, "b c 2"], Float[np.ndarray, "b c 2"]]:
        """Where the path may enter and leave each door but the last; the goal, where no door is.

        A start within the first door has entered it already.
        """
        grid = self.grid
        door, after = passed[:, :-1], passed[:, 1:]
        goal_room = grid.room_of(self.goal)[:, None]
        leads_to = np.where(after >= 0, grid.shared_room[door, after], goal_room)
        forward = np.where(leads_to == grid.door_rooms[door, 1], 1.0, -1.0)
        axis = np.eye(2)[grid.door_axis[door]]
        reach = (1 - axis) * (grid.door_width / 2 - CLEARANCE)
        faces = axis * forward[..., None] * grid.wall_thickness / 2
        middle = grid.door_middle[door][:, :, None] + np.stack([-faces, faces], axis=2)
        low, high = middle - reach[:, :, None], middle + reach[:, :, None]
        none = (door < 0)[..., None, None]
        low, high = (np.where(none, self.goal[:, None, None], part) for part in (low, high))
        entered = (self._doorway(start) >= 0)[:, None]
        low[:, 0, 0] = np.where(entered, start, low[:, 0, 0])
        high[:, 0, 0] = np.where(entered, start, high[:, 0, 0])
        shape = (len(start), -1, 2)
        return low.reshape(shape), high.reshape(shape)


def find_routes(
    grid: Grid, doors: Bool[np.ndarray, "b m"], goal: Float[np.ndarray, "b 2"]
) -> Routes:
    """The shortest way from every door to the goal (Bellman and Ford), in all mazes at once."""
    beside_goal = (grid.door_rooms == grid.room_of(goal)[:, None, None]).any(-1)
    gap = np.linalg.norm(goal[:, None] - grid.door_middle, axis=-1)
    length = np.where(beside_goal & doors, gap, np.inf)
    following = np.full(doors.shape, NO_DOOR)
    while True:
        through = grid.legs + length[:, None, :]
        shorter = (through.min(2) < length - 1e-9) & doors
        if not shorter.any():
            break
        following = np.where(shorter, through.argmin(2), following)
        length = np.where(shorter, through.min(2), length)
    return Routes(grid=grid, doors=doors, goal=goal, length=length, following=following)


def lengths(points: Float[np.ndarray, "b p 2"]) -> Float[np.ndarray, " b"]:
    """Lengths of paths, in pixels."""
    return np.linalg.norm(np.diff(points, axis=1), axis=-1).sum(1)


def step_along(points: Float[np.ndarray, "b p 2"], reach: float) -> Float[np.ndarray, "b 2"]:
    """The displacement to the point of each path that is ``reach`` along it.

    Paths are measured by the larger of their extents along x and y, as pushes are limited, so that
    neither component exceeds ``reach``.
    """
    place, left = points[:, 0], np.full(len(points), reach)
    for corner in np.moveaxis(points[:, 1:], 1, 0):
        gap = corner - place
        extent = np.abs(gap).max(1)
        share = np.minimum(1.0, left / np.maximum(extent, 1e-12))
        place = place + share[:, None] * gap
        left = left - share * extent
    return place - points[:, 0]


def _tautened(
    before: Float[np.ndarray, "b c 2"],
    after: Float[np.ndarray, "b c 2"],
    low: Float[np.ndarray, "b c 2"],
    high: Float[np.ndarray, "b c 2"],
) -> Float[np.ndarray, "b c 2"]:
    """The points of axis-parallel segments that are the least way from one point to another.

    The straight line divides the gap along the segment as it divides the gap across it; mirrored
    at the segment, this holds for two points on the same side as well.
    """
    level = (high[..., 1] - low[..., 1] <= high[..., 0] - low[..., 0])[..., None]
    to, fro = np.abs(low - before), np.abs(low - after)
    to = np.where(level, to[..., 1:], to[..., :1])
    fro = np.where(level, fro[..., 1:], fro[..., :1])
    share = np.where(to + fro > 0, to / np.maximum(to + fro, 1e-12), 0.5)
    return np.clip(before + share * (after - before), low, high)
