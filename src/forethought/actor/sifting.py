"""Imagining the better share of a round alone: what halving and screening have in common.

A planner says of how many candidates it wants to know (:attr:`PlanningProblem.sift`). Those that
are dropped come back as NaN, with scores that are worse than all others, so that no elite and no
plan is one of them.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

from forethought.actor.search import Ranked
from forethought.types import ForethoughtError, Imagination, Planner, PlanningProblem, Scores

KEPT_FOR_ONE = 2
"""Candidates kept at least, for each that is wanted: early judgement errs."""


class HorizonPlanner(Planner, Protocol):
    """A planner that says how far it looks."""

    @property
    def horizon(self) -> int:
        """Model steps planned ahead."""
        ...


class RoundPlanner(HorizonPlanner, Protocol):
    """A planner that draws candidates in rounds, and goes on from the best of each."""

    @property
    def num_samples(self) -> int:
        """Candidates in a round."""
        ...


def checked_share(share: float, of: str) -> None:
    """Refuses a share that keeps nothing, or more than all.

    Raises:
        ForethoughtError: such a share.
    """
    if not 0 < share <= 1:
        raise ForethoughtError(
            f"{of} keeps a share of {share}; expected one above 0, and at most 1 to keep all."
        )


def num_kept(num_candidates: int, share: float, wanted: int) -> int:
    """How many candidates go on, of which so many are wanted in the end."""
    return min(num_candidates, max(math.ceil(share * num_candidates), KEPT_FOR_ONE * wanted))


def best_of(
    problem: PlanningProblem, imagination: Imagination, count: int
) -> Int[Tensor, "b count"]:
    """The best candidates of each world, in the order in which they came.

    The first is always one of them: it is where planners put what must not be lost, such as the
    mean, which begins as the warm start.
    """
    scores = problem.score(imagination)
    order = Ranked.of(scores, scores.energy.shape[1]).index
    others = order[order != 0].view(len(order), -1)[:, : count - 1]
    return torch.cat([torch.zeros_like(order[:, :1]), others], dim=1).sort(1).values


def among_all(
    imagination: Imagination,
    scores: Scores,
    index: Int[Tensor, "b c"],
    actions: Float[Tensor, "b n h a"],
) -> tuple[Imagination, Scores]:
    """Candidates that were kept, at their places among all, of which the others are worst.

    Terms of those that were dropped are infinite rather than NaN: where all that was kept is NaN,
    the error is to name the terms that made it so.

    Args:
        imagination: of those that were kept.
        scores: of these.
        index: their places.
        actions: of all candidates.
    """
    count = actions.shape[1]
    whole = actions.repeat_interleave(imagination.num_outcomes, 1)
    worlds = torch.arange(len(index), device=index.device)[:, None]

    def beside(values: Tensor, dropped: float | bool) -> Tensor:
        everywhere = values.new_full((len(index), count, *values.shape[2:]), dropped)
        return everywhere.index_put((worlds, index), values)

    return replace(imagination.put(index, count), actions=whole), Scores(
        energy=beside(scores.energy, math.nan),
        terms={name: beside(share, math.inf) for name, share in scores.terms.items()},
        margins={name: beside(margin, -math.inf) for name, margin in scores.margins.items()},
        units=scores.units,
        feasible=beside(scores.feasible, False),
    )
