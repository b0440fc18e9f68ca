"""Planning by gradients with the states of the plan as variables of their own: collocation."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from forethought.actor.cem import sample
from forethought.actor.gradient import Prices
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
class Collocation:
    """Adam on actions and assumed states at once, which are drawn together until they fit.

    A rollout is a chain: each step waits for the one before, and gradients of early actions pass
    through all that follow. Here the states are assumed, so that all steps of the horizon are
    foreseen in one batched call, and every gradient passes through one. What is foreseen and what
    is assumed for the same moment are held together by an augmented Lagrangian, as in latent
    collocation (Rybkin et al., 2021).

    Every few rounds the actions are rolled out in earnest, and the states are assumed anew from
    there; so does GRASP (Psenka et al., 2026), and so may noise on the states alone help plans to
    leave poor valleys. GRASP also cuts the gradients that reach states through the world model,
    which is not done here: where only the end of a plan has a cost, early actions would not move.
    The plan is the best of the rollouts, and never one whose states were only assumed.

    What it costs: news of a distant cost passes one step of the horizon a round. Where a rollout is
    cheap, or the cost lies at the end of a long horizon, :class:`Gradient` needs fewer rounds.

    Attributes:
        horizon: model steps planned ahead.
        num_restarts: sequences that are improved side by side; the first is the warm start, or the
            middle of the box.
        num_iterations: rounds; most are a gradient step.
        steps_per_rollout: every so many rounds, beginning with the first, one is a rollout instead,
            after which the prices of gaps and violations change.
        learning_rate: of Adam: of actions relative to half the range of each, of states relative to
            what usually changes in a model step.
        initial_std: of the starts, relative to half the range of each action.
        noise: standard deviation of the noise on states after the first step, relative to what
            usually changes in a model step; falls as one over the number of the step.
        penalty: of squared gaps, relative to what usually changes in a model step and to the spread
            of the first energies.
        guard_penalty: of squared violations; see ``penalty`` of :class:`Gradient`.
        proposed_share: share of the starts that are proposals, where the agent has any.
    """

    horizon: int = 8
    num_restarts: int = 8
    num_iterations: int = 61
    steps_per_rollout: int = 12
    learning_rate: float = 0.2
    initial_std: float = 0.7
    noise: float = 0.0
    penalty: float = 0.3
    guard_penalty: float = 20.0
    proposed_share: float = 0.25

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
                "Collocation asks what assumed states lead to, which this problem does not offer; "
                "give it `follow`, or use Gradient."
            )
        search = Search(problem, warm_start, deadline_s)
        belief = search.box.initial(problem.num_worlds, self.horizon, self.initial_std, warm_start)
        starts = sample(belief, self.num_restarts, generator, problem.space.block)
        starts = with_proposals(starts, problem, self.proposed_share, generator)
        attempt = _Attempt.begin(self, problem, starts, *self._rolled_out(search, starts))
        for iteration in range(1, self.num_iterations):
            if not search.clock.time_for(attempt.number):
                return search.best.plan(search.clock, in_time=False)
            if iteration % self.steps_per_rollout:
                search.clock.call(attempt.number, least=attempt.number)
                attempt.step(self._noise(iteration, attempt.moved, generator))
            else:
                imagination, _ = self._rolled_out(search, attempt.units.detach())
                attempt.assume_anew(imagination)
        return search.plan()

    @torch.no_grad()
    def _rolled_out(
        self, search: Search, units: Float[Tensor, "b n h a"]
    ) -> tuple[Imagination, Scores]:
        """What follows in earnest, of as many starts as there is time for."""
        imagination, scores = search.evaluate(search.box.actions(units))
        search.offer(imagination, scores)
        return imagination, scores

    def _noise(
        self, iteration: int, like: Float[Tensor, "b n h k d"], generator: torch.Generator
    ) -> Float[Tensor, "n h k d"]:
        """The same for all worlds; drawn for every start, however many there was time for."""
        shape = (self.num_restarts, *like.shape[2:])
        drawn = torch.randn(shape, generator=generator, device=generator.device)
        return self.noise / iteration * drawn[: like.shape[1]].to(like)


@dataclass
class _Attempt:
    """Actions, the states that are assumed of them, and what holds both together.

    Attributes:
        problem: what is searched.
        penalty: of squared gaps.
        units: ``(b, n, h, a)`` the actions, in box units.
        moved: ``(b, n, h, k, d)`` by how much each state was moved from where the latest rollout
            had it, in usual changes.
        rolled: ``(b, n, h+1, k, d)`` that rollout.
        usual: ``(b, 1, 1, 1, 1)`` how much a number of a latent usually changes in a model step.
        scale: ``(b, 1)`` the spread of the first energies.
        pull: ``(b, n, h, k, d)`` prices of gaps.
        prices: of guardrails.
        optimiser: of actions and states.
    """

    problem: PlanningProblem
    penalty: float
    units: Float[Tensor, "b n h a"]
    moved: Float[Tensor, "b n h k d"]
    rolled: Float[Tensor, "b n h_plus_1 k d"]
    usual: Float[Tensor, "b 1 1 1 1"]
    scale: Float[Tensor, "b 1"]
    pull: Float[Tensor, "b n h k d"]
    prices: Prices
    optimiser: torch.optim.Optimizer
    _latest: tuple[Float[Tensor, "b n h k d"], Scores] | None = None

    @classmethod
    def begin(
        cls,
        planner: Collocation,
        problem: PlanningProblem,
        units: Float[Tensor, "b n h a"],
        imagination: Imagination,
        scores: Scores,
    ) -> _Attempt:
        """From a first rollout; starts that there was no time for are left out."""
        rolled = _first_futures(imagination)
        units = units[:, : rolled.shape[1]].clone().requires_grad_()
        moved = torch.zeros_like(rolled[:, :, 1:]).requires_grad_()
        change = rolled.diff(dim=2).square().mean((1, 2, 3, 4), keepdim=True).sqrt()
        spread = scores.energy.std(1, keepdim=True, correction=0)
        least = 0.1 * scores.energy.abs().mean(1, keepdim=True)
        return cls(
            problem=problem,
            penalty=planner.penalty,
            units=units,
            moved=moved,
            rolled=rolled,
            usual=_or_one(change),
            scale=_or_one(torch.maximum(spread, least)),
            pull=torch.zeros_like(moved),
            prices=Prices(penalty=planner.guard_penalty),
            optimiser=torch.optim.Adam([units, moved], lr=planner.learning_rate),
        )

    @property
    def number(self) -> int:
        """n."""
        return self.units.shape[1]

    def step(self, noise: Float[Tensor, "n h k d"]) -> None:
        """One gradient step of all actions and states, then noise on the states."""
        with torch.enable_grad():
            gaps, scores = self._foreseen()
            due = self.pull * gaps + self.penalty / 2 * gaps.square()
            energy = self.prices.lagrangian(scores) + due.mean((-1, -2)).sum(-1)
            self.units.grad, self.moved.grad = torch.autograd.grad(
                energy.sum(), (self.units, self.moved)
            )
        with torch.no_grad():
            self._latest = gaps.detach(), scores.each(lambda values: values.detach())
            self.optimiser.step()
            self.units.clamp_(-1, 1)
            self.moved.add_(noise)

    def _foreseen(self) -> tuple[Float[Tensor, "b n h k d"], Scores]:
        """What is foreseen less what is assumed, in usual changes; what the assumed is worth."""
        assert self.problem.follow is not None
        actions = Box.of(self.problem.space).actions(self.units)
        states = self.rolled[:, :, 1:] + self.usual * self.moved
        path = torch.cat([self.rolled[:, :, :1], states], dim=2)
        gaps = (self.problem.follow(path[:, :, :-1], actions) - states) / self.usual
        scores = self.problem.score(Imagination(latents=path, actions=actions))
        return gaps, replace(scores, energy=scores.energy / self.scale)

    @torch.no_grad()
    def assume_anew(self, imagination: Imagination) -> None:
        """States are assumed as a rollout has them; prices rise where they did not fit."""
        if self._latest is not None:
            gaps, scores = self._latest
            self.pull += self.penalty * gaps
            self.prices.rise(scores)
        rolled = _first_futures(imagination)
        number = rolled.shape[1]
        self.rolled = torch.cat([rolled, self.rolled[:, number:]], dim=1)
        self.moved[:, :number] = 0


def _first_futures(imagination: Imagination) -> Float[Tensor, "b n h_plus_1 k d"]:
    """One future of each candidate, where there are several."""
    return imagination.latents[:, :: imagination.num_outcomes]


def _or_one(sizes: Tensor) -> Tensor:
    """One in place of what is no size to measure by."""
    return sizes.where(sizes > 0, 1.0)
