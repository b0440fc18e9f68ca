"""``forethought probe``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import tyro
from rich.console import Console

from forethought.cli.output import Answer, Common, table

if TYPE_CHECKING:
    from forethought.evaluation.grounding import GroundingResults
    from forethought.evaluation.probing import ProbingResults
    from forethought.model import Model

COPIES = 30


@dataclass(frozen=True, kw_only=True)
class Arguments(Common):
    """What latents hold, read by probes in held-out episodes beside an untrained encoder and the
    sensors; and, in a world, whether the agent's energy ranks states as the true way does."""

    run: tyro.conf.Positional[Path]
    """Folder of the run."""
    world: str | None = None
    """Name of a world: it is explored for probes, and its tasks are ranked."""
    data: Path | None = None
    """Dataset that the run was trained on: probes read its quantities instead of a world's."""
    episodes: int = 90
    """Episodes explored in a world: two of three for probes to be fitted on."""
    length: int = 100
    """World steps of each."""
    pairs: int = 400
    """Tasks of the world that are ranked."""
    steps: int = 1500
    """Training steps of the MLP probes."""
    seed: int = 7
    """Of the exploring; training recorded with small seeds of its own."""


def run(arguments: Arguments) -> Answer:
    """Probes, and writes results and report into the run."""
    from forethought.evaluation.report.probe_report import probe_report, probe_rows, rank_rows
    from forethought.model import load_model, write_safely
    from forethought.types import ForethoughtError

    if arguments.world is None and arguments.data is None:
        raise ForethoughtError("nothing to probe in: give --world, --data, or both.")
    model = load_model(arguments.run)
    grounding = _grounding(model, arguments)
    probing = _recorded(model, arguments) if arguments.data else _explored(model, arguments)
    payload = {
        "probing": probing.to_json(),
        "grounding": grounding.to_json() if grounding else None,
    }
    write_safely(arguments.run / "probe.json", json.dumps(payload, indent=2).encode())
    report = probe_report(arguments.run, probing, grounding)

    def show(console: Console) -> None:
        console.print(table("R2 in held-out episodes", *probe_rows(probing)))
        if grounding:
            console.print()
            title = "rank correlation with the true path length"
            console.print(table(title, *rank_rows(grounding)))
        console.print(f"report {report}")

    return Answer(payload={**payload, "report": str(report)}, show=show)


def _grounding(model: Model, arguments: Arguments) -> GroundingResults | None:
    """Ranks of the world's tasks; None without a world."""
    from forethought import recipes, worlds
    from forethought.evaluation.grounding import ground

    name = arguments.world
    if name is None:
        return None
    acting = recipes.acting(recipes.get(model.notes["recipe"]))
    return ground(
        lambda goals, count: acting.agent(model, goals, count),
        lambda count: worlds.make(name, count),
        pairs=arguments.pairs,
    )


def _recorded(model: Model, arguments: Arguments) -> ProbingResults:
    """On the episodes that training held out, fitted on others."""
    from forethought import data
    from forethought.evaluation.probing import ProbingProtocol, probe_latents
    from forethought.types import ForethoughtError

    assert arguments.data is not None
    dataset = data.open(arguments.data)
    held_out = list(model.notes["held_out_episodes"])
    if outside := [e for e in held_out if e >= dataset.num_episodes]:
        raise ForethoughtError(
            f"{arguments.data}: episode {outside[0]} was held out in training, there are "
            f"{dataset.num_episodes}. Give the dataset that the model was trained on."
        )
    protocol = ProbingProtocol(num_steps=arguments.steps)
    train = [e for e in range(dataset.num_episodes) if e not in set(held_out)]
    return probe_latents(
        model, dataset, protocol, train=train, held_out=held_out, visible=not arguments.json
    )


def _explored(model: Model, arguments: Arguments) -> ProbingResults:
    """On fresh episodes of the world, which are not kept."""
    from forethought import data, worlds
    from forethought.evaluation.probing import ProbingProtocol, probe_latents

    assert arguments.world is not None
    with TemporaryDirectory() as folder:
        dataset = data.record(
            worlds.make(arguments.world, min(COPIES, arguments.episodes)),
            Path(folder) / arguments.world,
            num_episodes=arguments.episodes,
            episode_length=arguments.length,
            seed=arguments.seed,
            visible=not arguments.json,
        )
        count = 2 * arguments.episodes // 3
        return probe_latents(
            model,
            dataset,
            ProbingProtocol(num_steps=arguments.steps),
            train=range(count),
            held_out=range(count, arguments.episodes),
            visible=not arguments.json,
        )
