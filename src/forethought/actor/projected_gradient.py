"""Projected gradient descent through the imagination."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from forethought.actor.cem import sample
from forethought.actor.gradient import Prices
from forethought.actor.proposals import with_proposals
from forethought.actor.search import Search, without_gradient
from forethought.types import Plan, PlanningProblem, WarmStart

BAR_FOLLOWS = 0.3
"""How far the bar follows down to the latest energy."""


@dataclass(frozen=True, kw_only=True)
class ProjectedGradient:
    """Steps down the gradient and back into the allowed actions, as long as the slope is straight.

    The spectral projected gradient (Birgin, Martinez and Raydan, 2000). What differs from
    :class:`Gradient`, which is Adam: a step goes along the gradient itself, not with every number
    at a speed of its own. Each start finds its own length of step from how the slope has changed
    since the last one (Barzilai and Borwein, 1988); a step that ends above the usual energy of late
    is taken back, for a shorter one (Zhang and Hager, 2004). There is no noise, and no learning
    rate to tune. Where the energy is smooth, or the best actions lie at their limits, it needs a
    fraction of the rounds; Adam with noise is for rugged energies.

    Discrete actions are projected to the nearest choice, and gradients pass straight through that.
    Guardrails are held as in :class:`Gradient`. When their prices change, every start takes its
    step: what it knew of the energy is no longer so. The plan is the best candidate of all rounds.

    Attributes:
        horizon: model steps planned ahead.
        num_restarts: sequences that are improved side by side; the first is the warm start, or the
            middle of the box.
        num_iterations: gradient steps, taken back or not.
        initial_std: of the starts, relative to half the range of each action.
        first_step: length of the first step, of the entry that moves most, relative to half its
            range.
        longer: factor of a step after one along which the slope did not flatten.
        shorter: factor of a step after one that was taken back.
        penalty: see :class:`Gradient`.
        steps_per_price: gradient steps between changes of the prices.
        proposed_share: share of the starts that are proposals, where the agent has any.
    """

    horizon: int = 8
    num_restarts: int = 8
    num_iterations: int = 20
    initial_std: float = 0.7
    first_step: float = 0.3
    longer: float = 2.0
    shorter: float = 0.3
    penalty: float = 20.0
    steps_per_price: int = 4
    proposed_share: float = 0.25

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
        starts = sample(belief, self.num_restarts, generator, problem.space.block)
        starts = with_proposals(starts, problem, self.proposed_share, generator)
        descent = _Descent.begin(self, starts)
        prices = Prices(penalty=self.penalty)
        for iteration in search.rounds(self.num_iterations):
            with torch.enable_grad():
                units = descent.next_step().requires_grad_()
                imagination, scores = search.evaluate(search.box.actions(units))
                energy = prices.lagrangian(scores)
                due = iteration % self.steps_per_price == self.steps_per_price - 1
                if anew := due and bool(scores.margins):
                    prices.rise(scores)
                    energy = prices.lagrangian(scores)
                (slope,) = torch.autograd.grad(energy.sum(), units)
            search.offer(*without_gradient(imagination, scores))
            missing = units.shape[1] - energy.shape[1]  # for which there was no time
            energy = torch.nn.functional.pad(energy.detach(), (0, missing), value=torch.inf)
            descent = descent.at(units.detach(), energy, slope, anew=anew)
        return search.plan()


@dataclass(frozen=True)
class _Descent:
    """Where each start stands, and how far it means to go next.

    Attributes:
        planner: the settings.
        units: ``(b, n, h, a)`` its actions, in box units.
        slope: ``(b, n, h, a)`` the gradient of the energy there, with prices.
        rate: ``(b, n)`` what the next step is of the slope.
        bar: ``(b, n)`` the energy that a step must not exceed.
    """

    planner: ProjectedGradient
    units: Float[Tensor, "b n h a"]
    slope: Float[Tensor, "b n h a"]
    rate: Float[Tensor, "b n"]
    bar: Float[Tensor, "b n"]

    @classmethod
    def begin(cls, planner: ProjectedGradient, units: Float[Tensor, "b n h a"]) -> _Descent:
        """Before anything is known: the next step stays where it is."""
        nothing = units.new_zeros(units.shape[:2])
        return cls(planner, units, torch.zeros_like(units), nothing, nothing + torch.inf)

    def next_step(self) -> Float[Tensor, "b n h a"]:
        """One step down the slope, back into the box."""
        return (self.units - self.rate[..., None, None] * self.slope).clamp(-1, 1)

    def at(
        self,
        units: Float[Tensor, "b n h a"],
        energy: Float[Tensor, "b n"],
        slope: Float[Tensor, "b n h a"],
        *,
        anew: bool,
    ) -> _Descent:
        """After a step: there, where it was not too high; else where it was, for a shorter one.

        Args:
            units: where the step led.
            energy: there.
            slope: there.
            anew: whether prices have changed, so that earlier energies and slopes say nothing.
        """
        slope = slope.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
        began = self.bar.isfinite()
        take = (energy <= self.bar) | anew
        bar = energy if anew else torch.where(began, self.bar.lerp(energy, BAR_FOLLOWS), energy)
        rate = self.rate if anew else self._next_rate(units, slope, take)
        units = torch.where(take[..., None, None], units, self.units)
        slope = torch.where(take[..., None, None], slope, self.slope)
        steepest = _steepest(units, slope)
        rate = torch.where(began, rate, self.planner.first_step / steepest)
        return replace(
            self,
            units=units,
            slope=slope,
            rate=torch.minimum(rate, 2 / steepest),
            bar=torch.where(take, bar, self.bar),
        )

    def _next_rate(
        self,
        units: Float[Tensor, "b n h a"],
        slope: Float[Tensor, "b n h a"],
        take: Bool[Tensor, "b n"],
    ) -> Float[Tensor, "b n"]:
        """That of a parabola with both slopes for a step that is taken; else a shorter one."""
        moved, bent = units - self.units, slope - self.slope
        along = (moved * bent).sum((-1, -2))
        spectral = moved.square().sum((-1, -2)) / along
        onward = torch.where(along > 0, spectral, self.planner.longer * self.rate)
        return torch.where(take, onward, self.planner.shorter * self.rate)


def _steepest(
    units: Float[Tensor, "b n h a"], slope: Float[Tensor, "b n h a"]
) -> Float[Tensor, "b n"]:
    """The largest slope of each start, but for entries that cannot follow it out of the box."""
    stuck = (units.abs() >= 1) & (slope * units < 0)
    return slope.masked_fill(stuck, 0.0).abs().amax((-1, -2)).clamp_min(1e-30)
