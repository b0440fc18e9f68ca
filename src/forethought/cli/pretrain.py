"""``forethought pretrain``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from forethought.cli.output import Answer, Common, table


@dataclass(frozen=True, kw_only=True)
class Arguments(Common):
    """Pretrain a recipe's perception on a dataset whose actions are not looked at.

    `forethought train --begin` goes on from it.
    """

    data: Path
    """Folder of the dataset."""
    out: Path
    """Folder of the run."""
    recipe: str = "two_rooms"
    """Which configuration, see `forethought recipes`."""
    steps: int | None = None
    """Steps of pretraining; those of the recipe's training where not said."""
    seed: int = 0
    """Of weights, batches, masks and the split."""
    resume: bool = False
    """Continue the run in --out."""
    threads: int | None = None
    """Threads that PyTorch uses; as many as there are cores where not said."""


def run(arguments: Arguments) -> Answer:
    """Pretrains."""
    import torch

    from forethought import data, recipes
    from forethought.learning import pretrain, pretraining_of
    from forethought.learning.action_free import SUMMARY

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    dataset = data.open(arguments.data)
    training = recipes.configure(arguments.recipe, dataset.signature, seed=arguments.seed)
    config = pretraining_of(training, dataset.signature, steps=arguments.steps)
    pretrain(dataset, config, arguments.out, resume=arguments.resume, visible=not arguments.json)
    summary = json.loads((arguments.out / SUMMARY).read_text())
    diagnostics = summary["diagnostics"]
    rows = [
        ("training", f"{summary['train_seconds']:.0f} s"),
        ("effective rank", f"{diagnostics['effective_rank']:.1f}"),
        ("hidden parts, error against copy", f"{diagnostics['copy_ratio']:.3f}"),
    ]
    return Answer(
        payload={"run": str(arguments.out), **summary},
        show=lambda console: console.print(table("", ("run", str(arguments.out)), rows)),
    )
