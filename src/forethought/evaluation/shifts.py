"""What is left of an agent where the world is not as it was recorded, by degrees?

One factor of variation after the other, and all together, at several strengths each, on the same
tasks. Beside success: what random actions and the oracle do under the same shift, and by how much
the agent's reading of the present, of the goal, and of what its actions will do, is off, so that
it can be told what fails.

The robustness score of a factor is the area under the curve of what is kept, over its strength
from none to its reference, each strength standing for the range below it. What is kept at a
strength is the agent's skill there over its skill in the world as recorded, skill being
(success - floor) / (1 - floor): of the tasks that random actions miss, the share that the agent
gets. So 1 is to lose nothing, 0 to be like random actions, and less than 0 to be worse. The score
of a sweep is the mean over its factors. There are two of each: of goals met at some step, and of
goals kept at the end, since an agent that reels may still come by its goal.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from rich.console import Console
from rich.progress import track

from forethought.evaluation.planning import PlanningProtocol, met, play
from forethought.evaluation.readings import Errors, Onlooker
from forethought.evaluation.references import MakeAgent, Oracle, RandomActions, Reference
from forethought.evaluation.statistics import Estimate, wilson
from forethought.evaluation.tasks import TaskSet
from forethought.model import Model, write_safely
from forethought.types import ForethoughtError, World
from forethought.worlds.factors import TOGETHER, Factor, together

RESAMPLES = 2000
LEAST_SKILL = 0.05
"""An agent of less than that as recorded has nothing to keep."""


@dataclass(frozen=True, kw_only=True)
class Reached:
    """In which tasks a goal was met.

    Attributes:
        ever: per task whether it was met at some step.
        final: per task whether it was kept at the end.
    """

    ever: tuple[bool, ...]
    final: tuple[bool, ...]

    def rates(self) -> Rates:
        """The two as rates with intervals."""
        return Rates(ever=wilson(np.array(self.ever)), final=wilson(np.array(self.final)))


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Two rates, or two scores, of the same tasks.

    Attributes:
        ever: of goals met at some step.
        final: of goals kept at the end.
    """

    ever: Estimate
    final: Estimate


