"""Cost terms and their algebra.

A term is a frozen description; :meth:`CostTerm.bind` turns it into a function of an imagination
once the agent that will use it is known. All terms score the same imagination: it is rolled out
once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from forethought.cost.guardrail import Guardrail, bind_guardrails, widened
from forethought.cost.risk import Expected, OutcomeRisk
from forethought.cost.sight import Sight
from forethought.cost.table import table
from forethought.types import (
    ForethoughtError,
    Imagination,
    Observation,
    Scores,
)

BoundTerm = Callable[[Imagination], Float[Tensor, "b n h"]]
"""Cost of each candidate at each imagined step, unweighted; it adds up over the horizon."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CostTerm(ABC):
    """A named, weighted share of the energy.

    Attributes:
        name: how plans and tables call it.
        weight: its factor in the energy.
    """

    name: str
    weight: float = 1.0

    judges_actions: ClassVar[bool] = False
    """Whether it is about actions, which a level above does not know."""
    seeks_goal: ClassVar[bool] = False
    """Whether it says where to go, which a level below is told by the plan above instead."""

    @property
    def asks(self) -> str:
        """What it asks, in a line of a table; empty where a term does not say."""
        return ""

    @property
    def shows(self) -> Observation:
        """The goal that it seeks, as the sensors would show it; empty where it seeks none, or tells
        it otherwise."""
        return {}

    @abstractmethod
    def bind(self, sight: Sight) -> BoundTerm:
        """The cost as a function of an imagination."""

    def __mul__(self, factor: float) -> CostTerm:
        return replace(self, weight=self.weight * factor)

    __rmul__ = __mul__

    def __add__(self, other: CostTerm | Cost) -> Cost:
        return Cost(terms=(self,)) + other

    def named(self, name: str) -> CostTerm:
        """The same term under another name."""
        return replace(self, name=name)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """A sum of terms; prints as a table.

    Attributes:
        terms: the terms, each under its own name.
        risk: how the outcomes of a candidate are weighed, where several are imagined.
        guardrails: what must hold besides, whatever it costs.
    """

    terms: tuple[CostTerm, ...]
    risk: OutcomeRisk = field(default_factory=Expected)
    guardrails: tuple[Guardrail, ...] = ()

    def __post_init__(self) -> None:
        names = [term.name for term in self.terms]
        rails = [rail.name for rail in self.guardrails]
        if twice := sorted({name for name in rails if rails.count(name) > 1}):
            raise ForethoughtError(
                f"two guardrails are called {twice[0]!r}; give one another name with name=..."
            )
        if duplicates := sorted({name for name in names if names.count(name) > 1}):
            raise ForethoughtError(
                f"two cost terms are called {duplicates[0]!r}; give one another name with "
                "`.named(...)`."
            )

    def __add__(self, other: CostTerm | Cost) -> Cost:
        if isinstance(other, Cost):
            rails = self.guardrails + other.guardrails
            return replace(self, terms=self.terms + other.terms, guardrails=rails)
        return replace(self, terms=(*self.terms, other))

    def __mul__(self, factor: float) -> Cost:
        return replace(self, terms=tuple(term * factor for term in self.terms))

    __rmul__ = __mul__

    def of_states(self) -> Cost:
        """The terms that are about states: what a level above is scored by.

        Raises:
            ForethoughtError: there is none.
        """
        terms = tuple(term for term in self.terms if not term.judges_actions)
        if not terms:
            raise ForethoughtError(
                "every term of this cost is about actions, so a level above has nothing to plan "
                "for; add a goal."
            )
        return replace(self, terms=terms)

    def on_the_way_to(self, sub_goal: CostTerm) -> Cost:
        """A sub-goal in place of the goals; what else is asked, on the way too, stays."""
        others = tuple(term for term in self.terms if not term.seeks_goal)
        return replace(self, terms=(sub_goal, *others))

    def guarded(self, guardrails: Sequence[Guardrail]) -> Cost:
        """The same cost, to be sought within more guardrails."""
        return replace(self, guardrails=(*self.guardrails, *guardrails))

    def at(self, risk: OutcomeRisk) -> Cost:
        """The same terms with outcomes weighed otherwise, e.g. ``Worst()``."""
        return replace(self, risk=risk)

    def __str__(self) -> str:
        rows = [(term.name, f"{term.weight:g}", term.asks) for term in self.terms]
        rows += [(r.name, f"risk {r.risk:g}", str(r.constraint)) for r in self.guardrails]
        return table(("term", "weight", "asks"), *rows)

    def bind(self, sight: Sight) -> Callable[[Imagination], Scores]:
        """The whole cost as a function of an imagination."""
        bound = [(term.name, term.weight, term.bind(sight)) for term in self.terms]
        judge = bind_guardrails(self.guardrails, sight)

        def score(imagination: Imagination) -> Scores:
            shares = {
                name: weight * function(imagination).sum(-1) for name, weight, function in bound
            }
            shares = self._over_outcomes(shares, imagination.num_outcomes)
            energy = self._total(shares, imagination)
            margins, units = _margins(judge(imagination), sight, imagination.num_outcomes)
            feasible = torch.ones_like(energy, dtype=torch.bool)
            if margins:
                least = torch.stack(tuple(margins.values())).amin((0, -1))
                feasible = least >= 0
            return Scores(
                energy=energy, terms=shares, margins=margins, units=units, feasible=feasible
            )

        return score

    def _total(
        self, shares: Mapping[str, Float[Tensor, "b n"]], imagination: Imagination
    ) -> Float[Tensor, "b n"]:
        """What the terms add up to; zero without any."""
        if shares:
            return reduce(torch.add, shares.values())
        b, n = imagination.actions.shape[:2]
        return imagination.actions.new_zeros(b, n // imagination.num_outcomes)

    def _over_outcomes(
        self, shares: dict[str, Float[Tensor, "b nm"]], num_outcomes: int
    ) -> dict[str, Float[Tensor, "b n"]]:
        """Each term weighed over the outcomes of a candidate; all terms with the same weights."""
        if num_outcomes == 1 or not shares:
            return shares
        apart = {name: share.unflatten(1, (-1, num_outcomes)) for name, share in shares.items()}
        weights = self.risk.weights(torch.stack(tuple(apart.values())).sum(0))
        return {name: (weights * share).sum(-1) for name, share in apart.items()}


def _margins(
    raw: Mapping[str, Float[Tensor, "b nm h"]], sight: Sight, num_outcomes: int
) -> tuple[dict[str, Float[Tensor, "b n h"]], dict[str, float]]:
    """Widened margins of every guardrail, and their units."""
    bounds = {name: sight.bounds(name, margins.shape[-1]) for name, margins in raw.items()}
    return widened(raw, bounds, num_outcomes), {name: one.unit for name, one in bounds.items()}


@dataclass(frozen=True, kw_only=True, eq=False)
class FunctionTerm(CostTerm):
    """A function of the user's own.

    Attributes:
        function: imagination to ``(b, n, h)``.
    """

    function: BoundTerm

    @property
    def asks(self) -> str:
        """See :class:`CostTerm`."""
        return "a function of the imagination"

    def bind(self, sight: Sight) -> BoundTerm:
        """See :class:`CostTerm`; checks the shape of what the function gives."""

        def checked(imagination: Imagination) -> Float[Tensor, "b n h"]:
            values = self.function(imagination)
            expected = imagination.actions.shape[:3]
            if values.shape != expected:
                raise ForethoughtError(
                    f"cost term {self.name!r} gave shape {tuple(values.shape)}; expected "
                    f"(worlds, candidates, horizon) = {tuple(expected)}."
                )
            return values

        return checked


def term(name: str, function: BoundTerm) -> FunctionTerm:
    """A cost term from a function of an imagination.

    Args:
        name: how plans and tables call it.
        function: imagination to one value ``(b, n, h)`` per candidate and step.
    """
    return FunctionTerm(name=name, function=function)
