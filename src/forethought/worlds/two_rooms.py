"""Two rooms, a wall with a door, and a dot that can be pushed about: the smallest world that needs
planning, because the straight way is not always open.

Positions are in pixels of the 64x64 image, x to the right, y downwards. After the Two-Rooms world
of Sobal et al. (2022; 2025).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, UInt8

from forethought.types import ActionSpec, ArraySpec, Observation, Signature, Snapshot
from forethought.worlds.picture import CAMERA, DOT, FLOOR, SIZE, WALL
from forethought.worlds.walking import Walkers


@dataclass(frozen=True, kw_only=True)
class TwoRoomsConfig:
    """Geometry and behaviour, in pixels.

    Attributes:
        wall_range: where the wall may stand; equal ends fix it.
        door_range: where the centre of the door may be; equal ends fix it.
        wall_half_thickness: of the wall.
        door_half_width: of the door.
        max_step: largest displacement along each axis in one world step.
        dot_sigma: of the Gaussian that draws the dot.
        goal_radius: a goal counts as reached within this distance.
        margin: how close to the border the dot can come.
        door_share: share of the headings, while exploring, that aim at the door and its edges; the
            same share of recorded episodes begins near it.
        wall_share: share of the headings, while exploring, that aim straight at the wall; the same
            share of recorded episodes begins near it.
    """

    wall_range: tuple[float, float] = (32.0, 32.0)
    door_range: tuple[float, float] = (24.0, 24.0)
    wall_half_thickness: float = 1.5
    door_half_width: float = 6.0
    max_step: float = 1.2
    dot_sigma: float = 1.7
    goal_radius: float = 4.5
    margin: float = 2.0
    door_share: float = 0.0
    wall_share: float = 0.0


FIXED = TwoRoomsConfig()
RANDOM = TwoRoomsConfig(
    wall_range=(20.0, 44.0), door_range=(12.0, 52.0), door_share=0.4, wall_share=0.25
)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where the walls of ``b`` copies stand.

    Attributes:
        wall: ``(b,)`` x of the wall's middle.
        door: ``(b,)`` y of the door's middle.
        config: the rest of the geometry.
    """

    wall: Float[np.ndarray, " b"]
    door: Float[np.ndarray, " b"]
    config: TwoRoomsConfig = field(default=FIXED)

    def blocked(self, position: Float[np.ndarray, "b 2"]) -> Bool[np.ndarray, " b"]:
        """Whether positions lie inside the wall."""
        beside = np.abs(position[:, 0] - self.wall) < self.config.wall_half_thickness
        return beside & (np.abs(position[:, 1] - self.door) > self.config.door_half_width)

    def move(
        self, position: Float[np.ndarray, "b 2"], action: Float[np.ndarray, "b 2"]
    ) -> Float[np.ndarray, "b 2"]:
        """Positions after one world step; the dot slides along what stops it.

        A step is shorter than the wall is thick, so checking its end is enough.
        """
        c = self.config
        step = np.clip(action, -c.max_step, c.max_step)
        target = np.clip(position + step, c.margin, SIZE - c.margin)
        stopped = self.blocked(target)
        # Rounding can leave a dot that rests on a face a hair inside the wall. Which way it is out
        # is then told by the lesser depth; to take it for one in the door would fling it there.
        depth_x = c.wall_half_thickness - np.abs(position[:, 0] - self.wall)
        depth_y = np.abs(position[:, 1] - self.door) - c.door_half_width
        in_door = (depth_x > 0) & (depth_x > depth_y)
        face = self.wall + np.copysign(c.wall_half_thickness, position[:, 0] - self.wall)
        frame = self.door + np.clip(target[:, 1] - self.door, -c.door_half_width, c.door_half_width)
        return np.stack(
            [
                np.where(stopped & ~in_door, face, target[:, 0]),
                np.where(stopped & in_door, frame, target[:, 1]),
            ],
            axis=1,
        )

    def side(self, position: Float[np.ndarray, "b 2"]) -> Float[np.ndarray, " b"]:
        """-1 left of the wall, 1 right of it."""
        return np.where(position[:, 0] < self.wall, -1.0, 1.0)

    def shortest(
        self, start: Float[np.ndarray, "b 2"], goal: Float[np.ndarray, "b 2"]
    ) -> tuple[Float[np.ndarray, " b"], Float[np.ndarray, "b 2"]]:
        """Length of the shortest path in pixels, and the first point on it to walk to."""
        side, other = self.side(start), self.side(goal)
        near = self._door_points(start, goal, side)
        far = self._door_points(goal, start, other)
        around = (
            np.linalg.norm(start - near, axis=1)
            + np.linalg.norm(near - far, axis=1)
            + np.linalg.norm(far - goal, axis=1)
        )
        across = side != other
        length = np.where(across, around, np.linalg.norm(start - goal, axis=1))
        waypoint = np.where(self._in_doorway(start)[:, None], far + (far - near), near)
        return length, np.where(across[:, None], waypoint, goal)

    def _in_doorway(self, position: Float[np.ndarray, "b 2"]) -> Bool[np.ndarray, " b"]:
        c = self.config
        beside = np.abs(position[:, 0] - self.wall) <= c.wall_half_thickness + 1e-6
        return beside & (np.abs(position[:, 1] - self.door) <= c.door_half_width)

    def _door_points(
        self, start: np.ndarray, goal: np.ndarray, side: np.ndarray
    ) -> Float[np.ndarray, "b 2"]:
        """Where the shortest path from ``start`` meets the face of the wall within the door."""
        c = self.config
        x = self.wall + side * c.wall_half_thickness
        gap = np.where(np.abs(goal[:, 0] - start[:, 0]) < 1e-6, 1e-6, goal[:, 0] - start[:, 0])
        straight = start[:, 1] + (goal[:, 1] - start[:, 1]) * (x - start[:, 0]) / gap
        reach = c.door_half_width - 0.75
        return np.stack([x, np.clip(straight, self.door - reach, self.door + reach)], axis=1)


