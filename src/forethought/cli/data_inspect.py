"""``forethought data inspect``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console

from forethought.cli.output import Answer, Common, table


@dataclass(frozen=True, kw_only=True)
class Arguments(Common):
    """What is in a dataset: a table, and with --sheet a picture."""

    data: tyro.conf.Positional[Path]
    """Folder of the dataset."""
    sheet: Path | None = None
    """Where to write a contact sheet (PNG)."""


def run(arguments: Arguments) -> Answer:
    """Looks."""
    from forethought import data
    from forethought.data.inspection import contact_sheet, summary

    dataset = data.open(arguments.data)
    found = summary(dataset)
    if arguments.sheet:
        contact_sheet(dataset, arguments.sheet)

    def show(console: Console) -> None:
        facts = [(key, str(value)) for key, value in found["facts"].items()]
        console.print(table(str(arguments.data), ("", ""), facts))
        console.print()
        rows = [[str(cell) for cell in row.values()] for row in found["keys"]]
        console.print(table("", list(found["keys"][0]), rows))
        if arguments.sheet:
            console.print(f"contact sheet {arguments.sheet}")

    return Answer(payload=found, show=show)
