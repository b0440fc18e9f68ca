"""Costs of imagined states: each step has its own, and weighs what it is given."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from forethought.cost.terms import BoundTerm, CostTerm, Sight
from forethought.types import Distance, ForethoughtError, Imagination

CHUNK_NUMBERS = 2**18
"""Latent numbers whose distances are taken at once: what is made of them stays in the cache."""

StateCost = Callable[[Float[Tensor, "b n h k d"]], Float[Tensor, "b n h"]]
"""Cost of each state by itself, unweighted."""


@dataclass(frozen=True, kw_only=True, eq=False)
class StateTerm(CostTerm):
    """A cost that each imagined state has by itself, added up over the steps by their weights.

    Attributes:
        running: weight of each imagined step before the last. Zero asks where the plan ends; one
            also asks to be there soon, and to stay.
        terminal: weight of the last imagined step. Zero asks of the way alone.

    Raises:
        ForethoughtError: both weights are zero, so that nothing is asked.
    """

    running: float = 1.0
    terminal: float = 1.0

    def __post_init__(self) -> None:
        if self.running == 0 and self.terminal == 0:
            raise ForethoughtError(
                f"cost term {self.name!r} has running=0 and terminal=0, so that no step counts; "
                "give one of them a weight, or leave the term out."
            )

    @property
    @abstractmethod
    def measures(self) -> str:
        """What it measures of each state, in a few words."""

    @property
    def asks(self) -> str:
        """See :class:`CostTerm`."""
        return f"{self.measures}, running {self.running:g}, terminal {self.terminal:g}"

    @abstractmethod
    def bind_states(self, sight: Sight) -> StateCost:
        """The cost as a function of states."""

    def bind(self, sight: Sight) -> BoundTerm:
        """See :class:`CostTerm`."""
        cost_of = self.bind_states(sight)

        def weighed(imagination: Imagination) -> Float[Tensor, "b n h"]:
            reached = imagination.latents[:, :, 1:]
            if self.running:
                return weigh_steps(cost_of(reached), self.running, self.terminal)
            last = self.terminal * cost_of(reached[:, :, -1:])
            return torch.nn.functional.pad(last, (reached.shape[2] - 1, 0))

        return weighed


def weigh_steps(
    costs: Float[Tensor, "*batch h"], running: float, terminal: float
) -> Float[Tensor, "*batch h"]:
    """Costs of steps by their weights: one for the last, one for all before it."""
    if running == terminal == 1:
        return costs
    weights = costs.new_full(costs.shape[-1:], running)
    weights[-1] = terminal
    return costs * weights


def beside(
    target: Float[Tensor, "w k d"], latents: Float[Tensor, "b n h k d"]
) -> Float[Tensor, "w 1 1 k d"]:
    """A state of each world, or one for all of them, to go with every imagined state.

    It is not repeated, so that what a distance makes of it is made once.

    Raises:
        ForethoughtError: states for another number of worlds.
    """
    if len(target) not in (1, len(latents)):
        raise ForethoughtError(
            f"a cost term has states for {len(target)} worlds, and plans are made for "
            f"{len(latents)}; give one for all, or one for each."
        )
    return target[:, None, None]


def distance_to(target: Float[Tensor, "w k d"], distance: Distance) -> StateCost:
    """How far each state is from one of its world, or from one for all."""

    def cost(latents: Float[Tensor, "b n h k d"]) -> Float[Tensor, "b n h"]:
        there = beside(target, latents)
        candidates = max(1, CHUNK_NUMBERS * latents.shape[1] // max(1, latents.numel()))
        if candidates >= latents.shape[1]:
            return distance(latents, there)
        return torch.cat([distance(part, there) for part in latents.split(candidates, 1)], 1)

    return cost
