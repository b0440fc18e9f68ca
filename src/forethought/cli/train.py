"""``forethought train``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from forethought.cli.output import Answer, Common, table


@dataclass(frozen=True, kw_only=True)
class Arguments(Common):
    """Train a world model on a dataset, and critic and probes where the recipe says."""

    data: Path
    """Folder of the dataset."""
    out: Path
    """Folder of the run."""
    recipe: str = "two_rooms"
    """Which configuration, see `forethought recipes`."""
    steps: int | None = None
    """Steps of pretraining instead of the recipe's; critic's and levels' follow in proportion."""
    seed: int = 0
    """Of weights, batches and the split."""
    begin: Path | None = None
    """Run or pretraining whose perception is taken to begin with."""
    freeze: bool = False
    """Leave the perception of --begin as it is; only what lies behind it learns."""
    clips: Path | None = None
    """Dataset whose actions are not looked at; the critic learns from it as well."""
    infer_actions: bool = False
    """Tell the actions of --clips by the perception of --begin, for the world model to learn."""
    resume: bool = False
    """Continue the run in --out."""
    tensorboard: bool = False
    """Also write TensorBoard events."""
    threads: int | None = None
    """Threads that PyTorch uses; as many as there are cores where not said."""


def run(arguments: Arguments) -> Answer:
    """Trains, and writes the report."""
    import torch

    from forethought import data, recipes
    from forethought.evaluation.report import train_report
    from forethought.learning.folder import SUMMARY

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    dataset = data.open(arguments.data)
    recipes.train(
        dataset,
        recipe=arguments.recipe,
        out=arguments.out,
        seed=arguments.seed,
        begin=arguments.begin,
        freeze=arguments.freeze,
        clips=data.open(arguments.clips) if arguments.clips else None,
        infer_actions=arguments.infer_actions,
        steps=arguments.steps,
        resume=arguments.resume,
        tensorboard=arguments.tensorboard,
        visible=not arguments.json,
    )
    report = train_report(arguments.out, dataset)
    summary = json.loads((arguments.out / SUMMARY).read_text())
    payload = {"run": str(arguments.out), "report": str(report), **summary}
    diagnostics, inferred = summary["diagnostics"], summary["inferred_actions"]
    rows = [
        ("training", f"{summary['train_seconds']:.0f} s"),
        ("effective rank", f"{diagnostics['effective_rank']:.1f}"),
        ("error against copy, one step", f"{diagnostics['copy_ratio']:.3f}"),
        ("error against copy, whole clip", f"{diagnostics['rollout_ratio']:.3f}"),
        *(
            [("inferred actions, variance explained", f"{inferred['explained']:.2f}")]
            if inferred
            else []
        ),
        ("report", str(report)),
    ]
    return Answer(
        payload=payload,
        show=lambda console: console.print(table("", ("run", str(arguments.out)), rows)),
    )
