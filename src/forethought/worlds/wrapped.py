"""What worlds that change another one have in common: all that they leave as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from forethought.types import Observation, World


class Wrapped:
    """The same world; override what is to be different.

    Args:
        world: the one that is changed.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.name, self.signature = world.name, world.signature
        self.num_worlds = world.num_worlds

    def reset(self, seeds: Sequence[int]) -> Observation:
        """See :class:`forethought.types.World`."""
        observation = self.world.reset(seeds)
        self.num_worlds = self.world.num_worlds
        return observation

    def step(self, actions: np.ndarray) -> Observation:
        """See :class:`forethought.types.World`."""
        return self.world.step(actions)

    def observe(self) -> Observation:
        """See :class:`forethought.types.World`."""
        return self.world.observe()

    def goal(self) -> Observation:
        """See :class:`forethought.types.World`."""
        return self.world.goal()

    def succeeded(self) -> np.ndarray:
        """See :class:`forethought.types.World`."""
        return self.world.succeeded()

    def truth(self) -> Mapping[str, np.ndarray]:
        """See :class:`forethought.types.World`."""
        return self.world.truth()

    def goal_truth(self) -> Mapping[str, np.ndarray]:
        """See :class:`forethought.types.World`."""
        return self.world.goal_truth()

    def groups(self) -> Mapping[str, np.ndarray]:
        """See :class:`forethought.types.World`."""
        return self.world.groups()

    def oracle(self) -> np.ndarray:
        """See :class:`forethought.types.World`."""
        return self.world.oracle()

    def path_length(self) -> np.ndarray:
        """See :class:`forethought.types.World`."""
        return self.world.path_length()

    def explore(self, seed: int) -> Callable[[Observation], np.ndarray]:
        """See :class:`forethought.types.World`."""
        return self.world.explore(seed)
