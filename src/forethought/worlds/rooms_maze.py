"""A maze of rooms with a door here and there, and a dot that can be pushed about: where the goal is
far, the way leads through many rooms, and most of them lie off the straight line.

Positions are in pixels of the 64x64 image, x to the right, y downwards. Each episode has its own
maze, unless told otherwise (:data:`ONE`). Layouts are held out: one in five, told by a hash of its
doors, is met only in tasks whose seed is :data:`HELD_OUT_SEEDS` or more, which is where evaluation
begins, and never in recordings.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from forethought.types import (
    ActionSpec,
    ArraySpec,
    ForethoughtError,
    Observation,
    Signature,
    Snapshot,
)
from forethought.worlds.maze_layout import (
    Grid,
    Routes,
    draw_doors,
    find_routes,
    held_out,
    lengths,
    shared_grid,
    step_along,
)
from forethought.worlds.picture import CAMERA, SIZE, dot, paint
from forethought.worlds.walking import Walkers
from forethought.worlds.walls import Walls

HELD_OUT_SEEDS = 1_000_000
"""Tasks of this seed or more have layouts that no recording shows."""

BANDS = {"near": (1, 2), "middle": (3, 5), "far": (6, 10**9)}
"""Doors between start and goal, at least and at most; they rotate with the seed."""


@dataclass(frozen=True, kw_only=True)
class RoomsMazeConfig:
    """Geometry and behaviour, in pixels.

    Attributes:
        rooms_per_side: so many rooms across and down; at least 4, for goals that are far.
        wall_thickness: of all walls.
        door_width: of all doors, which are in the middle of the wall between two rooms.
        extra_doors: share of the walls which the spanning tree leaves that get a door as well.
        max_step: largest displacement along each axis in one world step.
        dot_sigma: of the Gaussian that draws the dot.
        goal_radius: a goal counts as reached within this distance.
        clear: how far starts and goals are from walls; with ``wall_thickness`` more than
            ``goal_radius``, so that no goal is reached through a wall.
        door_share: share of the headings, while exploring, that aim at a door of the present room
            and through it.
        layout: seed of the one layout that all episodes have, recorded and not; None for another
            in each episode.
        start_room: where all episodes begin, recorded and not, counted row by row from the upper
            left; None for anywhere.

    Raises:
        ForethoughtError: the dot could pass a wall in one step, a goal could be reached through
            one, no goal could be far, or there is no such room.
    """

    rooms_per_side: int = 5
    wall_thickness: float = 4.0
    door_width: float = 5.5
    extra_doors: float = 0.15
    max_step: float = 1.0
    dot_sigma: float = 1.7
    goal_radius: float = 3.0
    clear: float = 1.25
    door_share: float = 0.75
    layout: int | None = None
    start_room: int | None = None

    def __post_init__(self) -> None:
        if self.max_step >= self.wall_thickness:
            raise ForethoughtError(
                f"max_step={self.max_step} passes walls of wall_thickness={self.wall_thickness} in "
                "one step; take a shorter step or thicker walls."
            )
        if self.goal_radius >= self.wall_thickness + self.clear:
            raise ForethoughtError(
                f"goal_radius={self.goal_radius} reaches through walls of wall_thickness="
                f"{self.wall_thickness} to goals clear={self.clear} behind them; take a smaller "
                "radius."
            )
        if self.rooms_per_side < 4:
            raise ForethoughtError(
                f"rooms_per_side={self.rooms_per_side}: at least 4 are needed for goals that are "
                "far; for fewer rooms take two_rooms."
            )
        if self.start_room is not None and not 0 <= self.start_room < self.rooms_per_side**2:
            raise ForethoughtError(
                f"start_room={self.start_room}: there are rooms 0 to {self.rooms_per_side**2 - 1}."
            )
        if self.layout is not None:
            doors = self.draw(np.random.default_rng())
            for band in BANDS:
                if not len(self.pairs(doors, band)):
                    raise ForethoughtError(
                        f"layout={self.layout} has no goals that are {band} of start_room="
                        f"{self.start_room}; take another layout, or begin elsewhere."
                    )

    @property
    def grid(self) -> Grid:
        """The geometry that all layouts share."""
        return shared_grid(self.rooms_per_side, self.wall_thickness, self.door_width)

    def draw(self, generator: np.random.Generator) -> Bool[np.ndarray, " m"]:
        """Open doors of the one layout, or of the next that is drawn."""
        fixed = self.layout is not None
        return draw_doors(
            self.grid, self.extra_doors, np.random.default_rng(self.layout) if fixed else generator
        )

    def pairs(self, doors: Bool[np.ndarray, " m"], band: str) -> Int[np.ndarray, "n 2"]:
        """Rooms to begin in and rooms to reach that are as far apart as a band says."""
        least, most = BANDS[band]
        distances = self.grid.room_distances(doors)
        pairs = np.argwhere((distances >= least) & (distances <= most))
        return pairs if self.start_room is None else pairs[pairs[:, 0] == self.start_room]


ONE = RoomsMazeConfig(layout=0, start_room=0)
"""One maze for all episodes, all of which begin in its corner: a world to be explored."""


class RoomsMaze:
    """``num_worlds`` copies in lockstep; implements :class:`forethought.types.World`.

    Args:
        num_worlds: copies.
        config: geometry.
        name: how results call it.
    """

    def __init__(
        self,
        num_worlds: int = 1,
        *,
        config: RoomsMazeConfig | None = None,
        name: str = "rooms_maze",
    ) -> None:
        self.name = name
        self.config = config or RoomsMazeConfig()
        self.num_worlds = num_worlds
        self.signature = Signature(
            observation={CAMERA: ArraySpec(shape=(SIZE, SIZE, 3), dtype="uint8")},
            action=ActionSpec(
                dim=2,
                low=(-self.config.max_step,) * 2,
                high=(self.config.max_step,) * 2,
                names=("step.x", "step.y"),
            ),
            rate_hz=10.0,
        )
        self._dot = dot(self.config.dot_sigma)
        self.reset(range(num_worlds))

    # ------------------------------------------------------------------ the contract

    def reset(self, seeds: Sequence[int]) -> Observation:
        """See :class:`forethought.types.World`."""
        self.num_worlds = len(seeds)
        self.seeds = tuple(int(seed) for seed in seeds)
        self._begin([_task(self.config, seed, seed >= HELD_OUT_SEEDS) for seed in self.seeds])
        return self.observe()

    def step(self, actions: np.ndarray) -> Observation:
        """See :class:`forethought.types.World`."""
        self.advance(actions)
        return self.observe()

    def advance(self, actions: np.ndarray) -> None:
        """See :class:`forethought.types.Simulator`."""
        limit = self.config.max_step
        push = np.clip(np.asarray(actions, np.float64), -limit, limit)
        self.position = self.walls.slide(self.position, push)

    def snapshot(self) -> Snapshot:
        """See :class:`forethought.types.Simulator`."""
        return {
            "seed": np.array(self.seeds),
            "doors": self.doors.copy(),
            "position": self.position.copy(),
            "goal": self._goal.copy(),
            "band": np.array(self._bands),
            "walls.low": np.array(self.walls.low),
            "walls.high": np.array(self.walls.high),
            "background": self._background.copy(),
        }

    def restore(self, snapshot: Snapshot) -> None:
        """See :class:`forethought.types.Simulator`."""
        self.num_worlds = len(snapshot["position"])
        self.seeds = tuple(snapshot["seed"].tolist())
        self.doors, self.position = snapshot["doors"], snapshot["position"].copy()
        self._goal, self._bands = snapshot["goal"], snapshot["band"].tolist()
        self.walls = Walls(low=snapshot["walls.low"], high=snapshot["walls.high"])
        self._background = snapshot["background"]
        self.__dict__.pop("_routes", None)

    def observe(self) -> Observation:
        """See :class:`forethought.types.World`."""
        return {CAMERA: self._pictures(self._background, self.position)}

    def goal(self) -> Observation:
        """See :class:`forethought.types.World`."""
        return {CAMERA: self._pictures(self._background, self._goal)}

    def succeeded(self) -> Bool[np.ndarray, " b"]:
        """Within ``goal_radius`` of the goal."""
        return np.linalg.norm(self.position - self._goal, axis=1) < self.config.goal_radius

    def truth(self) -> Mapping[str, np.ndarray]:
        """Positions in pixels."""
        return {
            "position.x": self.position[:, 0].copy(),
            "position.y": self.position[:, 1].copy(),
        }

    def goal_truth(self) -> Mapping[str, np.ndarray]:
        """Where the goal is, in pixels."""
        return {"position.x": self._goal[:, 0].copy(), "position.y": self._goal[:, 1].copy()}

    def groups(self) -> Mapping[str, np.ndarray]:
        """Tasks by the doors between start and goal: 1 or 2, 3 to 5, 6 or more."""
        return {name: np.array([own == name for own in self._bands]) for name in BANDS}

    def oracle(self) -> np.ndarray:
        """Walks the shortest path."""
        path = self._routes.path(self.position, num_doors=3, sweeps=6)
        return step_along(path, self.config.max_step).astype(np.float32)

    def path_length(self) -> np.ndarray:
        """World steps of the shortest path to within the goal's radius.

        An action moves ``max_step`` along each axis, so diagonals are faster; the oracle's own
        number of steps is counted on a copy.
        """
        kept, steps = self.position, np.zeros(self.num_worlds)
        try:
            # Longer than any way through all rooms.
            for _ in range(int(self.config.rooms_per_side**2 * 2 * SIZE / self.config.max_step)):
                away = ~self.succeeded()
                if not away.any():
                    break
                moved = self.walls.slide(self.position, self.oracle().astype(np.float64))
                self.position = np.where(away[:, None], moved, self.position)
                steps += away
        finally:
            self.position = kept
        return steps

    def explore(self, seed: int) -> Callable[[Observation], np.ndarray]:
        """Persistent, noisy random walks from anywhere, each copy by its own generator.

        A share ``door_share`` of new headings aims through a door of the present room; it comes
        from the world, not from a goal. Copies whose layout is held out get another one first.
        """
        self._begin([_task(self.config, own, False) for own in self.seeds])
        return _Walkers(self, seed).act

    # ------------------------------------------------------------------ for pictures

    def images_at(
        self, index: int, points: Float[np.ndarray, "n 2"]
    ) -> UInt8[np.ndarray, "n 64 64 3"]:
        """What the camera would see with the dot at each point, in copy ``index``'s layout."""
        ground = np.broadcast_to(self._background[index], (len(points), SIZE, SIZE, 3))
        return self._pictures(ground, points)

    def lengths_from(
        self, index: int, points: Float[np.ndarray, "n 2"], goal: Float[np.ndarray, " 2"]
    ) -> Float[np.ndarray, " n"]:
        """Shortest paths in pixels from points to a goal, in copy ``index``'s layout."""
        routes = find_routes(self.config.grid, self.doors[index : index + 1], np.array(goal)[None])
        longest = self.config.rooms_per_side**2
        paths = routes.of(0, len(points)).path(points, num_doors=longest, sweeps=40)
        return lengths(paths)

    def free_grid(self, index: int, spacing: float = 2.0) -> Float[np.ndarray, "n 2"]:
        """A grid of the free positions of copy ``index``."""
        ticks = np.arange(spacing / 2, SIZE, spacing)
        points = np.stack(np.meshgrid(ticks, ticks), -1).reshape(-1, 2)
        return points[~self.walls.of(index, len(points)).blocked(points)]

    # ------------------------------------------------------------------ inside

    def _begin(self, tasks: Sequence[_Task]) -> None:
        self.doors = np.stack([task.doors for task in tasks])
        self.position = np.stack([task.start for task in tasks])
        self._goal = np.stack([task.goal for task in tasks])
        self._bands = [task.band for task in tasks]
        self.walls = self.config.grid.walls(self.doors)
        self._background = self.walls.background()
        self.__dict__.pop("_routes", None)

    def _pictures(
        self, ground: UInt8[np.ndarray, "n 64 64 3"], at: Float[np.ndarray, "n 2"]
    ) -> UInt8[np.ndarray, "n 64 64 3"]:
        images = ground.copy()
        paint(images, self._dot, at)
        return images

    @functools.cached_property
    def _routes(self) -> Routes:
        """Found when first asked for; recordings need none."""
        return find_routes(self.config.grid, self.doors, self._goal)


