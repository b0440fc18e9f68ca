"""Traces as recordings of Rerun, to be looked at step by step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from forethought.traces.reading import Trace
from forethought.traces.records import DecisionRecord
from forethought.types import IMAGES, ForethoughtError

PLACE = ("position.x", "position.y")
EPISODE, STEP, AT = "episode", "decision", "time"
"""Timelines of a recording."""


def to_rerun(trace: Trace, path: Path | str, *, place: tuple[str, str] = PLACE) -> Path:
    """Writes a trace as one ``.rrd`` file, for ``rerun PATH``.

    Each agent has its energy term by term, margins as measured and as planned at least, surprise,
    seconds and action as plots, what cameras saw where observations were kept with the imagined
    way upon it, and why it decided so in words.

    Args:
        trace: what was read.
        path: of the file to write.
        place: the quantities that tell where the agent is, in pixels across and down.

    Raises:
        ForethoughtError: the Rerun SDK is not installed, or observations cannot be read.
    """
    try:
        import rerun  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ForethoughtError(
            f"writing for Rerun needs its SDK ({error}); install it with "
            "`pip install 'forethought[view]'`."
        ) from error
    # Made in memory: a file is only begun when all is there to be written.
    stream = rerun.RecordingStream("forethought", recording_id=str(trace.path))
    contents = stream.memory_recording()
    many = trace.header.num_agents
    for number, record in enumerate(trace.records):
        stream.set_time(EPISODE, sequence=record.episode)
        stream.set_time(STEP, sequence=number // many)
        stream.set_time(AT, timestamp=record.at)
        _log(rerun, stream, trace, record, place)
    stream.flush()
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(contents.drain_as_bytes())
    partial.replace(path)
    return path


def _log(
    rerun: Any, stream: Any, trace: Trace, record: DecisionRecord, place: tuple[str, str]
) -> None:
    agent = f"agent_{record.agent}"
    for name, value in _scalars(record).items():
        stream.log([agent, *name], rerun.Scalars([value]))
    stream.log([agent, "why"], rerun.TextDocument(trace.explain(record)))
    seen = trace.observations(record) if record.observation else {}
    cameras = [key for key in seen if key.startswith(IMAGES)]
    for key in cameras:
        stream.log([agent, key], rerun.Image(seen[key][record.agent]))
    if record.plan is None or not set(place) <= record.plan.quantities.keys():
        return
    ways = np.stack([np.array(record.plan.quantities[name]) for name in place], -1)
    for parent in cameras or ["map"]:
        stream.log([agent, parent, "imagined"], rerun.LineStrips2D(list(ways)))


def _scalars(record: DecisionRecord) -> dict[tuple[str, ...], float]:
    """What is plotted, by its place in the recording."""
    plan = record.plan
    values: dict[tuple[str, ...], float] = {("seconds",): record.seconds}
    values |= {("action", str(i)): float(one) for i, one in enumerate(record.action)}
    values |= {("margin", name): margin for name, margin in record.margins.items()}
    if record.surprise is not None:
        values["surprise",] = record.surprise
    if plan is not None:
        values["energy",] = plan.energy
        values |= {("terms", name): share for name, share in plan.terms.items()}
        values |= {("least_planned", name): min(one) for name, one in plan.margins.items()}
    return values
