"""``forethought compare``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro
from rich.console import Console

from forethought.cli.output import Answer, Common, table

if TYPE_CHECKING:
    from forethought.evaluation.comparison import Row


@dataclass(frozen=True, kw_only=True)
class Arguments(Common):
    """Whether two runs differ, on the tasks that both did: with intervals, by distance and kind.

    Runs are folders that `forethought evaluate` has been run on, or the files that it wrote.
    """

    run_a: tyro.conf.Positional[Path]
    """One side."""
    run_b: tyro.conf.Positional[Path]
    """The other side; differences are its rate less that of the first."""
    runs_a: tuple[Path, ...] = ()
    """More runs of the first side, that differ by their training seed."""
    runs_b: tuple[Path, ...] = ()
    """More runs of the second side."""


def run(arguments: Arguments) -> Answer:
    """Compares, and says what follows."""
    from forethought.evaluation.comparison import compare, read_evaluation

    first = [read_evaluation(path) for path in (arguments.run_a, *arguments.runs_a)]
    second = [read_evaluation(path) for path in (arguments.run_b, *arguments.runs_b)]
    found = compare(first, second)

    def show(console: Console) -> None:
        names = [
            side[0] + (f" and {len(side) - 1} more" if len(side) > 1 else "") for side in found.runs
        ]
        header = ["", "tasks", *names, "difference in points", "p"]
        title = f"{found.world}, {found.rows[0].difference.episodes} tasks"
        console.print(table(title, header, [_said(row) for row in found.rows]))
        console.print(found.verdict)
        if found.caution:
            console.print(found.caution)

    return Answer(payload=found.to_json(), show=show)


def _said(row: Row) -> list[str]:
    gap = row.difference
    between = f"{100 * gap.value:+.1f} ({100 * gap.low:+.1f} to {100 * gap.high:+.1f})"
    return [
        row.name,
        str(gap.episodes),
        row.first.percent(),
        row.second.percent(),
        between,
        f"{gap.p:.2g}",
    ]
