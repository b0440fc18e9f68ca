"""Two rooms seen through a narrow field of view: a sign says which of two doors is safe.

Only a few pixels around the dot are shown, and the rest is grey. The left room is a corridor that
ends in a hall, and from there two doors lead to the right room, where the goal is. The dot begins
beside a sign at the far end of the corridor. The colour of the sign says which door is no trap;
both doors look the same, and who enters the other one is held there for good. By the time the dot
comes to the hall, the sign is long out of sight. The corridor is too narrow for where the dot is in
it to tell anything, and the door that lies nearer to the goal is as often the trap as not: who does
not remember can only guess, and guesses right half of the time.

A sign at the foot of a T and a choice at its head is how memory has long been tested, in animals
and in machines (Bakker, 2002).

Positions are in pixels of the 64x64 image, x to the right, y downwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8

from forethought.types import ActionSpec, ArraySpec, ForethoughtError, Observation, Signature
from forethought.worlds.picture import CAMERA, SIZE, disc, dot, paint
from forethought.worlds.walking import Walkers
from forethought.worlds.walls import Walls

UNSEEN = np.array([128, 128, 128], np.uint8)
"""What is shown in place of all that is out of sight."""
COLOURS = {
    "up": np.array([41, 98, 196], np.float32),
    "down": np.array([236, 160, 32], np.float32),
}
"""Of the sign, by the door that is safe."""
MIDDLE = SIZE / 2
"""y of the corridor's middle; all lies alike above it and below."""
OUTSIDE = 8.0
"""How far walls reach beyond the picture."""
POST = 0.5
"""How far from door posts the oracle keeps."""


@dataclass(frozen=True, kw_only=True)
class TwoRoomsSignConfig:
    """Geometry and behaviour, in pixels.

    Attributes:
        sight: from the dot to what is just out of sight, along each axis.
        sign: where the sign is.
        sign_radius: of the disc that it is.
        starts: x between which the dot begins; all of it in sight of the sign.
        corridor_half_width: of the corridor.
        hall: x of the hall's left and right end; the corridor ends at its left.
        wall_thickness: of the wall with the doors, which begins where the hall ends.
        doors: from the corridor's middle to the near and to the far post of either door.
        goals: x between which the goal lies.
        goals_aside: least and largest distance of the goal from the corridor's middle, along y.
        max_step: largest displacement along each axis in one world step.
        dot_sigma: of the Gaussian that draws the dot.
        goal_radius: a goal counts as reached within this distance.
        margin: how close to the border the dot can come.
        way_share: share of the headings, while exploring, that lead along the corridor, or aim at a
            door.

    Raises:
        ForethoughtError: the sign would be in sight in the hall, or out of sight at the start; or
            the dot could pass a wall in one step.
    """

    sight: float = 7.0
    sign: tuple[float, float] = (4.0, 32.0)
    sign_radius: float = 6.0
    starts: tuple[float, float] = (3.0, 8.0)
    corridor_half_width: float = 1.0
    hall: tuple[float, float] = (34.0, 40.0)
    wall_thickness: float = 3.0
    doors: tuple[float, float] = (6.0, 14.0)
    goals: tuple[float, float] = (55.0, 61.0)
    goals_aside: tuple[float, float] = (12.0, 24.0)
    max_step: float = 1.2
    dot_sigma: float = 1.7
    goal_radius: float = 4.5
    margin: float = 2.0
    way_share: float = 0.9

    def __post_init__(self) -> None:
        in_hall = self.hall[0] - (self.sign[0] + self.sign_radius)
        at_start = max(
            *(abs(end - self.sign[0]) for end in self.starts), abs(MIDDLE - self.sign[1])
        )
        if not at_start < self.sight < in_hall:
            raise ForethoughtError(
                f"sight={self.sight} must be more than {at_start}, so that the sign is seen at the "
                f"start, and less than {in_hall}, so that it is not seen in the hall."
            )
        if self.max_step >= self.wall_thickness:
            raise ForethoughtError(
                f"max_step={self.max_step} passes a wall of wall_thickness={self.wall_thickness} "
                "in one step; take a shorter step or a thicker wall."
            )

    @property
    def wall(self) -> tuple[float, float]:
        """x of the left and the right face of the wall with the doors."""
        return self.hall[1], self.hall[1] + self.wall_thickness


