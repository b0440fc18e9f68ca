"""Traces on disk: one line of JSON for each decision of each agent, written as it is made.

A trace is a folder of ``trace.jsonl`` and, where asked for, ``observations/``. Its first line is
the header. A plan stands on the line of the first decision that it is behind; later ones share it.
What the agent wants stands on the lines where that is new.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from safetensors.numpy import save

from forethought.traces.records import DecisionRecord, PlanRecord, TraceHeader, as_json
from forethought.types import Decision, ForethoughtError, Signature

FORMAT = 1
LINES = "trace.jsonl"
OBSERVATIONS = "observations"


class RecordingError(ForethoughtError):
    """A decision was made and could not be recorded.

    Attributes:
        decision: for whoever means to act on it all the same; None where none was made yet.
    """

    decision: Decision | None = None


class RecordingWarning(UserWarning):
    """An agent goes on, and nothing more of it is recorded."""


@dataclass(frozen=True, kw_only=True)
class TraceConfig:
    """What is recorded.

    Attributes:
        observations: keep what was perceived, in full: needed to replay a trace.
        go_on: where recording fails (a full disk), warn, act on and record no more. Otherwise a
            :class:`RecordingError` is raised.
    """

    observations: bool = False
    go_on: bool = False


class TraceWriter:
    """Writes a new trace.

    What :meth:`write` has returned from is handed to the system: it stays when the process is
    killed. After a loss of power the latest lines may be missing.

    Args:
        path: folder to make.
        config: what is recorded.

    Raises:
        ForethoughtError: a trace is there already.
        RecordingError: the folder cannot be made.
    """

    def __init__(self, path: Path | str, config: TraceConfig | None = None) -> None:
        self.path, self.config = Path(path), config or TraceConfig()
        self._plans: dict[int, PlanRecord | None] = {}
        self._cost = ""
        self._end = self._steps = 0
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if self.config.observations:
                (self.path / OBSERVATIONS).mkdir(exist_ok=True)
            # Without a buffer, so that a line is written whole before anything else happens.
            self._file = (self.path / LINES).open("xb", buffering=0)
        except FileExistsError as error:
            raise ForethoughtError(
                f"{self.path}: a trace or something else is there already; choose another folder."
            ) from error
        except OSError as error:
            raise self._failed(error) from error

    def begin(self, header: TraceHeader) -> None:
        """Writes the first line.

        Raises:
            RecordingError: the disk is full, or cannot be written to.
        """
        content = {
            "format": FORMAT,
            "signature": header.signature.to_json(),
            "num_agents": header.num_agents,
            "action_block": header.action_block,
            "deadline_s": header.deadline_s,
            "cost": header.cost,
            "actor": header.actor,
            "notes": header.notes,
        }
        self._append(json.dumps({"header": content}).encode() + b"\n")
        self._cost = header.cost

    def write(
        self, records: Sequence[DecisionRecord], observation: Mapping[str, np.ndarray] | None = None
    ) -> None:
        """Writes one decision: a record for each agent, all of them or none.

        Args:
            records: of one world step.
            observation: ``(b, ...)`` per key, where it is to be kept.

        Raises:
            RecordingError: the disk is full, or cannot be written to. What was written before is
                whole, and writing may be tried again.
        """
        name = None
        if observation is not None:
            name = f"{OBSERVATIONS}/{self._steps:08d}.safetensors"
            self._keep(name, observation)
        self._append(b"".join(self._line(record, name) for record in records))
        self._cost = records[0].cost
        self._plans = {record.agent: record.plan for record in records}
        self._steps += 1

    def close(self) -> None:
        """Nothing more is written."""
        self._file.close()

    def _line(self, record: DecisionRecord, name: str | None) -> bytes:
        shared = record.plan is not None and record.plan is self._plans.get(record.agent)
        content = {**as_json(replace(record, plan=None) if shared else record), "observation": name}
        if shared:
            del content["plan"]
        if record.cost == self._cost:
            del content["cost"]
        return json.dumps({"decision": content}, allow_nan=False).encode() + b"\n"

    def _append(self, content: bytes) -> None:
        """All of it, or what was there before."""
        rest = memoryview(content)
        try:
            while rest:
                rest = rest[self._file.write(rest) or 0 :]
        except OSError as error:
            with suppress(OSError):
                self._file.truncate(self._end)
                self._file.seek(self._end)
            raise self._failed(error) from error
        self._end += len(content)

    def _keep(self, name: str, observation: Mapping[str, np.ndarray]) -> None:
        """Whole or not there, and there before the line that names it."""
        partial = self.path / f"{name}.partial"
        arrays = {key: np.ascontiguousarray(value) for key, value in observation.items()}
        try:
            partial.write_bytes(save(arrays))
            os.replace(partial, self.path / name)
        except OSError as error:
            with suppress(OSError):
                partial.unlink()
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> RecordingError:
        return RecordingError(
            f"{self.path}: the trace cannot be written ({error.strerror or error}). What was "
            "written before is safe. Free some space or choose another folder, or act on without "
            "a trace: TraceConfig(go_on=True)."
        )

    def __enter__(self) -> TraceWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def header_from_json(content: Mapping[str, Any]) -> TraceHeader:
    """The inverse of what :meth:`TraceWriter.begin` writes."""
    fields = {name: value for name, value in content.items() if name != "format"}
    return TraceHeader(**{**fields, "signature": Signature.from_json(content["signature"])})
