"""Two planners in turn: the second improves what the first has found."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from forethought.actor.clock import Clock
from forethought.actor.search import Best, fork
from forethought.types import (
    ForethoughtError,
    Plan,
    Planner,
    PlanningProblem,
    PlanStatus,
    WarmStart,
)


@dataclass(frozen=True, kw_only=True)
class Mixed:
    """Sampling, then gradients: the first planner finds the valley, the second its bottom.

    Any two planners: the plan of the first is the warm start of the second, and the better of both
    is the plan of each world, so it is never worse than the first's (Bharadhwaj et al., 2020, mix
    sampling with gradients within each round instead).

    Attributes:
        first: searches broadly, e.g. :class:`CEM`.
        second: improves what it is given, e.g. :class:`Gradient`.
        first_share: share of the time allowed that the first may take.
    """

    first: Planner
    second: Planner
    first_share: float = 0.6

    def plan(
        self,
        problem: PlanningProblem,
        *,
        generator: torch.Generator,
        warm_start: WarmStart | None = None,
        deadline_s: float | None = None,
    ) -> Plan:
        """See :class:`forethought.types.Planner`.

        Raises:
            ForethoughtError: the two do not look equally far ahead.
        """
        clock = Clock(deadline_s, now=problem.now)
        for_first, for_second = fork(generator), fork(generator)
        first = self.first.plan(
            problem,
            generator=for_first,
            warm_start=warm_start,
            deadline_s=None if deadline_s is None else self.first_share * deadline_s,
        )
        if clock.left <= 0:
            return first
        second = self.second.plan(
            problem,
            generator=for_second,
            warm_start=WarmStart(actions=first.actions),
            deadline_s=None if deadline_s is None else clock.left,
        )
        best = _better(problem, first, second)
        return replace(
            best.plan(clock, in_time=second.status is not PlanStatus.OUT_OF_TIME),
            num_iterations=first.num_iterations + second.num_iterations,
            num_candidates=first.num_candidates + second.num_candidates,
            pace=first.pace,
        )


@torch.no_grad()
def _better(problem: PlanningProblem, first: Plan, second: Plan) -> Best:
    """Of each world the better plan."""
    horizons = [plan.actions.shape[1] for plan in (first, second)]
    if horizons[0] != horizons[1]:
        raise ForethoughtError(
            f"Mixed: the first planner looks {horizons[0]} model steps ahead, the second "
            f"{horizons[1]}, so that their plans cannot be compared; give both the same horizon."
        )
    best = Best()
    for plan in (first, second):
        best.offer(plan.imagination, problem.score(plan.imagination), 1)
    return best
