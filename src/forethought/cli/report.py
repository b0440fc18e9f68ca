"""``forethought report``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from forethought.cli.output import Answer, Common


@dataclass(frozen=True, kw_only=True)
class Arguments(Common):
    """Make the training report of a run again."""

    run: tyro.conf.Positional[Path]
    """Folder of the run."""
    data: Path
    """Folder of the dataset that the run was trained on."""


def run(arguments: Arguments) -> Answer:
    """Writes the report."""
    from forethought import data
    from forethought.evaluation.report import train_report

    path = train_report(arguments.run, data.open(arguments.data))
    return Answer(
        payload={"report": str(path)}, show=lambda console: console.print(f"report {path}")
    )
