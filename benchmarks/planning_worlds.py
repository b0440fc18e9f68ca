"""The demo in one world over several training seeds, shared by the planning benchmarks."""

from __future__ import annotations

import json
import warnings
from typing import Any

from forethought.recipes.demo import run_demo
from harness import Benchmark, estimate, figure


def measure_world(
    benchmark: Benchmark, world: str, goals: dict[str, str], *, train_goal: str
) -> None:
    """Runs the demo for every seed; each has to hold."""
    warnings.simplefilter("default")
    for seed in benchmark.seeds:
        results = _figures(benchmark, world, seed)
        prefix = f"seed {seed}: "
        for name, content in results.items():
            if isinstance(content, dict) and "episodes" in content:
                benchmark.add(estimate(prefix + name, content, goals.get(name)))
        benchmark.add(
            figure(prefix + "training", results["train_seconds"], train_goal, unit="s"),
            figure(prefix + "decision, median", results["decision_ms"]["median"], unit="ms"),
            figure(prefix + "decision, p99", results["decision_ms"]["p99"], unit="ms"),
        )


def _figures(benchmark: Benchmark, world: str, seed: int) -> dict[str, Any]:
    """A demo's results; those of a finished one where an interrupted benchmark is resumed."""
    folder = benchmark.folder(f"seed{seed}")
    finished = folder / "results.json"
    if finished.exists():
        results = json.loads(finished.read_text())
        benchmark.earlier += results["train_seconds"]
        return results
    return dict(run_demo(world, folder, seed=seed, visible=False).figures)
