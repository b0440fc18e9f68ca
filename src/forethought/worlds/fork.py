"""A fork: an obstacle comes along the middle of three lanes, and at a junction it turns into the
upper or the lower one, as a coin falls at that moment. The future is random, not merely unknown.

Positions are in pixels of the 64x64 image, x to the right, y downwards. The agent, a dot, starts on
the left and is to reach a goal on the right without ever touching the obstacle, a disc that fills
its lane. Lanes are no more than ways: nothing but the disc is in the way. From the turn on it is
faster than the dot: who has bet on the wrong outer lane by then can hardly take it back. The mean
of the two futures is an obstacle that stays in the middle, which makes both outer lanes look free.
Waiting where neither branch leads, in the middle and short of the junction, is safe always.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from forethought.types import ActionSpec, ArraySpec, ForethoughtError, Observation, Signature
from forethought.worlds.picture import CAMERA, FLOOR, OBSTACLE, SIZE, disc, dot, paint
from forethought.worlds.walking import Walkers

LANES = {"up": 10.0, "middle": 32.0, "down": 54.0}
"""y of the middle of each lane."""
MIDDLE = LANES["middle"]
JUNCTION = 36.0
"""x at which the obstacle turns."""

_GONE = -16.0
_STARTS = (4.0, 8.0)
_GOALS = (56.0, 60.0)
# Where the oracle waits, and from where on it leaves the middle again.
_WAIT = np.array([22.0, MIDDLE])
_BEYOND = 50.0


@dataclass(frozen=True, kw_only=True)
class ForkConfig:
    """Behaviour, in pixels and world steps.

    Attributes:
        max_step: largest displacement of the dot along each axis in one world step.
        dot_sigma: of the Gaussian that draws the dot.
        goal_radius: a goal counts as reached within this distance.
        obstacle_radius: of the disc.
        dot_radius: of the dot, where it touches the disc.
        margin: how close to the border the dot can come; with the radii no less than a lane's
            distance from the border, so that nobody slips by.
        speeds: of the obstacle before it turns, a step; drawn for each episode.
        turn_speed: of the obstacle from the turn on.
        turn_steps: steps until the obstacle reaches the junction; drawn for each task. A dot that
            hurries along an outer lane is deep in it then.
        explored_starts: x at which the obstacle begins when an episode is recorded.
        explored_speeds: the speeds for these.

    Raises:
        ForethoughtError: the dot could pass beside an obstacle in an outer lane.
    """

    max_step: float = 1.2
    dot_sigma: float = 2.0
    goal_radius: float = 4.5
    obstacle_radius: float = 9.0
    dot_radius: float = 2.0
    margin: float = 2.0
    speeds: tuple[float, float] = (0.8, 1.1)
    turn_speed: float = 4.5
    turn_steps: tuple[float, float] = (19.0, 22.0)
    explored_starts: tuple[float, float] = (38.0, 64.0)
    explored_speeds: tuple[float, float] = (0.7, 1.2)

    def __post_init__(self) -> None:
        if self.touch <= LANES["up"] - self.margin:
            raise ForethoughtError(
                f"obstacle_radius={self.obstacle_radius} and dot_radius={self.dot_radius} leave "
                f"room to pass at margin={self.margin}; make them larger than "
                f"{LANES['up'] - self.margin} together."
            )

    @property
    def touch(self) -> float:
        """Distance of the centres at which dot and disc touch."""
        return self.obstacle_radius + self.dot_radius


class Fork:
    """``num_worlds`` copies in lockstep; implements :class:`forethought.types.World`.

    A seed's remainder by three says in which lane the dot starts.

    Args:
        num_worlds: copies.
        config: behaviour.
        name: how results call it.
    """

    def __init__(
        self, num_worlds: int = 1, *, config: ForkConfig | None = None, name: str = "fork"
    ) -> None:
        self.name = name
        self.config = config or ForkConfig()
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
        self._disc = disc(self.config.obstacle_radius, OBSTACLE)
        self._background = np.broadcast_to(FLOOR, (SIZE, SIZE, 3)).astype(np.uint8)
        self.reset(range(num_worlds))

    # ------------------------------------------------------------------ the contract

    def reset(self, seeds: Sequence[int]) -> Observation:
        """See :class:`forethought.types.World`."""
        c = self.config
        self.num_worlds = len(seeds)
        self.seeds = tuple(int(seed) for seed in seeds)
        # The coin has a generator of its own: nothing that can be seen is drawn from it.
        self._coins = [np.random.default_rng((seed, 1)) for seed in self.seeds]
        tasks = [_task(seed) for seed in self.seeds]
        self.position, self._goal = (np.stack(part) for part in zip(*tasks, strict=True))
        drawn = np.array([np.random.default_rng((seed, 2)).random(2) for seed in self.seeds])
        self._speed = _between(c.speeds, drawn[:, 0])
        self._place_obstacle(JUNCTION + self._speed * _between(c.turn_steps, drawn[:, 1]))
        return self.observe()

    def step(self, actions: np.ndarray) -> Observation:
        """See :class:`forethought.types.World`."""
        c = self.config
        push = np.clip(np.asarray(actions, np.float64), -c.max_step, c.max_step)
        self.position = np.clip(self.position + push, c.margin, SIZE - c.margin)
        self._move_obstacle()
        self.collided |= self._touching()
        return self.observe()

    def observe(self) -> Observation:
        """See :class:`forethought.types.World`."""
        return {CAMERA: self._pictures(self.position, self.obstacle)}

    def goal(self) -> Observation:
        """The dot at the goal, the obstacle gone."""
        return {CAMERA: self._pictures(self._goal, np.full_like(self._goal, _GONE))}

    def succeeded(self) -> Bool[np.ndarray, " b"]:
        """Within ``goal_radius`` of the goal, and never touched so far."""
        close = np.linalg.norm(self.position - self._goal, axis=1) < self.config.goal_radius
        return close & ~self.collided

    def truth(self) -> Mapping[str, np.ndarray]:
        """Positions in pixels, and whether the dot has touched the obstacle so far (0 or 1)."""
        return {
            "position.x": self.position[:, 0].copy(),
            "position.y": self.position[:, 1].copy(),
            "obstacle.x": self.obstacle[:, 0].copy(),
            "obstacle.y": self.obstacle[:, 1].copy(),
            "collided": self.collided.astype(np.float64),
        }

    def goal_truth(self) -> Mapping[str, np.ndarray]:
        """Where the goal is, in pixels."""
        return {"position.x": self._goal[:, 0].copy(), "position.y": self._goal[:, 1].copy()}

    def groups(self) -> Mapping[str, np.ndarray]:
        """Tasks by the lane in which the dot starts."""
        lanes = [_start_lane(seed) for seed in self.seeds]
        return {name: np.array([lane == name for lane in lanes]) for name in LANES}

    def oracle(self) -> np.ndarray:
        """Waits in the middle until the obstacle has turned, then goes straight on.

        It sees where the obstacle is, and knows the coming turn no more than anyone.
        """
        at, c = self.position, self.config
        along = np.where(self.turned[:, None], [_BEYOND + c.max_step, MIDDLE], _WAIT)
        to = np.where((at[:, 0] > _BEYOND)[:, None], self._goal, along)
        return np.clip(to - at, -c.max_step, c.max_step).astype(np.float32)

    def path_length(self) -> np.ndarray:
        """Unknown, since it depends on the coin: NaN."""
        return np.full(self.num_worlds, np.nan)

    def explore(self, seed: int) -> Callable[[Observation], np.ndarray]:
        """Persistent, noisy random walks from anywhere, each copy by its own generator.

        The obstacle begins further away, so that it turns towards the middle of an episode.
        """
        c = self.config
        walkers = Walkers(seed, self.seeds, c.max_step)
        self.position = np.stack([_anywhere(c, g) for g in walkers.generators])
        drawn = np.array([g.random(2) for g in walkers.generators])
        self._speed = _between(c.explored_speeds, drawn[:, 0])
        self._place_obstacle(_between(c.explored_starts, drawn[:, 1]))
        return walkers.act

    # ------------------------------------------------------------------ the obstacle

    def _place_obstacle(self, x: Float[np.ndarray, " b"]) -> None:
        self.obstacle = np.stack([x, np.full_like(x, MIDDLE)], axis=1)
        self.lane = np.full_like(x, MIDDLE)
        self.collided = self._touching()

    @property
    def turned(self) -> Bool[np.ndarray, " b"]:
        """Whether the obstacle has left the middle."""
        return self.obstacle[:, 1] != MIDDLE

    def _move_obstacle(self) -> None:
        """Left to the junction, where the coin falls; then to the lane, and left along it."""
        x, y = self.obstacle.T
        straight = self.lane == MIDDLE
        arrives = straight & (x - self._speed <= JUNCTION)
        far = self.config.turn_speed
        up = np.clip(self.lane - y, -far, far)
        left = np.where(straight, np.minimum(self._speed, x - JUNCTION), far - np.abs(up))
        self.obstacle = np.stack([np.maximum(x - left, _GONE), y + up], axis=1)
        for copy in np.flatnonzero(arrives):
            heads = self._coins[copy].random() < 0.5
            self.lane[copy] = LANES["up"] if heads else LANES["down"]

    def _touching(self) -> Bool[np.ndarray, " b"]:
        gap = np.linalg.norm(self.position - self.obstacle, axis=1)
        return gap < self.config.touch

    def _pictures(
        self, position: Float[np.ndarray, "b 2"], obstacle: Float[np.ndarray, "b 2"]
    ) -> np.ndarray:
        images = np.repeat(self._background[None], len(position), axis=0)
        paint(images, self._disc, obstacle)
        paint(images, self._dot, position)
        return images


def _start_lane(seed: int) -> str:
    return list(LANES)[seed % len(LANES)]


def _task(seed: int) -> tuple[Float[np.ndarray, " 2"], Float[np.ndarray, " 2"]]:
    """Start and goal of a seed, in the open on the left and on the right."""
    generator = np.random.default_rng((seed, 0))
    start = LANES[_start_lane(seed)]
    goal = list(LANES.values())[generator.integers(len(LANES))]
    return (
        np.array([generator.uniform(*_STARTS), start + generator.uniform(-4, 4)]),
        np.array([generator.uniform(*_GOALS), goal + generator.uniform(-4, 4)]),
    )


def _anywhere(config: ForkConfig, generator: np.random.Generator) -> Float[np.ndarray, " 2"]:
    """A place."""
    return generator.uniform(config.margin, SIZE - config.margin, 2)


def _between(limits: tuple[float, float], share: Float[np.ndarray, " b"]) -> np.ndarray:
    low, high = limits
    return low + (high - low) * share
