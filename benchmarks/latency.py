"""How long people and robots wait: imports, help, a decision in the two rooms."""

import statistics
import subprocess
import sys
import time
from pathlib import Path

from forethought import data, recipes, worlds
from forethought.evaluation import PlanningProtocol, evaluate
from harness import Benchmark, figure, main

REPEATS = 9


def seconds(command: list[str]) -> float:
    """Median wall-clock time of a command."""
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def measure(benchmark: Benchmark) -> None:
    python = sys.executable
    bare = seconds([python, "-c", "pass"])
    imported = seconds([python, "-c", "import forethought"])
    helped = seconds([str(Path(python).parent / "forethought"), "--help"])
    benchmark.add(
        figure("import forethought, beyond Python itself", imported - bare, "< 0.3", unit="s"),
        figure("forethought --help", helped, "< 0.5", unit="s"),
    )
    folder = benchmark.folder("run")
    recipe = recipes.get("two_rooms")
    dataset = data.record(
        worlds.make("two_rooms", 50),
        folder / "data",
        num_episodes=200,
        episode_length=100,
        visible=False,
    )
    model = recipes.train(dataset, recipe="two_rooms", out=folder / "run", visible=False)
    acting = recipes.acting(recipe)
    results = evaluate(
        lambda goals, count: acting.agent(model, goals, count),
        lambda count: worlds.make("two_rooms", count),
        PlanningProtocol(episodes=2, budget=60, traces=0, latency_decisions=300),
        visible=False,
    )
    benchmark.add(
        figure("decision, median", results.decision_ms["median"], "<= 5", unit="ms", n=300),
        figure("decision, p99", results.decision_ms["p99"], unit="ms", n=300),
    )
    started = time.perf_counter()
    world = worlds.make("two_rooms", 100)
    behaviour = world.explore(0)
    observation = world.observe()
    for _ in range(1000):
        observation = world.step(behaviour(observation))
    benchmark.add(
        figure("100,000 frames of two_rooms", time.perf_counter() - started, "< 10", unit="s")
    )


if __name__ == "__main__":
    main("latency", measure)
