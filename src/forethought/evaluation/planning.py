"""Does the agent reach its goals? Measured so that it can be believed.

Held-out tasks; a random floor and an oracle ceiling on the same tasks beside every number; starts
that already satisfy the goal are left out; success both at any time and at the end; intervals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import count, islice
from typing import Any, Protocol

import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from forethought.agent import Agent
from forethought.evaluation.statistics import Estimate, bootstrap_mean, wilson
from forethought.types import Decision, ForethoughtError, Observation, Plan, World

Controller = Callable[[Observation], np.ndarray]
"""Observations ``(b, ...)`` to actions ``(b, dim)``."""


class Actor(Protocol):
    """Who is measured: an agent that plans, or a policy that answers at once."""

    def act_batch(self, observation: Mapping[str, Any]) -> Decision:
        """The next action of every agent, from observations ``(b, ...)`` per key."""
        ...


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


MakeAgent = Callable[[Observation, int], Actor]
"""From goal observations ``(b, ...)`` and the number of agents to an agent that seeks them."""


@dataclass(frozen=True, kw_only=True)
class PlanningProtocol:
    """How goal reaching is measured.

    Attributes:
        episodes: tasks; each is a start and a goal that no training saw.
        budget: world steps in an episode.
        hold: the goal counts as kept at the end if it holds for this many last steps.
        seed: tasks are drawn from seeds from here on; recording uses small ones.
        traces: episodes of which every step is kept, for pictures.
        latency_decisions: decisions timed with a single agent.
    """

    episodes: int = 200
    budget: int = 200
    hold: int = 1
    seed: int = 1_000_000
    traces: int = 6
    latency_decisions: int = 100


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How one controller did.

    Attributes:
        ever: share of episodes that satisfied the goal at some step.
        final: share that satisfied it for the last ``hold`` steps.
        groups: the same pair for each kind of task.
        steps: mean world steps until the goal was first met, where it was.
        efficiency: shortest possible steps over steps taken, mean where the goal was met.
    """

    ever: Estimate
    final: Estimate
    groups: Mapping[str, tuple[Estimate, Estimate]]
    steps: Estimate
    efficiency: Estimate


@dataclass(frozen=True, kw_only=True)
class Trace:
    """Every step of one episode, for pictures.

    Attributes:
        images: ``(steps, height, width, 3)`` what the first camera saw; None without one.
        goal: the goal image; None without a camera.
        truth: hidden quantities by name, ``(steps,)`` each.
        goal_truth: those of them that the goal fixes.
        imagined: quantities read from the plan under way, by name, ``(steps, h+1)`` each.
        surprise: ``(steps,)``.
        succeeded: ``(steps,)``.
        group: the kind of task.
        terms: per cost term its share in the energy of the plan under way, ``(steps,)`` each.
        margins: per guardrail the least margin of that plan, ``(steps,)`` each.
        modes: ``(steps,)`` 1 for reflex, 2 for deliberation. What is about plans is NaN where all
            agents acted by reflex; where others searched, it is of the plan that was not followed.
    """

    images: np.ndarray | None
    goal: np.ndarray | None
    truth: Mapping[str, np.ndarray]
    goal_truth: Mapping[str, float]
    imagined: Mapping[str, np.ndarray]
    surprise: np.ndarray
    succeeded: np.ndarray
    group: str
    terms: Mapping[str, np.ndarray] = field(default_factory=dict)
    margins: Mapping[str, np.ndarray] = field(default_factory=dict)
    modes: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True)
class PlanningResults:
    """The agent between its floor and its ceiling.

    Attributes:
        world: name of the world.
        protocol: how it was measured.
        agent: the agent.
        floor: random actions on the same tasks.
        ceiling: the oracle on the same tasks.
        decision_ms: milliseconds of a single agent's searches: median and 99th percentile.
        seeds: the task of each episode.
        ever: per episode whether the agent met the goal.
        final: per episode whether it kept it at the end.
        traces: some episodes, step by step.
    """

    world: str
    protocol: PlanningProtocol
    agent: Outcome
    floor: Outcome
    ceiling: Outcome
    decision_ms: Mapping[str, float]
    seeds: tuple[int, ...]
    ever: tuple[bool, ...]
    final: tuple[bool, ...]
    traces: tuple[Trace, ...] = field(default=(), repr=False)

    def headline(self) -> dict[str, dict[str, float]]:
        """The rate that counts, of agent, floor and ceiling: kept at the end where the protocol
        asks to hold the goal, met at some time elsewhere."""
        outcomes = {"agent": self.agent, "floor": self.floor, "ceiling": self.ceiling}
        hold = self.protocol.hold > 1
        return {
            name: (outcome.final if hold else outcome.ever).to_json()
            for name, outcome in outcomes.items()
        }

    def to_json(self) -> dict[str, Any]:
        """Everything but the traces, as JSON types."""
        return {
            "world": self.world,
            "protocol": asdict(self.protocol),
            "agent": asdict(self.agent),
            "floor": asdict(self.floor),
            "ceiling": asdict(self.ceiling),
            "decision_ms": dict(self.decision_ms),
            "episodes": [
                {"seed": seed, "ever": ever, "final": final}
                for seed, ever, final in zip(self.seeds, self.ever, self.final, strict=True)
            ],
        }


