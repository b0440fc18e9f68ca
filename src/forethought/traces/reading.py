"""Traces read back."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from forethought.traces.records import (
    DecisionRecord,
    PlanRecord,
    TraceHeader,
    plan_from_json,
    record_from_json,
)
from forethought.traces.words import explain
from forethought.traces.writing import FORMAT, LINES, RecordingWarning, header_from_json
from forethought.types import ForethoughtError


@dataclass(frozen=True, kw_only=True)
class Trace:
    """What an agent decided, in the order in which it did.

    Attributes:
        path: its folder.
        header: what all records have in common.
        records: one for each decision of each agent; those of a world step one after another.
    """

    path: Path
    header: TraceHeader
    records: tuple[DecisionRecord, ...]

    def at(self, step: int, *, episode: int = 0, agent: int = 0) -> DecisionRecord:
        """One decision.

        Raises:
            ForethoughtError: there is none.
        """
        for record in self.records:
            if (record.episode, record.step, record.agent) == (episode, step, agent):
                return record
        raise ForethoughtError(
            f"{self.path}: no decision of agent {agent} at step {step} of episode {episode}; "
            f"{self._extent()}."
        )

    def usual(self, record: DecisionRecord) -> list[float]:
        """Surprises of the same agent before a decision, oldest first."""
        now = record.episode, record.step
        return [
            one.surprise
            for one in self.records
            if one.agent == record.agent
            and one.surprise is not None
            and (one.episode, one.step) < now
        ]

    def explain(self, record: DecisionRecord) -> str:
        """Why a decision was made, in words; see :func:`forethought.traces.explain`."""
        return explain(record, self.header, self.usual(record))

    def observations(self, record: DecisionRecord) -> dict[str, np.ndarray]:
        """What all agents perceived when a decision was made, ``(b, ...)`` per key.

        Raises:
            ForethoughtError: it was not kept, or cannot be read.
        """
        if record.observation is None:
            raise ForethoughtError(
                f"{self.path}: observations were not kept; record with "
                "TraceConfig(observations=True)."
            )
        path = self.path / record.observation
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise ForethoughtError(
                f"{path}: the observation cannot be read ({error}); copy the trace again."
            ) from error

    def _extent(self) -> str:
        if not self.records:
            return "the trace has no decisions"
        last = self.records[-1]
        return (
            f"the last is step {last.step} of episode {last.episode}, and there are "
            f"{self.header.num_agents} agents"
        )


def read_trace(path: Path | str) -> Trace:
    """Reads a trace, also one whose writer was killed or is still writing.

    A last line that was cut off, and a last decision that not all agents' records were written
    of, is left out with a :class:`RecordingWarning`.

    Args:
        path: folder of the trace.

    Raises:
        ForethoughtError: there is no trace, it is of another version, or a line is damaged.
    """
    file = Path(path) / LINES
    try:
        lines = file.read_bytes().splitlines(keepends=True)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ForethoughtError(
            f"{path}: no trace here ({LINES} is missing). Give the folder that a TraceWriter made."
        ) from error
    if lines and not lines[-1].endswith(b"\n"):
        _told(file, len(lines), "the last line was cut off")
        lines.pop()
    if not lines:
        raise ForethoughtError(f"{file}: empty: its writer was stopped before it wrote anything.")
    with _damage_named(file, 1):
        header = _header(file, _part(lines[0], "header"))
    made = list(_records(file, lines, header))
    records = _whole_steps(file, header.num_agents, made)
    return Trace(path=Path(path), header=header, records=tuple(records))


def _header(file: Path, content: Mapping[str, Any]) -> TraceHeader:
    if content["format"] != FORMAT:
        raise ForethoughtError(
            f"{file}: found trace format {content['format']!r}, this version reads {FORMAT}. "
            "Install the version of forethought that wrote it."
        )
    return header_from_json(content)


def _records(file: Path, lines: list[bytes], header: TraceHeader) -> Iterator[DecisionRecord]:
    plans: dict[int, PlanRecord | None] = {}
    # All agents want the same, which is told again by each of the first step where it is new.
    cost = header.cost
    for number, line in enumerate(lines[1:], start=2):
        with _damage_named(file, number):
            content = _part(line, "decision")
            agent = content["agent"]
            if "plan" in content:
                plan = content["plan"]
                plans[agent] = None if plan is None else plan_from_json(plan)
            cost = content.get("cost", cost)
            yield record_from_json({**content, "cost": cost}, plans[agent])


def _whole_steps(
    file: Path, num_agents: int, records: list[DecisionRecord]
) -> list[DecisionRecord]:
    """All but a last world step that lacks some of the agents."""
    rest = len(records) % num_agents
    if rest:
        _told(file, len(records) + 1, "the last decision lacks some of the agents")
    whole = records[: len(records) - rest]
    for number, record in enumerate(whole):
        if record.agent != number % num_agents:
            raise _damaged(file, number + 2, f"agent {record.agent} is out of its turn")
    return whole


def _part(line: bytes, name: str) -> Mapping[str, Any]:
    content = json.loads(line)
    if not isinstance(content, dict) or not isinstance(content.get(name), dict):
        raise ValueError(f"no {name}")
    return content[name]


class _damage_named:
    """Turns what reading a line raises into an error that names file and line."""

    def __init__(self, file: Path, number: int) -> None:
        self._file, self._number = file, number

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if isinstance(error, ForethoughtError):
            return
        if isinstance(error, ValueError | KeyError | TypeError | AttributeError | IndexError):
            raise _damaged(self._file, self._number, str(error)) from error


def _damaged(file: Path, number: int, what: str) -> ForethoughtError:
    return ForethoughtError(
        f"{file}:{number}: the line is damaged ({what}). Copy the trace again, or cut the file "
        "before this line."
    )


def _told(file: Path, number: int, what: str) -> None:
    warnings.warn(
        f"{file}:{number}: {what}; its writer was stopped while writing, and it is left out.",
        RecordingWarning,
        stacklevel=3,
    )
