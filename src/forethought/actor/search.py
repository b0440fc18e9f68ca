"""What all planners share: candidates and their ranking, the best so far, the clock."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from forethought.types import (
    ActionSpace,
    ForethoughtError,
    Imagination,
    Plan,
    PlanningProblem,
    PlanStatus,
    Scores,
    WarmStart,
)


@dataclass(frozen=True, kw_only=True)
class Gaussian:
    """Where candidates are drawn from, in units of the box: its middle is 0, its ends are -1 and 1.

    Attributes:
        mean: ``(b, h, a)``.
        std: ``(b, h, a)``.
    """

    mean: Float[Tensor, "b h a"]
    std: Float[Tensor, "b h a"]


@dataclass(frozen=True)
class Box:
    """The action space seen as [-1, 1] in every entry.

    Attributes:
        space: the actions allowed.
        middle: ``(a,)``.
        half: ``(a,)``.
    """

    space: ActionSpace
    middle: Float[Tensor, " a"]
    half: Float[Tensor, " a"]

    @classmethod
    def of(cls, space: ActionSpace) -> Box:
        """The box of an action space."""
        return cls(space, (space.low + space.high) / 2, (space.high - space.low) / 2)

    def actions(self, units: Float[Tensor, "*batch a"]) -> Float[Tensor, "*batch a"]:
        """The nearest allowed world actions to box units."""
        return self.space.project(self.middle + self.half * units)

    def units(self, actions: Float[Tensor, "*batch a"]) -> Float[Tensor, "*batch a"]:
        """World actions in box units."""
        return (actions - self.middle) / self.half.clamp_min(1e-9)

    def initial(
        self, num_worlds: int, horizon: int, std: float, warm_start: WarmStart | None
    ) -> Gaussian:
        """Around the warm start where there is one, else around the middle of the box."""
        shape = (num_worlds, horizon, self.space.dim)
        mean = self.middle.new_zeros(shape)
        if warm_start is not None:
            mean = fit_horizon(self.units(warm_start.actions), horizon)
        return Gaussian(mean=mean, std=self.middle.new_full(shape, std))


def fit_horizon(actions: Float[Tensor, "b h1 a"], horizon: int) -> Float[Tensor, "b h2 a"]:
    """Cut to a horizon, or made longer by zeros."""
    missing = horizon - actions.shape[1]
    if missing <= 0:
        return actions[:, :horizon]
    return torch.nn.functional.pad(actions, (0, 0, 0, missing))


def shift(plan: Plan, *, steps: int = 1) -> WarmStart:
    """What is left of a plan after ``steps`` model steps; its last action fills the end."""
    length = plan.actions.shape[1]
    kept = torch.arange(length, device=plan.actions.device).add(steps).clamp_max(length - 1)
    return WarmStart(actions=plan.actions[:, kept])


@dataclass
class Clock:
    """Says whether another round fits before the deadline; a round is as long as the longest yet.

    Attributes:
        deadline_s: seconds from the start; None for no limit.
    """

    deadline_s: float | None
    started: float = field(default_factory=time.perf_counter)
    _round_began: float = 0.0
    _longest: float = 0.0

    def time_for_another(self, iteration: int) -> bool:
        """Whether to go on; the first round is always run."""
        now = time.perf_counter()
        if iteration:
            self._longest = max(self._longest, now - self._round_began)
        self._round_began = now
        if self.deadline_s is None or iteration == 0:
            return True
        return now - self.started + self._longest <= self.deadline_s

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.perf_counter() - self.started


@dataclass
class Best:
    """The best candidate of each world so far, with its evidence.

    A feasible candidate beats every infeasible one; among infeasible ones the one that violates
    least wins.
    """

    imagination: Imagination | None = None
    scores: Scores | None = None
    _rank: Float[Tensor, "b 2"] | None = None
    num_candidates: int = 0
    num_iterations: int = 0

    def offer(
        self, imagination: Imagination, scores: Scores, elites: int
    ) -> Int[Tensor, "b elites"]:
        """Takes in one round; returns the round's best candidates, best first.

        Raises:
            ForethoughtError: every energy is NaN.
        """
        energy, violation = _ranks(scores)
        order = _order(energy, violation)
        winner = order[:, :1]
        rank = torch.stack([violation.gather(1, winner), energy.gather(1, winner)], -1)[:, 0]
        chosen = imagination.pick(winner)
        found = scores.each(lambda values: gather(values, winner))
        if self._rank is None or self.imagination is None or self.scores is None:
            self.imagination, self.scores, self._rank = chosen, found, rank
        else:
            better = (rank[:, 0] < self._rank[:, 0]) | (
                (rank[:, 0] == self._rank[:, 0]) & (rank[:, 1] < self._rank[:, 1])
            )
            self.imagination = chosen.where(better, self.imagination)
            self.scores = _where_scores(better, found, self.scores)
            self._rank = torch.where(better[:, None], rank, self._rank)
        self.num_candidates += energy.shape[1]
        self.num_iterations += 1
        return order[:, :elites]

    def plan(self, clock: Clock, *, in_time: bool) -> Plan:
        """The plan, as it stands."""
        assert self.imagination is not None and self.scores is not None
        status = PlanStatus.FOUND if in_time else PlanStatus.OUT_OF_TIME
        if not bool(self.scores.feasible.all()):
            status = PlanStatus.INFEASIBLE
        return Plan(
            actions=self.imagination.actions[:, 0],
            energy=self.scores.energy[:, 0],
            terms={name: value[:, 0] for name, value in self.scores.terms.items()},
            margins={name: value[:, 0] for name, value in self.scores.margins.items()},
            feasible=self.scores.feasible[:, 0],
            status=status,
            imagination=self.imagination,
            num_iterations=self.num_iterations,
            num_candidates=self.num_candidates,
            seconds=clock.seconds,
        )


def _ranks(scores: Scores) -> tuple[Float[Tensor, "b n"], Float[Tensor, "b n"]]:
    """Energies, NaN as worst, and by how much guardrails are violated: zero where they hold."""
    broken = torch.isnan(scores.energy)
    if bool(broken.all()):
        raise ForethoughtError(_why_nan(scores))
    energy = torch.where(broken, torch.inf, scores.energy)
    return energy, torch.where(scores.feasible, 0.0, scores.violation().clamp_min(1e-12))


def _why_nan(scores: Scores) -> str:
    """Which cost terms hold NaN, and what to do about it."""
    named = [repr(name) for name, share in scores.terms.items() if bool(share.isnan().any())]
    if not named:
        return (
            "every candidate has energy NaN, though no cost term holds any: infinite terms of both "
            "signs cancel. Bound the terms, or leave one out."
        )
    return (
        f"every candidate has energy NaN, which stands in cost term {' and '.join(named)}. If it "
        "is in all terms about states, check the observation and the weights for NaN; else mend "
        "the term: no division by zero, no root or logarithm of what may be negative."
    )


def _order(energy: Float[Tensor, "b n"], violation: Float[Tensor, "b n"]) -> Int[Tensor, "b n"]:
    """Candidates from best to worst: by violation first, then by energy."""
    by_energy = energy.argsort(dim=1, stable=True)
    by_violation = violation.gather(1, by_energy).argsort(dim=1, stable=True)
    return by_energy.gather(1, by_violation)


def gather(
    values: Shaped[Tensor, "b n ..."], index: Int[Tensor, "b m"]
) -> Shaped[Tensor, "b m ..."]:
    """Candidates by their index in each world."""
    worlds = torch.arange(len(index), device=index.device)[:, None]
    return values[worlds, index]


def _where_scores(take: Tensor, new: Scores, old: Scores) -> Scores:
    return Scores(
        energy=_where(take, new.energy, old.energy),
        terms={name: _where(take, value, old.terms[name]) for name, value in new.terms.items()},
        margins={
            name: _where(take, value, old.margins[name]) for name, value in new.margins.items()
        },
        units=new.units,
        feasible=_where(take, new.feasible, old.feasible),
    )


def _where(take: Tensor, new: Tensor, old: Tensor) -> Tensor:
    return torch.where(take.view(-1, *[1] * (new.ndim - 1)), new, old)


def evaluate(
    problem: PlanningProblem, actions: Float[Tensor, "b n h a"]
) -> tuple[Imagination, Scores]:
    """Rolls candidates out once and scores them."""
    imagination = problem.imagine(actions)
    return imagination, problem.score(imagination)


def without_gradient(imagination: Imagination, scores: Scores) -> tuple[Imagination, Scores]:
    """The same values, cut off from the graph that made them."""
    return imagination.detached(), scores.each(lambda values: values.detach())
