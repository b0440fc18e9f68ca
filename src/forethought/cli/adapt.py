"""``forethought adapt``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console

from forethought.cli.output import Answer, Common, table

REPORT = "adapt.json"


@dataclass(frozen=True, kw_only=True)
class Arguments(Common):
    """Adapt a run to recordings of the world as it is now; leaves a run of its own."""

    run: tyro.conf.Positional[Path]
    """Folder of the run; it is left as it is."""
    data: Path
    """Folder of recent recordings; the latest quarter of them is held out."""
    replay: Path
    """Folder of the dataset that the run was trained on, against forgetting."""
    out: Path
    """Folder of the adapted run."""
    updates: int = 2000
    """Gradient steps."""
    camera_range: int = 8
    """Pixels that the camera may have moved at most; 0 where it cannot."""
    seed: int = 0
    """Of the batches."""


def run(arguments: Arguments) -> Answer:
    """Adapts, and leaves the adapted run with a report of held-out error before and after."""
    from forethought import data
    from forethought.learning.adapting import AdaptingConfig
    from forethought.learning.adapting_recorded import RecordedAdaptingConfig, adapt_to
    from forethought.model import load_model, write_safely
    from forethought.types import ForethoughtError

    if arguments.out.exists() and any(arguments.out.iterdir()):
        raise ForethoughtError(
            f"{arguments.out}: there is something here already; give a folder that is new or empty."
        )
    if arguments.updates < 1:
        raise ForethoughtError(f"--updates {arguments.updates}; give 1 or more.")
    model = load_model(arguments.run)
    recent, older = data.open(arguments.data), data.open(arguments.replay)
    own = AdaptingConfig(camera_range=arguments.camera_range, seed=arguments.seed)
    config = RecordedAdaptingConfig(adapting=own, updates=arguments.updates)
    with Console(stderr=True, quiet=arguments.json).status("adapting") as status:
        adapted, report = adapt_to(
            model,
            recent,
            older,
            config,
            told=lambda step: status.update(f"adapting: {step} of {arguments.updates}"),
        )
    adapted.notes = {**model.notes, "adapted_from": arguments.run.name}
    adapted.save_pretrained(arguments.out)
    payload = {"run": str(arguments.out), **report.to_json()}
    write_safely(arguments.out / REPORT, json.dumps(payload, indent=2).encode())
    learned, held = report.episodes
    rows = [
        (f"error on {held} held-out recent episodes, before", f"{report.before:.4g}"),
        (f"after, learned from {learned} others", f"{report.after:.4g}"),
        ("of copying", f"{report.copy:.4g}"),
        ("error on older recordings, before", f"{report.recorded_before:.4g}"),
        ("after", f"{report.recorded_after:.4g}"),
        ("pictures are moved by (rows, columns)", f"{report.shift}"),
        ("took", f"{report.seconds:.0f} s"),
    ]
    title = "" if report.adapted else "nothing was changed: held-out error would not have fallen"

    def show(console: Console) -> None:
        console.print(table(title, ("run", str(arguments.out)), rows))

    return Answer(payload=payload, show=show)
