"""The demo: record, train, plan, report, in one command."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from forethought import data, evaluation, recipes, worlds
from forethought.evaluation.planning import PlanningResults
from forethought.evaluation.report import demo_report
from forethought.learning.folder import SUMMARY
from forethought.model import note_measured, write_safely
from forethought.types import ForethoughtError

WORLDS = ("two_rooms", "two_rooms_random", "pendulum")


@dataclass(frozen=True, kw_only=True)
class DemoResults:
    """What a demo found.

    Attributes:
        figures: what ``results.json`` holds.
        planning: the results behind them.
    """

    figures: dict[str, Any]
    planning: PlanningResults


def run_demo(world: str, out: Path | str, *, seed: int = 0, visible: bool = True) -> DemoResults:
    """Runs everything in one world; what an interrupted demo left is continued.

    Args:
        world: two_rooms, two_rooms_random or pendulum.
        out: folder; gets ``data``, the run, ``results.json`` and ``report.html``.
        seed: of the training.
        visible: say what is being done.

    Raises:
        ForethoughtError: no demo of that world, or ``out`` holds something else.
    """
    if world not in WORLDS:
        raise ForethoughtError(f"no demo of {world!r}; there are {list(WORLDS)}.")
    out = Path(out)
    say = Console(stderr=True, quiet=not visible).print
    recipe = recipes.get(world)
    recording, acting = recipe.recording, recipes.acting(recipe)
    assert recording is not None
    _check_folder(out, world, seed)
    said = [
        f"Recorded {recording.num_episodes} episodes of {recording.episode_length} steps of random "
        f"behaviour in {world}: no expert, no goals, no rewards.",
        "Trained a world model to foresee its own latents, and a critic to tell how many steps one "
        "place is from another.",
        f"Gave the agent {recipe.planning.episodes} tasks that it had never seen, each as a goal "
        "image; it plans by imagining, and replans as it goes.",
    ]
    say(f"[bold]1/4 record[/]  {recording.num_episodes} episodes of {world}, random behaviour")
    dataset = data.record(
        worlds.make(world, recording.num_worlds),
        out / "data",
        num_episodes=recording.num_episodes,
        episode_length=recording.episode_length,
        resume=True,
        visible=visible,
    )
    say("[bold]2/4 train[/]   world model, critic, probes: no rewards, no labels")
    model = recipes.train(
        dataset, recipe=world, out=out / "run", seed=seed, resume=True, visible=visible
    )
    say(f"[bold]3/4 plan[/]    {recipe.planning.episodes} tasks never seen, goals as images")
    results = evaluation.evaluate(
        lambda goals, count: acting.agent(model, goals, count),
        lambda count: worlds.make(world, count),
        recipe.planning,
        visible=visible,
    )
    note_measured(out / "run", "planning", {world: results.headline()})
    say("[bold]4/4 report[/]")
    report = demo_report(out / "run", dataset, worlds.make(world, 1), results, said)
    summary = json.loads((out / "run" / SUMMARY).read_text())
    content = {**results_json(results, summary["train_seconds"]), "report": str(report)}
    write_safely(out / "results.json", json.dumps(content, indent=2).encode())
    return DemoResults(figures=content, planning=results)


def results_json(results: PlanningResults, train_seconds: float) -> dict[str, Any]:
    """The figures of a demo, by name."""
    headline, hold = results.headline(), results.protocol.hold > 1
    groups = {
        f"success_{name}": (final if hold else ever).to_json()
        for name, (ever, final) in results.agent.groups.items()
    }
    return {
        "world": results.world,
        "success": headline["agent"],
        **groups,
        "success_at_end": results.agent.final.to_json(),
        "floor": headline["floor"],
        "ceiling": headline["ceiling"],
        "train_seconds": train_seconds,
        "decision_ms": dict(results.decision_ms),
    }


def _check_folder(out: Path, world: str, seed: int) -> None:
    """A folder continues one demo only."""
    mark = out / "demo.json"
    mine = {"world": world, "seed": seed}
    if mark.exists():
        other = json.loads(mark.read_text())
        if other != mine:
            raise ForethoughtError(
                f"{out}: holds the demo of {other}, this one is {mine}; give another --out."
            )
        return
    if out.exists() and any(out.iterdir()):
        raise ForethoughtError(f"{out}: not empty, and no demo; give another --out.")
    out.mkdir(parents=True, exist_ok=True)
    write_safely(mark, json.dumps(mine).encode())
