"""The two rooms with places that must not be entered: a zone in the left room that never moves, and
in the right room a disc that patrols up and down.

Hazards stop nobody: the dot can enter them, and nothing here counts that it did. A hazard is
entered where the dot's centre is within the hazard's radius of its centre. No task begins or ends
in reach of a hazard, wherever the patrol may be; between start and goal hazards are often in the
way.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8

from forethought.types import ForethoughtError, Observation, Snapshot
from forethought.worlds.picture import CAMERA, OBSTACLE, SIZE, disc, dot, paint
from forethought.worlds.two_rooms import Layout, TwoRooms, TwoRoomsConfig, draw

ZONE = np.array([245, 158, 146], np.float32)
"""Colour of the zone."""

# What the oracle keeps clear beyond a hazard's radius, in pixels.
_MARGIN = 1.0
# Far enough ahead for the longest straight way within a room.
_FORESEEN = 64
_NOWHERE = -1e3


@dataclass(frozen=True, kw_only=True)
class TwoRoomsHazardsConfig(TwoRoomsConfig):
    """Geometry and behaviour, in pixels and world steps; the rooms' too.

    Attributes:
        zone: x and y of the middle of the zone, in the left room.
        zone_radius: the dot is in the zone within this distance of its middle.
        patrol_x: x at which the disc patrols, in the right room.
        patrol_range: y at which it turns round.
        patrol_speed: pixels in a world step.
        patrol_radius: the dot is in the disc within this distance of its middle.
        clear: distance beyond these radii that starts and goals keep from the zone, and from
            everywhere that the disc comes to.
        apart: least distance between start and goal.

    Raises:
        ForethoughtError: the disc is no slower than the dot.
    """

    door_share: float = 0.15
    wall_share: float = 0.1
    zone: tuple[float, float] = (20.0, 27.0)
    zone_radius: float = 7.0
    patrol_x: float = 47.0
    patrol_range: tuple[float, float] = (14.0, 50.0)
    patrol_speed: float = 0.6
    patrol_radius: float = 5.5
    clear: float = 2.0
    apart: float = 24.0

    def __post_init__(self) -> None:
        if not 0 < self.patrol_speed < self.max_step:
            raise ForethoughtError(
                f"patrol_speed={self.patrol_speed}: the disc must move, and be slower than the "
                f"dot; give something between 0 and {self.max_step}."
            )

    def harmless(self, place: Float[np.ndarray, "*n 2"], clear: float) -> Bool[np.ndarray, "*n"]:
        """Whether places are farther than ``clear`` from every hazard, at all times."""
        top, bottom = self.patrol_range
        x, y = place[..., 0], place[..., 1]
        to_zone = np.hypot(x - self.zone[0], y - self.zone[1])
        to_patrol = np.hypot(x - self.patrol_x, y - np.clip(y, top, bottom))
        return (to_zone > self.zone_radius + clear) & (to_patrol > self.patrol_radius + clear)


class TwoRoomsHazards(TwoRooms):
    """``num_worlds`` copies in lockstep; implements :class:`forethought.types.World`.

    Tasks are balanced as in the two rooms: a seed's parity says whether start and goal lie across
    rooms. Where the disc begins and which way it goes is drawn for each task.

    Args:
        num_worlds: copies.
        config: geometry.
        name: how results call it.
    """

    config: TwoRoomsHazardsConfig

    def __init__(
        self,
        num_worlds: int = 1,
        *,
        config: TwoRoomsHazardsConfig | None = None,
        name: str = "two_rooms_hazards",
    ) -> None:
        config = config or TwoRoomsHazardsConfig()
        self._dot = dot(config.dot_sigma)
        self._zone = disc(config.zone_radius, ZONE)
        self._disc = disc(config.patrol_radius, OBSTACLE)
        super().__init__(num_worlds, config=config, name=name)

    # ------------------------------------------------------------------ the contract

    def reset(self, seeds: Sequence[int]) -> Observation:
        """See :class:`forethought.types.World`."""
        self.num_worlds = len(seeds)
        self.seeds = tuple(int(seed) for seed in seeds)
        tasks = [_task(self.config, seed) for seed in self.seeds]
        wall, door, start, goal, way = (np.array(part) for part in zip(*tasks, strict=True))
        self.layout = Layout(wall=wall, door=door, config=self.config)
        self.position, self._goal, self._way = start, goal, way
        self._across = self.layout.side(start) != self.layout.side(goal)
        self._background = self._grounds(self.layout)
        self._goal_patrol = self.patrol
        return self.observe()

    def place(self, start: Mapping[str, np.ndarray], goal: Mapping[str, np.ndarray]) -> Observation:
        """See :class:`forethought.types.Placeable`; not here.

        Raises:
            ForethoughtError: always; the truth says where the disc is, not which way it goes.
        """
        raise ForethoughtError(
            f"world {self.name!r} cannot be put into a recorded state: its truth does not say "
            "which way the disc goes. Draw tasks from seeds (DrawnTasks, TasksAtDistance)."
        )

    def step(self, actions: np.ndarray) -> Observation:
        """See :class:`forethought.types.World`."""
        self.advance(actions)
        return self.observe()

    def advance(self, actions: np.ndarray) -> None:
        """See :class:`forethought.types.Simulator`."""
        super().advance(actions)
        period = 2 * np.ptp(self.config.patrol_range)
        self._way = (self._way + self.config.patrol_speed) % period

    def snapshot(self) -> Snapshot:
        """See :class:`forethought.types.Simulator`."""
        hazards = {"way": self._way, "goal_patrol": self._goal_patrol}
        hazards["background"] = self._background
        return {**super().snapshot(), **{name: value.copy() for name, value in hazards.items()}}

    def restore(self, snapshot: Snapshot) -> None:
        """See :class:`forethought.types.Simulator`."""
        super().restore(snapshot)
        self._way, self._goal_patrol = snapshot["way"], snapshot["goal_patrol"]
        self._background = snapshot["background"]

    def observe(self) -> Observation:
        """See :class:`forethought.types.World`."""
        return {CAMERA: self._pictures(self._background, self.position, self.patrol)}

    def goal(self) -> Observation:
        """The dot at the goal, the disc where it was when the task began."""
        return {CAMERA: self._pictures(self._background, self._goal, self._goal_patrol)}

    def truth(self) -> Mapping[str, np.ndarray]:
        """Positions in pixels: of the dot, of the patrolling disc, and of the zone."""
        zone = np.broadcast_to(self.config.zone, (self.num_worlds, 2))
        places = {"position": self.position, "hazard": self.patrol, "zone": zone}
        return {
            f"{name}.{axis}": place[:, i].copy()
            for name, place in places.items()
            for i, axis in enumerate("xy")
        }

    def oracle(self) -> np.ndarray:
        """The shortest way from room to room, round the zone, and by the disc when it is away."""
        _, waypoint = self.layout.shortest(self.position, self._goal)
        left = self.layout.side(self.position) < 0
        waypoint = np.where(left[:, None], self._round_zone(waypoint), self._by_patrol(waypoint))
        return self._stride(waypoint).astype(np.float32)

    def path_length(self) -> np.ndarray:
        """World steps that the oracle needs to come within the goal's radius."""
        other, steps = copy.copy(self), np.zeros(self.num_worlds)
        for _ in range(8 * SIZE):
            away = ~other.succeeded()
            if not away.any():
                break
            other.advance(other.oracle())
            steps += away
        return steps

    def explore(self, seed: int) -> Callable[[Observation], np.ndarray]:
        """Persistent, noisy random walks from anywhere, hazards too; each by its own generator."""
        generators = [np.random.default_rng((seed, own, 1)) for own in self.seeds]
        period = 2 * np.ptp(self.config.patrol_range)
        self._way = np.array([g.uniform(0, period) for g in generators])
        self.position = np.stack(
            [_anywhere(self._layout_of(index, 1), g) for index, g in enumerate(generators)]
        )
        return super().explore(seed)

    # ------------------------------------------------------------------ for pictures

    def images_at(
        self, index: int, points: Float[np.ndarray, "n 2"]
    ) -> UInt8[np.ndarray, "n 64 64 3"]:
        """What the camera would see with the dot at each point and copy ``index``'s hazards."""
        ground = np.broadcast_to(self._background[index], (len(points), SIZE, SIZE, 3))
        patrol = np.broadcast_to(self.patrol[index], points.shape)
        return self._pictures(ground, points, patrol)

    # ------------------------------------------------------------------ the disc

    @property
    def patrol(self) -> Float[np.ndarray, "b 2"]:
        """Where the disc is."""
        return self._patrol_in(np.zeros(1))[:, 0]

    def _patrol_in(self, steps: Float[np.ndarray, " t"]) -> Float[np.ndarray, "b t 2"]:
        """Where the disc will be in so many steps: down to the end of its range, and up again."""
        (top, bottom), c = self.config.patrol_range, self.config
        way = (self._way[:, None] + c.patrol_speed * steps) % (2 * (bottom - top))
        y = bottom - np.abs(bottom - top - way)
        return np.stack([np.full_like(y, c.patrol_x), y], axis=-1)

    # ------------------------------------------------------------------ the oracle's ways

    def _round_zone(self, target: Float[np.ndarray, "b 2"]) -> Float[np.ndarray, "b 2"]:
        """The target, or where the zone is in the way, a point that passes it on the near side."""
        radius = self.config.zone_radius + _MARGIN
        to_zone, to_target = self.config.zone - self.position, target - self.position
        far = np.linalg.norm(to_zone, axis=1)
        squared = np.maximum((to_target**2).sum(1), 1e-9)
        share = np.clip((to_zone * to_target).sum(1) / squared, 0, 1)
        passes = np.linalg.norm(share[:, None] * to_target - to_zone, axis=1) >= radius
        cross = to_zone[:, 0] * to_target[:, 1] - to_zone[:, 1] * to_target[:, 0]
        turn = np.arcsin(np.minimum(1.0, radius / np.maximum(far, 1e-9)))
        angle = np.arctan2(to_zone[:, 1], to_zone[:, 0]) + np.where(cross < 0, -turn, turn)
        tangent = self.position + 8 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        return np.where(passes[:, None], target, tangent)

    def _by_patrol(self, target: Float[np.ndarray, "b 2"]) -> Float[np.ndarray, "b 2"]:
        """The target where the straight way will be free, or else a place to wait beside it."""
        c, (x, y) = self.config, self.position.T
        reach = c.patrol_radius + _MARGIN
        steps = np.arange(1.0, _FORESEEN)
        largest = np.abs(target - self.position).max(1)[:, None]
        share = np.minimum(1.0, c.max_step * steps / np.maximum(largest, 1e-9))
        path = self.position[:, None] + share[..., None] * (target - self.position)[:, None]
        free = np.linalg.norm(path - self._patrol_in(steps), axis=2).min(1) > reach
        beside, aim = x - c.patrol_x, target[:, 0] - c.patrol_x
        outside = np.abs(beside) >= reach
        onward = np.where(np.abs(aim) >= reach, aim, beside)
        # Rounding must not leave it a hair within reach.
        edge = c.patrol_x + np.copysign(reach + 1e-6, np.where(outside, beside, onward))
        wait = np.stack([edge, np.where(outside, target[:, 1], y)], axis=1)
        same_side = outside & (np.abs(aim) >= reach) & (aim * beside > 0)
        return np.where((same_side | free)[:, None], target, wait)

    def _stride(self, target: Float[np.ndarray, "b 2"]) -> Float[np.ndarray, "b 2"]:
        """The longest step straight towards a target."""
        gap = target - self.position
        largest = np.abs(gap).max(1, keepdims=True)
        return gap * np.minimum(1.0, self.config.max_step / np.maximum(largest, 1e-9))

    # ------------------------------------------------------------------ drawing

    def _grounds(self, layout: Layout) -> UInt8[np.ndarray, "b 64 64 3"]:
        """Floor, wall and zone."""
        images = draw(layout, np.full((len(layout.wall), 2), _NOWHERE))
        paint(images, self._zone, np.broadcast_to(self.config.zone, (len(images), 2)))
        return images

    def _pictures(
        self,
        grounds: UInt8[np.ndarray, "b 64 64 3"],
        position: Float[np.ndarray, "b 2"],
        patrol: Float[np.ndarray, "b 2"],
    ) -> UInt8[np.ndarray, "b 64 64 3"]:
        images = grounds.copy()
        paint(images, self._disc, patrol)
        paint(images, self._dot, position)
        return images


