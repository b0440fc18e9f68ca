"""Planning by gradient descent through the imagination."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from forethought.actor.cem import sample
from forethought.actor.search import Best, Box, Clock, evaluate, without_gradient
from forethought.types import Plan, PlanningProblem, WarmStart


@dataclass(frozen=True, kw_only=True)
class Gradient:
    """Adam on the actions themselves, from several starts at once.

    Noise that dies out helps to leave poor valleys. The first start is the warm start, or the
    middle of the box. The plan is the best candidate of all steps.

    Attributes:
        horizon: model steps planned ahead.
        num_restarts: sequences that are improved side by side.
        num_iterations: gradient steps.
        learning_rate: of Adam, relative to half the range of each action.
        initial_std: of the starts, relative to half the range of each action.
        noise: standard deviation of the noise of the first step; falls linearly to zero.
    """

    horizon: int = 8
    num_restarts: int = 8
    num_iterations: int = 20
    learning_rate: float = 0.2
    initial_std: float = 0.7
    noise: float = 0.05

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
        units = sample(belief, self.num_restarts, generator).requires_grad_()
        optimiser = torch.optim.Adam([units], lr=self.learning_rate)
        for iteration in range(self.num_iterations):
            if not clock.time_for_another(iteration):
                return best.plan(clock, in_time=False)
            with torch.enable_grad():
                imagination, scores = evaluate(problem, box.actions(units))
                (units.grad,) = torch.autograd.grad(scores.energy.sum(), units)
            with torch.no_grad():
                best.offer(*without_gradient(imagination, scores), 1)
                optimiser.step()
                left = 1 - (iteration + 1) / self.num_iterations
                shake = torch.randn(units.shape, generator=generator, device=generator.device)
                units.add_(self.noise * left * shake.to(units)).clamp_(-1, 1)
        with torch.no_grad():
            best.offer(*evaluate(problem, box.actions(units)), 1)
        return best.plan(clock, in_time=True)
