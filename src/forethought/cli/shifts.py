"""``forethought shifts``."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro
from rich.console import Console

from forethought.cli.output import Answer, Common, table

if TYPE_CHECKING:
    from forethought.types import World


@dataclass(frozen=True, kw_only=True)
class Arguments(Common):
    """Planning success where the world is not as recorded: factors of variation, one at a time and
    together, with a robustness score."""

    run: tyro.conf.Positional[Path]
    """Folder of the run."""
    world: str
    """Name of the world, as recorded."""
    factors: tuple[str, ...] = ()
    """What is to be different; all that the world offers where not said."""
    episodes: int = 100
    """Tasks, the same at every point."""
    budget: int | None = None
    """World steps in an episode; the recipe's number where not said."""
    seed: int | None = None
    """Tasks are drawn from seeds from here on."""
    resume: bool = False
    """Go on with an interrupted sweep: points that are measured are not measured again."""


def run(arguments: Arguments) -> Answer:
    """Sweeps, and writes results and report into the run."""
    from forethought import recipes, worlds
    from forethought.evaluation.report.shift_report import said, score_rows, shift_report
    from forethought.evaluation.shifts import settled, sweep
    from forethought.model import WEIGHTS, load_model, write_safely
    from forethought.worlds.factors import factors_of

    def make_world(count: int) -> World:
        return worlds.make(arguments.world, count)

    factors = factors_of(make_world(1), arguments.factors)
    model = load_model(arguments.run)
    recipe = recipes.get(model.notes["recipe"])
    acting = recipes.acting(recipe)
    changes = {
        key: value for key in ("budget", "seed") if (value := getattr(arguments, key)) is not None
    }
    results = sweep(
        lambda goals, count: acting.agent(model, goals, count),
        make_world,
        factors,
        settled(recipe.planning, episodes=arguments.episodes, **changes),
        model=model,
        kept=arguments.run / "shifts.points.json",
        who=hashlib.sha256((arguments.run / WEIGHTS).read_bytes()).hexdigest(),
        resume=arguments.resume,
        visible=not arguments.json,
    )
    payload = results.to_json()
    write_safely(arguments.run / "shifts.json", json.dumps(payload, indent=2).encode())
    report = shift_report(arguments.run, results, make_world)
    header, rows = score_rows(results)

    def show(console: Console) -> None:
        title = f"{arguments.world}, {len(results.seeds)} held-out tasks at each point"
        console.print(table(title, header, rows))
        console.print(
            f"robustness, one factor at a time: {said(results.score.ever)}; of goals kept at the "
            f"end {said(results.score.final)}"
        )
        console.print(f"report {report}")

    return Answer(payload={**payload, "report": str(report)}, show=show)