@dataclass(frozen=True, kw_only=True)
class Point:
    """A world that is different by so much.

    Attributes:
        strength: by how much, in the factor's unit.
        share: of the factor's reference.
        agent: how the agent did.
        floor: random actions, under the same shift.
        ceiling: the oracle, which sees the truth of the shifted world and does not know that
            actions do something else.
        errors: by how much the agent's readings were off; None without a model that has probes.
    """

    strength: float
    share: float
    agent: Reached
    floor: Reached
    ceiling: Reached
    errors: Errors | None

    def to_json(self) -> dict[str, Any]:
        """Everything, and the rates with their intervals."""
        who = {"agent": self.agent, "floor": self.floor, "ceiling": self.ceiling}
        rates = {name: asdict(one.rates()) for name, one in who.items()}
        return {"success": rates, **asdict(self)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Point:
        """The inverse of :meth:`to_json`."""

        def reached(name: str) -> Reached:
            return Reached(**{key: tuple(value) for key, value in content[name].items()})

        return cls(
            strength=content["strength"],
            share=content["share"],
            agent=reached("agent"),
            floor=reached("floor"),
            ceiling=reached("ceiling"),
            errors=Errors(**content["errors"]) if content["errors"] else None,
        )


@dataclass(frozen=True, kw_only=True)
class Curve:
    """What becomes of an agent along one factor.

    Attributes:
        factor: what is different.
        points: from the world as recorded to the factor's reference.
        score: robustness; NaN where the agent has no skill to keep.
    """

    factor: Factor
    points: tuple[Point, ...]
    score: Rates

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON types."""
        said = {key: getattr(self.factor, key) for key in ("name", "kind", "description", "unit")}
        return {
            **said,
            "reference": self.factor.reference,
            "score": asdict(self.score),
            "points": [point.to_json() for point in self.points],
        }


@dataclass(frozen=True, kw_only=True)
class ShiftResults:
    """A sweep.

    Attributes:
        world: name of the world.
        protocol: how success was measured.
        seeds: the tasks, the same at every point.
        curves: of one factor each.
        together: of all of them at once; None where only one was swept.
        score: mean robustness over the factors, each by itself.
    """

    world: str
    protocol: PlanningProtocol
    seeds: tuple[int, ...]
    curves: tuple[Curve, ...]
    together: Curve | None
    score: Rates
    recorded: Point = field(repr=False)

    def every_curve(self) -> tuple[Curve, ...]:
        """Each factor by itself, and all at once."""
        return (*self.curves, *([self.together] if self.together else []))

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON types."""
        return {
            "world": self.world,
            "protocol": self.protocol.to_json(),
            "seeds": list(self.seeds),
            "score": asdict(self.score),
            "recorded": self.recorded.to_json(),
            "factors": [curve.to_json() for curve in self.curves],
            "together": self.together.to_json() if self.together else None,
        }


def sweep(
    make_agent: MakeAgent,
    make_world: Callable[[int], World],
    factors: Sequence[Factor],
    protocol: PlanningProtocol | None = None,
    *,
    model: Model | None = None,
    kept: Path | None = None,
    who: str = "",
    resume: bool = False,
    visible: bool = True,
) -> ShiftResults:
    """Measures an agent along factors of variation, one at a time and together.

    Args:
        make_agent: builds an agent for goals.
        make_world: builds a world of so many copies, as recorded.
        factors: what is to be different; see :func:`forethought.worlds.factors.factors_of`.
        protocol: how to measure success; its number of traces is of no account.
        model: whose probes tell what the agent reads; None to tell nothing of it.
        kept: file in which points are kept as they are measured; None to keep none.
        who: tells this agent from others, so that what is kept is only taken for the same.
        resume: take the points that are kept.
        visible: show progress.

    Raises:
        ForethoughtError: no factor, points kept of something else, or no task of the world starts
            away from its goal.
    """
    if not factors:
        raise ForethoughtError("a sweep needs one factor or more; found none.")
    protocol = protocol or PlanningProtocol()
    world = make_world(protocol.episodes)
    tasks = protocol.tasks.draw(world, count=protocol.episodes, seed=protocol.seed)
    told = {
        "who": who,
        "world": world.name,
        "seeds": tasks.seeds,
        "protocol": protocol.to_json(),
    }
    ledger = _Ledger(kept, json.loads(json.dumps(told)), resume=resume)
    measure = _Measure(make_agent, make_world, protocol, tasks, model, ledger)
    swept = [*factors, *([together(factors)] if len(factors) > 1 else [])]
    todo = [(factor, share) for factor in swept for share in factor.shares]
    recorded = measure.recorded()
    found: dict[str, list[Point]] = {factor.name: [recorded] for factor in swept}
    console = Console(stderr=True)
    for factor, share in track(todo, "sweeping", console=console, disable=not visible):
        found[factor.name].append(measure(factor, share))
    return _results(world.name, protocol, tasks.seeds, swept, found)


def _results(
    world: str,
    protocol: PlanningProtocol,
    seeds: Sequence[int],
    swept: Sequence[Factor],
    found: Mapping[str, Sequence[Point]],
) -> ShiftResults:
    points = [found[factor.name] for factor in swept]
    curves = tuple(
        Curve(factor=factor, points=tuple(own), score=robustness(own))
        for factor, own in zip(swept, points, strict=True)
    )
    return ShiftResults(
        world=world,
        protocol=protocol,
        seeds=tuple(seeds),
        curves=tuple(one for one in curves if one.factor.name != TOGETHER),
        together=next((one for one in curves if one.factor.name == TOGETHER), None),
        score=mean_robustness([own for f, own in found.items() if f != TOGETHER]),
        recorded=points[0][0],
    )


# ------------------------------------------------------------------------------------ measuring


class _Measure:
    """Plays the same tasks in worlds that differ."""

    def __init__(
        self,
        make_agent: MakeAgent,
        make_world: Callable[[int], World],
        protocol: PlanningProtocol,
        tasks: TaskSet,
        model: Model | None,
        ledger: _Ledger,
    ) -> None:
        self.make_agent, self.make_world = make_agent, make_world
        self.protocol, self.tasks = protocol, tasks
        self.model, self.ledger = model, ledger

    def recorded(self) -> Point:
        """The world as it was recorded."""
        known = self.ledger.find("recorded", 0.0)
        if known is None:
            known = self._point(self.make_world(len(self.tasks.seeds)), 0.0, 0.0, None)
            self.ledger.add("recorded", known)
        self._as_recorded = known
        return known

    def __call__(self, factor: Factor, share: float) -> Point:
        """One point; taken from what is kept where it is there."""
        strength = share * factor.reference
        point = self.ledger.find(factor.name, strength)
        if point is None:
            world = factor.world(self.make_world(len(self.tasks.seeds)), strength)
            same = self._as_recorded if factor.only_seen else None
            point = self._point(world, strength, share, same)
            self.ledger.add(factor.name, point)
        return point

    def _point(self, world: World, strength: float, share: float, same: Point | None) -> Point:
        agent, errors = self._agent(world)
        if same is not None:
            floor, ceiling = same.floor, same.ceiling
        else:
            floor = self._referred(world, RandomActions())
            ceiling = self._referred(world, Oracle())
        return Point(
            strength=strength,
            share=share,
            agent=agent,
            floor=floor,
            ceiling=ceiling,
            errors=errors,
        )

    def _agent(self, world: World) -> tuple[Reached, Errors | None]:
        self.tasks.begin(world)
        agent = self.make_agent(world.goal(), len(self.tasks.seeds))
        onlooker = Onlooker(world, agent, self.model)
        reached = self._played(world, onlooker.act)
        return reached, onlooker.errors()

    def _referred(self, world: World, reference: Reference) -> Reached:
        self.tasks.begin(world)
        return self._played(world, reference.begin(world, self.protocol.seed))

    def _played(self, world: World, act: Callable[..., np.ndarray]) -> Reached:
        seen = self.tasks.begin(world)
        flags = play(world, seen, act, self.protocol, "", False)
        ever, final = met(flags, self.protocol.hold)
        return Reached(ever=tuple(ever.tolist()), final=tuple(final.tolist()))


class _Ledger:
    """Points as they are measured, in a file that is whole at any time."""

    def __init__(self, path: Path | None, told: Mapping[str, Any], *, resume: bool) -> None:
        self.path, self.told = path, told
        self.points: dict[str, Any] = {}
        if path is None or not resume or not path.exists():
            return
        content = json.loads(path.read_text())
        differing = [key for key in told if content["of"].get(key) != told[key]]
        if differing:
            raise ForethoughtError(
                f"{path}: points of a sweep with another {differing[0]} are kept here; going on "
                "would mix two sweeps. Sweep as before, or begin anew without --resume."
            )
        self.points = content["points"]

    def find(self, name: str, strength: float) -> Point | None:
        """A point that is kept."""
        known = self.points.get(f"{name} {strength!r}")
        return Point.from_json(known) if known else None

    def add(self, name: str, point: Point) -> None:
        """Keeps a point."""
        self.points[f"{name} {point.strength!r}"] = point.to_json()
        if self.path is not None:
            content = json.dumps({"of": self.told, "points": self.points})
            write_safely(self.path, content.encode())


# ------------------------------------------------------------------------------------ scores


def robustness(points: Sequence[Point]) -> Rates:
    """The scores of one curve, with bootstrap intervals over tasks; NaN without skill to keep.

    Args:
        points: of the same tasks, the first in the world as recorded.
    """
    return mean_robustness([points])


def mean_robustness(curves: Sequence[Sequence[Point]], *, seed: int = 0) -> Rates:
    """The mean scores of several curves of the same tasks, which are drawn again alike for all.

    Args:
        curves: each as :func:`robustness` takes it.
        seed: of the draws.
    """
    count = len(curves[0][0].agent.ever)
    draws = np.random.default_rng(seed).integers(count, size=(RESAMPLES, count))
    picked = np.concatenate([np.arange(count)[None], draws])

    def mean(which: str) -> Estimate:
        areas = np.mean([_areas(points, which, picked) for points in curves], axis=0)
        low, high = np.percentile(areas[1:], [2.5, 97.5])
        value = float(areas[0])
        return Estimate(value=value, low=float(low), high=float(high), episodes=count)

    return Rates(ever=mean("ever"), final=mean("final"))


def _areas(points: Sequence[Point], which: str, picked: np.ndarray) -> Float[np.ndarray, " m"]:
    """Area under what is kept, for each choice ``(m, n)`` of tasks; NaN without skill."""
    agent, floor = (
        np.array([getattr(getattr(point, who), which) for point in points])[:, picked].mean(2)
        for who in ("agent", "floor")
    )
    missed = np.maximum(1 - floor, 1 / picked.shape[1])
    skill = (agent - floor) / missed
    if skill[0, 0] < LEAST_SKILL:
        return np.full(len(picked), np.nan)
    kept = skill / np.maximum(skill[0], LEAST_SKILL)
    shares = np.array([point.share for point in points])
    return np.diff(shares) / shares[-1] @ kept[1:]


def weak_points(results: ShiftResults, *, below: float = 0.8) -> list[tuple[Curve, Point]]:
    """Points at which fewer goals are met, or kept, than that share of those as recorded."""

    def rates(point: Point) -> np.ndarray:
        return np.array([np.mean(point.agent.ever), np.mean(point.agent.final)])

    least = below * rates(results.recorded)
    return [
        (curve, point)
        for curve in results.every_curve()
        for point in curve.points[1:]
        if (rates(point) < least).any()
    ]


def settled(protocol: PlanningProtocol, **changes: int) -> PlanningProtocol:
    """A protocol for sweeps: a hundred tasks a point unless said otherwise, and no pictures."""
    return replace(protocol, **{"episodes": 100, "traces": 0, **changes})
