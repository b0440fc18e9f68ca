"""A ceiling for the search: the agent's own, with the true simulator for its model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from forethought.agent import Agent
from forethought.evaluation.references import Controller
from forethought.evaluation.simulated import ReplacedAgent, Replacement
from forethought.types import World


@dataclass(frozen=True, kw_only=True)
class TrueSimulator:
    """Who plans as the agent does, and imagines what would truly come; a
    :class:`forethought.evaluation.references.Reference`.

    What it fails at is not the model's fault. The world must be a
    :class:`forethought.types.Simulator`.

    Attributes:
        make_agent: builds the agent for goals.
        make_world: builds a world of so many copies, for candidates to be acted out in.
        name: as tables call it.
    """

    make_agent: Callable[..., Agent]
    make_world: Callable[[int], World]
    name: str = "true simulator"

    def begin(self, world: World, seed: int) -> Controller:
        """See :class:`forethought.evaluation.references.Reference`."""
        agent = self.make_agent(world.goal(), world.num_worlds)
        replaced = ReplacedAgent(agent, world, self.make_world(1), Replacement(model=True))
        return lambda observation: replaced.act_batch(observation).action