def evaluate(
    make_agent: MakeAgent,
    make_world: Callable[[int], World],
    protocol: PlanningProtocol | None = None,
    *,
    visible: bool = True,
) -> PlanningResults:
    """Measures an agent on held-out tasks, beside random actions and the oracle.

    Args:
        make_agent: builds an agent for goals.
        make_world: builds a world of so many copies.
        protocol: how to measure.
        visible: show progress.

    Raises:
        ForethoughtError: no task of the world starts away from its goal.
    """
    protocol = protocol or PlanningProtocol()
    seeds, world = unsolved_tasks(make_world, protocol)
    groups = _groups(world, seeds)
    observation = world.reset(seeds)
    shortest = world.path_length()
    agent = make_agent(world.goal(), len(seeds))
    watcher = _Watcher(world, agent, protocol.traces)
    agent_flags = play(world, observation, watcher.act, protocol, "agent", visible, watcher.see)
    observation = world.reset(seeds)
    explore = random_actions(world, protocol.seed)
    floor_flags = play(world, observation, explore, protocol, "random floor", visible)
    observation = world.reset(seeds)
    oracle_flags = play(
        world, observation, lambda _: world.oracle(), protocol, "oracle ceiling", visible
    )
    reached = met(agent_flags, protocol.hold)
    return PlanningResults(
        world=world.name,
        protocol=protocol,
        agent=_outcome(agent_flags, groups, shortest, protocol),
        floor=_outcome(floor_flags, groups, shortest, protocol),
        ceiling=_outcome(oracle_flags, groups, shortest, protocol),
        decision_ms=_latency(make_agent, make_world, protocol),
        seeds=tuple(seeds),
        ever=tuple(reached[0].tolist()),
        final=tuple(reached[1].tolist()),
        traces=watcher.traces(agent_flags, groups),
    )


# ------------------------------------------------------------------------------------ tasks


def unsolved_tasks(
    make_world: Callable[[int], World], protocol: PlanningProtocol
) -> tuple[list[int], World]:
    """Task seeds whose start does not already satisfy the goal, and a world for them all."""
    world = make_world(protocol.episodes)
    seeds: list[int] = []
    first = protocol.seed
    for _ in range(20):
        candidates = list(range(first, first + protocol.episodes))
        world.reset(candidates)
        open_tasks = ~np.asarray(world.succeeded())
        seeds += [s for s, unsolved in zip(candidates, open_tasks, strict=True) if unsolved]
        if len(seeds) >= protocol.episodes:
            return seeds[: protocol.episodes], world
        first += protocol.episodes
    raise ForethoughtError(
        f"world {world.name!r}: of {first - protocol.seed} tasks only {len(seeds)} start away from "
        "their goal; its tasks are too easy to measure anything. Tighten its success rule."
    )


def _groups(world: World, seeds: Sequence[int]) -> Mapping[str, np.ndarray]:
    world.reset(seeds)
    return {name: np.asarray(mask).copy() for name, mask in world.groups().items()}


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
    """Plays one episode in every copy; ``(budget, b)`` whether the goal held after each step."""
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


def random_actions(world: World, seed: int) -> Controller:
    """Uniformly random actions within the bounds."""
    spec, generator = world.signature.action, np.random.default_rng(seed)

    def act(_: Observation) -> np.ndarray:
        if spec.discrete:
            return generator.integers(spec.num_choices, size=world.num_worlds)
        draws = generator.uniform(spec.low, spec.high, size=(world.num_worlds, spec.dim))
        return draws.astype(np.float32)

    return act


