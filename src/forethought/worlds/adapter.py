"""Any Gymnasium environment as a world: pixels by rendering, state, goals from recorded frames.

Stacking frames is left to perception (its ``frame_stack``), so that recordings stay small and the
same data serve models with and without a history.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from jaxtyping import Bool, UInt8
from PIL import Image

from forethought.types import (
    IMAGES,
    STATE,
    ActionSpec,
    ArraySpec,
    ForethoughtError,
    Observation,
    Signature,
)

CAMERA = IMAGES + "render"


class GoalTask:
    """What turns an environment into tasks; override what it can say.

    The defaults suit any environment: the goal is what a random walk from the start came to, and
    counts as reached when what the environment observes is close to what it observed there.
    """

    walk_steps: int = 40
    tolerance: float = 0.05

    def begin(self, env: gymnasium.Env, generator: np.random.Generator) -> np.ndarray:
        """Puts the environment at the start of a task; returns its observation."""
        return env.reset(seed=int(generator.integers(2**31)))[0]

    def begin_exploring(self, env: gymnasium.Env, generator: np.random.Generator) -> np.ndarray:
        """Puts the environment where an episode of recording begins."""
        return self.begin(env, generator)

    def to_goal(self, env: gymnasium.Env, generator: np.random.Generator) -> np.ndarray:
        """Puts the environment, which stands at the start, at the goal; returns its observation."""
        observation = np.zeros(0)
        action = sampled(env.action_space, generator)
        for _ in range(self.walk_steps):
            if generator.random() < 0.2:
                action = sampled(env.action_space, generator)
            observation, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                break
        return np.asarray(observation)

    def succeeded(self, env: gymnasium.Env, observation: np.ndarray, goal: np.ndarray) -> bool:
        """Whether an observation of the environment satisfies a goal observation."""
        scale = np.abs(goal).max() + 1e-9
        return bool(np.abs(observation - goal).max() / scale < self.tolerance)

    def truth(self, env: gymnasium.Env, observation: np.ndarray) -> Mapping[str, float]:
        """Hidden quantities by name; the environment's own vector observation by default."""
        if observation.ndim != 1:
            return {}
        return {f"state.{i}": float(value) for i, value in enumerate(observation)}

    def group(self, generator: np.random.Generator) -> str:
        """The kind of the task that ``generator`` begins; empty for all alike."""
        return ""

    def oracle(self, env: gymnasium.Env, observation: np.ndarray) -> np.ndarray:
        """The action of the best known controller, which sees the truth."""
        raise ForethoughtError(
            f"{env.spec.id if env.spec else env}: no controller is known for this environment; "
            "override GoalTask.oracle to give evaluation a ceiling."
        )

    def picture(self, env: gymnasium.Env, size: int) -> UInt8[np.ndarray, "size size 3"]:
        """What the camera sees, reduced to ``size``; e.g. without what it would not see."""
        return reduced(np.asarray(env.render()), size)

    def explored_action(
        self, space: spaces.Space, generator: np.random.Generator
    ) -> np.ndarray | np.int64:
        """An action of the exploring behaviour; uniform by default."""
        return sampled(space, generator)


@dataclass(frozen=True, kw_only=True)
class GymnasiumConfig:
    """How an environment is seen and stepped.

    Attributes:
        image_size: height and width of the picture, reduced by area averaging; 0 for no pictures.
        action_repeat: environment steps for which an action is held.
        include_state: also give the environment's own vector observation.
        persistence: chance that exploring keeps its action for another step.
        state_names: a name for each entry of the vector observation; empty where unknown.
        action_names: a name for each entry of an action; empty where unknown.
    """

    image_size: int = 64
    action_repeat: int = 1
    include_state: bool = False
    persistence: float = 0.85
    state_names: tuple[str, ...] = ()
    action_names: tuple[str, ...] = ()


