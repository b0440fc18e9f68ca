"""``forethought physics``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro
from rich.console import Console

from forethought.cli.output import Answer, Common, table

if TYPE_CHECKING:
    from forethought.evaluation.physics.results import PhysicsProtocol, PhysicsResults
    from forethought.model import Model


@dataclass(frozen=True, kw_only=True)
class Arguments(Common):
    """Intuitive physics: is what cannot happen more surprising than what can?

    The run is one of a video model: `forethought record physics --episodes 18000 --length 22
    --out DATA`, then `forethought train --data DATA --recipe physics --out RUN`.
    """

    run: tyro.conf.Positional[Path]
    """Folder of the run."""
    pairs: int = 200
    """Pairs of clips of each block; an even number."""
    block: tuple[str, ...] = ()
    """Which blocks; all where not said."""
    seed: int = 0
    """Seed of the first clip; an even number."""
    validation: int = 60
    """Pairs of each block, of other seeds, on which it is chosen how surprise is taken; 0 for the
    mean over each frame from all before it."""
    untrained: int = 3
    """Models with random weights that are measured beside it."""
    videos: Path | None = None
    """Folder of a published benchmark to be measured on instead."""
    layout: str = "intphys"
    """How --videos is laid out: intphys, grasp or inflevel."""
    frames: int = 50
    """Frames of each clip of --videos, evenly spread."""
    threads: int | None = None
    """Threads that PyTorch uses; as many as there are cores where not said."""


def run(arguments: Arguments) -> Answer:
    """Measures, and writes results and page into the run."""
    import torch

    from forethought.evaluation.physics.results import PhysicsProtocol
    from forethought.evaluation.report.physics_report import physics_report, physics_rows
    from forethought.model import load_model, write_safely

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    protocol = PhysicsProtocol(
        pairs=arguments.pairs,
        seed=arguments.seed,
        validation=arguments.validation,
        untrained=arguments.untrained,
    )
    model = load_model(arguments.run)
    on = _on_videos if arguments.videos else _on_blocks
    results = on(model, arguments, protocol)
    payload = results.to_json()
    write_safely(arguments.run / "physics.json", json.dumps(payload, indent=2).encode())
    report = physics_report(arguments.run, results)
    header, rows = physics_rows(results)

    def show(console: Console) -> None:
        title = f"pairs told apart, by {results.summary.value} surprise ({results.surprise})"
        console.print(table(title, header, rows))
        for block, fault in results.faults().items():
            console.print(f"{block} is not known: {fault.value} fails")
        console.print(f"report {report}")

    return Answer(payload={**payload, "report": str(report)}, show=show)


def _on_blocks(model: Model, arguments: Arguments, protocol: PhysicsProtocol) -> PhysicsResults:
    from forethought.evaluation.physics.results import blocks_named, evaluate_physics

    return evaluate_physics(model, blocks_named(arguments.block), protocol)


def _on_videos(model: Model, arguments: Arguments, protocol: PhysicsProtocol) -> PhysicsResults:
    from forethought.evaluation.physics.results import measure_all
    from forethought.evaluation.physics.surprise import WorldModelSurprise
    from forethought.evaluation.physics.videos import open_videos

    surprise = WorldModelSurprise(model=model)
    (camera,) = model.world_model.perception.keys
    height, width, _ = model.signature.observation[camera].shape
    assert arguments.videos is not None
    clips = open_videos(
        arguments.videos, arguments.layout, size=(height, width), frames=arguments.frames
    )
    return measure_all(model, clips, surprise, protocol, data=str(arguments.videos))
