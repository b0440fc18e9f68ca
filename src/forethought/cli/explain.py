"""``forethought explain``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro
from rich.console import Console

from forethought.cli.output import Answer, Common, table

if TYPE_CHECKING:
    from forethought.traces import DecisionRecord, Trace


@dataclass(frozen=True, kw_only=True)
class Arguments(Common):
    """Why an agent decided as it did: every search in a table, or one decision in words."""

    trace: tyro.conf.Positional[Path]
    """Folder of the trace."""
    step: int | None = None
    """World step to explain in words; a table of all searches and changes where not said."""
    episode: int = 0
    """Episode of that step."""
    agent: int = 0
    """Which of the agents."""
    picture: Path | None = None
    """PNG to draw that step to."""
    parquet: Path | None = None
    """Parquet file to write the whole trace to."""
    rerun: Path | None = None
    """File (.rrd) to write the whole trace to, for Rerun."""


def run(arguments: Arguments) -> Answer:
    """Reads the trace, and tells."""
    from forethought.traces import read_trace, to_parquet, to_rerun
    from forethought.traces.records import as_json
    from forethought.types import ForethoughtError

    trace = read_trace(arguments.trace)
    if arguments.picture and arguments.step is None:
        raise ForethoughtError("--picture draws one decision; say which with --step.")
    written = []
    if arguments.parquet:
        written.append(to_parquet(trace, arguments.parquet))
    if arguments.rerun:
        written.append(to_rerun(trace, arguments.rerun))
    if arguments.step is None:
        shown = [one for one in trace.records if _told(one) and one.agent == arguments.agent]
        return _overview(trace, shown, written)
    record = trace.at(arguments.step, episode=arguments.episode, agent=arguments.agent)
    if arguments.picture:
        written.append(_drawn(trace, record, arguments.picture))
    text = trace.explain(record)
    payload = {"decision": as_json(record), "why": text, "written": list(map(str, written))}
    return Answer(payload=payload, show=lambda console: _show(console, text, written))


def _told(record: DecisionRecord) -> bool:
    """Whether something was decided anew."""
    return record.plan is None or record.plan_step == 0 or bool(record.changes)


def _overview(trace: Trace, shown: list[DecisionRecord], written: list[Path]) -> Answer:
    rows = [
        {
            "episode": one.episode,
            "step": one.step,
            "mode": one.mode,
            "status": one.plan.status if one.plan else None,
            "energy": one.plan.energy if one.plan else None,
            "candidates": one.plan.num_candidates if one.plan else None,
            "least_margin": min(one.margins.values()) if one.margins else None,
            "surprise": one.surprise,
            "changed_by": ", ".join(change.by for change in one.changes) or None,
            "milliseconds": 1000 * one.seconds,
        }
        for one in shown
    ]

    def show(console: Console) -> None:
        cells = [[_cell(value) for value in row.values()] for row in rows]
        header = [name.replace("_", " ") for name in rows[0]] if rows else ["no decisions"]
        console.print(table(f"{trace.path}", header, cells))
        _show(console, "--step N explains one of them.", written)

    payload = {"decisions": rows, "written": list(map(str, written))}
    return Answer(payload=payload, show=show)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _show(console: Console, text: str, written: list[Path]) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
    for path in written:
        console.print(f"written {path}", markup=False, highlight=False)


def _drawn(trace: Trace, record: DecisionRecord, path: Path) -> Path:
    """The picture, over what the first camera saw where that was kept."""
    from forethought.evaluation.report import decision_picture

    cameras = trace.header.signature.cameras
    seen = trace.observations(record) if record.observation and cameras else {}
    background = next((seen[key][record.agent] for key in cameras if key in seen), None)
    return decision_picture(record, path, background=background)
