"""Screening: a cheap model looks at all candidates, the world model at the promising ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from forethought.actor.search import evaluate
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

Imagine = Callable[[Float[Tensor, "b n h a"]], Imagination]


@dataclass(frozen=True, kw_only=True)
class Screened:
    """Imagines all candidates of a round by the sketch, and only the best of them by the model.

    Both are scored by the same cost, and what goes on from a round is the world model's word alone:
    a sketch that errs costs good candidates, never a wrong energy. Never dropped are the first
    candidate, which is the warm start in the first round, and the best by the sketch, twice as many
    as the planner wants.

    Attributes:
        planner: whose rounds they are.
        share: of the candidates that the world model imagines.

    Raises:
        ForethoughtError: no share.
    """

    planner: RoundPlanner
    share: float = 0.25

    def __post_init__(self) -> None:
        checked_share(self.share, "screening")

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
            ForethoughtError: the model has no sketch.
        """
        return self.planner.plan(
            replace(problem, sift=partial(self._screen, problem, sketch_of(problem))),
            generator=generator,
            warm_start=warm_start,
            deadline_s=deadline_s,
        )

    def _screen(
        self,
        problem: PlanningProblem,
        sketch: Imagine,
        actions: Float[Tensor, "b n h a"],
        wanted: int,
    ) -> tuple[Imagination, Scores]:
        """The candidates in which the sketch sees most good, imagined."""
        count = num_kept(actions.shape[1], self.share, wanted)
        if count == actions.shape[1]:
            return evaluate(problem, actions, wanted)
        best = best_of(problem, sketch(actions), count)
        return among_all(*evaluate(problem, gather(actions, best), wanted), best, actions)


def sketch_of(problem: PlanningProblem) -> Imagine:
    """How a problem is imagined cheaply.

    Raises:
        ForethoughtError: it is not.
    """
    if problem.sketch is None:
        raise ForethoughtError(
            "this planner asks a sketch of the world model, and the model has none; train with "
            "TrainConfig.sketch, or use the planner within it by itself."
        )
    return problem.sketch
