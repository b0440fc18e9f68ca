"""Planning by gradients with all steps of the horizon computed at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from forethought.actor.cem import sample
from forethought.actor.gradient import Prices, warm_up
from forethought.actor.proposals import with_proposals
from forethought.actor.search import Box, Search
from forethought.types import (
    ForethoughtError,
    Imagination,
    Plan,
    PlanningProblem,
    Scores,
    WarmStart,
)


@dataclass(frozen=True, kw_only=True)
class ParallelGradient:
    """Adam on actions, with the states between them as variables of their own.

    A rollout is a chain: each step waits for the one before, and its gradient for the one behind.
    Here the states of the plan are assumed. One batched call foresees what all of them lead to, and
    one backward pass through that call tells each action what it does to the cost of its own step,
    and each state what it is worth: the multiplier that holds it to what was foreseen. For the next
    round the states are what was foreseen, and what they are worth is added to the cost of the
    steps that lead to them. So news of an action passes one step onward in a round, news of a cost
    one step back, while the actions are already on their way (single-step one-shot optimisation:
    Ta'asan, 1991; Günther, Gauger and Wang, 2016). Gradients that are some rounds old would make
    momentum swing, so Adam has none here.

    States as variables, so that a horizon is one batch, and costs that are taken of what each state
    leads to, are from latent collocation (Rybkin et al., 2021) and GRASP (Psenka et al., 2026).
    These move states by gradients as well, against a penalty on gaps. Closing the gaps in each
    round instead takes a fraction of the rounds, and there is no penalty to weigh.

    Every few rounds the actions are rolled out in earnest, and the states are assumed anew from
    there. The plan is the best of the rollouts, and never one whose states were only assumed.

    Where it pays: a round takes one call in place of as many as the horizon has steps, but it takes
    two to three times the rounds of :class:`Gradient`. So it is for long horizons, and for hardware
    on which a call of few candidates takes as long as one of many.

    Attributes:
        horizon: model steps planned ahead.
        num_restarts: sequences that are improved side by side; the first is the warm start, or the
            middle of the box.
        num_iterations: rounds; most are a gradient step.
        steps_per_rollout: every so many rounds, beginning with the first, one is a rollout instead.
        learning_rate: of Adam, relative to half the range of each action.
        decay: how fast it falls: at step i it is divided by the root of ``1 + decay * i``.
        initial_std: of the starts, relative to half the range of each action.
        penalty: of violations; see :class:`Gradient`. Prices change with every rollout.
        proposed_share: share of the starts that are proposals, where the agent has any.
    """

    horizon: int = 8
    num_restarts: int = 8
    num_iterations: int = 57
    steps_per_rollout: int = 8
    learning_rate: float = 0.1
    decay: float = 0.1
    initial_std: float = 0.7
    penalty: float = 20.0
    proposed_share: float = 0.25

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
        """See :class:`forethought.types.Planner`.

        Raises:
            ForethoughtError: the problem does not tell what assumed states lead to.
        """
        if problem.follow is None:
            raise ForethoughtError(
                "ParallelGradient asks what assumed states lead to, which this problem does not "
                "offer; give it `follow`, or use Gradient."
            )
        search = Search(problem, warm_start, deadline_s)
        belief = search.box.initial(problem.num_worlds, self.horizon, self.initial_std, warm_start)
        starts = sample(belief, self.num_restarts, generator, problem.space.block)
        starts = with_proposals(starts, problem, self.proposed_share, generator)
        course = _Course.begin(self, problem, starts, *self._rolled_out(search, starts))
        for iteration in range(1, self.num_iterations):
            if not search.clock.time_for(course.number):
                return search.best.plan(search.clock, in_time=False)
            if iteration % self.steps_per_rollout:
                search.clock.call(course.number, least=course.number)
                course.sweep()
            else:
                course.assume(*self._rolled_out(search, course.units.detach()))
        return search.plan()

    @torch.no_grad()
    def _rolled_out(
        self, search: Search, units: Float[Tensor, "b n h a"]
    ) -> tuple[Imagination, Scores]:
        """What follows in earnest, of as many starts as there is time for."""
        imagination, scores = search.evaluate(search.box.actions(units))
        search.offer(imagination, scores)
        return imagination, scores


@dataclass
class _Course:
    """Actions, the states that are assumed of them, and what these are worth.

    Attributes:
        problem: what is searched.
        units: ``(b, n, h, a)`` the actions, in box units.
        states: ``(b, n, h, k, d)`` where each action is taken, the present first.
        worth: ``(b, n, h, k, d)`` by how much the energy behind each of them changes with it.
        prices: of guardrails.
        optimiser: of the actions.
        schedule: of its learning rate.
    """

    problem: PlanningProblem
    units: Float[Tensor, "b n h a"]
    states: Float[Tensor, "b n h k d"]
    worth: Float[Tensor, "b n h k d"]
    prices: Prices
    optimiser: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LambdaLR

    @classmethod
    def begin(
        cls,
        planner: ParallelGradient,
        problem: PlanningProblem,
        units: Float[Tensor, "b n h a"],
        imagination: Imagination,
        scores: Scores,
    ) -> _Course:
        """From a first rollout; starts that there was no time for are left out."""
        states = _states(imagination)
        units = units[:, : states.shape[1]].clone().requires_grad_()
        optimiser = torch.optim.Adam([units], lr=planner.learning_rate, betas=(0.0, 0.99))
        prices = Prices(penalty=planner.penalty)
        prices.lagrangian(scores)
        return cls(
            problem=problem,
            units=units,
            states=states,
            worth=torch.zeros_like(states),
            prices=prices,
            optimiser=optimiser,
            schedule=torch.optim.lr_scheduler.LambdaLR(
                optimiser, lambda step: (1 + planner.decay * step) ** -0.5
            ),
        )

    @property
    def number(self) -> int:
        """n."""
        return self.units.shape[1]

    def sweep(self) -> None:
        """One step of all actions; what they do passes on by a step, what it costs comes back."""
        assert self.problem.follow is not None
        with torch.enable_grad():
            actions = Box.of(self.problem.space).actions(self.units)
            states = self.states.requires_grad_()
            after = self.problem.follow(states, actions)
            path = torch.cat([states[:, :, :1], after], dim=2)
            scores = self.problem.score(Imagination(latents=path, actions=actions))
            energy = self.prices.lagrangian(scores).sum()
            energy = energy + (self.worth[:, :, 1:] * after[:, :, :-1]).sum()
            self.units.grad, self.worth = torch.autograd.grad(energy, (self.units, states))
        self.states = path[:, :, :-1].detach()
        self.optimiser.step()
        self.schedule.step()
        self.units.data.clamp_(-1, 1)

    def assume(self, imagination: Imagination, scores: Scores) -> None:
        """States are what a rollout has come to; prices rise where it violates guardrails."""
        states = _states(imagination)
        self.states = torch.cat([states, self.states[:, states.shape[1] :]], dim=1)
        self.prices.rise(scores)


def _states(imagination: Imagination) -> Float[Tensor, "b n h k d"]:
    """Where each action is taken, in one future of each candidate."""
    return imagination.latents[:, :: imagination.num_outcomes, :-1].detach()
