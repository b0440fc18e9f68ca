"""Costs on physical quantities, read from imagined latents by the agent's probes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from forethought.cost.shown import latents_of, what_is_shown
from forethought.cost.states import StateCost, StateTerm
from forethought.cost.terms import BoundTerm, CostTerm, FunctionTerm, Sight
from forethought.types import ForethoughtError, Imagination, Observation


@dataclass(frozen=True, kw_only=True, eq=False)
class ProbedGoal(StateTerm):
    """Distance of some quantities from what a goal observation shows; the others are free.

    Attributes:
        observation: the goal as the sensors would show it; one for all agents, or ``(b, ...)``.
        quantities: names of the quantities that count, alike in unit.
    """

    name: str = "goal"
    observation: Mapping[str, np.ndarray] = field(default_factory=dict)
    quantities: tuple[str, ...] = ("position.x", "position.y")

    seeks_goal: ClassVar[bool] = True

    @property
    def measures(self) -> str:
        """See :class:`StateTerm`."""
        shown = what_is_shown(self.observation)
        return f"distance in {', '.join(self.quantities)} to a goal {shown}"

    @property
    def shows(self) -> Observation:
        """See :class:`CostTerm`."""
        return self.observation

    def bind_states(self, sight: Sight) -> StateCost:
        """See :class:`StateTerm`.

        Raises:
            ForethoughtError: the agent has no such probe.
        """
        goal = latents_of(self.observation, sight)
        target = quantities_of(sight, goal, self.quantities)[:, None, None]
        return lambda latents: length(quantities_of(sight, latents, self.quantities) - target)


QuantityCost = Callable[[Mapping[str, Float[Tensor, "b n h"]]], Float[Tensor, "b n h"]]
"""Cost of each candidate at each imagined step after the present, from quantities by name."""


@dataclass(frozen=True, kw_only=True, eq=False)
class QuantityTerm(CostTerm):
    """A function of the user's own, of probed quantities.

    Attributes:
        function: the quantities by name, ``(b, n, h)`` each, to ``(b, n, h)``.
        quantities: names of those that it is given.
    """

    function: QuantityCost
    quantities: tuple[str, ...]

    @property
    def asks(self) -> str:
        """See :class:`CostTerm`."""
        return f"a function of {', '.join(self.quantities)}"

    def bind(self, sight: Sight) -> BoundTerm:
        """See :class:`CostTerm`; checks the shape of what the function gives."""

        def cost_of(imagination: Imagination) -> Tensor:
            found = quantities_of(sight, imagination.latents[:, :, 1:], self.quantities)
            return self.function(dict(zip(self.quantities, found.unbind(-1), strict=True)))

        return FunctionTerm(name=self.name, function=cost_of).bind(sight)


@dataclass(frozen=True, kw_only=True, eq=False)
class KeepApart(CostTerm):
    """How much closer two things come than they should: 0 outside, 1 where they coincide.

    Between model steps both are taken to move evenly, and the closest they come counts: what is
    fast would otherwise jump over what it hits.

    Attributes:
        first: quantities that say where one is.
        second: where the other is; as many, alike in unit.
        apart: distance to keep, in their unit.

    Raises:
        ForethoughtError: unequal numbers of quantities, or a distance that is not positive.
    """

    name: str = "keep_apart"
    first: tuple[str, ...]
    second: tuple[str, ...]
    apart: float

    @property
    def asks(self) -> str:
        """See :class:`CostTerm`."""
        return f"{', '.join(self.first)} within {self.apart:g} of {', '.join(self.second)}"

    def __post_init__(self) -> None:
        if len(self.first) != len(self.second) or self.apart <= 0:
            raise ForethoughtError(
                f"keep_apart needs two places of as many quantities and a positive distance; found "
                f"{self.first}, {self.second} and {self.apart}."
            )

    def bind(self, sight: Sight) -> BoundTerm:
        """See :class:`CostTerm`.

        Raises:
            ForethoughtError: the agent has no such probe.
        """

        def intrusion(imagination: Imagination) -> Float[Tensor, "b n h"]:
            first = quantities_of(sight, imagination.latents, self.first)
            second = quantities_of(sight, imagination.latents, self.second)
            return torch.relu(1 - closest_approach(first - second) / self.apart)

        return intrusion


def probed_goal(
    *,
    observation: Observation,
    quantities: tuple[str, ...] = ("position.x", "position.y"),
    running: float = 1.0,
    terminal: float = 1.0,
) -> ProbedGoal:
    """Be where a goal observation shows these quantities to be, whatever else it shows.

    Args:
        observation: a goal observation, by keys.
        quantities: names of probed quantities that count, alike in unit.
        running: weight of the distance at each imagined step before the last.
        terminal: weight of the distance at the last.

    Raises:
        ForethoughtError: both weights are zero.
    """
    return ProbedGoal(
        observation=observation, quantities=quantities, running=running, terminal=terminal
    )


def quantity_term(
    name: str, function: QuantityCost, *, quantities: tuple[str, ...]
) -> QuantityTerm:
    """A cost term from a function of probed quantities.

    Args:
        name: how plans and tables call it.
        function: is given the quantities by name, ``(b, n, h)`` each, at the imagined steps after
            the present, and gives one value ``(b, n, h)`` per candidate and step.
        quantities: names of those that it is given.
    """
    return QuantityTerm(name=name, function=function, quantities=quantities)


def keep_apart(first: tuple[str, ...], second: tuple[str, ...], *, apart: float) -> KeepApart:
    """Keep a distance between two things, e.g. ``("position.x",)`` and ``("obstacle.x",)``."""
    return KeepApart(first=first, second=second, apart=apart)


def quantities_of(
    sight: Sight, latents: Float[Tensor, "*batch k d"], names: tuple[str, ...]
) -> Float[Tensor, "*batch q"]:
    """Probed quantities, side by side.

    Raises:
        ForethoughtError: a name that the agent's probes do not read.
    """
    found = sight.read(latents)
    if missing := [name for name in names if name not in found]:
        raise ForethoughtError(
            f"the agent's probes read {sorted(found)}, not {missing[0]!r}; name one of them, or "
            "train with data that hold it."
        )
    return torch.stack([found[name] for name in names], dim=-1)


def closest_approach(gaps: Float[Tensor, "*batch h_plus_1 q"]) -> Float[Tensor, "*batch h"]:
    """Least length of a gap that changes evenly from each step to the next."""
    start, change = gaps[..., :-1, :], gaps[..., 1:, :] - gaps[..., :-1, :]
    share = -(start * change).sum(-1) / change.square().sum(-1).clamp_min(1e-12)
    return length(start + share.clamp(0, 1).unsqueeze(-1) * change)


def length(vectors: Float[Tensor, "*batch q"]) -> Float[Tensor, "*batch"]:
    """Euclidean length, with a finite gradient at zero."""
    return vectors.square().sum(-1).add(1e-12).sqrt()
