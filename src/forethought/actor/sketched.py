"""Searching wholly in a sketch, with the world model's word on what comes of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from forethought.actor.clock import Clock
from forethought.actor.screened import sketch_of
from forethought.actor.search import Best, Box, evaluate
from forethought.actor.sifting import HorizonPlanner
from forethought.types import Plan, PlanningProblem, PlanStatus, WarmStart


@dataclass(frozen=True, kw_only=True)
class Sketched:
    """Searches in the sketch alone; the world model imagines what it began with and what it found.

    The better of the two is the plan, with the world model's energies and margins: a sketch that
    errs costs a good plan, never a wrong energy, and the plan is never worse than the warm start.
    To search on by the world model: ``Mixed(first=Sketched(planner=CEM()), second=CEM())``.

    Attributes:
        planner: that searches the sketch.
    """

    planner: HorizonPlanner

    @property
    def horizon(self) -> int:
        """Model steps planned ahead."""
        return self.planner.horizon

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
            ForethoughtError: the model has no sketch.
        """
        clock, best = Clock(deadline_s, now=problem.now), Best()
        drawn, box = _drawn(problem), Box.of(problem.space)
        begun = box.initial(problem.num_worlds, self.horizon, 0.0, warm_start).mean
        with torch.no_grad():
            best.offer(*evaluate(problem, box.actions(begun[:, None])), 1)
        # The last word takes as long as the first.
        kept_back = clock.seconds
        found = self.planner.plan(
            drawn,
            generator=generator,
            warm_start=warm_start,
            deadline_s=None if deadline_s is None else clock.left - kept_back,
        )
        with torch.no_grad():
            best.offer(*evaluate(problem, found.actions[:, None]), 1)
        return replace(
            best.plan(clock, in_time=found.status is not PlanStatus.OUT_OF_TIME),
            num_iterations=found.num_iterations,
            num_candidates=found.num_candidates + best.num_candidates,
            pace=found.pace,
        )


def _drawn(problem: PlanningProblem) -> PlanningProblem:
    """The same problem as the sketch imagines it; it offers no other way to imagine."""
    imagine = sketch_of(problem)
    return replace(problem, imagine=imagine, sketch=None, sift=None, go_on=None, follow=None)