class GymnasiumWorld:
    """``num_worlds`` copies of an environment in lockstep; a :class:`forethought.types.World`.

    Nothing resets by itself: where an environment says an episode has ended, its last observation
    is held until :meth:`reset`.

    Args:
        make: makes one environment with ``render_mode="rgb_array"``.
        name: how results call it.
        num_worlds: copies.
        task: what turns it into tasks.
        config: how it is seen and stepped.

    Raises:
        ForethoughtError: its actions are neither a box nor discrete, or it cannot be drawn.
    """

    def __init__(
        self,
        make: Callable[[], gymnasium.Env],
        *,
        name: str,
        num_worlds: int = 1,
        task: GoalTask | None = None,
        config: GymnasiumConfig | None = None,
    ) -> None:
        # Drawing needs no screen; SDL looks for one unless told.
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
        self.name = name
        self.config = config or GymnasiumConfig()
        self.task = task or GoalTask()
        self.num_worlds = num_worlds
        self._make = make
        self._envs = [make()]
        self.signature = _signature(self._envs[0], self.config, name)
        self.reset(range(num_worlds))

    # ------------------------------------------------------------------ the contract

    def reset(self, seeds: Sequence[int]) -> Observation:
        """See :class:`forethought.types.World`."""
        self.num_worlds = len(seeds)
        self._seeds = tuple(int(seed) for seed in seeds)
        while len(self._envs) < self.num_worlds:
            self._envs.append(self._make())
        self._goal_pictures, self._goal_vectors, self._groups = [], [], []
        self._goal_truth: list[Mapping[str, float]] = []
        for env, seed in zip(self._envs, seeds, strict=False):
            self._draw_goal(env, int(seed))
        self._vectors = [
            np.asarray(self.task.begin(env, np.random.default_rng((int(seed), 0))))
            for env, seed in zip(self._envs, seeds, strict=False)
        ]
        self._over = [False] * self.num_worlds
        self._pictures = [self._picture(env) for env in self._envs[: self.num_worlds]]
        return self.observe()

    def step(self, actions: np.ndarray) -> Observation:
        """See :class:`forethought.types.World`."""
        for index in range(self.num_worlds):
            if not self._over[index]:
                self._step(index, actions[index])
        return self.observe()

    def observe(self) -> Observation:
        """See :class:`forethought.types.World`."""
        return self._observation(self._pictures, self._vectors)

    def goal(self) -> Observation:
        """See :class:`forethought.types.World`."""
        return self._observation(self._goal_pictures, self._goal_vectors)

    def succeeded(self) -> Bool[np.ndarray, " b"]:
        """See :class:`GoalTask`."""
        return np.array(
            [
                self.task.succeeded(env, vector, goal)
                for env, vector, goal in zip(
                    self._envs, self._vectors, self._goal_vectors, strict=False
                )
            ]
        )

    def truth(self) -> Mapping[str, np.ndarray]:
        """See :class:`GoalTask`."""
        return _stacked(
            [
                self.task.truth(env, vector)
                for env, vector in zip(self._envs, self._vectors, strict=False)
            ]
        )

    def goal_truth(self) -> Mapping[str, np.ndarray]:
        """See :class:`forethought.types.World`."""
        return _stacked(self._goal_truth)

    def groups(self) -> Mapping[str, np.ndarray]:
        """See :class:`forethought.types.World`."""
        names = sorted({group for group in self._groups if group})
        return {name: np.array([group == name for group in self._groups]) for name in names}

    def oracle(self) -> np.ndarray:
        """See :class:`GoalTask`."""
        actions = [
            self.task.oracle(env, vector)
            for env, vector in zip(self._envs, self._vectors, strict=False)
        ]
        return np.array(actions, np.int64 if self.signature.action.discrete else np.float32)

    def path_length(self) -> np.ndarray:
        """Unknown: NaN."""
        return np.full(self.num_worlds, np.nan)

    def explore(self, seed: int) -> Callable[[Observation], np.ndarray]:
        """Random actions, each held for a while, from the task's places to explore from."""
        generators = [np.random.default_rng((seed, own, 1)) for own in self._seeds]
        for index, (env, generator) in enumerate(zip(self._envs, generators, strict=False)):
            self._vectors[index] = np.asarray(self.task.begin_exploring(env, generator))
            self._over[index] = False
            self._pictures[index] = self._picture(env)
        space = self._envs[0].action_space
        held = [self.task.explored_action(space, generator) for generator in generators]

        def act(_: Observation) -> np.ndarray:
            for index, generator in enumerate(generators):
                if generator.random() > self.config.persistence:
                    held[index] = self.task.explored_action(space, generator)
            return np.array(held)

        return act

    # ------------------------------------------------------------------ one copy

    def _draw_goal(self, env: gymnasium.Env, seed: int) -> None:
        """The goal of a task: seen once, then the environment is put back to its start."""
        self._groups.append(self.task.group(np.random.default_rng((seed, 0))))
        self.task.begin(env, np.random.default_rng((seed, 0)))
        vector = np.asarray(self.task.to_goal(env, np.random.default_rng((seed, 2))))
        self._goal_vectors.append(vector)
        self._goal_pictures.append(self._picture(env))
        self._goal_truth.append(self.task.truth(env, vector))

    def _step(self, index: int, action: Any) -> None:
        self._act(index, action)
        self._pictures[index] = self._picture(self._envs[index])

    def _act(self, index: int, action: Any) -> None:
        env = self._envs[index]
        for _ in range(self.config.action_repeat):
            observation, _, terminated, truncated, _ = env.step(action)
            self._vectors[index] = np.asarray(observation)
            if terminated or truncated:
                self._over[index] = True
                break

    def _picture(self, env: gymnasium.Env) -> UInt8[np.ndarray, "size size 3"]:
        size = self.config.image_size
        if not size:
            return np.zeros((0, 0, 3), np.uint8)
        return self.task.picture(env, size)

    def _observation(
        self, pictures: Sequence[np.ndarray], vectors: Sequence[np.ndarray]
    ) -> Observation:
        observation: dict[str, np.ndarray] = {}
        if self.config.image_size:
            observation[CAMERA] = np.stack(pictures)
        if self.config.include_state:
            observation[STATE] = np.stack(vectors).astype(np.float32)
        return observation


