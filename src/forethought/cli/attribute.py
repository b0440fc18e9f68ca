"""``forethought attribute``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro
from rich.console import Console

from forethought.cli.acting import ActingOptions, SearchOptions
from forethought.cli.output import Answer, Common, table

if TYPE_CHECKING:
    from forethought.evaluation.attribution import Attribution

EVALUATED = "evaluate.json"


@dataclass(frozen=True, kw_only=True)
class Arguments(Common):
    """Why episodes failed: of the model, the objective or the search, by replacing each of them."""

    results: tyro.conf.Positional[Path]
    """Run that `forethought evaluate` measured, or the evaluate.json that it left there."""
    most: int = 40
    """Failed episodes that are looked into, at most: the first ones."""
    repeats: int = 5
    """Runs of each episode with nothing replaced, and with each part by itself."""
    more: int = 10
    """What the budget of the search is multiplied by, where that part is replaced."""


def run(arguments: Arguments) -> Answer:
    """Runs failed episodes again, and writes pages into the run."""
    from forethought import recipes, worlds
    from forethought.evaluation.attribution import AttributionConfig, attribute
    from forethought.evaluation.report.attribution_report import write_attribution
    from forethought.model import load_model

    path = arguments.results
    path = path / EVALUATED if path.is_dir() else path
    world, protocol, episodes, search = _evaluated(path)
    config = AttributionConfig(
        budget=protocol["budget"],
        hold=protocol["hold"],
        most=arguments.most,
        repeats=arguments.repeats,
        more=arguments.more,
    )
    held = protocol["hold"] > 1
    failed = [one["seed"] for one in episodes if not one["final" if held else "ever"]]
    solved = [one["seed"] for one in episodes if one["final" if held else "ever"]]
    if not failed:
        return _nothing_failed(world, len(episodes))
    model = load_model(path.parent)
    acting = search.applied(recipes.acting(recipes.get(model.notes["recipe"])))

    def make_agent(goals: Any, count: int, seed: int) -> Any:
        return acting.agent(model, goals, count, seed=seed)

    def make_world(count: int) -> Any:
        return worlds.make(world, count)

    found = attribute(
        make_agent, make_world, failed, config, solved=solved, visible=not arguments.json
    )
    report = write_attribution(path.parent, found, make_agent, make_world)
    return Answer(
        payload={**found.to_json(), "report": str(report)},
        show=lambda console: _show(console, found, report),
    )


def _evaluated(path: Path) -> tuple[str, dict[str, Any], list[dict[str, Any]], SearchOptions]:
    """World, protocol and episodes of what was evaluated, and the search that acted.

    Raises:
        ForethoughtError: there is no such file, or it holds something else, or reflexes acted.
    """
    from forethought.types import ForethoughtError

    if not path.is_file():
        raise ForethoughtError(
            f"{path}: no such file. Measure the run first: `forethought evaluate RUN --world "
            "WORLD` leaves an evaluate.json in it."
        )
    try:
        content = json.loads(path.read_text())
        protocol = {name: int(content["protocol"][name]) for name in ("budget", "hold")}
        episodes = [
            {"seed": int(one["seed"]), "ever": bool(one["ever"]), "final": bool(one["final"])}
            for one in content["episodes"]
        ]
        recorded = any(one.get("origin") for one in content["episodes"])
        world = str(content["world"])
        asked = ActingOptions.from_json(content["acting"])
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise ForethoughtError(
            f"{path}: not what `forethought evaluate` leaves: world, protocol, how the agent "
            f"acted and the seed of each episode are needed ({type(error).__name__}: {error}). "
            "Measure the run again."
        ) from error
    if recorded:
        raise ForethoughtError(
            f"{path}: its tasks were taken from recordings, and cannot be begun again by their "
            "seeds. Evaluate on tasks that the world draws, and attribute those."
        )
    if asked.reflex.reflexes or asked.reflex.gated:
        raise ForethoughtError(
            f"{path}: its agent acted by reflex, and what is replaced here are parts of an agent "
            "that plans. Evaluate without --reflexes and --gated, and attribute that; `forethought "
            "compare` tells the two apart."
        )
    return world, protocol, episodes, asked.search


def _nothing_failed(world: str, count: int) -> Answer:
    text = f"every one of {count} episodes in {world} succeeded: there is nothing to attribute."
    return Answer(
        payload={"world": world, "failed": 0, "episodes": []},
        show=lambda console: console.print(text),
    )


def _show(console: Console, found: Attribution, report: Path) -> None:
    from forethought.evaluation.blame import PARTS
    from forethought.evaluation.report.attribution_report import share_rows

    title = f"{found.world}: {found.failed} episodes failed, {len(found.seeds)} looked into"
    console.print(table(title, *share_rows(found)))
    values = found.shares.values.items()
    adds = [[part, f"{one.value:.2f} ({one.low:.2f} to {one.high:.2f})"] for part, one in values]
    console.print(table("", ["part", "adds to success, when replaced"], adds))
    for part in PARTS:
        if part not in found.parts:
            console.print(
                f"the {part} cannot be replaced in this world: of it, only what the episodes "
                "themselves tell is known."
            )
    told = found.evidence.verdicts
    counts = [f"{name} {told.count(name)}" for name in sorted(set(told))]
    console.print(f"by what the episodes themselves tell: {', '.join(counts)}")
    if changed := found.again.count(False):
        console.print(
            f"{changed} of them did not fail again from the same seed: what acts here is not quite "
            "what was evaluated (a gate, a change of weights)."
        )
    console.print(f"report {report}", soft_wrap=True)
