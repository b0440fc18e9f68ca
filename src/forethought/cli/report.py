"""``forethought report``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from forethought.cli.output import Answer, Common


@dataclass(frozen=True, kw_only=True)
class Arguments(Common):
    """One page of all that was measured of a run: protocol, floors and ceilings, distances, shifts,
    failures, physics, episodes drawn by lot, and how to make each again."""

    run: tyro.conf.Positional[Path]
    """Folder of the run."""
    data: Path | None = None
    """Dataset that the run was trained on: the report of its training is made again, too."""


def run(arguments: Arguments) -> Answer:
    """Writes the page."""
    from forethought import data
    from forethought.evaluation.report import review, train_report

    if arguments.data is not None:
        train_report(arguments.run, data.open(arguments.data))
    path = review(arguments.run)
    return Answer(
        payload={"report": str(path)}, show=lambda console: console.print(f"report {path}")
    )
