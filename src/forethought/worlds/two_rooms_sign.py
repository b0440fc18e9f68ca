"""Two rooms seen through a narrow field of view: a sign says which of two doors is safe.

Only a few pixels around the dot are shown, and the rest is grey. The dot begins beside a sign in
the left room, and is to reach a goal in the right one. The colour of the sign says which door is no
trap; both doors look the same, and who enters the other one is held there for good. By the time the
dot comes to a door, the sign is long out of sight: who does not remember it can only guess, and
guesses right half of the time.

Positions are in pixels of the 64x64 image, x to the right, y downwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, UInt8

from forethought.types import ActionSpec, ArraySpec, ForethoughtError, Observation, Signature
from forethought.worlds.picture import CAMERA, FLOOR, SIZE, WALL, disc, dot, paint
from forethought.worlds.two_rooms import Layout, TwoRoomsConfig
from forethought.worlds.walking import Walkers

UNSEEN = np.array([128, 128, 128], np.uint8)
"""What is shown in place of all that is out of sight."""
COLOURS = {
    "up": np.array([41, 98, 196], np.float32),
    "down": np.array([236, 160, 32], np.float32),
}
"""Of the sign, by the door that is safe."""
DOORS = {"up": 14.0, "down": 50.0}
"""y of the middle of each door."""


@dataclass(frozen=True, kw_only=True)
class TwoRoomsSignConfig:
    """Geometry and behaviour, in pixels.

    Attributes:
        sight: from the dot to what is just out of sight, along each axis.
        sign: where the sign is.
        sign_radius: of the disc that it is.
        starts: x and y between which the dot begins; all of it in sight of the sign.
        goals: x and y between which the goal lies.
        door_share: share of the headings, while exploring, that aim through one of the doors.
        rooms: wall, doors and steps; there are two doors in place of its one.

    Raises:
        ForethoughtError: the sign would be in sight at a door, or out of sight at the start.
    """

    sight: float = 9.0
    sign: tuple[float, float] = (8.0, 32.0)
    sign_radius: float = 3.0
    starts: tuple[tuple[float, float], tuple[float, float]] = ((4.0, 12.0), (28.0, 36.0))
    goals: tuple[tuple[float, float], tuple[float, float]] = ((52.0, 60.0), (22.0, 42.0))
    door_share: float = 0.6
    rooms: TwoRoomsConfig = field(default_factory=TwoRoomsConfig)

    def __post_init__(self) -> None:
        wall = self.rooms.wall_range[0] - self.rooms.wall_half_thickness
        at_door = wall - (self.sign[0] + self.sign_radius)
        corners = zip(self.starts, self.sign, strict=True)
        at_start = max(abs(end - middle) for ends, middle in corners for end in ends)
        if not at_start < self.sight < at_door:
            raise ForethoughtError(
                f"sight={self.sight} must be more than {at_start}, so that the sign is seen at the "
                f"start, and less than {at_door}, so that it is not seen at a door."
            )


class TwoRoomsSign:
    """``num_worlds`` copies in lockstep; implements :class:`forethought.types.World`.

    Tasks are balanced: a seed's parity says which door is safe.

    Args:
        num_worlds: copies.
        config: geometry.
        name: how results call it.
    """

    def __init__(
        self,
        num_worlds: int = 1,
        *,
        config: TwoRoomsSignConfig | None = None,
        name: str = "two_rooms_sign",
    ) -> None:
        self.name = name
        self.config = config or TwoRoomsSignConfig()
        self.num_worlds = num_worlds
        step = self.config.rooms.max_step
        self.signature = Signature(
            observation={CAMERA: ArraySpec(shape=(SIZE, SIZE, 3), dtype="uint8")},
            action=ActionSpec(
                dim=2, low=(-step,) * 2, high=(step,) * 2, names=("step.x", "step.y")
            ),
            rate_hz=10.0,
        )
        self._dot = dot(self.config.rooms.dot_sigma)
        self._scenes = {side: _scene(self.config, side) for side in DOORS}
        self.reset(range(num_worlds))

    # ------------------------------------------------------------------ the contract

    def reset(self, seeds: Sequence[int]) -> Observation:
        """See :class:`forethought.types.World`."""
        self.num_worlds = len(seeds)
        self.seeds = tuple(int(seed) for seed in seeds)
        self.safe = np.array([_safe(seed) for seed in self.seeds])
        tasks = [_task(self.config, seed) for seed in self.seeds]
        self.position, self._goal = (np.stack(part) for part in zip(*tasks, strict=True))
        self.held = np.zeros(self.num_worlds, bool)
        return self.observe()

    def step(self, actions: np.ndarray) -> Observation:
        """See :class:`forethought.types.World`."""
        moved = self._moved(self.position, np.asarray(actions, np.float64))
        self.position = np.where(self.held[:, None], self.position, moved)
        self.held |= self._in_trap(self.position)
        return self.observe()

    def observe(self) -> Observation:
        """See :class:`forethought.types.World`."""
        return {CAMERA: self._pictures(self.position)}

    def goal(self) -> Observation:
        """What is seen from the goal."""
        return {CAMERA: self._pictures(self._goal)}

    def succeeded(self) -> Bool[np.ndarray, " b"]:
        """Within ``goal_radius`` of the goal."""
        away = np.linalg.norm(self.position - self._goal, axis=1)
        return away < self.config.rooms.goal_radius

    def truth(self) -> Mapping[str, np.ndarray]:
        """Positions in pixels, y of the safe door, and whether the dot is held (0 or 1)."""
        return {
            "position.x": self.position[:, 0].copy(),
            "position.y": self.position[:, 1].copy(),
            "safe.y": self._safe_door(),
            "held": self.held.astype(np.float64),
        }

    def goal_truth(self) -> Mapping[str, np.ndarray]:
        """Where the goal is, in pixels."""
        return {"position.x": self._goal[:, 0].copy(), "position.y": self._goal[:, 1].copy()}

    def groups(self) -> Mapping[str, np.ndarray]:
        """Tasks by the door that is safe."""
        return {side: self.safe == side for side in DOORS}

    def oracle(self) -> np.ndarray:
        """Walks the shortest path through the safe door."""
        _, waypoint = self._layout(self._safe_door()).shortest(self.position, self._goal)
        gap = waypoint - self.position
        largest = np.abs(gap).max(1, keepdims=True)
        step = gap * np.minimum(1.0, self.config.rooms.max_step / np.maximum(largest, 1e-9))
        return step.astype(np.float32)

    def path_length(self) -> np.ndarray:
        """World steps of the oracle, counted on a copy; NaN for who is held."""
        kept, held, steps = self.position, self.held, np.zeros(self.num_worlds)
        try:
            for _ in range(4 * SIZE):
                away = ~self.succeeded()
                if not (away & ~held).any():
                    break
                moved = self._moved(self.position, self.oracle())
                self.position = np.where((away & ~held)[:, None], moved, self.position)
                steps += away
        finally:
            self.position = kept
        return np.where(held, np.nan, steps)

    def explore(self, seed: int) -> Callable[[Observation], np.ndarray]:
        """Persistent, noisy random walks from the start; a share of the headings aims at doors."""
        return _Walkers(self, seed).act

    # ------------------------------------------------------------------ walls, doors, the trap

    def _safe_door(self) -> Float[np.ndarray, " b"]:
        return np.array([DOORS[side] for side in self.safe])

    def _layout(self, door: Float[np.ndarray, " b"]) -> Layout:
        rooms = self.config.rooms
        return Layout(wall=np.full(len(door), rooms.wall_range[0]), door=door, config=rooms)

    def _moved(
        self, position: Float[np.ndarray, "b 2"], action: Float[np.ndarray, "b 2"]
    ) -> Float[np.ndarray, "b 2"]:
        """As in two rooms; the wall has both doors, and a dot is beside one of them at a time."""
        return self._layout(_nearest_door(position)).move(position, action)

    def _in_trap(self, position: Float[np.ndarray, "b 2"]) -> Bool[np.ndarray, " b"]:
        rooms = self.config.rooms
        within = np.abs(position[:, 0] - rooms.wall_range[0]) < rooms.wall_half_thickness
        return within & (_nearest_door(position) != self._safe_door())

    def _pictures(self, position: Float[np.ndarray, "b 2"]) -> UInt8[np.ndarray, "b 64 64 3"]:
        images = np.stack([self._scenes[side] for side in self.safe])
        paint(images, self._dot, position)
        pixels = np.arange(SIZE) + 0.5
        seen = np.abs(pixels - position[:, :, None]) < self.config.sight
        window = seen[:, 1, :, None] & seen[:, 0, None, :]
        return np.where(window[..., None], images, UNSEEN)


class _Walkers(Walkers):
    """Turns towards either door now and then."""

    def __init__(self, world: TwoRoomsSign, seed: int) -> None:
        super().__init__(seed, world.seeds, world.config.rooms.max_step)
        self.world = world

    def fresh_headings(
        self, draws: Float[np.ndarray, "b 6"], noise: Float[np.ndarray, "b 4"]
    ) -> Float[np.ndarray, " b"]:
        """A share aims at a point beyond one door or the other; the rest anywhere."""
        world = self.world
        at, wall = world.position, world.config.rooms.wall_range[0]
        beyond = wall + 6 * np.where(at[:, 0] < wall, 1.0, -1.0)
        door = np.where(draws[:, 2] < 0.5, DOORS["up"], DOORS["down"]) + 3 * noise[:, 1]
        aimed = np.arctan2(door - at[:, 1], beyond - at[:, 0])
        anywhere = super().fresh_headings(draws, noise)
        return np.where(draws[:, 1] < world.config.door_share, aimed, anywhere)


def _nearest_door(position: Float[np.ndarray, "b 2"]) -> Float[np.ndarray, " b"]:
    return np.where(position[:, 1] < SIZE / 2, DOORS["up"], DOORS["down"])


def _scene(config: TwoRoomsSignConfig, safe: str) -> UInt8[np.ndarray, "64 64 3"]:
    """Everything but the dot, as it would be seen with nothing out of sight."""
    pixels = np.arange(SIZE, dtype=np.float32) + 0.5
    rooms = config.rooms
    thick = np.clip(rooms.wall_half_thickness + 0.5 - np.abs(pixels - rooms.wall_range[0]), 0, 1)
    away = np.min([np.abs(pixels - door) for door in DOORS.values()], axis=0)
    solid = np.clip(away - rooms.door_half_width + 0.5, 0, 1)
    wall = (solid[:, None] * thick[None, :])[..., None]
    images = (FLOOR + wall * (WALL - FLOOR) + 0.5).astype(np.uint8)[None]
    paint(images, disc(config.sign_radius, COLOURS[safe]), np.array([config.sign]))
    return images[0]


def _safe(seed: int) -> str:
    return list(DOORS)[seed % 2]


def _task(
    config: TwoRoomsSignConfig, seed: int
) -> tuple[Float[np.ndarray, " 2"], Float[np.ndarray, " 2"]]:
    """Start and goal of a seed."""
    generator = np.random.default_rng((seed, 0))
    boxes = (config.starts, config.goals)
    start, goal = (np.array([generator.uniform(*ends) for ends in box]) for box in boxes)
    return start, goal
