"""``forethought words``."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import tyro
from rich.console import Console

from forethought.cli.output import Answer, Common, table


@dataclass(frozen=True, kw_only=True)
class Arguments(Common):
    """Teach a run to read goals in words, from recordings that say what was done."""

    run: tyro.conf.Positional[Path]
    """Folder of the run."""
    data: Path
    """Dataset with tasks in words: the one that the run was trained on, or another one."""
    out: Path
    """Folder of a new run: the same model, with the words."""
    steps: int | None = None
    """Steps of learning."""
    seed: int = 0
    """Of weights, batches and remembered states."""
    resume: bool = False
    """Continue in --out."""
    threads: int | None = None
    """Threads that PyTorch uses; as many as there are cores where not said."""


def run(arguments: Arguments) -> Answer:
    """Learns, and leaves the model with its words."""
    import torch

    from forethought import data
    from forethought.learning.folder import SUMMARY
    from forethought.learning.wording import WordsTrainingConfig, learn_words
    from forethought.model import load_model

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    config = WordsTrainingConfig(seed=arguments.seed)
    if arguments.steps is not None:
        optimiser = replace(config.optimiser, num_steps=arguments.steps)
        config = replace(config, optimiser=optimiser)
    learn_words(
        load_model(arguments.run),
        data.open(arguments.data),
        arguments.out,
        config=config,
        resume=arguments.resume,
        visible=not arguments.json,
    )
    summary = json.loads((arguments.out / SUMMARY).read_text())["words"]

    def show(console: Console) -> None:
        chance = summary["chance"]
        rows = [
            ["sentences learned from", str(summary["sentences"]), ""],
            ["words", str(summary["words"]), ""],
            ["held-out sentences", str(summary["held_out"]), ""],
            *(
                [said, f"{summary[name]:.3f}", f"{chance[name]:.3f}"]
                for name, said in (
                    ("first", "their state comes first"),
                    ("among_first", "among the first five"),
                    ("before", "others before it"),
                )
            ),
        ]
        console.print(table(f"run {arguments.out}", ["", "found", "by chance"], rows))
        console.print("ask for it in a task file with: goal: {words: ...}")

    return Answer(payload={"run": str(arguments.out), **summary}, show=show)