@dataclass(frozen=True, kw_only=True)
class _Task:
    doors: Bool[np.ndarray, " m"]
    start: Float[np.ndarray, " 2"]
    goal: Float[np.ndarray, " 2"]
    band: str


def _task(config: RoomsMazeConfig, seed: int, keep_held_out: bool) -> _Task:
    """The layout, start and goal of a seed; layouts are redrawn until they are of the kind wanted
    and have rooms as far apart as wanted.
    """
    generator = np.random.default_rng(seed)
    band = list(BANDS)[seed % len(BANDS)]
    while True:
        doors = config.draw(generator)
        if config.layout is None and held_out(doors) != keep_held_out:
            continue
        pairs = config.pairs(doors, band)
        if len(pairs):
            break
    start, goal = (
        _anywhere(config, room, generator) for room in pairs[generator.integers(len(pairs))]
    )
    return _Task(doors=doors, start=start, goal=goal, band=band)


def _anywhere(
    config: RoomsMazeConfig, room: int | np.integer, generator: np.random.Generator
) -> Float[np.ndarray, " 2"]:
    """A place in a room, clear of its walls."""
    half = (config.grid.pitch - config.wall_thickness) / 2 - config.clear
    return config.grid.room_middle(np.asarray(room)) + generator.uniform(-half, half, 2)


