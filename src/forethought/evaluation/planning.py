"""Does the agent reach its goals? Measured so that it can be believed.

Held-out tasks; floors and a ceiling on the same tasks beside every number; starts that already
satisfy the goal left out; success both at any time and at the end, by how far the goal is;
intervals; every episode kept, so that two runs can be compared task by task.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice
from typing import Protocol

import numpy as np
from rich.console import Console
from rich.progress import track

from forethought.evaluation.outcomes import Measured, Outcome, PlanningResults
from forethought.evaluation.protocol import PlanningProtocol, stable_worldmodel
from forethought.evaluation.references import (
    CEILINGS,
    FLOORS,
    Actor,
    Controller,
    MakeAgent,
    Reference,
)
from forethought.evaluation.statistics import Estimate, bootstrap_mean, wilson
from forethought.evaluation.tasks import TaskSet
from forethought.evaluation.watching import Trace, Watcher
from forethought.types import Decision, Observation, World


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
    agent = make_agent(world.goal(), len(tasks.seeds))
    flags = play(
        world, observation, lambda o: agent.act_batch(o).action, protocol, "agent", visible
    )
    acted = masks.measured("agent", flags, protocol.hold)
    return PlanningResults(
        world=world.name,
        protocol=protocol,
        acted=acted,
        floors=beneath,
        ceilings=above,
        decision_ms=_latency(make_agent, make_world, protocol),
        tasks=tasks,
        groups=groups,
        bands=bands,
        distances=distances,
        traces=watched(make_agent, make_world, tasks, groups, acted, protocol, visible=visible),
    )


def watched(
    make_agent: MakeAgent,
    make_world: Callable[[int], World],
    tasks: TaskSet,
    groups: Mapping[str, np.ndarray],
    acted: Measured,
    protocol: PlanningProtocol,
    *,
    visible: bool = True,
) -> tuple[Trace, ...]:
    """Some episodes played again and watched, for pictures: drawn by lot, not picked.

    Half of them, or as many as there are, failed; the others succeeded. By what counts: goals kept
    at the end where the protocol asks for it, met at some time elsewhere.

    Args:
        make_agent: builds an agent for goals.
        make_world: builds a world of so many copies.
        tasks: of all episodes.
        groups: kinds of tasks, masks ``(b,)``.
        acted: how the agent did in all of them.
        protocol: how many are shown, and from what seed they are drawn.
        visible: show progress.
    """
    shown = _by_lot(np.array(acted.final if protocol.hold > 1 else acted.ever), protocol)
    if not len(shown):
        return ()
    world, some = make_world(len(shown)), tasks.some(shown)
    observation = some.begin(world)
    watcher = Watcher(world, make_agent(world.goal(), len(shown)), len(shown))
    flags = play(world, observation, watcher.act, protocol, "to be shown", visible, watcher.see)
    kinds = {name: mask[shown] for name, mask in groups.items()}
    return watcher.traces(flags, kinds, seeds=some.seeds)


def _by_lot(success: np.ndarray, protocol: PlanningProtocol) -> np.ndarray:
    """Numbers of the episodes that are shown, failures first."""
    generator = np.random.default_rng(protocol.seed)
    failed, solved = (generator.permutation(np.flatnonzero(found)) for found in (~success, success))
    failures = max(protocol.traces // 2, protocol.traces - len(solved))
    failed = failed[:failures]
    return np.concatenate([failed, solved[: protocol.traces - len(failed)]])


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
    "watched",
]
