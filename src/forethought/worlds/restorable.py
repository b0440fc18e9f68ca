"""Gymnasium environments that can be put back to where they were."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import gymnasium
import numpy as np
from jaxtyping import Float

from forethought.types import Observation, Snapshot
from forethought.worlds.adapter import GoalTask, GymnasiumConfig, GymnasiumWorld


class RestorableTask(GoalTask, ABC):
    """Tasks in an environment whose whole state is known."""

    @abstractmethod
    def state(self, env: gymnasium.Env) -> Float[np.ndarray, " s"]:
        """All that what follows depends on, the goal included."""

    @abstractmethod
    def put_back(self, env: gymnasium.Env, state: Float[np.ndarray, " s"]) -> None:
        """Puts the environment, fresh or not, where that was."""


class RestorableWorld(GymnasiumWorld):
    """A Gymnasium world that is a :class:`forethought.types.Simulator`.

    Each copy has an environment of its own; those that are made once are kept.

    Args:
        make: makes one environment with ``render_mode="rgb_array"``.
        name: how results call it.
        num_worlds: copies.
        task: what turns it into tasks, and knows its state.
        config: how it is seen and stepped.
    """

    task: RestorableTask

    def __init__(
        self,
        make: Callable[[], gymnasium.Env],
        *,
        name: str,
        num_worlds: int = 1,
        task: RestorableTask,
        config: GymnasiumConfig | None = None,
    ) -> None:
        self._unseen = False
        super().__init__(make, name=name, num_worlds=num_worlds, task=task, config=config)

    def reset(self, seeds: Sequence[int]) -> Observation:
        """See :class:`forethought.types.World`."""
        self._unseen = False
        return super().reset(seeds)

    def observe(self) -> Observation:
        """See :class:`forethought.types.World`."""
        if self._unseen:
            self._pictures = [self._picture(env) for env in self._envs[: self.num_worlds]]
            self._unseen = False
        return super().observe()

    def advance(self, actions: np.ndarray) -> None:
        """See :class:`forethought.types.Simulator`."""
        for index in range(self.num_worlds):
            if not self._over[index]:
                self._act(index, actions[index])
        self._unseen = True

    def snapshot(self) -> Snapshot:
        """See :class:`forethought.types.Simulator`."""
        self.observe()
        names = list(self._goal_truth[0])
        goals = [[one[name] for name in names] for one in self._goal_truth]
        return {
            "seed": np.array(self._seeds),
            "state": np.stack([self.task.state(env) for env in self._envs[: self.num_worlds]]),
            "vector": np.stack(self._vectors),
            "picture": np.stack(self._pictures),
            "over": np.array(self._over),
            "group": np.array(self._groups),
            "goal.vector": np.stack(self._goal_vectors),
            "goal.picture": np.stack(self._goal_pictures),
            "goal.truth": np.array(goals),
        }

    def restore(self, snapshot: Snapshot) -> None:
        """See :class:`forethought.types.Simulator`."""
        self.num_worlds = len(snapshot["state"])
        while len(self._envs) < self.num_worlds:
            self._envs.append(self._make())
        for env, state in zip(self._envs, snapshot["state"], strict=False):
            self.task.put_back(env, state)
        names = list(self._goal_truth[0])
        self._seeds = tuple(snapshot["seed"].tolist())
        self._vectors, self._pictures = list(snapshot["vector"]), list(snapshot["picture"])
        self._over, self._groups = snapshot["over"].tolist(), snapshot["group"].tolist()
        self._goal_vectors = list(snapshot["goal.vector"])
        self._goal_pictures = list(snapshot["goal.picture"])
        self._goal_truth = [
            dict(zip(names, map(float, row), strict=True)) for row in snapshot["goal.truth"]
        ]
        self._unseen = False
