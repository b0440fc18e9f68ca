"""``forethought evaluate``."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import tyro
from rich.console import Console

from forethought.cli.output import Answer, Common, table


@dataclass(frozen=True, kw_only=True)
class Arguments(Common):
    """Planning success on held-out tasks, beside a random floor and an oracle ceiling."""

    run: tyro.conf.Positional[Path]
    """Folder of the run."""
    world: str
    """Name of the world."""
    episodes: int | None = None
    """Tasks; the recipe's number where not said."""
    budget: int | None = None
    """World steps in an episode; the recipe's number where not said."""
    seed: int | None = None
    """Tasks are drawn from seeds from here on."""


def run(arguments: Arguments) -> Answer:
    """Evaluates, and writes results and report into the run."""
    from forethought import recipes, worlds
    from forethought.evaluation import evaluate
    from forethought.evaluation.report import evaluate_report, outcome_rows
    from forethought.model import load_model, note_measured, write_safely

    model = load_model(arguments.run)
    recipe = recipes.get(model.notes["recipe"])
    acting = recipes.acting(recipe)
    changes = {
        key: value
        for key in ("episodes", "budget", "seed")
        if (value := getattr(arguments, key)) is not None
    }
    results = evaluate(
        lambda goals, count: acting.agent(model, goals, count),
        lambda count: worlds.make(arguments.world, count),
        replace(recipe.planning, **changes),
        visible=not arguments.json,
    )
    payload = results.to_json()
    write_safely(arguments.run / "evaluate.json", json.dumps(payload, indent=2).encode())
    note_measured(arguments.run, "planning", {arguments.world: results.headline()})
    report = evaluate_report(arguments.run, results)
    header, rows = outcome_rows(results)

    def show(console: Console) -> None:
        console.print(
            table(f"{arguments.world}, {len(results.seeds)} held-out tasks", header, rows)
        )
        ms = results.decision_ms
        console.print(f"decision {ms['median']:.1f} ms (99th percentile {ms['p99']:.1f})")
        console.print(f"report {report}")

    return Answer(payload={**payload, "report": str(report)}, show=show)
