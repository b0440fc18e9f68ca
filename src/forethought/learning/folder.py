"""The folder of a training run: what lies in it, and whose it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from forethought.config import from_json, to_json
from forethought.data.store import Dataset
from forethought.model import write_safely
from forethought.types import ForethoughtError

RUN = "run.json"
"""What the run was started with."""
SUMMARY = "train.json"
"""What came of it."""
METRICS = "metrics.jsonl"
"""How it went."""


def claim_folder(
    out: Path, config: Any, data: Dataset | None, *, clips: Dataset | None = None, resume: bool
) -> None:
    """Makes the folder of a run, or checks that it holds the run to resume.

    Args:
        out: the folder.
        config: what the run is started with.
        data: what it learns from; None for what is met in a world.
        clips: more recordings, if any.
        resume: whether a run in the folder is continued.

    Raises:
        ForethoughtError: the folder holds something else, or a run that is not to be resumed.
    """
    resolved = {
        "config": to_json(config),
        "data": str(data.path) if data else None,
        "clips": str(clips.path) if clips else None,
    }
    record = out / RUN
    if record.exists():
        if not resume:
            raise ForethoughtError(
                f"{out}: a run is in this folder. Continue it with --resume (resume=True), or give "
                "another --out."
            )
        _check_same_run(record, resolved)
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ForethoughtError(f"{out}: not an empty folder, and no run; give another --out.")
    out.mkdir(parents=True, exist_ok=True)
    write_safely(record, json.dumps(resolved, indent=2).encode())


def _check_same_run(record: Path, resolved: dict[str, Any]) -> None:
    known = json.loads(record.read_text())
    # Read and written again, so that settings which are newer than the run have their defaults.
    known["config"] = to_json(from_json(known["config"], where=f"{record}: config"))
    for key in ("data", "clips", "config"):
        if known.get(key) != resolved[key]:
            raise ForethoughtError(
                f"{record}: the run in this folder has another {key}; resuming would mix two "
                "runs. Resume with the recipe, seed, steps and data it was started with, or give "
                "another --out."
            )
