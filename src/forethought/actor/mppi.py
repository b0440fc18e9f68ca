"""Model-predictive path integral control."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from forethought.actor.cem import sample
from forethought.actor.search import Best, Box, Clock, Gaussian, evaluate, gather
from forethought.types import Plan, PlanningProblem, Scores, WarmStart


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
    """

    horizon: int = 8
    num_samples: int = 128
    num_iterations: int = 3
    num_elites: int = 32
    initial_std: float = 0.7
    smallest_std: float = 0.05
    temperature: float = 0.5

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
        clock, best = Clock(deadline_s), Best()
        box = Box.of(problem.space)
        belief = box.initial(problem.num_worlds, self.horizon, self.initial_std, warm_start)
        for iteration in range(self.num_iterations):
            if not clock.time_for_another(iteration):
                return best.plan(clock, in_time=False)
            units = sample(belief, self.num_samples, generator)
            imagination, scores = evaluate(problem, box.actions(units))
            index = best.offer(imagination, scores, self.num_elites)
            belief = self._averaged(gather(units, index), gather(_demerit(scores), index))
        imagination, scores = evaluate(problem, box.actions(belief.mean[:, None]))
        best.offer(imagination, scores, 1)
        return best.plan(clock, in_time=True)

    def _averaged(self, elites: Float[Tensor, "b e h a"], energy: Float[Tensor, "b e"]) -> Gaussian:
        above = (energy - energy.amin(1, keepdim=True)).nan_to_num(nan=torch.inf)
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


def _demerit(scores: Scores) -> Float[Tensor, "b n"]:
    """Energies where guardrails hold, infinite elsewhere; violations where they hold nowhere."""
    possible = scores.feasible.any(1, keepdim=True)
    energy = torch.where(scores.feasible, scores.energy, torch.inf)
    return torch.where(possible, energy, scores.violation())
