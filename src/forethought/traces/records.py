"""Decisions as records: numbers and words alone, one for each agent and world step.

A record holds what a decision carried and nothing that a model is needed for: it is told in words,
written down and compared as it is.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from forethought.cost.terms import Cost
from forethought.types import Change, Decision, Plan, Signature

REMEMBERED = 1000
"""Surprises of each agent that are remembered, to tell what is usual."""

Read = Callable[[Tensor], Mapping[str, Tensor]]
"""Quantities by name ``(...)``, read from latents ``(..., k, d)`` by probes."""


@dataclass(frozen=True, kw_only=True)
class TraceHeader:
    """What all records of an agent have in common.

    Attributes:
        signature: of the model: observations and actions.
        num_agents: worlds acted in at once; so many records to a world step.
        action_block: world steps in a model step.
        deadline_s: seconds a decision may take; None for no limit.
        cost: what it wanted at first, as a table.
        actor: the planner, in words.
        notes: how the model came to be.
    """

    signature: Signature
    num_agents: int
    action_block: int
    deadline_s: float | None
    cost: str
    actor: str
    notes: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class PlanRecord:
    """A plan as made for one agent.

    Attributes:
        actions: ``(h, a)`` model actions, in world units.
        energy: of the chosen sequence.
        terms: what each cost term had of it.
        margins: per guardrail ``(h,)``, widened; negative where violated.
        feasible: whether every guardrail holds.
        status: how the search ended.
        num_iterations: rounds of search.
        num_candidates: sequences imagined.
        seconds: wall-clock time of the search.
        spread: ``(m, h)`` disagreement of an ensemble over each outcome; None for a single model.
        quantities: by name ``(m, h + 1)``, as probes read them from what was imagined, for each
            outcome, the present first; empty for a model without probes.
        above: the plan of the level above; None for a flat one.
    """

    actions: tuple[tuple[float, ...], ...]
    energy: float
    terms: Mapping[str, float]
    margins: Mapping[str, tuple[float, ...]]
    feasible: bool
    status: str
    num_iterations: int
    num_candidates: int
    seconds: float
    spread: tuple[tuple[float, ...], ...] | None = None
    quantities: Mapping[str, tuple[tuple[float, ...], ...]] = field(default_factory=dict)
    above: PlanRecord | None = None


@dataclass(frozen=True, kw_only=True)
class ChangeRecord:
    """Another action than the one that was planned; see :class:`forethought.types.Change`."""

    by: str
    reason: str
    planned: tuple[float, ...]
    action: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class DecisionRecord:
    """One decision of one agent.

    Attributes:
        episode: how often the agent was reset before it.
        step: world steps of the episode before it.
        agent: which of the agents.
        at: when it was made, in seconds since 1970.
        cost: what the agent wanted, as a table.
        mode: 1 for reflex, 2 for deliberation.
        action: ``(dim,)`` what left, in world units; one integer for discrete actions.
        plan: the plan behind it; None for a reflex.
        plan_step: world steps since that plan was made, or since a reflex chose its actions.
        surprise: prediction error of the model step that has just ended; None where none has.
        shielded: whether the shield changed the action.
        seconds: wall-clock time of the decision.
        margins: per guardrail, as measured now.
        changes: what left in place of what was planned, and why.
        reads: what was read from memories, by the name of the memory, in JSON types.
        observation: the file with what was seen, within the trace's folder; None where not kept.
    """

    episode: int
    step: int
    agent: int
    at: float
    cost: str
    mode: int
    action: tuple[float, ...]
    plan: PlanRecord | None
    plan_step: int
    surprise: float | None
    shielded: bool
    seconds: float
    margins: Mapping[str, float] = field(default_factory=dict)
    changes: tuple[ChangeRecord, ...] = ()
    reads: Mapping[str, Any] = field(default_factory=dict)
    observation: str | None = None


class Retrospect:
    """What agents decided last, and how surprised they were before.

    Noting a decision costs next to nothing: records are made where they are asked for.

    Args:
        read: the probes of the model; None where it has none.
    """

    def __init__(self, read: Read | None) -> None:
        self._read = read
        self._episode, self._step = 0, 0
        self._latest: tuple[Decision, Cost, int, int, float] | None = None
        self._surprises: deque[np.ndarray] = deque(maxlen=REMEMBERED)
        # Of the latest plan, which many decisions may be behind.
        self._planned: tuple[Plan | None, list[PlanRecord]] = None, []

    def note(self, decision: Decision, cost: Cost) -> Decision:
        """Takes note of a decision with actions ``(b, ...)``, which it gives back, and of what was
        wanted."""
        if self._latest is not None and np.isfinite(self._latest[0].surprise).any():
            self._surprises.append(self._latest[0].surprise)
        self._latest = decision, cost, self._episode, self._step, time.time()
        self._step += 1
        return decision

    def reset(self) -> None:
        """A new episode begins; what was usual stays known."""
        if self._step:
            self._episode, self._step = self._episode + 1, 0

    def records(self) -> tuple[DecisionRecord, ...]:
        """The latest decision, one record for each agent; none before the first.

        Decisions that follow the same plan share its records.
        """
        if self._latest is None:
            return ()
        decision, cost, episode, step, at = self._latest
        if decision.plan is not self._planned[0]:
            self._planned = decision.plan, plan_records(decision.plan, self._read)
        plans = self._planned[1]
        together = np.full(len(decision.surprise), decision.mode)
        modes = together if decision.modes is None else decision.modes
        return tuple(
            DecisionRecord(
                episode=episode,
                step=step,
                agent=agent,
                at=at,
                cost=str(cost),
                mode=int(modes[agent]),
                action=vector(decision.action[agent]),
                plan=plans[agent] if plans and modes[agent] != 1 else None,
                plan_step=decision.plan_step,
                surprise=None if math.isnan(surprise) else surprise,
                shielded=bool(decision.shielded[agent]),
                seconds=decision.seconds,
                margins={name: float(one[agent]) for name, one in decision.margins.items()},
                changes=tuple(
                    _change_record(one) for one in decision.changes if one.agent == agent
                ),
            )
            for agent, surprise in enumerate(decision.surprise.tolist())
        )

    def usual(self, agent: int) -> list[float]:
        """Surprises of an agent before its latest decision, oldest first."""
        found = (float(one[agent]) for one in self._surprises)
        return [surprise for surprise in found if not math.isnan(surprise)]


@torch.no_grad()
def plan_records(plan: Plan | None, read: Read | None) -> list[PlanRecord]:
    """A plan as made for each of its ``b`` agents; none for no plan."""
    if plan is None:
        return []
    above = plan_records(plan.above, read)
    quantities = read(plan.imagination.latents) if read else {}
    spread = plan.imagination.spread
    return [
        PlanRecord(
            actions=_tuples(plan.actions[agent]),
            energy=float(plan.energy[agent]),
            terms={name: float(share[agent]) for name, share in plan.terms.items()},
            margins={name: _tuples(margin[agent]) for name, margin in plan.margins.items()},
            feasible=bool(plan.feasible[agent]),
            status=plan.status.value,
            num_iterations=plan.num_iterations,
            num_candidates=plan.num_candidates,
            seconds=plan.seconds,
            spread=None if spread is None else _tuples(spread[agent]),
            quantities={name: _tuples(values[agent]) for name, values in quantities.items()},
            above=above[agent] if above else None,
        )
        for agent in range(len(plan.energy))
    ]


def vector(action: np.ndarray) -> tuple[float, ...]:
    """A world action as numbers; a discrete one is a single integer."""
    return tuple(np.atleast_1d(action).tolist())


def _change_record(change: Change) -> ChangeRecord:
    return ChangeRecord(
        by=change.by,
        reason=change.reason,
        planned=vector(change.planned),
        action=vector(change.action),
    )


def _tuples(values: Tensor) -> Any:
    return as_tuples(values.tolist())


def as_tuples(values: Any) -> Any:
    """Nested lists as nested tuples."""
    if isinstance(values, list | tuple):
        return tuple(as_tuples(one) for one in values)
    return values


# ------------------------------------------------------------------------------- as JSON


def as_json(record: DecisionRecord | PlanRecord) -> dict[str, Any]:
    """A record as JSON types; numbers that JSON lacks are ``"nan"``, ``"inf"`` and ``"-inf"``."""
    return _plain(asdict(record))


def plan_from_json(content: Mapping[str, Any]) -> PlanRecord:
    """The inverse of :func:`as_json` for plans."""
    nested = {"actions", "spread"}
    fields = {name: _value(value) for name, value in content.items() if name != "above"}
    fields |= {name: as_tuples(fields[name]) for name in nested & fields.keys()}
    for name in ("margins", "quantities"):
        fields[name] = {key: as_tuples(value) for key, value in fields[name].items()}
    above = content["above"]
    return PlanRecord(**fields, above=None if above is None else plan_from_json(above))


def record_from_json(content: Mapping[str, Any], plan: PlanRecord | None) -> DecisionRecord:
    """The inverse of :func:`as_json`.

    Args:
        content: JSON types; what they hold of a plan is not looked at.
        plan: the plan behind the decision.
    """
    fields = {k: _value(v) for k, v in content.items() if k not in ("plan", "changes", "reads")}
    changes = tuple(
        ChangeRecord(**{name: as_tuples(_value(value)) for name, value in one.items()})
        for one in content["changes"]
    )
    fields["action"] = as_tuples(fields["action"])
    return DecisionRecord(**fields, plan=plan, changes=changes, reads=content["reads"])


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(one) for one in value]
    return value


def _value(value: Any) -> Any:
    if isinstance(value, str) and value in ("nan", "inf", "-inf"):
        return float(value)
    if isinstance(value, Mapping):
        return {key: _value(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_value(one) for one in value]
    return value
