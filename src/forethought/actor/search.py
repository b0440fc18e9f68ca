"""What all planners share: rounds of a search, candidates and their ranking, the best so far."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from forethought.actor.clock import Clock
from forethought.types import (
    ActionSpace,
    ForethoughtError,
    Imagination,
    Plan,
    PlanningProblem,
    PlanStatus,
    Scores,
    WarmStart,
    gather,
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

    @classmethod
    def of(cls, elites: Float[Tensor, "b e h a"]) -> Gaussian:
        """The likeliest one that candidates were drawn from."""
        std, mean = torch.std_mean(elites, 1, correction=0)
        return cls(mean=mean, std=std)

    def wider(self, smallest_std: float) -> Gaussian:
        """The same, nowhere narrower than told."""
        return Gaussian(mean=self.mean, std=self.std.clamp_min(smallest_std))


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
        return self.space.project(torch.addcmul(self.middle, self.half, units))

    def units(self, actions: Float[Tensor, "*batch a"]) -> Float[Tensor, "*batch a"]:
        """World actions in box units."""
        return (actions - self.middle) / self.half.clamp_min(1e-9)

    def initial(
        self, num_worlds: int, horizon: int, std: float, warm_start: WarmStart | None
    ) -> Gaussian:
        """Around the warm start where there is one, else around the middle of the box."""
        shape = (num_worlds, horizon, self.space.dim)
        mean = self.middle.new_zeros(shape)
        if warm_start is not None and warm_start.actions is not None:
            mean = fit_horizon(self.units(warm_start.actions), horizon)
        return Gaussian(mean=mean, std=self.middle.new_full(shape, std))


def fit_horizon(actions: Float[Tensor, "b h1 a"], horizon: int) -> Float[Tensor, "b h2 a"]:
    """Cut to a horizon, or made longer by zeros."""
    missing = horizon - actions.shape[1]
    if missing <= 0:
        return actions[:, :horizon]
    return torch.nn.functional.pad(actions, (0, 0, 0, missing))


def shift(plan: Plan, *, steps: int = 1) -> WarmStart:
    """What is left of a plan after ``steps`` model steps; its last action fills the end.

    Of the plans above only the pace goes on: their steps are longer than what was executed.
    """
    length = plan.actions.shape[1]
    kept = torch.arange(length, device=plan.actions.device).add(steps).clamp_max(length - 1)
    return replace(paced(plan), actions=plan.actions[:, kept])


def paced(plan: Plan) -> WarmStart:
    """What a search elsewhere may take from a plan: how long calls take, on every level."""
    return WarmStart(pace=plan.pace, above=paced(plan.above) if plan.above else None)


def fork(generator: torch.Generator) -> torch.Generator:
    """A generator of its own for one search among several.

    How many numbers a search draws depends on when it settles or runs out of time; the next one
    must not depend on that.
    """
    seed = torch.randint(2**62, (), generator=generator, device=generator.device)
    return torch.Generator(device=generator.device).manual_seed(int(seed))


SMALL = 24
"""Candidates of a round where there is a deadline to keep, unless few take about as long as many.