def _task(
    config: TwoRoomsHazardsConfig, seed: int
) -> tuple[float, float, np.ndarray, np.ndarray, float]:
    """Wall, door, start, goal and the disc's way of a seed; odd seeds lie across rooms."""
    generator = np.random.default_rng((seed, 0))
    wall, door = generator.uniform(*config.wall_range), generator.uniform(*config.door_range)
    way = generator.uniform(0, 2 * np.ptp(config.patrol_range))
    gap = config.wall_half_thickness + 0.5
    rooms = [(config.margin, wall - gap), (wall + gap, SIZE - config.margin)]
    first = int(generator.integers(2))
    second = 1 - first if seed % 2 else first
    low = np.array([[rooms[room][0], config.margin] for room in (first, second)])
    high = np.array([[rooms[room][1], SIZE - config.margin] for room in (first, second)])
    while True:
        start, goal = generator.uniform(low, high)
        apart = np.linalg.norm(start - goal) > config.apart
        if apart and config.harmless(np.stack([start, goal]), config.clear).all():
            return wall, door, start, goal, way


def _anywhere(layout: Layout, generator: np.random.Generator) -> Float[np.ndarray, " 2"]:
    """A place outside the wall."""
    margin = layout.config.margin
    while True:
        place = generator.uniform(margin, SIZE - margin, (1, 2))
        if not layout.blocked(place)[0]:
            return place[0]
