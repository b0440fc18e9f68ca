"""A world of movements in a plane, steered by the points of the compass: discrete actions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from forethought.types import (
    ActionSpec,
    ForethoughtError,
    Observation,
    Simulator,
    Snapshot,
    World,
)
from forethought.worlds.wrapped import Wrapped

ACTIONS = (
    "stay",
    "east",
    "northeast",
    "north",
    "northwest",
    "west",
    "southwest",
    "south",
    "southeast",
)
"""What each action means."""


class Compass(Wrapped):
    """Nine actions in place of two numbers: to stay, or to go as far as one can in a direction.

    Args:
        world: with two continuous actions of the same range, to either side.
        name: how results call it.

    Raises:
        ForethoughtError: its actions are others.
    """

    def __init__(self, world: World, *, name: str | None = None) -> None:
        super().__init__(world)
        spec = world.signature.action
        if spec.discrete or spec.width != 2 or len({-spec.low[0], *spec.high, -spec.low[1]}) != 1:
            raise ForethoughtError(
                f"world {world.name!r} has actions {spec}; a compass needs two continuous ones "
                "from -r to r."
            )
        self.name = name or f"{world.name} by compass"
        action = ActionSpec(dim=1, num_choices=len(ACTIONS))
        self.signature = replace(world.signature, action=action)
        # Pictures count rows downwards: north is up.
        angles = np.arange(8) * np.pi / 4
        around = np.stack([np.cos(angles), -np.sin(angles)], axis=1)
        moves = spec.high[0] * np.concatenate([np.zeros((1, 2)), around])
        self._moves = moves.astype(np.float32)
        self._owed = np.zeros((world.num_worlds, 2), np.float32)

    def reset(self, seeds: Sequence[int]) -> Observation:
        """See :class:`forethought.types.World`."""
        self._owed = np.zeros((len(seeds), 2), np.float32)
        return super().reset(seeds)

    def step(self, actions: np.ndarray) -> Observation:
        """See :class:`forethought.types.World`."""
        return self.world.step(self._moves[actions])

    def advance(self, actions: np.ndarray) -> None:
        """See :class:`forethought.types.Simulator`."""
        self._simulator.advance(self._moves[actions])

    def snapshot(self) -> Snapshot:
        """See :class:`forethought.types.Simulator`."""
        return {**self._simulator.snapshot(), "owed": self._owed.copy()}

    def restore(self, snapshot: Snapshot) -> None:
        """See :class:`forethought.types.Simulator`."""
        self._simulator.restore({k: v for k, v in snapshot.items() if k != "owed"})
        self.num_worlds, self._owed = self.world.num_worlds, snapshot["owed"].copy()

    @property
    def _simulator(self) -> Simulator:
        if not isinstance(self.world, Simulator):
            raise ForethoughtError(
                f"world {self.world.name!r} cannot be put back to where it was, and so not by "
                "compass either; see forethought.types.Simulator."
            )
        return self.world

    def oracle(self) -> np.ndarray:
        """See :class:`forethought.types.World`; what a direction misses is made up for later."""
        wanted = self.world.oracle() + self._owed
        actions = self._nearest(wanted)
        self._owed = wanted - self._moves[actions]
        return actions

    def rest(self) -> np.ndarray:
        """See :class:`forethought.types.Resting`: to stay."""
        return np.full(self.num_worlds, ACTIONS.index("stay"), np.int64)

    def explore(self, seed: int) -> Callable[[Observation], np.ndarray]:
        """See :class:`forethought.types.World`."""
        act = self.world.explore(seed)
        return lambda observation: self._nearest(act(observation))

    def _nearest(self, actions: np.ndarray) -> np.ndarray:
        off = np.square(actions[:, None] - self._moves).sum(-1)
        return off.argmin(1).astype(np.int64)
