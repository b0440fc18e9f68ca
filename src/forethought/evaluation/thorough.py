"""The same search with more to spend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from forethought.actor.search import fork
from forethought.types import Plan, Planner, PlanningProblem, WarmStart

COUNTS = {"num_samples", "num_elites"}
"""Settings of planners that count the candidates of a round."""
WITHIN = {"planner", "first", "second", "upper", "lower"}
"""Settings of planners that are planners."""


def with_budget(planner: Planner, times: int) -> Planner:
    """The same planner with so many times the budget.

    Planners that draw candidates draw so many times as many in each round, with as large a share of
    elites; planners around another one pass that on. All others search so many times over, see
    :class:`Thorough`. The horizon stays as it is.

    Args:
        planner: the planner.
        times: what its budget is multiplied by.
    """
    if times == 1:
        return planner
    names = {one.name for one in fields(planner)} if is_dataclass(planner) else set()
    settings: dict[str, Any] = {name: vars(planner)[name] for name in names}
    if "num_samples" in names:
        counts = {name: times * settings[name] for name in COUNTS & names}
        return replace(cast(Any, planner), **counts)
    within = {name: with_budget(settings[name], times) for name in WITHIN & names}
    if within:
        return replace(cast(Any, planner), **within)
    return Thorough(planner=planner, searches=times)


@dataclass(frozen=True, kw_only=True)
class Thorough:
    """The same search several times over, from the same start; the best of their plans is taken.

    The first is the search as it would have been, so that more is never worse by its energy. It is
    more of whatever a planner does, and asks nothing of how it does it.

    Attributes:
        planner: the search.
        searches: how many of them.
    """

    planner: Planner
    searches: int = 10

    def plan(
        self,
        problem: PlanningProblem,
        *,
        generator: torch.Generator,
        warm_start: WarmStart | None = None,
        deadline_s: float | None = None,
    ) -> Plan:
        """See :class:`forethought.types.Planner`; each search has the time allowed."""
        others = fork(generator.clone_state())
        best = self.planner.plan(
            problem, generator=generator, warm_start=warm_start, deadline_s=deadline_s
        )
        for _ in range(self.searches - 1):
            plan = self.planner.plan(
                problem, generator=fork(others), warm_start=warm_start, deadline_s=deadline_s
            )
            best = _better(plan, best)
        return best


def _better(plan: Plan, other: Plan) -> Plan:
    """Of two plans the better one in each world: by violation, then by energy."""
    mine, others = _violation(plan), _violation(other)
    take = (mine < others) | ((mine == others) & (plan.energy < other.energy))
    chosen = _where(take, plan, other)
    return replace(
        chosen,
        num_iterations=plan.num_iterations + other.num_iterations,
        num_candidates=plan.num_candidates + other.num_candidates,
        seconds=plan.seconds + other.seconds,
    )


def _violation(plan: Plan) -> Float[Tensor, " b"]:
    total = torch.where(plan.feasible, 0.0, 1e-12)
    for margin in plan.margins.values():
        total = total + torch.relu(-margin).sum(-1)
    return total


def _where(take: Bool[Tensor, " b"], plan: Plan, other: Plan) -> Plan:
    """One plan in the worlds to take, another in the rest."""

    def chosen(mine: Tensor, others: Tensor) -> Tensor:
        return torch.where(take.view(-1, *[1] * (mine.ndim - 1)), mine, others)

    def each(mine: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: chosen(value, others[name]) for name, value in mine.items()}

    above = plan.above and other.above and _where(take, plan.above, other.above)
    return replace(
        plan,
        actions=chosen(plan.actions, other.actions),
        energy=chosen(plan.energy, other.energy),
        terms=each(plan.terms, other.terms),
        margins=each(plan.margins, other.margins),
        feasible=chosen(plan.feasible, other.feasible),
        imagination=plan.imagination.where(take, other.imagination),
        above=above,
    )
