"""``forethought data check``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import tyro
from rich.console import Console

from forethought.cli.output import Answer, Common, table


@dataclass(frozen=True, kw_only=True)
class Arguments(Common):
    """What is wrong with a dataset; exit code 1 where something must be mended."""

    data: tyro.conf.Positional[Path]
    """Folder of the dataset."""


def run(arguments: Arguments) -> Answer:
    """Checks."""
    from forethought import data
    from forethought.data.check import Severity, check

    findings = check(data.open(arguments.data))
    rows = [(f.severity.value, f.key, f.message, f.remedy) for f in findings]
    broken = any(f.severity is Severity.ERROR for f in findings)

    def show(console: Console) -> None:
        if rows:
            console.print(table("", ("severity", "key", "found", "remedy"), rows))
        else:
            console.print("nothing to mend")

    return Answer(payload=[asdict(f) for f in findings], show=show, code=int(broken))