class _Walkers(Walkers):
    """A share of the walkers seeks a door of the present room, until it turns or has passed it."""

    SPEEDS = (0.6, 1.7)
    BEYOND = 4.0

    def __init__(self, world: RoomsMaze, seed: int) -> None:
        super().__init__(seed, world.seeds, world.config.max_step)
        self.world = world
        config, rooms = world.config, range(world.config.rooms_per_side**2)
        if config.start_room is not None:
            rooms = range(config.start_room, config.start_room + 1)
        world.position = np.stack(
            [_anywhere(config, g.integers(rooms.start, rooms.stop), g) for g in self.generators]
        )
        self._room = world.config.grid.room_of(world.position)
        self._seeking = np.zeros(len(self.generators), bool)
        self._aim = world.position.copy()
        self._turning = self._seeking.copy()

    def act(self, observation: Observation) -> np.ndarray:
        """The next push of each copy; a door that is sought is kept in sight."""
        gap = self._aim - self.world.position
        self.heading = np.where(self._seeking, np.arctan2(gap[:, 1], gap[:, 0]), self.heading)
        return super().act(observation)

    def turns(self, draws: Float[np.ndarray, "b 6"]) -> Bool[np.ndarray, " b"]:
        """Now and then, and on entering a room: what led into it soon leads into its walls."""
        room = self.world.config.grid.room_of(self.world.position)
        self._turning = super().turns(draws) | (room != self._room)
        self._room = room
        return self._turning

    def fresh_headings(
        self, draws: Float[np.ndarray, "b 6"], noise: Float[np.ndarray, "b 4"]
    ) -> Float[np.ndarray, " b"]:
        """A share aims through a door of the room, the others anywhere."""
        seeks = draws[:, 1] < self.world.config.door_share
        self._seeking = np.where(self._turning, seeks, self._seeking)
        aim = self._beyond_door(draws[:, 2], noise[:, 1])
        self._aim = np.where(self._turning[:, None], aim, self._aim)
        gap = aim - self.world.position
        anywhere = super().fresh_headings(draws, noise)
        return np.where(seeks, np.arctan2(gap[:, 1], gap[:, 0]), anywhere)

    def _beyond_door(
        self, draw: Float[np.ndarray, " b"], noise: Float[np.ndarray, " b"]
    ) -> Float[np.ndarray, "b 2"]:
        """A point beyond a random door of the present room.

        It is not the nearest door, where there are others: that is the one just come through.
        """
        grid, position = self.world.config.grid, self.world.position
        room = grid.room_of(position)
        own = (grid.door_rooms == room[:, None, None]).any(-1) & self.world.doors
        gap = np.linalg.norm(position[:, None] - grid.door_middle, axis=-1)
        nearest = np.where(own, gap, np.inf).argmin(1)[:, None] == np.arange(own.shape[1])
        own &= ~nearest | (own.sum(1) == 1)[:, None]
        # The door with as many others before it as drawn.
        chosen = (own.cumsum(1) > (draw * own.sum(1)).astype(np.int64)[:, None]).argmax(1)
        forward = np.where(grid.door_rooms[chosen, 0] == room, self.BEYOND, -self.BEYOND)
        axis = np.eye(2)[grid.door_axis[chosen]]
        return grid.door_middle[chosen] + forward[:, None] * axis + noise[:, None] * (1 - axis)
