"""Gymnasium worlds that can be put into a state that was recorded, with a recorded goal."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping

import gymnasium
import numpy as np

from forethought.types import Observation
from forethought.worlds.adapter import GymnasiumConfig
from forethought.worlds.restorable import RestorableTask, RestorableWorld


class PlaceableTask(RestorableTask):
    """A task whose start and goal can be told by the quantities of :meth:`GoalTask.truth`."""

    @abstractmethod
    def place(
        self, env: gymnasium.Env, start: Mapping[str, float], goal: Mapping[str, float]
    ) -> np.ndarray:
        """Sets the goal and puts the environment at the start; returns its observation."""


class PlaceableWorld(RestorableWorld):
    """A :class:`RestorableWorld` that is a :class:`forethought.types.Placeable`.

    Args:
        make: makes one environment.
        name: how results call it.
        task: what turns it into tasks.
        num_worlds: copies.
        config: how it is seen and stepped.
    """

    task: PlaceableTask

    def __init__(
        self,
        make: Callable[[], gymnasium.Env],
        *,
        name: str,
        task: PlaceableTask,
        num_worlds: int = 1,
        config: GymnasiumConfig | None = None,
    ) -> None:
        super().__init__(make, name=name, num_worlds=num_worlds, task=task, config=config)

    def place(self, start: Mapping[str, np.ndarray], goal: Mapping[str, np.ndarray]) -> Observation:
        """See :class:`forethought.types.Placeable`; goals are still, and tasks of no kind."""
        self._groups = [""] * self.num_worlds
        self._over = [False] * self.num_worlds
        for index, env in enumerate(self._envs[: self.num_worlds]):
            begin, end = ({k: float(v[index]) for k, v in one.items()} for one in (start, goal))
            self.task.place(env, begin, end)
            vector = self.task.to_goal(env, np.random.default_rng((self._seeds[index], 2)))
            self._goal_vectors[index] = np.asarray(vector)
            self._goal_pictures[index] = self._picture(env)
            self._goal_truth[index] = self.task.truth(env, vector)
            self._vectors[index] = np.asarray(self.task.place(env, begin, end))
            self._pictures[index] = self._picture(env)
        return self.observe()