What a round has found is used by the next one: many small rounds find more than a few large ones
with as many candidates, whatever their number, down to about this size."""

HANDFUL = 4
"""Elites of a round, at least, however small it is."""


class Search:
    """One search: what is asked, the clock, and the best that was found.

    Candidates are evaluated in their order, in as few calls as the deadline allows. Their sequence
    is the same whatever the deadline, which only cuts it off: more time is never worse.

    Args:
        problem: what to imagine with and how to score.
        warm_start: what the search before handed on.
        deadline_s: seconds that it may take; None for no limit.
        settled: ends the search of a world whose elites lie no further from their mean than this,
            in units of the box (root mean square); None for no end but that of the rounds.
    """

    def __init__(
        self,
        problem: PlanningProblem,
        warm_start: WarmStart | None,
        deadline_s: float | None,
        *,
        settled: float | None = None,
    ) -> None:
        pace = warm_start.pace if warm_start else None
        self.problem, self.box = problem, Box.of(problem.space)
        self.clock, self.best = Clock(deadline_s, pace, problem.now), Best()
        self._agreement = settled
        self._settled: Bool[Tensor, " b"] | None = None
        self._least: int | None = None
        self._done, self._in_time = 0.0, True

    def rounds(self, most: int) -> Iterator[int]:
        """Counts rounds for as long as there is time, and until all worlds have settled.

        A round that was kept small counts by its share of a whole one, so that there may be more.

        Args:
            most: rounds of full size.
        """
        number = 0
        while self._done < most - 1e-6 and self.goes_on():
            yield number
            number += 1

    def goes_on(self) -> bool:
        """Whether there is time for another call, and a world that has not settled."""
        if self._settled is not None and bool(self._settled.all()):
            return False
        self._in_time = not self._done or self.clock.time_for_another()
        return self._in_time

    def elites(
        self, units: Float[Tensor, "b n h a"], count: int
    ) -> tuple[Float[Tensor, "b e h a"], Ranked]:
        """Evaluates a round of candidates and keeps the best; the elites, best first.

        Args:
            units: candidates in units of the box; where time is short only the first of them count.
            count: elites of a whole round; a smaller one has fewer in proportion.
        """
        imagination, scores = self.evaluate(self.box.actions(units), count)
        seen = scores.energy.shape[1]
        ranked = self.offer(imagination, scores, _in_proportion(count, seen, units.shape[1]))
        elites = gather(units, ranked.index)
        self._settle(elites, ranked)
        return elites, ranked

    def offer(self, imagination: Imagination, scores: Scores, count: int = 1) -> Ranked:
        """Takes in candidates that were evaluated; the best ``count`` of them."""
        return self.best.offer(imagination, scores, count, settled=self._settled)

    def evaluate(
        self, actions: Float[Tensor, "b n h a"], wanted: int | None = None
    ) -> tuple[Imagination, Scores]:
        """Rolls out and scores as many candidates as there is time for, from the first one on.

        At least one; all of them, in one call, where there is no deadline.

        Args:
            actions: candidates.
            wanted: how many of the best are asked for, where the others may be sifted out; None for
                all as they are.
        """
        whole, done = actions.shape[1], 0
        size, parts = self._size(whole), []
        while done < size:
            count = self.clock.call(size - done, least=0 if parts else 1)
            if not count:
                break
            some = None if wanted is None else _in_proportion(wanted, count, whole)
            parts.append(evaluate(self.problem, actions[:, done : done + count], some))
            done += count
            size = self._size(whole) if done == size else size
        self._done += done / whole
        return _joined(parts)

    def plan(self) -> Plan:
        """The plan, as it stands."""
        self.clock.stop()
        return self.best.plan(self.clock, in_time=self._in_time)

    def _size(self, whole: int) -> int:
        """Candidates of a round: few where a deadline is to be kept, but so many that calls take
        no longer for being called than for their candidates.

        Where that is not known, the first few tell.
        """
        if self.clock.deadline_s is None:
            return whole
        self.clock.stop()
        pace = self.clock.pace
        if self._least is None and pace is not None:
            self._least = max(SMALL, 2 ** math.ceil(math.log2(pace.call_s / pace.candidate_s)))
        return min(whole, self._least or SMALL)

    def _settle(self, elites: Float[Tensor, "b e h a"], ranked: Ranked) -> None:
        """Worlds whose elites agree have settled; not where they violate guardrails."""
        if self._agreement is None or elites.shape[1] < 2:
            return
        apart = (elites - elites.mean(1, keepdim=True)).square().mean((1, 2, 3)).sqrt()
        agree = (apart < self._agreement) & (ranked.violation[:, -1] == 0)
        self._settled = agree if self._settled is None else self._settled | agree


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """The best candidates of a round, best first: by violation, then by energy.

    Attributes:
        index: ``(b, e)`` which candidates they are.
        energy: ``(b, e)``; infinite where it is NaN.
        violation: ``(b, e)`` by how much guardrails are violated; zero where they hold.
    """

    index: Int[Tensor, "b e"]
    energy: Float[Tensor, "b e"]
    violation: Float[Tensor, "b e"]

    @classmethod
    def of(cls, scores: Scores, count: int) -> Ranked:
        """The best ``count`` of the candidates scored.

        Raises:
            ForethoughtError: every energy is NaN.
        """
        energy, broken = scores.energy, scores.energy.isnan()
        if bool((scores.feasible & ~broken).all()):
            energy, index = energy.sort(dim=1, stable=True)
            energy, index = energy[:, :count], index[:, :count]
            return cls(index=index, energy=energy, violation=torch.zeros_like(energy))
        if bool(broken.all()):
            raise ForethoughtError(_why_nan(scores))
        energy = torch.where(broken, torch.inf, energy)
        violation = torch.where(scores.feasible, 0.0, scores.violation().clamp_min(1e-12))
        by_energy = energy.argsort(dim=1, stable=True)
        by_violation = violation.gather(1, by_energy).argsort(dim=1, stable=True)
        index = by_energy.gather(1, by_violation)[:, :count]
        return cls(
            index=index, energy=energy.gather(1, index), violation=violation.gather(1, index)
        )

    def first(self) -> Ranked:
        """The best alone."""
        return Ranked(
            index=self.index[:, :1], energy=self.energy[:, :1], violation=self.violation[:, :1]
        )

    def better_than(self, other: Ranked) -> Bool[Tensor, "b e"]:
        """Whether each is better than the other's of the same place."""
        less_energy = (self.violation == other.violation) & (self.energy < other.energy)
        return (self.violation < other.violation) | less_energy


