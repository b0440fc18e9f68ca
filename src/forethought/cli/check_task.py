"""``forethought check-task``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from forethought.cli.output import Answer, Common, table
from forethought.types import ForethoughtError

if TYPE_CHECKING:
    from forethought.configurator import TaskReport


@dataclass(frozen=True, kw_only=True)
class Arguments(Common):
    """What is wrong with a task, before anything moves.

    The task is held against a model and what was recorded: unknown quantities, terms that never
    vary, guardrails that data always violate or that contradict each other, goals unlike anything
    recorded, and goals that guardrails forbid. Exit code 0 where there is no error, 1 where there
    is one, 2 where the input cannot be read.
    """

    task: tyro.conf.Positional[Path]
    """The task file."""
    run: tyro.conf.Positional[Path]
    """Folder of the run."""
    data: Path | None = None
    """Folder of a dataset: the one that the run was trained on, or a later one; the run's own
    where it is still in its place."""
    rows: int = 8000
    """Recorded moments that are looked at."""
    seed: int = 0
    """Of their draw."""


def run(arguments: Arguments) -> Answer:
    """Checks."""
    from forethought import data
    from forethought.configurator import check_task, read_task, recorded_of
    from forethought.data.check import Severity
    from forethought.model import load_model

    task, model = read_task(arguments.task), load_model(arguments.run)
    dataset = data.open(arguments.data or _own_data(arguments.run))
    with Console(stderr=True, quiet=arguments.json).status("looking at what was recorded"):
        recorded = recorded_of(model, dataset, rows=arguments.rows, seed=arguments.seed)
        report = check_task(task, model, recorded)
    broken = sum(one.severity is Severity.ERROR for one in report.findings)
    told = f"{broken} errors, {len(report.findings) - broken} warnings"

    def show(console: Console) -> None:
        _show_standing(console, report)
        for one in report.findings:
            console.print(f"\n[bold]{one.severity.value}[/]: {escape(one.about)}", highlight=False)
            lines = Table.grid(padding=(0, 2))
            for label, text in (("found", one.found), ("why", one.why), ("remedy", one.remedy)):
                lines.add_row(f"  {label}", escape(text))
            console.print(lines)
        console.print(f"\n{told}" if report.findings else "\nnothing to mend", highlight=False)

    return Answer(payload=report.to_json(), show=show, code=int(not report.sound))


def _show_standing(console: Console, report: TaskReport) -> None:
    """What was looked at, in numbers."""
    rows = [
        (
            one.guardrail.name,
            f"{one.guardrail.risk:g}",
            f"{one.violated:.1%}",
            f"{float(one.margins.min()):.3g}",
            "?" if one.widening is None else f"{one.widest:.3g}",
            f"{one.left:.1%}",
        )
        for one in report.guardrails
    ]
    if rows:
        header = ("guardrail", "risk", "violated", "least margin", "widened by", "then met")
        console.print(table(f"at {report.moments} recorded moments", header, rows))
    if (goal := report.goal) is not None:
        text = (
            f"goal {goal.distance:.3g} from the nearest recorded moment; of held-out moments half "
            f"are within {goal.usual:.3g}, nearly all within {goal.most:.3g}"
        )
        console.print(text, highlight=False)


def _own_data(folder: Path) -> Path:
    """Where the data lie that a run was trained on.

    Raises:
        ForethoughtError: the run does not say, or they are there no more.
    """
    from forethought.learning.folder import RUN

    record = folder / RUN
    path = json.loads(record.read_text()).get("data", "") if record.is_file() else ""
    if not path or not Path(path).exists():
        where = f"{path} is not there" if path else "the run does not say what it was trained on"
        raise ForethoughtError(
            f"{folder}: a task is held against recordings, and {where}. Say which with --data "
            "DATA: those that the run was trained on, or later ones."
        )
    return Path(path)
