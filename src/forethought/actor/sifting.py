"""Imagining the better share of a round alone: what halving and screening have in common.

A planner that is handed a sifted problem asks for candidates as ever. Those that were dropped come
back as NaN and are judged to be worse than all others, so that no elite and no plan is one of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

from forethought.actor.search import best_first, gather
from forethought.types import ForethoughtError, Imagination, Planner, PlanningProblem, Scores

KEPT_FOR_AN_ELITE = 2
"""Candidates kept at least for each elite: early judgement errs, and elites have to be there."""


class HorizonPlanner(Planner, Protocol):
    """A planner that says how far it looks."""

    @property
    def horizon(self) -> int:
        """Model steps planned ahead."""
        ...


class RoundPlanner(HorizonPlanner, Protocol):
    """A planner that draws candidates in rounds, and goes on from the best of each."""

    @property
    def num_elites(self) -> int:
        """Candidates that the next round is drawn around."""
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


def num_kept(num_candidates: int, share: float, num_elites: int) -> int:
    """How many candidates of a round are imagined further."""
    wanted = max(math.ceil(share * num_candidates), KEPT_FOR_AN_ELITE * num_elites)
    return min(num_candidates, wanted)


def best_of(
    problem: PlanningProblem, imagination: Imagination, count: int
) -> Int[Tensor, "b count"]:
    """The best candidates of each world, in the order in which they came.

    The first is always one of them: it is where planners put what must not be lost, such as the
    mean, which begins as the warm start.
    """
    order = best_first(problem.score(imagination))
    others = order[order != 0].view(len(order), -1)[:, : count - 1]
    return torch.cat([torch.zeros_like(order[:, :1]), others], dim=1).sort(1).values


def among_all(
    kept: Imagination, index: Int[Tensor, "b c"], actions: Float[Tensor, "b n h a"]
) -> Imagination:
    """What was imagined of some candidates, at their places among all."""
    whole = actions.repeat_interleave(kept.num_outcomes, 1)
    return replace(kept.put(index, actions.shape[1]), actions=whole)


def sifted(
    problem: PlanningProblem, imagine: Callable[[Float[Tensor, "b n h a"]], Imagination]
) -> PlanningProblem:
    """The same problem, of whose candidates only some are imagined.

    Args:
        problem: as it is.
        imagine: gives NaN for the latents of candidates that it drops.
    """
    return replace(problem, imagine=imagine, score=partial(_score_imagined, problem))


def _score_imagined(problem: PlanningProblem, imagination: Imagination) -> Scores:
    """Scores of those that were imagined; the others are worse than any, and cost nothing to score.

    Terms never see NaN, of which a comparison or a clamp could make something that looks cheap.
    """
    ends = imagination.latents[:, :, -1].flatten(2).isnan().any(-1)
    imagined = ~ends.unflatten(1, (-1, imagination.num_outcomes)).any(-1)
    count = int(imagined.sum(1).amax())
    if count in (0, imagined.shape[1]):
        return problem.score(imagination)
    index = imagined.int().argsort(dim=1, descending=True, stable=True)[:, :count]
    scores = problem.score(imagination.pick(index))
    present = gather(imagined, index)

    def beside(values: Tensor, dropped: float | bool) -> Tensor:
        everywhere = values.new_full((*imagined.shape, *values.shape[2:]), dropped)
        everywhere[imagined] = values[present]
        return everywhere

    return Scores(
        energy=beside(scores.energy, math.nan),
        terms={name: beside(share, math.inf) for name, share in scores.terms.items()},
        margins={name: beside(margin, -math.inf) for name, margin in scores.margins.items()},
        units=scores.units,
        feasible=beside(scores.feasible, False),
    )
