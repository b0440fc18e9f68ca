"""What all benchmarks share: figures with goals, and the file that they are written to."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
WORK = Path("runs") / "bench"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured figure.

    Attributes:
        name: what it is.
        value: the figure.
        unit: its unit; empty for rates and ratios.
        low: lower end of the 95 % interval, where there is one.
        high: upper end.
        n: episodes or clips behind it.
        goal: what it should be, in words such as ``>= 0.95``; None where no goal was set.
        holds: whether it is.
    """

    name: str
    value: float
    unit: str = ""
    low: float | None = None
    high: float | None = None
    n: int | None = None
    goal: str | None = None
    holds: bool | None = None


def figure(name: str, value: float, goal: str | None = None, **details: object) -> Figure:
    """A figure, compared with its goal (``>= x``, ``<= x``, ``< x`` or ``> x``).

    A goal that ends in ``within the interval`` compares the nearer end of the interval.
    """
    holds = None
    if goal is not None:
        sign, limit, *rest = goal.split()
        target = float(limit)
        if rest:
            # "within the interval": what the data do not contradict.
            value_or_end = details["high"] if sign in (">=", ">") else details["low"]
            return replace(
                figure(name, value_or_end, f"{sign} {limit}", **details),
                value=float(value),
                goal=goal,
            )
        holds = {
            ">=": value >= target,
            "<=": value <= target,
            "<": value < target,
            ">": value > target,
        }[sign]
    return Figure(name=name, value=float(value), goal=goal, holds=holds, **details)  # type: ignore[arg-type]


def estimate(name: str, content: dict[str, float], goal: str | None = None) -> Figure:
    """A figure from an estimate's JSON: value, low, high, episodes."""
    return figure(
        name,
        content["value"],
        goal,
        low=content["low"],
        high=content["high"],
        n=int(content["episodes"]),
    )


@dataclass
class Benchmark:
    """A running benchmark.

    Attributes:
        name: of its file and of its results.
        seeds: training seeds.
        data: folder of the real recordings, where it needs them.
        resume: whether what an interrupted benchmark left is continued.
        only: what the labels of the parts to be measured begin with; empty for all.
        device: where it is run, by PyTorch's name; None where the benchmark chooses.
        rehearsal: whether it is run at a smaller size, whose results are not kept.
        earlier: seconds that went into figures which were taken as they were.
    """

    name: str
    seeds: list[int]
    data: Path | None
    resume: bool = False
    only: str = ""
    device: str | None = None
    rehearsal: bool = False
    earlier: float = 0.0
    figures: list[Figure] = field(default_factory=list)

    def add(self, *figures: Figure) -> None:
        """Keeps figures, and says them."""
        for one in figures:
            self.figures.append(one)
            mark = {True: "holds", False: "MISSED", None: ""}[one.holds]
            print(f"{one.name:<46} {one.value:10.4f} {one.unit:<5} {one.goal or '':<10} {mark}")

    def part(self, label: str, measure: Callable[[Path], Sequence[Figure]]) -> None:
        """Measures one part in a folder of its own, where its figures are kept.

        A part that is finished is not measured again where the benchmark is resumed, and one that
        :attr:`only` leaves out is never measured; its figures are taken where there are any.
        """
        wanted = label.startswith(self.only)
        kept = WORK / self.name / label / "figures.json"
        if kept.exists() and (self.resume or not wanted):
            content = json.loads(kept.read_text())
            self.earlier += content["seconds"]
            self.add(*[Figure(**one) for one in content["figures"]])
        elif wanted:
            started = time.time()
            figures = measure(self.folder(label, fresh=True))
            content = {
                "seconds": time.time() - started,
                "figures": [asdict(one) for one in figures],
            }
            kept.write_text(json.dumps(content))
            self.add(*figures)

    def folder(self, label: str, *, fresh: bool | None = None) -> Path:
        """A folder for runs; a fresh one unless resuming, or unless told."""
        import shutil

        path = WORK / self.name / label
        if not self.resume if fresh is None else fresh:
            shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True, exist_ok=True)
        return path


def main(
    name: str, measure: Callable[[Benchmark], None], *, seeds: int = 1, threads: int = 1
) -> None:
    """Runs a benchmark from the command line and writes its results."""
    import torch

    from forethought.allocation import keep_freed_memory

    parser = argparse.ArgumentParser(description=f"benchmark {name}")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(seeds)))
    parser.add_argument("--threads", type=int, default=threads)
    parser.add_argument("--data", type=Path, default=os.environ.get("FORETHOUGHT_DATA"))
    parser.add_argument("--resume", action="store_true", help="continue an interrupted run")
    parser.add_argument("--only", default="", help="measure parts whose labels begin like this")
    parser.add_argument("--device", help="where to run, for benchmarks that can run elsewhere")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if name != "allocation":
        keep_freed_memory()
    started = time.time()
    data = Path(arguments.data) if arguments.data else None
    benchmark = Benchmark(
        name=name,
        seeds=arguments.seeds,
        data=data,
        resume=arguments.resume,
        only=arguments.only,
        device=arguments.device,
    )
    measure(benchmark)
    content = {
        "name": name,
        "command": f"make bench NAME={name}",
        "seed": arguments.seeds,
        "machine": _machine(arguments.threads),
        "seconds": round(benchmark.earlier + time.time() - started, 1),
        "figures": [asdict(one) for one in benchmark.figures],
    }
    if not benchmark.rehearsal:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")
    missed = [one.name for one in benchmark.figures if one.holds is False]
    print(f"\n{len(missed)} of {len(benchmark.figures)} figures missed their goal", *missed)


def recordings(benchmark: Benchmark) -> Path:
    """The folder of real recordings, or an error that says how to give it."""
    if benchmark.data is None or not benchmark.data.is_dir():
        sys.exit("give the folder of recordings with --data, or in FORETHOUGHT_DATA")
    return benchmark.data


def _machine(threads: int) -> dict[str, object]:
    import torch

    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": threads,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
