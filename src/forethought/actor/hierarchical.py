"""Planning on several levels: the plan above says where to be next, the plan below how."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from forethought.actor.clock import Clock
from forethought.actor.search import fork
from forethought.types import ForethoughtError, Plan, Planner, PlanningProblem, WarmStart


@dataclass(frozen=True, kw_only=True)
class Hierarchical:
    """Searches the level above, and seeks the first state of its plan on this level.

    Both are searched anew each time, so that the way is corrected as one goes. For three levels,
    ``upper`` is itself hierarchical. Time that the level above leaves is this level's.

    Attributes:
        upper: planner of the level above; its horizon counts that level's steps.
        lower: planner of this level; its horizon should reach one step of the level above.
        upper_share: share of the time allowed that the level above may take.
    """

    upper: Planner
    lower: Planner
    upper_share: float = 0.5

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
            ForethoughtError: the model has no level above.
        """
        if problem.above is None or problem.toward is None:
            raise ForethoughtError(
                "a hierarchical plan needs a model with a level above; train with "
                "TrainConfig.hierarchy, or use a flat planner such as CEM."
            )
        clock = Clock(deadline_s, now=problem.now)
        for_above, for_below = fork(generator), fork(generator)
        above = self.upper.plan(
            problem.above,
            generator=for_above,
            warm_start=warm_start.above if warm_start else None,
            deadline_s=None if deadline_s is None else self.upper_share * deadline_s,
        )
        first = above.imagination.latents[:, 0, 1]
        plan = self.lower.plan(
            replace(problem, score=problem.toward(first), above=None),
            generator=for_below,
            warm_start=warm_start,
            deadline_s=None if deadline_s is None else clock.left,
        )
        return replace(
            plan,
            num_iterations=plan.num_iterations + above.num_iterations,
            num_candidates=plan.num_candidates + above.num_candidates,
            seconds=clock.seconds,
            above=above,
        )
