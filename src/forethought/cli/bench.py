"""``forethought bench``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro
from rich.console import Console
from rich.table import Table

from forethought.cli.output import Answer, Common, table
from forethought.types import ForethoughtError

if TYPE_CHECKING:
    from forethought.evaluation.speed import SpeedResults


@dataclass(frozen=True, kw_only=True)
class Arguments(Common):
    """How fast an agent thinks on this machine, beside what the machine can do."""

    run: tyro.conf.Positional[Path | None] = None
    """Folder of a run: its model, searched as its recipe says."""
    stock: str | None = None
    """In place of a run a stock model with random weights: demo, lewm or eb_jepa."""
    decisions: int = 200
    """Decisions that are timed, as far as there is time."""
    seconds: float = 20.0
    """Seconds for the decisions of each variant, and again for the rollouts."""
    threads: int | None = None
    """Threads that PyTorch uses; as many as there are cores where not said."""
    device: str | None = None
    """Where the model is, by PyTorch's name; on the processor where not said."""


def run(arguments: Arguments) -> Answer:
    """Measures it."""
    import torch

    from forethought.evaluation.speed import SpeedProtocol
    from forethought.recipes.bench import run_subject, stock_subject

    if arguments.run is not None and arguments.stock is None:
        subject = run_subject(arguments.run)
    elif arguments.stock is not None and arguments.run is None:
        subject = stock_subject(arguments.stock)
    else:
        raise ForethoughtError(
            f"found RUN {arguments.run} and --stock {arguments.stock}; give one of them: the "
            "folder of a run, or the name of a stock model, e.g. `forethought bench --stock demo`."
        )
    if arguments.device:
        subject = subject.to(arguments.device)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    protocol = SpeedProtocol(decisions=arguments.decisions, seconds=arguments.seconds)
    results = subject.measure(protocol, visible=not arguments.json)
    planner = str(subject.acting.planner)
    payload = {
        "subject": subject.name,
        "planner": planner,
        "protocol": asdict(protocol),
        **results.to_json(),
    }

    def show(console: Console) -> None:
        console.print(f"{subject.name}\n{planner}\n", highlight=False)
        for one in tables(results):
            console.print(one)

    return Answer(payload=payload, show=show)


def tables(results: SpeedResults) -> Iterator[Table]:
    """What the machine can do, how long decisions take, how fast imagining is."""
    peaks = results.peaks
    yield table(
        f"{peaks.device}, threads: {peaks.threads}",
        ["the machine", "measured"],
        [
            *([f"products in {name}", giga(rate, "FLOP/s")] for name, rate in peaks.gemm.items()),
            ["memory", giga(peaks.bandwidth, "B/s")],
        ],
    )
    yield table(
        "\na decision, with everything",
        ["variant", "median", "99th percentile", "timed", "candidates", "steps each"],
        [
            [
                speed.variant,
                *(f"{speed.decision_ms[key]:,.2f} ms" for key in ("median", "p99")),
                str(speed.decisions),
                f"{speed.iterations} x {speed.candidates}",
                str(speed.horizon),
            ]
            for speed in results.variants
        ],
    )
    yield table(
        "\nimagining",
        ["variant", "steps/s", "MFLOP a step", "reached", "of products", "of memory"],
        [
            [
                speed.variant,
                f"{speed.steps_per_s:,.0f}",
                f"{speed.flop_per_step / 1e6:,.3g}",
                giga(speed.flop_per_s, "FLOP/s"),
                f"{speed.gemm_share:.0%} of {speed.arithmetic}",
                f"{speed.bandwidth_share:.1%}",
            ]
            for speed in results.variants
        ],
    )


def giga(rate: float, unit: str) -> str:
    """A rate in billions."""
    return f"{rate / 1e9:,.3g} G{unit}"