def draw(layout: Layout, position: Float[np.ndarray, "b 2"]) -> UInt8[np.ndarray, "b 64 64 3"]:
    """Images of dots at positions: an antialiased Gaussian dot over the floor and the wall."""
    c = layout.config
    pixels = np.arange(SIZE, dtype=np.float32) + 0.5
    across = np.abs(pixels - layout.wall[:, None].astype(np.float32))
    along = np.abs(pixels - layout.door[:, None].astype(np.float32))
    thick = np.clip(c.wall_half_thickness + 0.5 - across, 0, 1)
    solid = np.clip(along - c.door_half_width + 0.5, 0, 1)
    spread = -0.5 / c.dot_sigma**2
    dot_x = np.exp(spread * (pixels - position[:, :1].astype(np.float32)) ** 2)
    dot_y = np.exp(spread * (pixels - position[:, 1:].astype(np.float32)) ** 2)
    wall = solid[:, :, None] * thick[:, None, :]
    dot = dot_y[:, :, None] * dot_x[:, None, :]
    images = np.empty((len(position), SIZE, SIZE, 3), np.uint8)
    for channel in range(3):
        ground = FLOOR[channel] + wall * (WALL[channel] - FLOOR[channel])
        images[..., channel] = ground + dot * (DOT[channel] - ground) + 0.5
    return images