# ------------------------------------------------------------------------------- helpers


def gymnasium_world(
    env_id: str,
    *,
    num_worlds: int = 1,
    task: GoalTask | None = None,
    config: GymnasiumConfig | None = None,
    **settings: Any,
) -> GymnasiumWorld:
    """A world from a registered Gymnasium environment.

    Args:
        env_id: its id, e.g. ``Pendulum-v1``.
        num_worlds: copies.
        task: what turns it into tasks.
        config: how it is seen and stepped.
        settings: passed on to ``gymnasium.make``.

    Raises:
        ForethoughtError: Gymnasium knows no such environment.
    """

    def make() -> gymnasium.Env:
        try:
            return gymnasium.make(env_id, render_mode="rgb_array", **settings)
        except gymnasium.error.Error as error:
            raise ForethoughtError(f"Gymnasium cannot make {env_id!r}: {error}") from error

    return GymnasiumWorld(make, name=env_id, num_worlds=num_worlds, task=task, config=config)


def sampled(space: spaces.Space, generator: np.random.Generator) -> np.ndarray | np.int64:
    """A uniform sample of an action space, from an explicit generator."""
    if isinstance(space, spaces.Discrete):
        return np.int64(space.start + generator.integers(space.n))
    assert isinstance(space, spaces.Box)
    return generator.uniform(space.low, space.high).astype(np.float32)


def reduced(picture: np.ndarray, size: int) -> UInt8[np.ndarray, "size size 3"]:
    """A picture reduced by area averaging."""
    if picture.shape[:2] == (size, size):
        return np.ascontiguousarray(picture[..., :3])
    height, width = picture.shape[:2]
    if height == width and height % size == 0:
        step = height // size
        blocks = picture[..., :3].reshape(size, step, size, step, 3).sum(1, dtype=np.uint32)
        # Slices are added many times faster than an axis of four is summed.
        total = sum(blocks[:, :, column] for column in range(step))
        return ((2 * total + step**2) // (2 * step**2)).astype(np.uint8)
    image = Image.fromarray(picture[..., :3])
    return np.asarray(image.resize((size, size), Image.Resampling.BOX))


def _signature(env: gymnasium.Env, config: GymnasiumConfig, name: str) -> Signature:
    observation: dict[str, ArraySpec] = {}
    if config.image_size:
        observation[CAMERA] = ArraySpec(
            shape=(config.image_size, config.image_size, 3), dtype="uint8"
        )
    if config.include_state:
        space = env.observation_space
        if not isinstance(space, spaces.Box) or len(space.shape) != 1:
            raise ForethoughtError(
                f"{name}: include_state needs a vector observation, found {space}; leave it out "
                "and learn from pixels."
            )
        observation[STATE] = ArraySpec(shape=space.shape, dtype="float32", names=config.state_names)
    if not observation:
        raise ForethoughtError(f"{name}: neither pictures nor state; there is nothing to observe.")
    rate = float(env.metadata.get("render_fps", 30)) / config.action_repeat
    action = replace(_actions(env, name), names=config.action_names)
    return Signature(observation=observation, action=action, rate_hz=rate)


def _actions(env: gymnasium.Env, name: str) -> ActionSpec:
    space = env.action_space
    if isinstance(space, spaces.Discrete) and space.start == 0:
        return ActionSpec(dim=1, num_choices=int(space.n))
    vector = isinstance(space, spaces.Box) and len(space.shape) == 1
    if not isinstance(space, spaces.Box) or not vector or not space.is_bounded():
        raise ForethoughtError(
            f"{name}: actions are {space}; a bounded vector or Discrete(n) is needed. Wrap the "
            "environment, e.g. with gymnasium.wrappers.RescaleAction or FlattenAction."
        )
    return ActionSpec(
        dim=space.shape[0], low=tuple(space.low.tolist()), high=tuple(space.high.tolist())
    )


def _stacked(rows: Sequence[Mapping[str, float]]) -> dict[str, np.ndarray]:
    return {name: np.array([row[name] for row in rows]) for name in rows[0]} if rows else {}