class _Watcher:
    """Lets an agent act, and keeps what pictures need of the first episodes."""

    def __init__(self, world: World, agent: Actor, num_traces: int) -> None:
        self.world, self.agent = world, agent
        self.count = min(num_traces, world.num_worlds)
        self.goals = {k: v[: self.count].copy() for k, v in world.goal().items()}
        self.goal_truth = {k: v[: self.count].copy() for k, v in world.goal_truth().items()}
        self.camera = next(iter(world.signature.cameras), None)
        self.images: list[np.ndarray] = []
        self.truth: list[dict[str, np.ndarray]] = []
        self.decisions: list[Decision] = []

    def act(self, observation: Observation) -> np.ndarray:
        decision = self.agent.act_batch(observation)
        self.decisions.append(decision)
        return decision.action

    def see(self, observation: Observation) -> None:
        if self.camera:
            self.images.append(observation[self.camera][: self.count].copy())
        truth = {name: np.array(value[: self.count]) for name, value in self.world.truth().items()}
        self.truth.append(truth)

    def traces(self, flags: np.ndarray, groups: Mapping[str, np.ndarray]) -> tuple[Trace, ...]:
        imagined, terms, margins = self._imagined(), self._terms(), self._margins()
        everyone = np.ones(self.world.num_worlds, dtype=int)
        modes = np.stack(
            [d.mode * everyone if d.modes is None else d.modes for d in self.decisions]
        )
        return tuple(
            Trace(
                images=np.stack([frame[i] for frame in self.images]) if self.camera else None,
                goal=self.goals[self.camera][i] if self.camera else None,
                truth={name: np.stack([t[name][i] for t in self.truth]) for name in self.truth[0]},
                goal_truth={name: float(v[i]) for name, v in self.goal_truth.items()},
                imagined={name: values[:, i] for name, values in imagined.items()},
                surprise=np.stack([decision.surprise[i] for decision in self.decisions]),
                succeeded=flags[:, i],
                group=next((name for name, mask in groups.items() if mask[i]), ""),
                terms={name: values[:, i] for name, values in terms.items()},
                margins={name: values[:, i] for name, values in margins.items()},
                modes=modes[:, i],
            )
            for i in range(self.count)
        )

    def _of_plans(self, read: Callable[[Plan], Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """What is told by the plan under way at each step, ``(steps, ...)``; NaN where there is
        none. Each plan is read once."""
        known = {id(d.plan): read(d.plan) for d in self._planned()}
        like = next(iter(known.values()), {})
        blank = {name: np.full_like(values, np.nan) for name, values in like.items()}
        return {
            name: np.stack([known.get(id(d.plan), blank)[name] for d in self.decisions])
            for name in like
        }

    def _planned(self) -> list[Any]:
        """One decision of each plan."""
        return list({id(d.plan): d for d in self.decisions if d.plan is not None}.values())

    def _terms(self) -> dict[str, np.ndarray]:
        """Shares in the energy of the plan under way at each step: ``(steps, agents)``."""
        return self._of_plans(lambda plan: {n: v.cpu().numpy() for n, v in plan.terms.items()})

    def _margins(self) -> dict[str, np.ndarray]:
        """Least margins of the plan under way at each step: ``(steps, agents)``."""
        return self._of_plans(
            lambda plan: {n: v.amin(-1).cpu().numpy() for n, v in plan.margins.items()}
        )

    def _imagined(self) -> dict[str, np.ndarray]:
        """Quantities read from the plan under way at each step: ``(steps, episodes, h+1)``."""
        if not isinstance(self.agent, Agent) or not self.agent.model.config.probes:
            return {}
        model = self.agent.model

        @torch.no_grad()
        def read(plan: Plan) -> dict[str, np.ndarray]:
            latents = plan.imagination.latents[: self.count, 0]
            return {k: v.cpu().numpy() for k, v in model.read(latents).items()}

        return self._of_plans(read)


# ------------------------------------------------------------------------------------ figures


def met(flags: np.ndarray, hold: int) -> tuple[np.ndarray, np.ndarray]:
    """Per episode: whether the goal held at some step, and for the last ``hold`` of them."""
    return np.asarray(flags.any(0)), np.asarray(flags[-hold:].all(0))


def _outcome(
    flags: np.ndarray,
    groups: Mapping[str, np.ndarray],
    shortest: np.ndarray,
    protocol: PlanningProtocol,
) -> Outcome:
    ever, final = met(flags, protocol.hold)
    steps = flags.argmax(0)[ever] + 1.0
    efficiency = shortest[ever] / np.maximum(steps, shortest[ever])
    return Outcome(
        ever=wilson(ever),
        final=wilson(final),
        groups={name: (wilson(ever[mask]), wilson(final[mask])) for name, mask in groups.items()},
        steps=bootstrap_mean(steps),
        efficiency=bootstrap_mean(efficiency[np.isfinite(efficiency)]),
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
