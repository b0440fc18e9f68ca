"""``forethought adapt``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro
from rich.console import Console

from forethought.cli.output import Answer, Common, table

if TYPE_CHECKING:
    from forethought.learning.adapting_live import LiveReport
    from forethought.learning.adapting_recorded import AdaptingReport
    from forethought.model import Model
    from forethought.types import World

REPORT = "adapt.json"
Rows = Sequence[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class Arguments(Common):
    """Adapt a run to the world as it is now; leaves a run of its own.

    From recordings (--data), or by acting in a world (--world) while it learns.
    """

    run: tyro.conf.Positional[Path]
    """Folder of the run; it is left as it is."""
    data: Path | None = None
    """Folder of recent recordings; the latest quarter of them is held out."""
    world: str | None = None
    """Name of a world to act in, see `forethought worlds`."""
    change: str | None = None
    """What has changed in it: flip, gain, friction or camera; nothing where not said."""
    replay: Path
    """Folder of the dataset that the run was trained on, against forgetting."""
    out: Path
    """Folder of the adapted run."""
    updates: int = 2000
    """Gradient steps on recordings."""
    steps: int = 2000
    """World steps to act for."""
    tasks: int = 20
    """Held-out tasks that are measured before and after acting."""
    camera_range: int = 8
    """Pixels that the camera may have moved at most; 0 where it cannot."""
    seed: int = 0
    """Of the batches, and of the tasks."""


def run(arguments: Arguments) -> Answer:
    """Adapts, and leaves the adapted run with a report of what that came to."""
    from forethought.model import load_model, write_safely

    _check(arguments)
    model = load_model(arguments.run)
    adapted, report, rows = (_recorded if arguments.data else _lived)(arguments, model)
    adapted.notes = {**model.notes, "adapted_from": arguments.run.name}
    adapted.save_pretrained(arguments.out)
    payload: dict[str, Any] = {"run": str(arguments.out), **report.to_json()}
    write_safely(arguments.out / REPORT, json.dumps(payload, indent=2).encode())
    told = [
        *rows,
        ("pictures are moved by (rows, columns)", f"{report.shift}"),
        ("took", f"{report.seconds:.0f} s"),
    ]
    title = "" if report.adapted else "nothing was changed: errors would not have fallen"

    def show(console: Console) -> None:
        console.print(table(title, ("run", str(arguments.out)), told))

    return Answer(payload=payload, show=show)


def _check(arguments: Arguments) -> None:
    """Refuses what cannot be, before any work."""
    from forethought.types import ForethoughtError
    from forethought.worlds.changed import named

    if (arguments.data is None) == (arguments.world is None):
        raise ForethoughtError(
            "give recordings with --data FOLDER, or a world to act in with --world NAME, one of "
            "both."
        )
    if arguments.change is not None:
        if arguments.world is None:
            raise ForethoughtError("--change is of a world to act in; give it with --world NAME.")
        named(arguments.change)
    if arguments.out.exists() and any(arguments.out.iterdir()):
        raise ForethoughtError(
            f"{arguments.out}: there is something here already; give a folder that is new or empty."
        )
    for name in ("updates", "steps", "tasks"):
        if getattr(arguments, name) < 1:
            raise ForethoughtError(f"--{name} {getattr(arguments, name)}; give 1 or more.")


def _recorded(arguments: Arguments, model: Model) -> tuple[Model, AdaptingReport, Rows]:
    """Adapts to recordings."""
    from forethought import data
    from forethought.learning.adapting import AdaptingConfig
    from forethought.learning.adapting_recorded import RecordedAdaptingConfig, adapt_to

    assert arguments.data is not None
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
    return adapted, report, _recorded_rows(report)


def _lived(arguments: Arguments, model: Model) -> tuple[Model, LiveReport, Rows]:
    """Adapts by acting."""
    from forethought import data, recipes, worlds
    from forethought.learning.adapting import AdaptingConfig
    from forethought.learning.adapting_live import LiveAdaptingConfig, adapt_in
    from forethought.worlds.changed import Changed, named

    name, change = arguments.world, arguments.change
    assert name is not None

    def make(count: int) -> World:
        world = worlds.make(name, count)
        return world if change is None else Changed(world, named(change))

    own = AdaptingConfig(camera_range=arguments.camera_range, seed=arguments.seed)
    config = LiveAdaptingConfig(
        adapting=own, steps=arguments.steps, tasks=arguments.tasks, seed=arguments.seed
    )
    acting = recipes.acting(recipes.get(model.notes["recipe"]))
    with Console(stderr=True, quiet=arguments.json).status("measuring") as status:
        adapted, report = adapt_in(
            model,
            make,
            acting.agent,
            data.open(arguments.replay),
            config,
            told=lambda step: status.update(f"acting: {step} of {arguments.steps} world steps"),
        )
    return adapted, report, _lived_rows(report, arguments)


def _recorded_rows(report: AdaptingReport) -> Rows:
    learned, held = report.episodes
    return [
        (f"error on {held} held-out recent episodes, before", f"{report.before:.4g}"),
        (f"after, learned from {learned} others", f"{report.after:.4g}"),
        ("of copying", f"{report.copy:.4g}"),
        ("error on older recordings, before", f"{report.recorded_before:.4g}"),
        ("after", f"{report.recorded_after:.4g}"),
    ]


def _lived_rows(report: LiveReport, arguments: Arguments) -> Rows:
    median, p99 = report.ms
    return [
        (f"of {arguments.tasks} held-out tasks solved and kept so, before", f"{report.before:.0%}"),
        (f"after acting for {arguments.steps} world steps", f"{report.after:.0%}"),
        ("versions took over", f"{len(report.took_over)} times"),
        ("adapting, median (99th percentile)", f"{median:.1f} ms ({p99:.1f}) in a world step"),
    ]
