"""Who does the same tasks beside the agent: floors that it should be above, ceilings that it cannot
be expected to pass.

Each is a small frozen object with a name, that takes control of a world. The list is open: anything
with :meth:`Reference.begin` will do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from forethought.types import Decision, ForethoughtError, Observation, Resting, World

Controller = Callable[[Observation], np.ndarray]
"""Observations ``(b, ...)`` to actions ``(b, dim)``."""


class Actor(Protocol):
    """Who is measured: an agent that plans, or a policy that answers at once."""

    def act_batch(self, observation: Mapping[str, Any]) -> Decision:
        """The next action of every agent, from observations ``(b, ...)`` per key."""
        ...


MakeAgent = Callable[[Observation, int], Actor]
"""From goal observations ``(b, ...)`` and the number of agents to an agent that seeks them."""


class Reference(Protocol):
    """Who an agent is compared with; a frozen dataclass.

    Attributes:
        name: as tables call it.
    """

    @property
    def name(self) -> str:
        """See the class."""
        ...

    def begin(self, world: World, seed: int) -> Controller:
        """Takes control of a world whose copies stand at the starts of tasks.

        Args:
            world: which may be asked for anything, its truth included.
            seed: of what is drawn.

        Raises:
            ForethoughtError: it cannot act there.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class RandomActions:
    """Uniformly random actions within the bounds."""

    name: str = "random"

    def begin(self, world: World, seed: int) -> Controller:
        """See :class:`Reference`."""
        spec, generator = world.signature.action, np.random.default_rng(seed)

        def act(_: Observation) -> np.ndarray:
            if spec.discrete:
                return generator.integers(spec.num_choices, size=world.num_worlds)
            draws = generator.uniform(spec.low, spec.high, size=(world.num_worlds, spec.dim))
            return draws.astype(np.float32)

        return act


@dataclass(frozen=True, kw_only=True)
class HoldStill:
    """Does nothing: zero where actions are numbers (or the nearest to it that is allowed), and what
    the world says elsewhere (:class:`forethought.types.Resting`).

    What it reaches needs no agent: goals at which the start lies, or to which the world drifts.
    """

    name: str = "hold still"

    def begin(self, world: World, seed: int) -> Controller:
        """See :class:`Reference`."""
        spec = world.signature.action
        if isinstance(world, Resting):
            actions = world.rest()
        elif spec.discrete:
            raise ForethoughtError(
                f"world {world.name!r} has {spec.num_choices} discrete actions and does not say "
                "which of them does nothing. Give it a method rest() "
                "(forethought.types.Resting), or leave this floor out."
            )
        else:
            still = np.clip(np.zeros(spec.dim), spec.low, spec.high).astype(np.float32)
            actions = np.tile(still, (world.num_worlds, 1))
        return lambda _: actions.copy()


@dataclass(frozen=True, kw_only=True)
class Oracle:
    """The world's best known controller, which sees the truth."""

    name: str = "oracle"

    def begin(self, world: World, seed: int) -> Controller:
        """See :class:`Reference`."""
        return lambda _: world.oracle()


@dataclass(frozen=True, kw_only=True)
class AnotherAgent:
    """Any other agent: a policy cloned from recordings, an earlier run.

    Attributes:
        name: as tables call it.
        make_agent: builds it for goals.
    """

    name: str
    make_agent: MakeAgent

    def begin(self, world: World, seed: int) -> Controller:
        """See :class:`Reference`."""
        agent = self.make_agent(world.goal(), world.num_worlds)
        return lambda observation: agent.act_batch(observation).action


FLOORS: tuple[Reference, ...] = (RandomActions(),)
"""What costs no more than stepping the world."""
CEILINGS: tuple[Reference, ...] = (Oracle(),)
