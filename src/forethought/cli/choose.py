"""``forethought choose``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import tyro
from rich.console import Console

from forethought.cli.output import Answer, Common, table


@dataclass(frozen=True, kw_only=True)
class Arguments(Common):
    """Recorded clips that deserve labels, the most deserving first.

    Each is least like those before it, as the run perceives them.
    """

    run: tyro.conf.Positional[Path]
    """Folder of the run."""
    data: Path
    """Folder of a dataset."""
    clips: int = 20
    """How many to choose."""
    length: int = 16
    """Rows of each."""


def run(arguments: Arguments) -> Answer:
    """Chooses."""
    from forethought import data
    from forethought.learning import choose_clips
    from forethought.model import load_model

    model, dataset = load_model(arguments.run), data.open(arguments.data)
    with Console(stderr=True, quiet=arguments.json).status("looking at what was recorded"):
        chosen = choose_clips(model, dataset, arguments.clips, length=arguments.length)
    rows = [(str(one.episode), str(one.first), str(one.first + one.length)) for one in chosen]

    def show(console: Console) -> None:
        console.print(table("clips to label", ("episode", "from row", "to before row"), rows))

    return Answer(payload={"clips": [asdict(one) for one in chosen]}, show=show)