class TwoRoomsSign:
    """``num_worlds`` copies in lockstep; implements :class:`forethought.types.World`.

    Tasks are balanced: of every four seeds in a row each has another pair of safe door and side on
    which the goal lies.

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
        step = self.config.max_step
        self.signature = Signature(
            observation={CAMERA: ArraySpec(shape=(SIZE, SIZE, 3), dtype="uint8")},
            action=ActionSpec(
                dim=2, low=(-step,) * 2, high=(step,) * 2, names=("step.x", "step.y")
            ),
            rate_hz=10.0,
        )
        self._dot = dot(self.config.dot_sigma)
        self._walls = _walls(self.config)
        self._scenes = {side: _scene(self.config, side) for side in COLOURS}
        self.reset(range(num_worlds))

    # ------------------------------------------------------------------ the contract

    def reset(self, seeds: Sequence[int]) -> Observation:
        """See :class:`forethought.types.World`."""
        self.num_worlds = len(seeds)
        self.seeds = tuple(int(seed) for seed in seeds)
        self.safe = np.array([list(COLOURS)[seed % 2] for seed in self.seeds])
        tasks = [_task(self.config, seed) for seed in self.seeds]
        self.position, self._goal = (np.stack(part) for part in zip(*tasks, strict=True))
        self.held = np.zeros(self.num_worlds, bool)
        return self.observe()

    def step(self, actions: np.ndarray) -> Observation:
        """See :class:`forethought.types.World`."""
        moved = self._moved(self.position, actions)
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
        return away < self.config.goal_radius

    def truth(self) -> Mapping[str, np.ndarray]:
        """Positions in pixels, on which side the safe door is (-1 up, 1 down), and whether the dot
        is held (0 or 1)."""
        return {
            "position.x": self.position[:, 0].copy(),
            "position.y": self.position[:, 1].copy(),
            "safe": self._side(),
            "held": self.held.astype(np.float64),
        }

    def goal_truth(self) -> Mapping[str, np.ndarray]:
        """Where the goal is, in pixels."""
        return {"position.x": self._goal[:, 0].copy(), "position.y": self._goal[:, 1].copy()}

    def groups(self) -> Mapping[str, np.ndarray]:
        """Tasks in which the door nearer to the goal is the safe one, and those in which it is the
        trap."""
        near = np.sign(self._goal[:, 1] - MIDDLE) == self._side()
        return {"near door safe": near, "near door a trap": ~near}

    def oracle(self) -> np.ndarray:
        """Walks through the safe door."""
        return self.towards(self._side())

    def towards(self, side: Float[np.ndarray, " b"]) -> np.ndarray:
        """Walks to the goal through the door on a side (-1 up, 1 down), safe or not."""
        gap = self._waypoint(side) - self.position
        largest = np.abs(gap).max(1, keepdims=True)
        step = gap * np.minimum(1.0, self.config.max_step / np.maximum(largest, 1e-9))
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
        """Persistent, noisy random walks from the start; a share of the headings leads along the
        corridor and to the doors."""
        return _Walkers(self, seed).act

    # ------------------------------------------------------------------ walls, doors, the trap

    def _side(self) -> Float[np.ndarray, " b"]:
        """-1 where the upper door is safe, 1 where the lower one is."""
        return np.where(self.safe == "up", -1.0, 1.0)

    def _moved(
        self, position: Float[np.ndarray, "b 2"], actions: np.ndarray
    ) -> Float[np.ndarray, "b 2"]:
        c = self.config
        step = np.clip(np.asarray(actions, np.float64), -c.max_step, c.max_step)
        moved = self._walls.of(0, len(position)).slide(position, step)
        return np.clip(moved, c.margin, SIZE - c.margin)

    def _in_trap(self, position: Float[np.ndarray, "b 2"]) -> Bool[np.ndarray, " b"]:
        left, right = self.config.wall
        within = (position[:, 0] > left) & (position[:, 0] < right)
        return within & (np.sign(position[:, 1] - MIDDLE) != self._side())

    def _waypoint(self, side: Float[np.ndarray, " b"]) -> Float[np.ndarray, "b 2"]:
        """Where to walk next on the way to the goal through the door on a side."""
        c, at, goal = self.config, self.position, self._goal
        (left, right), (near, far) = c.wall, c.doors
        inner, outer = MIDDLE + side * (near + POST), MIDDLE + side * (far - POST)
        ends = np.minimum(inner, outer), np.maximum(inner, outer)
        mouth = np.stack([np.full(len(at), c.hall[0]), at[:, 1]], 1)
        ahead = np.stack([np.full(len(at), left), np.clip(at[:, 1], *ends)], 1)
        beyond = np.stack([np.full(len(at), right), np.clip(goal[:, 1], *ends)], 1)
        in_front = (np.abs(ahead - at) < 1e-6).all(1) | (at[:, 0] > left)
        stages = [at[:, 0] < c.hall[0], ~in_front, at[:, 0] < right]
        return np.select([stage[:, None] for stage in stages], [mouth, ahead, beyond], goal)

    def _pictures(self, position: Float[np.ndarray, "b 2"]) -> UInt8[np.ndarray, "b 64 64 3"]:
        images = np.stack([self._scenes[side] for side in self.safe])
        paint(images, self._dot, position)
        pixels = np.arange(SIZE) + 0.5
        seen = np.abs(pixels - position[:, :, None]) < self.config.sight
        window = seen[:, 1, :, None] & seen[:, 0, None, :]
        return np.where(window[..., None], images, UNSEEN)


class _Walkers(Walkers):
    """Most headings lead on: to the hall, then to either door."""

    SPEEDS = (0.7, 2.0)
    BACK = 0.1
    """Share of the headings that lead on which lead back instead."""

    def __init__(self, world: TwoRoomsSign, seed: int) -> None:
        super().__init__(seed, world.seeds, world.config.max_step)
        self.world = world
        self.heading = np.where(np.cos(self.heading) < 0, np.pi - self.heading, self.heading)

    def fresh_headings(
        self, draws: Float[np.ndarray, "b 6"], noise: Float[np.ndarray, "b 4"]
    ) -> Float[np.ndarray, " b"]:
        """A share leads along the corridor, or aims at one door or the other; the rest anywhere."""
        c, at = self.world.config, self.world.position
        middle_of_door = MIDDLE + np.where(draws[:, 2] < 0.5, -1, 1) * sum(c.doors) / 2
        doors = np.arctan2(middle_of_door + 2 * noise[:, 1] - at[:, 1], sum(c.wall) / 2 - at[:, 0])
        back = draws[:, 5] < self.BACK
        along = np.where(back, np.pi, 0.0) + 0.5 * noise[:, 1]
        anywhere = super().fresh_headings(draws, noise)
        in_corridor, before_wall = at[:, 0] < c.hall[0], at[:, 0] < c.wall[1]
        led = np.select([in_corridor, before_wall & ~back], [along, doors], anywhere)
        return np.where(draws[:, 1] < c.way_share, led, anywhere)


def _walls(config: TwoRoomsSignConfig) -> Walls:
    """All that is solid, of one copy."""
    (left, right), (near, far) = config.hall, config.doors
    face, half = config.wall[1], config.corridor_half_width
    above = [
        # Beside the corridor; beyond the far posts, over hall and wall; between the doors.
        (-OUTSIDE, -OUTSIDE, left, MIDDLE - half),
        (left - 1, -OUTSIDE, face, MIDDLE - far),
        (right, MIDDLE - near, face, MIDDLE + 1),
    ]
    below = [(x, SIZE - high, x2, SIZE - low) for x, low, x2, high in above]
    corners = np.array([above + below])
    return Walls(low=corners[..., :2], high=corners[..., 2:])


def _scene(config: TwoRoomsSignConfig, safe: str) -> UInt8[np.ndarray, "64 64 3"]:
    """Everything but the dot, as it would be seen with nothing out of sight."""
    images = _walls(config).background()
    paint(images, disc(config.sign_radius, COLOURS[safe]), np.array([config.sign]))
    return images[0]


def _task(
    config: TwoRoomsSignConfig, seed: int
) -> tuple[Float[np.ndarray, " 2"], Float[np.ndarray, " 2"]]:
    """Start and goal of a seed."""
    generator = np.random.default_rng((seed, 0))
    side = -1.0 if seed // 2 % 2 else 1.0
    start = generator.uniform(*config.starts), MIDDLE + generator.uniform(-0.5, 0.5)
    aside = MIDDLE + side * generator.uniform(*config.goals_aside)
    return np.array(start), np.array([generator.uniform(*config.goals), aside])
