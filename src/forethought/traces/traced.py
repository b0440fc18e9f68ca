"""An agent that is recorded while it acts, and one that decides again what was recorded."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from forethought.memory.reads import ReadLog
from forethought.senses import perceived
from forethought.traces.reading import Trace
from forethought.traces.records import DecisionRecord, as_json
from forethought.traces.words import explain
from forethought.traces.writing import RecordingError, RecordingWarning, TraceWriter
from forethought.types import Decision, ForethoughtError

if TYPE_CHECKING:
    from forethought.agent import Agent

TIMES = ("at", "seconds")
"""What differs from run to run."""


@runtime_checkable
class Acts(Protocol):
    """Who lets an agent decide: one that goes through several goals, or that adapts."""

    def act(self, observation: Mapping[str, Any]) -> Decision:
        """See :meth:`forethought.Agent.act`."""
        ...

    def reset(self) -> None:
        """A new episode begins."""
        ...


class Traced:
    """Acts as an agent does, and records every decision before its action leaves.

    Args:
        agent: who decides.
        writer: of a new trace; None to record nothing, and only tell of memory reads.
        reads: what the agent's memories note their reads in; None for none.
        through: who lets the agent decide, such as a ``SequencedAgent`` or an ``AdaptingAgent``
            that holds it; None for nobody.

    Raises:
        RecordingError: the trace cannot be written.
    """

    def __init__(
        self,
        agent: Agent,
        writer: TraceWriter | None = None,
        *,
        reads: ReadLog | None = None,
        through: Acts | None = None,
    ) -> None:
        self.agent, self.writer, self._log, self._through = agent, writer, reads, through
        self._reads: tuple[Mapping[str, Any], ...] = ({},) * agent.num_agents
        self._recording = writer is not None
        if writer is not None:
            writer.begin(agent.header)

    def act(self, observation: Mapping[str, Any]) -> Decision:
        """See :meth:`forethought.Agent.act`.

        Raises:
            RecordingError: the decision could not be recorded; it is the error's ``decision``.
        """
        decision = (self._through or self.agent).act(observation)
        return self._recorded(decision, observation, leading=())

    def act_batch(self, observation: Mapping[str, Any]) -> Decision:
        """See :meth:`forethought.Agent.act_batch`.

        Raises:
            RecordingError: see :meth:`act`.
            ForethoughtError: it acts through another, which is for a single agent.
        """
        if self._through is not None:
            raise ForethoughtError(
                "act_batch() acts past the one that this trace goes through; use act()."
            )
        decision = self.agent.act_batch(observation)
        return self._recorded(decision, observation, leading=(self.agent.num_agents,))

    def reset(self) -> None:
        """A new episode begins."""
        (self._through or self.agent).reset()

    def records(self) -> tuple[DecisionRecord, ...]:
        """The latest decision, with what was read from memories."""
        return tuple(
            replace(record, reads=found)
            for record, found in zip(self.agent.records(), self._reads, strict=True)
        )

    def explain(self, *, agent: int = 0) -> str:
        """Why the latest decision was made; see :meth:`forethought.Agent.explain`."""
        self.agent.explain(agent=agent)
        return explain(self.records()[agent], self.agent.header, self.agent.usual(agent))

    def _recorded(
        self, decision: Decision, observation: Mapping[str, Any], leading: tuple[int, ...]
    ) -> Decision:
        self._reads = self._looked_up()
        if self.writer is None or not self._recording:
            return decision
        seen = None
        if self.writer.config.observations:
            seen = perceived(self.agent.model, "the observation", observation, leading=leading)
            seen = seen if leading else {key: value[None] for key, value in seen.items()}
        try:
            self.writer.write(self.records(), seen)
        except RecordingError as error:
            if not self.writer.config.go_on:
                error.decision = decision
                raise
            self._recording = False
            warnings.warn(f"{error} Nothing more is recorded.", RecordingWarning, stacklevel=3)
        return decision

    def _looked_up(self) -> tuple[Mapping[str, Any], ...]:
        """What each agent's decision read from memories: noted reads, and steps tried in vain."""
        noted = self._log.take() if self._log else {}
        in_vain = [len(pairs) for pairs in self.agent.sight.in_vain()]
        if any(in_vain):
            noted = {**noted, "steps tried in vain": in_vain}
        return tuple(
            {name: found[agent] for name, found in noted.items()}
            for agent in range(self.agent.num_agents)
        )


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What came out otherwise when a decision was made again.

    Attributes:
        episode: of the decision.
        step: world step in it.
        agent: which of the agents.
        part: the field of :class:`DecisionRecord`.
        recorded: what the trace has, in JSON types.
        replayed: what came out now.
    """

    episode: int
    step: int
    agent: int
    part: str
    recorded: Any
    replayed: Any


def replay(trace: Trace, agent: Agent) -> tuple[Difference, ...]:
    """Shows an agent what another perceived, and says where it decides otherwise.

    Decisions are equal to the bit where the agent is built as the recorded one was, with the same
    seed, on the same machine, and there is no deadline. Times are not compared.

    Args:
        trace: from the first decision of its agent on, with observations.
        agent: new: it has not acted.

    Raises:
        ForethoughtError: the agent has acted, or acts for another number of worlds; the trace
            does not begin at the beginning, has a gap, or has no observations.
    """
    _check_replayable(trace, agent)
    differences: list[Difference] = []
    episode, many = 0, trace.header.num_agents
    for first in range(0, len(trace.records), many):
        recorded = trace.records[first : first + many]
        if recorded[0].episode != episode:
            agent.reset()
            episode = recorded[0].episode
        agent.act_batch(trace.observations(recorded[0]))
        for mine, theirs in zip(recorded, agent.records(), strict=True):
            differences += _differences(mine, theirs)
    return tuple(differences)


def _check_replayable(trace: Trace, agent: Agent) -> None:
    if agent.records():
        raise ForethoughtError("the agent has acted already; replay with one that is new.")
    if agent.num_agents != trace.header.num_agents:
        raise ForethoughtError(
            f"{trace.path}: the trace is of {trace.header.num_agents} agents at once, this one has "
            f"num_agents={agent.num_agents}; give it the same."
        )
    other = next((one for one in trace.records if one.cost != trace.header.cost), None)
    if other is not None:
        raise ForethoughtError(
            f"{trace.path}: from episode {other.episode}, step {other.step} on the agent was told "
            "to want something else (Agent.seek), which a replay does not tell; replay the records "
            "before."
        )
    places = [(record.episode, record.step) for record in trace.records if record.agent == 0]
    before = (0, -1)
    for place in places:
        if place not in ((before[0], before[1] + 1), (before[0] + 1, 0)):
            raise ForethoughtError(
                f"{trace.path}: the trace has episode {place[0]}, step {place[1]} where what "
                f"follows on episode {before[0]}, step {before[1]} was expected. It can only be "
                "replayed from an agent's first decision on, without gaps."
            )
        before = place


def _differences(recorded: DecisionRecord, replayed: DecisionRecord) -> list[Difference]:
    mine, theirs = (_timeless(as_json(record)) for record in (recorded, replayed))
    return [
        Difference(
            episode=recorded.episode,
            step=recorded.step,
            agent=recorded.agent,
            part=part,
            recorded=mine[part],
            replayed=theirs[part],
        )
        for part in mine
        if part not in ("reads", "observation") and mine[part] != theirs[part]
    ]


def _timeless(content: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _timeless(value) if isinstance(value, Mapping) else value
        for name, value in content.items()
        if name not in TIMES
    }
