"""``forethought evaluate``."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import tyro
from rich.console import Console

from forethought.cli.output import Answer, Common, table

if TYPE_CHECKING:
    from forethought.actor import GateConfig
    from forethought.model import Model


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
    reflexes: bool = False
    """Mode 1 alone: the distilled policy, and no search."""
    gated: bool = False
    """Mode 1 where spread and surprise are as low as in distillation, else Mode 2."""
    share: float = 0.98
    """Share of what was met in distillation that the gate lets pass, with --gated."""
    chunk: int = 1
    """Model steps of a reflex that are acted out before the next decision."""
    jitter: float = 0.0
    """Deviation, in units of half the box, of a push that each reflex is shaken by."""


def run(arguments: Arguments) -> Answer:
    """Evaluates, and writes results and report into the run."""
    from forethought import recipes, worlds
    from forethought.evaluation import evaluate
    from forethought.evaluation.report import evaluate_report, outcome_rows
    from forethought.model import load_model, note_measured, write_safely

    model = load_model(arguments.run)
    recipe = recipes.get(model.notes["recipe"])
    acting, gate = recipes.acting(recipe), _gate(model, arguments)
    changes = {
        key: value
        for key in ("episodes", "budget", "seed")
        if (value := getattr(arguments, key)) is not None
    }
    results = evaluate(
        lambda goals, count: acting.agent(model, goals, count, gate=gate),
        lambda count: worlds.make(arguments.world, count),
        replace(recipe.planning, **changes),
        visible=not arguments.json,
    )
    payload = results.to_json()
    write_safely(arguments.run / "evaluate.json", json.dumps(payload, indent=2).encode())
    by_mode = ", Mode 1" if arguments.reflexes else ", gated" if arguments.gated else ""
    note_measured(arguments.run, "planning", {arguments.world + by_mode: results.headline()})
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


def _gate(model: Model, arguments: Arguments) -> GateConfig | None:
    """When the run's policy answers; None for never."""
    from forethought.actor import GateConfig
    from forethought.types import ForethoughtError

    if not (arguments.reflexes or arguments.gated):
        return None
    if arguments.reflexes and arguments.gated:
        raise ForethoughtError("give --reflexes for Mode 1 alone, or --gated for both, not both.")
    if model.policy is None:
        raise ForethoughtError(
            f"{arguments.run}: this run has no policy. Make one with `forethought distill "
            f"{arguments.run} --world {arguments.world} --out RUN2`."
        )
    if arguments.reflexes:
        return GateConfig.reflexes_only(chunk=arguments.chunk, jitter=arguments.jitter)
    return model.policy.gate(arguments.share, chunk=arguments.chunk, jitter=arguments.jitter)
