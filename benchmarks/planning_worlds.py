"""The demo in one world over several training seeds, shared by the planning benchmarks."""

from __future__ import annotations

import warnings

from forethought.recipes.demo import run_demo
from harness import Benchmark, estimate, figure


def measure_world(
    benchmark: Benchmark, world: str, goals: dict[str, str], *, train_goal: str
) -> None:
    """Runs the demo for every seed; each has to hold."""
    warnings.simplefilter("default")
    for seed in benchmark.seeds:
        results = run_demo(world, benchmark.folder(f"seed{seed}"), seed=seed, visible=False).figures
        prefix = f"seed {seed}: "
        for name, content in results.items():
            if isinstance(content, dict) and "episodes" in content:
                benchmark.add(estimate(prefix + name, content, goals.get(name)))
        benchmark.add(
            figure(prefix + "training", results["train_seconds"], train_goal, unit="s"),
            figure(prefix + "decision, median", results["decision_ms"]["median"], unit="ms"),
            figure(prefix + "decision, p99", results["decision_ms"]["p99"], unit="ms"),
        )
