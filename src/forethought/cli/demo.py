"""``forethought demo``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from forethought.cli.output import Answer, Common, table


@dataclass(frozen=True, kw_only=True)
class Arguments(Common):
    """Everything, in minutes, on a CPU: record, train, plan, report."""

    world: str = "two_rooms"
    """two_rooms, two_rooms_random or pendulum."""
    out: Path = Path("runs/demo")
    """Folder of the run; what an interrupted demo left there is continued."""
    seed: int = 0
    """Of the training."""
    threads: int | None = None
    """Threads that PyTorch uses; as many as there are cores where not said."""


def run(arguments: Arguments) -> Answer:
    """Runs it."""
    import torch

    from forethought.evaluation.report import outcome_rows
    from forethought.recipes.demo import run_demo

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    results = run_demo(
        arguments.world, arguments.out, seed=arguments.seed, visible=not arguments.json
    )
    header, rows = outcome_rows(results.planning)
    figures, ms = results.figures, results.figures["decision_ms"]

    def show(console: Console) -> None:
        title = f"{arguments.world}: {len(results.planning.seeds)} held-out tasks"
        console.print(table(title, header, rows))
        console.print(
            f"\ntraining {figures['train_seconds']:.0f} s; a decision {ms['median']:.1f} ms "
            f"(99th percentile {ms['p99']:.1f})\nreport {figures['report']}"
        )

    return Answer(payload=figures, show=show)
