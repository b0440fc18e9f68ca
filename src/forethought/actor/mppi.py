"""Model-predictive path integral control."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from forethought.actor.cem import sample
from forethought.actor.proposals import with_proposals
from forethought.actor.search import Gaussian, Ranked, Search
from forethought.types import Plan, PlanningProblem, WarmStart


@dataclass(frozen=True, kw_only=True)
class MPPI:
    """Averages the best candidates, each weighted by exp(-energy / temperature).

    After Williams et al. (2017). Energies are taken relative to their spread among the elites, so
    that the temperature means the same whatever the cost's units. The average of the last round is
    itself imagined and scored; the plan is the best candidate of all.

    Attributes:
        horizon: model steps planned ahead.
        num_samples: candidates in a round.
        num_iterations: rounds.
        num_elites: candidates that are averaged.
        initial_std: of the first Gaussian, relative to half the range of each action.
        smallest_std: below which it does not fall.
        temperature: relative to the spread of the elites' energies; lower is greedier.
        proposed_share: share of the first round's candidates that are proposals, where the agent
            has any.
        settled: ends the search of a world whose elites lie no further from their mean than this,
            relative to half the range of each action; above ``smallest_std``. None runs all rounds.
    """

    horizon: int = 8
    num_samples: int = 128
    num_iterations: int = 3
    num_elites: int = 32
    initial_std: float = 0.7
    smallest_std: float = 0.05
    temperature: float = 0.5
    proposed_share: float = 0.25
    settled: float | None = None

    @torch.no_grad()
    def plan(
        self,
        problem: PlanningProblem,
        *,
        generator: torch.Generator,
        warm_start: WarmStart | None = None,
        deadline_s: float | None = None,
    ) -> Plan:
        """See :class:`forethought.types.Planner`."""
        search = Search(problem, warm_start, deadline_s, settled=self.settled)
        belief = search.box.initial(problem.num_worlds, self.horizon, self.initial_std, warm_start)
        for iteration in search.rounds(self.num_iterations):
            units = sample(belief, self.num_samples, generator)
            if iteration == 0:
                units = with_proposals(units, problem, self.proposed_share, generator)
            belief = self._averaged(*search.elites(units, self.num_elites))
        if search.goes_on():
            search.elites(belief.mean[:, None], 1)
        return search.plan()

    def _averaged(self, elites: Float[Tensor, "b e h a"], ranked: Ranked) -> Gaussian:
        demerit = _demerit(ranked)
        above = (demerit - demerit.amin(1, keepdim=True)).nan_to_num(nan=torch.inf)
        finite = above.isfinite()
        spread = _spread(above.where(finite, above.new_zeros(())), finite)
        weights = torch.softmax(-above / (self.temperature * spread), 1)[..., None, None]
        mean = (weights * elites).sum(1)
        variance = (weights * (elites - mean[:, None]) ** 2).sum(1)
        return Gaussian(mean=mean, std=variance.sqrt().clamp_min(self.smallest_std))


def _spread(values: Float[Tensor, "b e"], count: Bool[Tensor, "b e"]) -> Float[Tensor, "b 1"]:
    """Standard deviation of those that count."""
    number = count.sum(1, keepdim=True).clamp_min(1)
    mean = values.sum(1, keepdim=True) / number
    square = ((values - mean) ** 2 * count).sum(1, keepdim=True) / number
    return square.sqrt().clamp_min(1e-9)


def _demerit(elites: Ranked) -> Float[Tensor, "b e"]:
    """Energies where guardrails hold, infinite elsewhere; violations where they hold nowhere."""
    holds = elites.violation == 0
    energy = torch.where(holds, elites.energy, torch.inf)
    return torch.where(holds.any(1, keepdim=True), energy, elites.violation)