class TwoRooms:
    """``num_worlds`` copies in lockstep; implements :class:`forethought.types.World`.

    Tasks are balanced: a seed's parity says whether start and goal lie across rooms.

    Args:
        num_worlds: copies.
        config: geometry.
        name: how results call it.
    """

    def __init__(
        self, num_worlds: int = 1, *, config: TwoRoomsConfig = FIXED, name: str = "two_rooms"
    ) -> None:
        self.name = name
        self.config = config
        self.num_worlds = num_worlds
        self.signature = Signature(
            observation={CAMERA: ArraySpec(shape=(SIZE, SIZE, 3), dtype="uint8")},
            action=ActionSpec(
                dim=2,
                low=(-config.max_step,) * 2,
                high=(config.max_step,) * 2,
                names=("step.x", "step.y"),
            ),
            rate_hz=10.0,
        )
        self.reset(range(num_worlds))

    # ------------------------------------------------------------------ the contract

    def reset(self, seeds: Sequence[int]) -> Observation:
        """See :class:`forethought.types.World`."""
        tasks = [_task(self.config, int(seed)) for seed in seeds]
        wall, door, start, goal = (np.array(part) for part in zip(*tasks, strict=True))
        self.num_worlds = len(tasks)
        self.seeds = tuple(int(seed) for seed in seeds)
        self.layout = Layout(wall=wall, door=door, config=self.config)
        self.position, self._goal = start, goal
        self._across = self.layout.side(start) != self.layout.side(goal)
        return self.observe()

    def place(self, start: Mapping[str, np.ndarray], goal: Mapping[str, np.ndarray]) -> Observation:
        """See :class:`forethought.types.Placeable`."""
        wall, door = (np.asarray(start[name], np.float64) for name in ("wall.x", "door.y"))
        self.layout = Layout(wall=wall, door=door, config=self.config)
        self.position, self._goal = (
            np.stack([one["position.x"], one["position.y"]], axis=1).astype(np.float64)
            for one in (start, goal)
        )
        self._across = self.layout.side(self.position) != self.layout.side(self._goal)
        return self.observe()

    def step(self, actions: np.ndarray) -> Observation:
        """See :class:`forethought.types.World`."""
        self.advance(actions)
        return self.observe()

    def advance(self, actions: np.ndarray) -> None:
        """See :class:`forethought.types.Simulator`."""
        self.position = self.layout.move(self.position, np.asarray(actions, np.float64))

    def snapshot(self) -> Snapshot:
        """See :class:`forethought.types.Simulator`."""
        return {
            "seed": np.array(self.seeds),
            "wall": self.layout.wall.copy(),
            "door": self.layout.door.copy(),
            "position": self.position.copy(),
            "goal": self._goal.copy(),
            "across": self._across.copy(),
        }

    def restore(self, snapshot: Snapshot) -> None:
        """See :class:`forethought.types.Simulator`."""
        self.num_worlds = len(snapshot["position"])
        self.seeds = tuple(snapshot["seed"].tolist())
        self.layout = Layout(wall=snapshot["wall"], door=snapshot["door"], config=self.config)
        self.position, self._goal = snapshot["position"].copy(), snapshot["goal"]
        self._across = snapshot["across"]

    def observe(self) -> Observation:
        """See :class:`forethought.types.World`."""
        return {CAMERA: draw(self.layout, self.position)}

    def goal(self) -> Observation:
        """See :class:`forethought.types.World`."""
        return {CAMERA: draw(self.layout, self._goal)}

    def succeeded(self) -> Bool[np.ndarray, " b"]:
        """Within ``goal_radius`` of the goal."""
        return np.linalg.norm(self.position - self._goal, axis=1) < self.config.goal_radius

    def truth(self) -> Mapping[str, np.ndarray]:
        """Positions in pixels."""
        return {
            "position.x": self.position[:, 0].copy(),
            "position.y": self.position[:, 1].copy(),
            "wall.x": self.layout.wall.copy(),
            "door.y": self.layout.door.copy(),
        }

    def goal_truth(self) -> Mapping[str, np.ndarray]:
        """Where the goal is, in pixels."""
        return {"position.x": self._goal[:, 0].copy(), "position.y": self._goal[:, 1].copy()}

    def groups(self) -> Mapping[str, np.ndarray]:
        """Tasks within a room, and across rooms."""
        return {"same": ~self._across, "across": self._across.copy()}

    def oracle(self) -> np.ndarray:
        """Walks the shortest path."""
        _, waypoint = self.layout.shortest(self.position, self._goal)
        gap = waypoint - self.position
        largest = np.abs(gap).max(1, keepdims=True)
        step = gap * np.minimum(1.0, self.config.max_step / np.maximum(largest, 1e-9))
        return step.astype(np.float32)

    def path_length(self) -> np.ndarray:
        """World steps of the shortest path to within the goal's radius.

        An action moves ``max_step`` along each axis, so diagonals are faster; the oracle's own
        number of steps is counted on a copy.
        """
        position, steps = self.position.copy(), np.zeros(self.num_worlds)
        kept = self.position
        try:
            for _ in range(4 * SIZE):
                away = ~self.succeeded()
                if not away.any():
                    break
                self.position = np.where(
                    away[:, None], self.layout.move(self.position, self.oracle()), self.position
                )
                steps += away
        finally:
            self.position = kept
        assert np.array_equal(position, self.position)
        return steps

    def explore(self, seed: int) -> Callable[[Observation], np.ndarray]:
        """Persistent, noisy random walks, each copy by its own generator.

        A share ``door_share`` of new headings aims through the door, and as many episodes begin
        near it; it comes from the world, not from a goal.
        """
        walkers = _Walkers(self, seed)
        return walkers.act

    # ------------------------------------------------------------------ for pictures

    def images_at(
        self, index: int, points: Float[np.ndarray, "n 2"]
    ) -> UInt8[np.ndarray, "n 64 64 3"]:
        """What the camera would see with the dot at each point, in copy ``index``'s layout."""
        return draw(self._layout_of(index, len(points)), points)

    def lengths_from(
        self, index: int, points: Float[np.ndarray, "n 2"], goal: Float[np.ndarray, " 2"]
    ) -> Float[np.ndarray, " n"]:
        """Shortest paths in pixels from points to a goal, in copy ``index``'s layout."""
        layout = self._layout_of(index, len(points))
        return layout.shortest(points, np.broadcast_to(goal, points.shape))[0]

    def free_grid(self, index: int, spacing: float = 2.0) -> Float[np.ndarray, "n 2"]:
        """A grid of the free positions of copy ``index``."""
        ticks = np.arange(self.config.margin, SIZE - self.config.margin + 1e-6, spacing)
        points = np.stack(np.meshgrid(ticks, ticks), -1).reshape(-1, 2)
        return points[~self._layout_of(index, len(points)).blocked(points)]

    def _layout_of(self, index: int, count: int) -> Layout:
        return Layout(
            wall=np.full(count, self.layout.wall[index]),
            door=np.full(count, self.layout.door[index]),
            config=self.config,
        )