@dataclass(frozen=True, kw_only=True)
class _Chosen:
    """One candidate of each world, with its evidence and its rank.

    It is not taken out from among the others of its round until that is needed: most are outdone.

    Attributes:
        imagination: of its round.
        scores: of its round.
        ranked: which one it is.
    """

    imagination: Imagination
    scores: Scores
    ranked: Ranked

    def alone(self) -> _Chosen:
        """The same without the others."""
        index = self.ranked.index
        return _Chosen(
            imagination=self.imagination.pick(index),
            scores=self.scores.each(lambda values: gather(values, index)),
            ranked=replace(self.ranked, index=torch.zeros_like(index)),
        )

    def where(self, take: Bool[Tensor, " b"], other: _Chosen) -> _Chosen:
        """This in the worlds to take, the other in the rest."""
        if bool(take.all()):
            return self
        mine, others = self.alone(), other.alone()
        return _Chosen(
            imagination=mine.imagination.where(take, others.imagination),
            scores=_where_scores(take, mine.scores, others.scores),
            ranked=Ranked(
                index=mine.ranked.index,
                energy=_where(take, mine.ranked.energy, others.ranked.energy),
                violation=_where(take, mine.ranked.violation, others.ranked.violation),
            ),
        )


@dataclass
class Best:
    """The best candidate of each world so far, with its evidence.

    A feasible candidate beats every infeasible one; among infeasible ones the one that violates
    least wins.
    """

    num_candidates: int = 0
    num_iterations: int = 0
    _chosen: _Chosen | None = None

    def offer(
        self,
        imagination: Imagination,
        scores: Scores,
        elites: int,
        *,
        settled: Bool[Tensor, " b"] | None = None,
    ) -> Ranked:
        """Takes in one round; returns its best candidates.

        Args:
            imagination: the candidates of the round.
            scores: what the cost makes of them.
            elites: how many are asked for.
            settled: worlds that keep what they have.

        Raises:
            ForethoughtError: every energy is NaN.
        """
        self.num_candidates += scores.energy.shape[1]
        self.num_iterations += 1
        ranked = Ranked.of(scores, elites)
        first = ranked.first()
        found = _Chosen(imagination=imagination, scores=scores, ranked=first)
        if self._chosen is None:
            self._chosen = found
            return ranked
        better = first.better_than(self._chosen.ranked)[:, 0]
        better = better if settled is None else better & ~settled
        if bool(better.any()):
            self._chosen = found.where(better, self._chosen)
        return ranked

    def plan(self, clock: Clock, *, in_time: bool) -> Plan:
        """The plan, as it stands."""
        assert self._chosen is not None
        chosen = self._chosen.alone()
        imagination, scores = chosen.imagination, chosen.scores
        status = PlanStatus.FOUND if in_time else PlanStatus.OUT_OF_TIME
        if not bool(scores.feasible.all()):
            status = PlanStatus.INFEASIBLE
        return Plan(
            actions=imagination.actions[:, 0],
            energy=scores.energy[:, 0],
            terms={name: value[:, 0] for name, value in scores.terms.items()},
            margins={name: value[:, 0] for name, value in scores.margins.items()},
            feasible=scores.feasible[:, 0],
            status=status,
            imagination=imagination,
            num_iterations=self.num_iterations,
            num_candidates=self.num_candidates,
            seconds=clock.seconds,
            pace=clock.pace,
        )


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
    problem: PlanningProblem, actions: Float[Tensor, "b n h a"], wanted: int | None = None
) -> tuple[Imagination, Scores]:
    """Rolls candidates out once and scores them.

    Args:
        problem: what to imagine with and how to score.
        actions: candidates.
        wanted: how many of the best are asked for, where the others may be sifted out; None for all
            as they are.
    """
    if wanted is not None and problem.sift is not None:
        return problem.sift(actions, wanted)
    imagination = problem.imagine(actions)
    return imagination, problem.score(imagination)


def _in_proportion(elites: int, seen: int, whole: int) -> int:
    """Elites of the part of a round that was seen."""
    return min(elites, seen, max(HANDFUL, round(elites * seen / whole)))


def without_gradient(imagination: Imagination, scores: Scores) -> tuple[Imagination, Scores]:
    """The same values, cut off from the graph that made them."""
    return imagination.detached(), scores.each(lambda values: values.detach())


def _joined(parts: Sequence[tuple[Imagination, Scores]]) -> tuple[Imagination, Scores]:
    """Candidates of several calls as if they had been evaluated in one."""
    if len(parts) == 1:
        return parts[0]
    imaginations, scores = zip(*parts, strict=True)
    spreads = [one.spread for one in imaginations if one.spread is not None]
    return replace(
        imaginations[0],
        latents=torch.cat([one.latents for one in imaginations], 1),
        actions=torch.cat([one.actions for one in imaginations], 1),
        spread=torch.cat(spreads, 1) if spreads else None,
    ), Scores(
        energy=torch.cat([one.energy for one in scores], 1),
        terms=_joined_each([one.terms for one in scores]),
        margins=_joined_each([one.margins for one in scores]),
        units=scores[0].units,
        feasible=torch.cat([one.feasible for one in scores], 1),
    )


def _joined_each(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.cat([one[name] for one in parts], 1) for name in parts[0]}
