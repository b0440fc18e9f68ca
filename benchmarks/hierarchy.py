"""Flat and hierarchical planning on one model, with no more candidates imagined in total."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from forethought import data, recipes, worlds
from forethought.actor import CEM, Hierarchical
from forethought.agent import Agent
from forethought.cost import goal
from forethought.evaluation.statistics import wilson
from forethought.learning import HierarchyTrainingConfig
from forethought.learning.train import train
from forethought.model import Model
from forethought.types import Planner
from forethought.world_model import HierarchyConfig, LevelConfig
from harness import Benchmark, estimate, figure, main

TASKS, BUDGET, FIRST_TASK = 200, 200, 1_000_000
STRIDE = 4
FAR_REACH = 8.0
"""Deviations from the prior's mean at which a macro-action is none that was ever inferred."""
FLAT = {
    f"flat, horizon {horizon}": CEM(horizon=horizon, num_samples=96, num_iterations=3, num_elites=8)
    for horizon in (4, 8, 16)
}
LEVELS = Hierarchical(
    upper=CEM(horizon=6, num_samples=64, num_iterations=3, num_elites=8),
    lower=CEM(horizon=STRIDE, num_samples=48, num_iterations=2, num_elites=6),
)


def measure(benchmark: Benchmark) -> None:
    recording = recipes.get("two_rooms").recording
    assert recording is not None
    recorded = data.record(
        worlds.make("two_rooms", recording.num_worlds),
        benchmark.folder("data") / "rooms.lance",
        num_episodes=recording.num_episodes,
        episode_length=recording.episode_length,
        resume=benchmark.resume,
    )
    levels = HierarchyTrainingConfig(
        hierarchy=HierarchyConfig(levels=(LevelConfig(stride=STRIDE),))
    )
    for seed in benchmark.seeds:
        # No critic: both levels go by plain latent distance, which looks through the wall.
        config = replace(
            recipes.configure("two_rooms", recorded.signature, seed=seed),
            critic=None,
            hierarchy=levels,
        )
        out = benchmark.folder(f"seed{seed}") / "run"
        model = train(recorded, config, out, resume=benchmark.resume)
        prefix = f"two_rooms, seed {seed}: "
        flat = [reach(benchmark, model, prefix + name, one) for name, one in FLAT.items()]
        mine = reach(benchmark, model, prefix + "two levels", LEVELS, ">= 0.8")
        best = max(across for across, _ in flat)
        benchmark.add(
            figure(prefix + "two levels above the best flat, across", mine[0] - best, ">= 0.3"),
            figure(prefix + "candidates, two levels over flat", mine[1] / flat[0][1], "<= 1"),
        )
        assert model.hierarchy is not None
        for level in model.hierarchy.levels:
            level.config = replace(level.config, reach=FAR_REACH)
        reach(benchmark, model, prefix + "two levels, prior ignored", LEVELS)


def reach(
    benchmark: Benchmark, model: Model, label: str, planner: Planner, wanted: str | None = None
) -> tuple[float, int]:
    """Success across rooms on held-out tasks, and the candidates imagined for one task."""
    world = worlds.make("two_rooms", TASKS)
    observation = world.reset(range(FIRST_TASK, FIRST_TASK + TASKS))
    across = world.groups()["across"]
    agent = Agent(model, cost=goal(observation=world.goal()), actor=planner, num_agents=TASKS)
    met, candidates = np.asarray(world.succeeded()).copy(), 0
    for _ in range(BUDGET):
        decision = agent.act_batch(observation)
        if decision.plan_step == 0:
            candidates += decision.plan.num_candidates
        observation = world.step(decision.action)
        met |= np.asarray(world.succeeded())
    benchmark.add(
        estimate(f"{label}: success", wilson(met).to_json()),
        estimate(f"{label}: success across", wilson(met[across]).to_json(), wanted),
    )
    return float(met[across].mean()), candidates


if __name__ == "__main__":
    main("hierarchy", measure, seeds=3)
