"""Planning by gradient descent through the imagination, held to guardrails by multipliers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from forethought.actor.cem import sample
from forethought.actor.search import Search, without_gradient
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
        noise: standard deviation of the noise of the first step; that of step i is an i-th of it.
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

    def __post_init__(self) -> None:
        warm_up()

    def plan(
        self,
        problem: PlanningProblem,
        *,
        generator: torch.Generator,
        warm_start: WarmStart | None = None,
        deadline_s: float | None = None,
    ) -> Plan:
        """See :class:`forethought.types.Planner`."""
        search = Search(problem, warm_start, deadline_s)
        belief = search.box.initial(problem.num_worlds, self.horizon, self.initial_std, warm_start)
        units = sample(belief, self.num_restarts, generator).requires_grad_()
        optimiser = torch.optim.Adam([units], lr=self.learning_rate)
        prices = Prices(penalty=self.penalty)
        for iteration in search.rounds(self.num_iterations):
            with torch.enable_grad():
                imagination, scores = search.evaluate(search.box.actions(units))
                (units.grad,) = torch.autograd.grad(prices.lagrangian(scores).sum(), units)
            with torch.no_grad():
                if iteration % self.steps_per_price == self.steps_per_price - 1:
                    prices.rise(scores)
                search.offer(*without_gradient(imagination, scores))
                optimiser.step()
                # The same in all worlds, as in :func:`forethought.actor.cem.sample`.
                shape = (1, *units.shape[1:])
                shake = torch.randn(shape, generator=generator, device=generator.device)
                units.add_(self.noise / (iteration + 1) * shake.to(units)).clamp_(-1, 1)
        with torch.no_grad():
            if search.goes_on():
                search.offer(*search.evaluate(search.box.actions(units)))
        return search.plan()


def warm_up() -> None:
    """Pays now for what PyTorch's optimisers import at their first use: more than a second, which
    the first decision of a planner with a deadline has not."""
    torch.optim.Adam([torch.zeros(1)])


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
        """Energies, and what is to be paid for violations; energies alone without guardrails.

        Where there was no time for all sequences, the prices of the first ones count.
        """
        if not scores.margins:
            return scores.energy
        beyond = self._beyond(scores)
        if self._multipliers is None or self._scale is None:
            spread = scores.energy.detach().std(1, keepdim=True, correction=0)
            self._scale = spread.where(spread > 0, 1.0)
            self._multipliers = torch.zeros_like(beyond)
        due = torch.relu(self._multipliers[:, : beyond.shape[1]] + self.penalty * beyond)
        return scores.energy / self._scale + due.square().sum(-1) / (2 * self.penalty)

    def rise(self, scores: Scores) -> None:
        """Prices rise where guardrails are violated, and fall where there is room."""
        if self._multipliers is not None:
            beyond = self._beyond(scores).detach()
            due = self._multipliers[:, : beyond.shape[1]] + self.penalty * beyond
            self._multipliers = torch.relu(due)

    @staticmethod
    def _beyond(scores: Scores) -> Float[Tensor, "b n c"]:
        """How far beyond each guardrail at each step, in its unit; negative within."""
        return torch.cat(
            [-margin / scores.units.get(name, 1.0) for name, margin in scores.margins.items()], -1
        )
