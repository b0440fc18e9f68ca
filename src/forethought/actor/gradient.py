"""Planning by gradient descent through the imagination, held to guardrails by multipliers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from forethought.actor.cem import sample
from forethought.actor.search import Best, Box, Clock, evaluate, without_gradient
from forethought.types import Plan, PlanningProblem, Scores, WarmStart


@dataclass(frozen=True, kw_only=True)
class Gradient:
    """Adam on the actions themselves, from several starts at once.

    Guardrails enter by an augmented Lagrangian (Nocedal and Wright, 2006, chapter 17.3): each step
    of each sequence has a price on its violation, which rises for as long as it is violated.
    Noise that dies out helps to leave poor valleys. The first start is the warm start, or the
    middle of the box. The plan is the best candidate of all steps.

    Attributes:
        horizon: model steps planned ahead.
        num_restarts: sequences that are improved side by side.
        num_iterations: gradient steps.
        learning_rate: of Adam, relative to half the range of each action.
        initial_std: of the starts, relative to half the range of each action.
        noise: standard deviation of the noise of the first step; falls linearly to zero.
        penalty: of squared violations, in units of each guardrail, relative to the spread of the
            first energies.
        steps_per_price: gradient steps between changes of the prices.
    """

    horizon: int = 8
    num_restarts: int = 8
    num_iterations: int = 20
    learning_rate: float = 0.2
    initial_std: float = 0.7
    noise: float = 0.05
    penalty: float = 20.0
    steps_per_price: int = 4

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
        prices = Prices(penalty=self.penalty)
        for iteration in range(self.num_iterations):
            if not clock.time_for_another(iteration):
                return best.plan(clock, in_time=False)
            with torch.enable_grad():
                imagination, scores = evaluate(problem, box.actions(units))
                (units.grad,) = torch.autograd.grad(prices.lagrangian(scores).sum(), units)
            with torch.no_grad():
                if iteration % self.steps_per_price == self.steps_per_price - 1:
                    prices.rise(scores)
                best.offer(*without_gradient(imagination, scores), 1)
                optimiser.step()
                left = 1 - (iteration + 1) / self.num_iterations
                shake = torch.randn(units.shape, generator=generator, device=generator.device)
                units.add_(self.noise * left * shake.to(units)).clamp_(-1, 1)
        with torch.no_grad():
            best.offer(*evaluate(problem, box.actions(units)), 1)
        return best.plan(clock, in_time=True)


@dataclass
class Prices:
    """What each violation costs each sequence: the multipliers of an augmented Lagrangian.

    Attributes:
        penalty: of squared violations.
    """

    penalty: float
    _multipliers: Float[Tensor, "b n c"] | None = None
    _scale: Float[Tensor, "b 1"] | None = None

    def lagrangian(self, scores: Scores) -> Float[Tensor, "b n"]:
        """Energies, and what is to be paid for violations; energies alone without guardrails."""
        if not scores.margins:
            return scores.energy
        beyond = self._beyond(scores)
        if self._multipliers is None or self._scale is None:
            spread = scores.energy.detach().std(1, keepdim=True, correction=0)
            self._scale = spread.nan_to_num(nan=1.0).clamp_min(1e-6)
            self._multipliers = torch.zeros_like(beyond)
        due = torch.relu(self._multipliers + self.penalty * beyond)
        return scores.energy / self._scale + due.square().sum(-1) / (2 * self.penalty)

    def rise(self, scores: Scores) -> None:
        """Prices rise where guardrails are violated, and fall where there is room."""
        if self._multipliers is not None:
            due = self._multipliers + self.penalty * self._beyond(scores).detach()
            self._multipliers = torch.relu(due)

    @staticmethod
    def _beyond(scores: Scores) -> Float[Tensor, "b n c"]:
        """How far beyond each guardrail at each step, in its unit; negative within."""
        return torch.cat(
            [-margin / scores.units.get(name, 1.0) for name, margin in scores.margins.items()], -1
        )
