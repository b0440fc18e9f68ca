"""Does the agent reach its goals? Measured so that it can be believed.

Held-out tasks; floors and a ceiling on the same tasks beside every number; starts that already
satisfy the goal left out; success both at any time and at the end, by how far the goal is;
intervals; every episode kept, so that two runs can be compared task by task.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import count, islice
from typing import Any, Protocol

import numpy as np
from rich.console import Console
from rich.progress import track

from forethought.data.store import Dataset
from forethought.evaluation.references import (
    CEILINGS,
    FLOORS,
    Actor,
    Controller,
    MakeAgent,
    Reference,
)
from forethought.evaluation.statistics import Estimate, bootstrap_mean, wilson
from forethought.evaluation.tasks import DrawnTasks, RecordedTasks, Tasks, TaskSet
from forethought.evaluation.watching import Trace, Watcher
from forethought.types import Decision, ForethoughtError, Observation, World


class Setting(Protocol):
    """Where an agent acts: as much of a :class:`forethought.types.World` as acting needs."""

    def reset(self, seeds: Sequence[int]) -> Observation:
        """See :class:`forethought.types.World`."""
        ...

    def goal(self) -> Observation:
        """See :class:`forethought.types.World`."""
        ...

    def step(self, actions: np.ndarray) -> Observation:
        """See :class:`forethought.types.World`."""
        ...


@dataclass(frozen=True, kw_only=True)
class PlanningProtocol:
    """How goal reaching is measured.

    Attributes:
        episodes: tasks; each is a start and a goal that no training saw.
        budget: world steps in an episode.
        hold: the goal counts as kept at the end if it holds for this many last steps.
        seed: tasks are drawn from seeds from here on; recording uses small ones.
        tasks: where they come from.
        bands: world steps of the true path between which tasks are reported apart, where the tasks
            say nothing of how far their goals are and the world knows.
        traces: episodes of which every step is kept, for pictures.
        latency_decisions: decisions timed with a single agent.
    """

    episodes: int = 200
    budget: int = 200
    hold: int = 1
    seed: int = 1_000_000
    tasks: Tasks = field(default_factory=DrawnTasks)
    bands: tuple[float, ...] = (25, 50, 75, 100)
    traces: int = 6
    latency_decisions: int = 100

    def to_json(self) -> dict[str, Any]:
        """The protocol as JSON types."""
        names = ("episodes", "budget", "hold", "seed", "bands", "traces", "latency_decisions")
        content = {name: getattr(self, name) for name in names}
        return {**content, "bands": list(self.bands), "tasks": self.tasks.to_json()}


def stable_worldmodel(
    data: Dataset, *, steps: int = 25, budget: int = 50, episodes: int = 50, seed: int = 42
) -> PlanningProtocol:
    """The protocol of stable-worldmodel, for figures that can be set beside its tables.

    Starts are moments of the very recordings that were trained on, goals what the same episode came
    to 25 steps later, with 50 steps to get there; 50 of them, drawn as its script draws them;
    success is to touch the goal once, and starts that satisfy it already count. What such a figure
    leaves out stands beside it: :meth:`PlanningResults.remarks`.

    Source: ``scripts/plan/eval_wm.py`` and its configurations in galilai-group/stable-worldmodel
    (2026), equal for all four of its worlds.

    Args:
        data: what the agent was trained on.
        steps: between start and goal.
        budget: world steps in an episode.
        episodes: tasks.
        seed: of their drawing.
    """
    tasks = RecordedTasks(data=data, episodes=None, steps=(steps,), keep_solved=True)
    return PlanningProtocol(episodes=episodes, budget=budget, seed=seed, tasks=tasks)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How one controller did.

    Attributes:
        ever: share of episodes that satisfied the goal at some step.
        final: share that satisfied it for the last ``hold`` steps.
        groups: the same pair for each kind of task.
        steps: mean world steps until the goal was first met, where it was.
        efficiency: shortest possible steps over steps taken, mean where the goal was met.
        bands: the pair of rates by how far the goal is.
    """

    ever: Estimate
    final: Estimate
    groups: Mapping[str, tuple[Estimate, Estimate]]
    steps: Estimate
    efficiency: Estimate
    bands: Mapping[str, tuple[Estimate, Estimate]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One who did the tasks, episode by episode.

    Attributes:
        name: as tables call it.
        outcome: how it did.
        ever: per episode whether it met the goal.
        final: per episode whether it kept it at the end.
        steps: per episode the world steps until it first met the goal; None where it never did.
    """

    name: str
    outcome: Outcome
    ever: tuple[bool, ...]
    final: tuple[bool, ...]
    steps: tuple[int | None, ...]

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class PlanningResults:
    """The agent between its floors and its ceilings.

    Attributes:
        world: name of the world.
        protocol: how it was measured.
        acted: the agent.
        floors: who it should do better than, on the same tasks.
        ceilings: who it cannot be expected to do better than.
        decision_ms: milliseconds of a single agent's searches: median and 99th percentile.
        tasks: what was done in each episode.
        groups: masks ``(b,)`` of kinds of tasks.
        bands: masks ``(b,)`` of tasks by how far their goals are.
        distances: per episode the world steps of the true path; NaN where unknown.
        traces: some episodes, step by step.
    """

    world: str
    protocol: PlanningProtocol
    acted: Measured
    floors: tuple[Measured, ...]
    ceilings: tuple[Measured, ...]
    decision_ms: Mapping[str, float]
    tasks: TaskSet
    groups: Mapping[str, np.ndarray] = field(repr=False)
    bands: Mapping[str, np.ndarray] = field(repr=False)
    distances: np.ndarray = field(repr=False)
    traces: tuple[Trace, ...] = field(default=(), repr=False)

    @property
    def agent(self) -> Outcome:
        """How the agent did."""
        return self.acted.outcome

    @property
    def floor(self) -> Outcome:
        """How the first of the floors did: random actions, unless told otherwise."""
        return _first(self.floors, "floors")

    @property
    def ceiling(self) -> Outcome:
        """How the first of the ceilings did: the oracle, unless told otherwise."""
        return _first(self.ceilings, "ceilings")

    @property
    def seeds(self) -> tuple[int, ...]:
        """The task of each episode."""
        return self.tasks.seeds

    @property
    def ever(self) -> tuple[bool, ...]:
        """Per episode whether the agent met the goal."""
        return self.acted.ever

    @property
    def final(self) -> tuple[bool, ...]:
        """Per episode whether it kept it at the end."""
        return self.acted.final

    def everyone(self) -> list[tuple[str, Measured]]:
        """All that did the tasks, as tables list them: floors, the agent, ceilings."""
        return [
            *((f"{one.name} floor", one) for one in self.floors),
            ("agent", self.acted),
            *((f"{one.name} ceiling", one) for one in self.ceilings),
        ]

    def headline(self) -> dict[str, dict[str, float]]:
        """The rate that counts, of agent, floor and ceiling: kept at the end where the protocol
        asks to hold the goal, met at some time elsewhere."""
        outcomes = {"agent": self.agent}
        outcomes |= {"floor": self.floor} if self.floors else {}
        outcomes |= {"ceiling": self.ceiling} if self.ceilings else {}
        return {name: self.counted(outcome).to_json() for name, outcome in outcomes.items()}

    def counted(self, outcome: Outcome) -> Estimate:
        """The rate that counts; see :meth:`headline`."""
        return outcome.final if self.protocol.hold > 1 else outcome.ever

    def remarks(self) -> list[str]:
        """What a reader of the rate alone would not know, where there is anything."""
        said = []
        if not self.tasks.held_out:
            said.append(
                "not held out: tasks are taken from all recorded episodes, those that the agent "
                "was trained on too"
            )
        if solved := int(self.tasks.solved.sum()):
            share = 100 * solved / len(self.seeds)
            said.append(
                f"{solved} of {len(self.seeds)} starts ({share:.0f} %) satisfy their goal before "
                "anything is done, and count"
            )
        if late := int((self.distances > self.protocol.budget).sum()):
            said.append(
                f"{late} of {len(self.seeds)} goals cannot be met within {self.protocol.budget} "
                "steps by the shortest path"
            )
        if said:
            floors = ", ".join(f"{one.name} {one.outcome.ever.percent()}" for one in self.floors)
            said += [f"floors on these tasks: {floors}"] if floors else []
            said.append(
                f"met at some step {self.agent.ever.percent()}; at the last step "
                f"{self.agent.final.percent()}; 95 % intervals, {len(self.seeds)} tasks"
            )
        return said

    def to_json(self) -> dict[str, Any]:
        """Everything but the traces, as JSON types."""
        return {
            "world": self.world,
            "protocol": self.protocol.to_json(),
            "agent": asdict(self.agent),
            "floor": asdict(self.floor) if self.floors else None,
            "ceiling": asdict(self.ceiling) if self.ceilings else None,
            "decision_ms": dict(self.decision_ms),
            "bands": list(self.bands),
            "groups": list(self.groups),
            "episodes": [self._episode(i) for i in range(len(self.seeds))],
            "floors": [one.to_json() for one in self.floors],
            "ceilings": [one.to_json() for one in self.ceilings],
            "remarks": self.remarks(),
        }

    def _episode(self, i: int) -> dict[str, Any]:
        distance = float(self.distances[i])
        return {
            "seed": self.seeds[i],
            "origin": list(self.tasks.origins[i]) if self.tasks.origins else None,
            "distance": None if np.isnan(distance) else distance,
            "groups": [name for name, mask in self.groups.items() if mask[i]],
            "bands": [name for name, mask in self.bands.items() if mask[i]],
            "ever": self.ever[i],
            "final": self.final[i],
            "steps": self.acted.steps[i],
        }


def _first(several: tuple[Measured, ...], what: str) -> Outcome:
    if not several:
        raise ForethoughtError(
            f"no {what} were measured; give evaluate some ({what}=...) to read them."
        )
    return several[0].outcome


def evaluate(
    make_agent: MakeAgent,
    make_world: Callable[[int], World],
    protocol: PlanningProtocol | None = None,
    *,
    floors: Sequence[Reference] = FLOORS,
    ceilings: Sequence[Reference] = CEILINGS,
    visible: bool = True,
) -> PlanningResults:
    """Measures an agent on held-out tasks, beside others that do the same tasks.

    Args:
        make_agent: builds an agent for goals.
        make_world: builds a world of so many copies.
        protocol: how to measure.
        floors: who it should do better than.
        ceilings: who it cannot be expected to do better than; none for worlds without an oracle.
        visible: show progress.

    Raises:
        ForethoughtError: there are not enough tasks, or who the agent is compared with cannot act
            in the world; before the agent acts.
    """
    protocol = protocol or PlanningProtocol()
    world = make_world(protocol.episodes)
    tasks = protocol.tasks.draw(world, count=protocol.episodes, seed=protocol.seed)
    tasks.begin(world)
    groups = {name: np.asarray(mask).copy() for name, mask in world.groups().items()}
    distances = np.asarray(world.path_length(), np.float64).copy()
    bands = tasks.bands or _by_length(distances, protocol.bands)
    masks = _Masks(groups=groups, bands=bands, distances=distances)

    def refer(reference: Reference, kind: str) -> Measured:
        observation = tasks.begin(world)
        act = reference.begin(world, protocol.seed)
        flags = play(world, observation, act, protocol, f"{reference.name} {kind}", visible)
        return masks.measured(reference.name, flags, protocol.hold)

    beneath = tuple(refer(one, "floor") for one in floors)
    above = tuple(refer(one, "ceiling") for one in ceilings)
    observation = tasks.begin(world)
    watcher = Watcher(world, make_agent(world.goal(), len(tasks.seeds)), protocol.traces)
    flags = play(world, observation, watcher.act, protocol, "agent", visible, watcher.see)
    return PlanningResults(
        world=world.name,
        protocol=protocol,
        acted=masks.measured("agent", flags, protocol.hold),
        floors=beneath,
        ceilings=above,
        decision_ms=_latency(make_agent, make_world, protocol),
        tasks=tasks,
        groups=groups,
        bands=bands,
        distances=distances,
        traces=watcher.traces(flags, groups),
    )


def _by_length(lengths: np.ndarray, edges: Sequence[float]) -> dict[str, np.ndarray]:
    """Masks of tasks by how long their paths are; none where that is unknown of any."""
    if np.isnan(lengths).any() or not edges:
        return {}
    place = np.digitize(lengths, edges, right=True)
    names = [f"up to {edges[0]:g} steps"]
    names += [f"to {edge:g}" for edge in edges[1:]]
    names.append(f"over {edges[-1]:g}")
    masks = {name: place == i for i, name in enumerate(names)}
    return {name: mask for name, mask in masks.items() if mask.any()}


# ------------------------------------------------------------------------------------ acting


def play(
    world: World,
    observation: Observation,
    act: Controller,
    protocol: PlanningProtocol,
    label: str,
    visible: bool,
    see: Callable[[Observation], None] | None = None,
) -> np.ndarray:
    """Plays one episode in every copy; ``(budget, b)`` whether the goal held after each step.

    Args:
        world: at the starts of the tasks.
        observation: what is seen there.
        act: who plays.
        protocol: for how long.
        label: beside the progress bar.
        visible: show it.
        see: told what every action is decided on.
    """
    flags = np.zeros((protocol.budget, world.num_worlds), dtype=bool)
    steps = track(
        range(protocol.budget),
        description=f"{label:<18}",
        console=Console(stderr=True),
        disable=not visible,
    )
    for step in steps:
        if see is not None:
            see(observation)
        observation = world.step(act(observation))
        flags[step] = world.succeeded()
    return flags


# ------------------------------------------------------------------------------------ figures


def met(flags: np.ndarray, hold: int) -> tuple[np.ndarray, np.ndarray]:
    """Per episode: whether the goal held at some step, and for the last ``hold`` of them."""
    return np.asarray(flags.any(0)), np.asarray(flags[-hold:].all(0))


@dataclass(frozen=True, kw_only=True)
class _Masks:
    """By what episodes are told apart; turns what happened in them into figures.

    Attributes:
        groups: kinds of tasks.
        bands: tasks by how far their goals are.
        distances: world steps of the shortest way; NaN where unknown.
    """

    groups: Mapping[str, np.ndarray]
    bands: Mapping[str, np.ndarray]
    distances: np.ndarray

    def measured(self, name: str, flags: np.ndarray, hold: int) -> Measured:
        """From ``(budget, b)`` whether the goal held after each step."""
        ever, final = met(flags, hold)
        first = flags.argmax(0) + 1
        return Measured(
            name=name,
            outcome=self._outcome(ever, final, first),
            ever=tuple(ever.tolist()),
            final=tuple(final.tolist()),
            steps=tuple(int(s) if met else None for s, met in zip(first, ever, strict=True)),
        )

    def _outcome(self, ever: np.ndarray, final: np.ndarray, first: np.ndarray) -> Outcome:
        def pairs(masks: Mapping[str, np.ndarray]) -> dict[str, tuple[Estimate, Estimate]]:
            return {name: (wilson(ever[m]), wilson(final[m])) for name, m in masks.items()}

        steps, shortest = first[ever].astype(float), self.distances[ever]
        # Of tasks that are solved from the start, nothing can be told.
        shortest = np.where(shortest > 0, shortest, np.nan)
        efficiency = shortest / np.maximum(steps, shortest)
        return Outcome(
            ever=wilson(ever),
            final=wilson(final),
            groups=pairs(self.groups),
            steps=bootstrap_mean(steps),
            efficiency=bootstrap_mean(efficiency[np.isfinite(efficiency)]),
            bands=pairs(self.bands),
        )


def searches(
    make_agent: MakeAgent, setting: Setting, *, budget: int, seed: int
) -> Iterator[Decision]:
    """The decisions in which a single agent searches, task after task, without end.

    Args:
        make_agent: builds the agent.
        setting: where it acts, alone.
        budget: world steps in an episode.
        seed: tasks are drawn from seeds from here on.
    """
    for task in count(seed):
        observation = setting.reset([task])
        agent = make_agent(setting.goal(), 1)
        for _ in range(budget):
            decision = agent.act_batch(observation)
            if decision.plan_step == 0:
                yield decision
            observation = setting.step(decision.action)


def _latency(
    make_agent: MakeAgent, make_world: Callable[[int], World], protocol: PlanningProtocol
) -> dict[str, float]:
    """Milliseconds of the decisions in which a single agent searches."""
    found = searches(make_agent, make_world(1), budget=protocol.budget, seed=protocol.seed)
    settled = np.array([1000 * d.seconds for d in islice(found, 5, protocol.latency_decisions + 5)])
    return {"median": float(np.median(settled)), "p99": float(np.percentile(settled, 99))}


__all__ = [
    "Actor",
    "Controller",
    "MakeAgent",
    "Measured",
    "Outcome",
    "PlanningProtocol",
    "PlanningResults",
    "Setting",
    "Trace",
    "evaluate",
    "met",
    "play",
    "searches",
    "stable_worldmodel",
]
