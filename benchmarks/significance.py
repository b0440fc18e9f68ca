"""Is a difference called where there is none, and found where there is one?

Eight models that differ only by the seed of their training, each on the same 1,200 tasks of two
rooms, with searches so small that a good part of the tasks fails. Comparisons as ``forethought
compare`` makes them are drawn from that: of runs that differ only by their seed, and of two
searches that are about ten points apart.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from forethought import data, recipes, worlds
from forethought.data import Dataset
from forethought.evaluation import bootstrap_mean, evaluate, resampled_comparisons
from forethought.learning import train
from forethought.model import Model
from harness import WORK, Benchmark, Figure, estimate, figure, main

TASKS = 1200
EPISODES = 400
BUDGET = 40
COMPARISONS = 200
CANDIDATES = (2, 3, 4, 6, 8)
GAP = 0.1
MET = "met.npz"


def measure(benchmark: Benchmark) -> None:
    recording = recipes.get("two_rooms").recording
    assert recording is not None
    recorded = data.record(
        worlds.make("two_rooms", recording.num_worlds),
        benchmark.folder("data", fresh=False) / "rooms.lance",
        num_episodes=recording.num_episodes,
        episode_length=recording.episode_length,
        resume=True,
    )
    for seed in benchmark.seeds:
        benchmark.part(f"{seed}", partial(acted, recorded, seed))
    kept = [WORK / benchmark.name / f"{seed}" / MET for seed in benchmark.seeds]
    if all(path.exists() for path in kept):
        runs = [np.load(path, allow_pickle=False) for path in kept]
        benchmark.add(*compared({n: np.stack([run[str(n)] for run in runs]) for n in CANDIDATES}))


def acted(recorded: Dataset, seed: int, folder: Path) -> list[Figure]:
    """Trains a model, and lets it do all tasks by each of the searches."""
    config = recipes.configure("two_rooms", recorded.signature, seed=seed)
    model = train(recorded, config, folder / "run", visible=False)
    met = {str(candidates): solved(model, candidates) for candidates in CANDIDATES}
    np.savez(folder / MET, **met)
    return [
        estimate(f"seed {seed}, {name} candidates: success", bootstrap_mean(one).to_json())
        for name, one in met.items()
    ]


def solved(model: Model, candidates: int) -> np.ndarray:
    """Which tasks are solved by a search of so many candidates, in little time."""
    recipe = recipes.get("two_rooms")
    acting = recipes.acting(recipe)
    elites = max(1, candidates // 4)
    planner = replace(acting.planner, num_samples=candidates, num_elites=elites)  # type: ignore[type-var]
    acting = replace(acting, planner=planner)
    results = evaluate(
        lambda goals, count: acting.agent(model, goals, count),
        lambda count: worlds.make("two_rooms", count),
        replace(recipe.planning, episodes=TASKS, budget=BUDGET, traces=0, latency_decisions=1),
        floors=[],
        ceilings=[],
        visible=False,
    )
    return np.array(results.ever)


def compared(met: dict[int, np.ndarray]) -> list[Figure]:
    """How often differences are called; of each search, by seed and task, if it met the goal."""
    rates = {candidates: float(one.mean()) for candidates, one in met.items()}
    few, many = min(
        itertools.combinations(CANDIDATES, 2), key=lambda p: abs(rates[p[1]] - rates[p[0]] - GAP)
    )
    spread = float(met[few].mean(1).std(ddof=1))

    def called(*sides: int, runs: int) -> float:
        first, *second = (met[side] for side in sides)
        return resampled_comparisons(
            list(first),
            list(second[0]) if second else None,
            episodes=EPISODES,
            runs=runs,
            comparisons=COMPARISONS,
        )

    return [
        figure(f"{few} candidates: success over all seeds", rates[few]),
        figure(f"{few} candidates: deviation of success between seeds", spread),
        figure(
            f"three runs a side, {EPISODES} tasks: seeds called different",
            called(few, runs=3),
            "<= 0.05",
            n=COMPARISONS,
        ),
        figure(
            f"one run a side, {EPISODES} tasks: seeds called different",
            called(few, runs=1),
            n=COMPARISONS,
        ),
        figure(f"{many} candidates less {few}: success over all seeds", rates[many] - rates[few]),
        figure(
            f"three runs a side, {EPISODES} tasks: that gap found",
            called(few, many, runs=3),
            ">= 0.95",
            n=COMPARISONS,
        ),
        figure(
            f"one run a side, {EPISODES} tasks: that gap found",
            called(few, many, runs=1),
            n=COMPARISONS,
        ),
    ]


if __name__ == "__main__":
    main("significance", measure, seeds=8)
