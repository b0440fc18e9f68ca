"""``forethought demo``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from forethought.cli.output import Answer, Common


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

    from forethought.recipes.demo import run_demo

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    results = run_demo(
        arguments.world, arguments.out, seed=arguments.seed, visible=not arguments.json
    )
    return Answer(
        payload=results,
        show=lambda console: console.print(f"\nreport  {results['report']}"),
    )
