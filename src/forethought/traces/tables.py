"""Traces as tables, for other people's tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from forethought.traces.reading import Trace
from forethought.traces.records import DecisionRecord, PlanRecord, as_json
from forethought.types import ForethoughtError


def to_parquet(trace: Trace, path: Path | str) -> Path:
    """Writes a trace as one Parquet file, a row for each decision of each agent.

    Columns are the fields of :class:`forethought.traces.DecisionRecord`. Shares, margins and
    quantities have a column each, such as ``term.goal`` and ``quantity.position.x``; changes, reads
    and the plan of the level above are JSON. The header is JSON in the file's metadata.

    Args:
        trace: what was read.
        path: of the file to write.

    Raises:
        ForethoughtError: PyArrow is not installed.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise ForethoughtError(
            "writing Parquet needs PyArrow; install it with `pip install 'forethought[data]'`."
        ) from error
    rows = [_row(record) for record in trace.records]
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = pa.table({name: [row.get(name) for row in rows] for name in names})
    header = {
        "cost": trace.header.cost,
        "actor": trace.header.actor,
        "num_agents": trace.header.num_agents,
        "action_block": trace.header.action_block,
        "deadline_s": trace.header.deadline_s,
        "signature": trace.header.signature.to_json(),
        "notes": dict(trace.header.notes),
    }
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    parquet.write_table(
        table.replace_schema_metadata({"forethought.trace": json.dumps(header)}), partial
    )
    partial.replace(path)
    return path


def _row(record: DecisionRecord) -> dict[str, Any]:
    content = as_json(record)
    plain = ("episode", "step", "agent", "at", "cost", "mode", "plan_step", "surprise", "shielded")
    row: dict[str, Any] = {name: content[name] for name in plain}
    row |= {"seconds": record.seconds, "observation": record.observation}
    row |= {"action": list(record.action), "changes": json.dumps(content["changes"])}
    row["reads"] = json.dumps(content["reads"])
    row |= {f"margin.{name}": margin for name, margin in record.margins.items()}
    return row | (_plan(record.plan) if record.plan else {})


def _plan(plan: PlanRecord) -> dict[str, Any]:
    row: dict[str, Any] = {
        f"plan.{name}": getattr(plan, name)
        for name in (
            "energy",
            "feasible",
            "status",
            "num_iterations",
            "num_candidates",
            "seconds",
            "actions",
            "spread",
        )
    }
    row |= {f"term.{name}": share for name, share in plan.terms.items()}
    row |= {f"planned_margin.{name}": margins for name, margins in plan.margins.items()}
    row |= {f"quantity.{name}": values for name, values in plan.quantities.items()}
    row["plan.above"] = json.dumps(as_json(plan.above)) if plan.above else None
    return row
