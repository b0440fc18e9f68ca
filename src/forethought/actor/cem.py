"""The cross-entropy method."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from forethought.actor.search import Best, Box, Clock, Gaussian, evaluate, gather
from forethought.types import Plan, PlanningProblem, WarmStart


@dataclass(frozen=True, kw_only=True)
class CEM:
    """Draws candidates from a Gaussian and refits it to the best of them (Rubinstein, 1999).

    The mean is always among the candidates, so a warm start is never lost; the plan is the best
    candidate of all rounds.

    Attributes:
        horizon: model steps planned ahead.
        num_samples: candidates in a round.
        num_iterations: rounds.
        num_elites: candidates that the Gaussian is refitted to.
        initial_std: of the first Gaussian, relative to half the range of each action.
        smallest_std: below which it does not fall.
    """

    horizon: int = 8
    num_samples: int = 128
    num_iterations: int = 3
    num_elites: int = 16
    initial_std: float = 0.7
    smallest_std: float = 0.05

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
            elites = gather(units, best.offer(imagination, scores, self.num_elites))
            belief = Gaussian(mean=elites.mean(1), std=elites.std(1).clamp_min(self.smallest_std))
        return best.plan(clock, in_time=True)


def sample(belief: Gaussian, num_samples: int, generator: torch.Generator) -> torch.Tensor:
    """Candidates ``(b, n, h, a)`` in box units, cut off at its ends; the first is the mean."""
    b, h, a = belief.mean.shape
    noise = torch.randn(b, num_samples, h, a, generator=generator, device=generator.device)
    noise[:, 0] = 0
    return (belief.mean[:, None] + belief.std[:, None] * noise.to(belief.mean)).clamp_(-1, 1)