def _task(config: TwoRoomsConfig, seed: int) -> tuple[float, float, np.ndarray, np.ndarray]:
    """Wall, door, start and goal of a seed; odd seeds lie across rooms."""
    generator = np.random.default_rng(seed)
    wall, door = generator.uniform(*config.wall_range), generator.uniform(*config.door_range)
    across = seed % 2 == 1
    clear = config.wall_half_thickness + 0.5
    rooms = [(config.margin, wall - clear), (wall + clear, SIZE - config.margin)]
    first = int(generator.integers(2))
    second = 1 - first if across else first
    while True:
        start, goal = (
            np.array(
                [
                    generator.uniform(*rooms[room]),
                    generator.uniform(config.margin, SIZE - config.margin),
                ]
            )
            for room in (first, second)
        )
        if np.linalg.norm(start - goal) > config.goal_radius:
            return wall, door, start, goal


class _Walkers(Walkers):
    """Turns towards the door and the wall now and then."""

    def __init__(self, world: TwoRooms, seed: int) -> None:
        super().__init__(seed, world.seeds, world.config.max_step)
        self.world = world
        self._begin_near_walls()

    def _begin_near_walls(self) -> None:
        world, c = self.world, self.world.config
        for index, generator in enumerate(self.generators):
            place = generator.random()
            if place < c.door_share + c.wall_share:
                side = generator.choice([-1.0, 1.0])
                x = world.layout.wall[index] + side * generator.uniform(2.5, 14)
                beside_door = world.layout.door[index] + generator.uniform(-8, 8)
                anywhere = generator.uniform(c.margin, SIZE - c.margin)
                y = beside_door if place < c.door_share else anywhere
                world.position[index] = np.clip((x, y), c.margin, SIZE - c.margin)

    def fresh_headings(
        self, draws: Float[np.ndarray, "b 6"], noise: Float[np.ndarray, "b 4"]
    ) -> Float[np.ndarray, " b"]:
        """A share aims at the door, a share at the wall, the others anywhere."""
        c = self.world.config
        return np.select(
            [draws[:, 1] < c.door_share, draws[:, 1] < c.door_share + c.wall_share],
            [self._to_opening(noise[:, 1]), self._to_wall(noise[:, 1])],
            super().fresh_headings(draws, noise),
        )

    def _to_opening(self, noise: Float[np.ndarray, " b"]) -> Float[np.ndarray, " b"]:
        """Headings to a point beyond the door; those that miss it meet its edges."""
        world = self.world
        beyond = world.layout.wall - 8 * world.layout.side(world.position)
        opening = world.layout.door + 7 * noise
        return np.arctan2(opening - world.position[:, 1], beyond - world.position[:, 0])

    def _to_wall(self, noise: Float[np.ndarray, " b"]) -> Float[np.ndarray, " b"]:
        """Headings straight at the wall, give or take some tens of degrees."""
        away = self.world.layout.side(self.world.position) > 0
        return np.where(away, np.pi, 0.0) + 0.4 * noise
