"""Successive halving: candidates that begin badly are not imagined to the end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from forethought.actor.sifting import RoundPlanner, among_all, best_of, checked_share, num_kept
from forethought.types import (
    ForethoughtError,
    Imagination,
    Plan,
    PlanningProblem,
    Scores,
    WarmStart,
    gather,
)


@dataclass(frozen=True, kw_only=True)
class Rung:
    """Where candidates are judged on the way.

    Attributes:
        steps: model steps that have been imagined by then.
        share: of the candidates that have come so far, how many go on.

    Raises:
        ForethoughtError: no steps, or no share.
    """

    steps: int
    share: float = 0.5

    def __post_init__(self) -> None:
        checked_share(self.share, "a rung")
        if self.steps < 1:
            raise ForethoughtError(
                f"a rung after {self.steps} model steps; expected at least 1, since before that "
                "all candidates are alike."
            )


@dataclass(frozen=True, kw_only=True)
class Halving:
    """Imagines all candidates of a round some steps, and only the better share any further.

    Successive halving (Jamieson and Talwalkar, 2016), whose resource is the imagined horizon. What
    has been imagined is scored by the same cost as the whole, so it pays for costs that tell good
    from bad early: distances that fall along the way do, a term that asks only where the plan ends
    (``running=0``) judges each rung as if it were the end.

    Never dropped are the first candidate, which is the warm start in the first round, and the best,
    twice as many as the planner wants. The plan is therefore never worse than the warm start, and
    its energy is that of the whole horizon.

    Attributes:
        planner: whose rounds they are. What passes a screen is halved by
            ``Halving(planner=Screened(planner=...))``.
        rungs: where candidates are judged, earliest first; those beyond the horizon are never met.

    Raises:
        ForethoughtError: rungs out of order.
    """

    planner: RoundPlanner
    rungs: tuple[Rung, ...] = (Rung(steps=2),)

    def __post_init__(self) -> None:
        if any(later.steps <= earlier.steps for earlier, later in pairwise(self.rungs)):
            raise ForethoughtError(
                f"rungs after {[rung.steps for rung in self.rungs]} model steps; expected each "
                "after more steps than the one before."
            )

    @property
    def horizon(self) -> int:
        """Model steps planned ahead."""
        return self.planner.horizon

    @property
    def num_samples(self) -> int:
        """Candidates in a round."""
        return self.planner.num_samples

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
            ForethoughtError: candidates are sifted already, by a planner around this one.
        """
        if problem.sift is not None:
            raise ForethoughtError(
                "candidates are judged on the way after all else that drops any; put Halving "
                "around the other planner, as in Halving(planner=Screened(planner=CEM()))."
            )
        return self.planner.plan(
            replace(problem, sift=partial(self._climb, problem)),
            generator=generator,
            warm_start=warm_start,
            deadline_s=deadline_s,
        )

    def _climb(
        self, problem: PlanningProblem, actions: Float[Tensor, "b n h a"], wanted: int
    ) -> tuple[Imagination, Scores]:
        """Candidates from rung to rung."""
        b, n, horizon = actions.shape[:3]
        left, index = actions, torch.arange(n, device=actions.device).expand(b, -1)
        so_far: Imagination | None = None
        for rung in self.rungs:
            count = num_kept(left.shape[1], rung.share, wanted)
            if rung.steps >= horizon or count == left.shape[1]:
                continue
            so_far = _further(problem, so_far, left[:, :, : rung.steps])
            best = best_of(problem, so_far, count)
            so_far, left, index = so_far.pick(best), gather(left, best), gather(index, best)
        whole = _further(problem, so_far, left)
        scores = problem.score(whole)
        return (whole, scores) if so_far is None else among_all(whole, scores, index, actions)


def _further(
    problem: PlanningProblem, so_far: Imagination | None, actions: Float[Tensor, "b n h a"]
) -> Imagination:
    """Candidates imagined to the end of their actions, from where they were left if that can be."""
    if so_far is None or problem.go_on is None:
        return problem.imagine(actions)
    return problem.go_on(so_far, actions[:, :, so_far.actions.shape[2] :])
