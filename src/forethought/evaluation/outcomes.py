"""What came of an evaluation: the agent and all beside it, episode by episode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from forethought.evaluation.protocol import PlanningProtocol
from forethought.evaluation.statistics import Estimate
from forethought.evaluation.tasks import TaskSet
from forethought.evaluation.watching import Trace
from forethought.types import ForethoughtError


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
