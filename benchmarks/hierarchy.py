"""Flat and hierarchical planning on one model, with no more candidates imagined in total.

In two rooms without a critic, where one level looks straight at the wall; and in the maze of 5 x 5
rooms, on layouts that training never saw, with goals at three distances.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from forethought import data, recipes, worlds
from forethought.actor import CEM, Hierarchical
from forethought.agent import Agent
from forethought.cost import goal
from forethought.cost.roadmap import RoadmapGoal, roadmap_goal
from forethought.cost.terms import CostTerm
from forethought.data import Dataset
from forethought.evaluation.statistics import wilson
from forethought.learning import HierarchyTrainingConfig
from forethought.learning.train import train
from forethought.memory import AttemptsConfig
from forethought.model import Model
from forethought.recipes.rooms_maze import map_of_macro_actions
from forethought.types import Observation, Planner
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


FLAT_IN_MAZE = {
    f"flat, horizon {horizon}": CEM(
        horizon=horizon,
        num_samples=64,
        num_iterations=4,
        num_elites=8,
        shared_noise=0.9,
        held_share=0.25,
    )
    for horizon in (8, 16)
}
FLAT_ON_MAP = CEM(
    horizon=3, num_samples=64, num_iterations=2, num_elites=8, shared_noise=0.9, held_share=0.25
)


@dataclass(frozen=True, kw_only=True)
class Way:
    """A way to act.

    Attributes:
        planner: the search.
        cost: from goal observations to what is sought.
        attempts: when a step counts as tried in vain.
    """

    planner: Planner
    cost: Callable[..., CostTerm] = goal
    attempts: AttemptsConfig | None = None


def measure(benchmark: Benchmark) -> None:
    rooms = recorded_in(benchmark, "two_rooms")
    for seed in benchmark.seeds:
        two_rooms(benchmark, rooms, seed)
    maze(benchmark, recorded_in(benchmark, "rooms_maze"), benchmark.seeds[0])


def recorded_in(benchmark: Benchmark, name: str) -> Dataset:
    """The recipe's recording."""
    recording = recipes.get(name).recording
    assert recording is not None
    return data.record(
        worlds.make(recording.world, recording.num_worlds),
        benchmark.folder(f"{name}_data") / "episodes.lance",
        num_episodes=recording.num_episodes,
        episode_length=recording.episode_length,
        resume=benchmark.resume,
    )


# ------------------------------------------------------------------------- two rooms


def two_rooms(benchmark: Benchmark, recorded: Dataset, seed: int) -> None:
    """No critic: both levels go by plain latent distance, which looks through the wall."""
    levels = HierarchyTrainingConfig(
        hierarchy=HierarchyConfig(levels=(LevelConfig(stride=STRIDE),))
    )
    config = replace(
        recipes.configure("two_rooms", recorded.signature, seed=seed),
        critic=None,
        hierarchy=levels,
    )
    out = benchmark.folder(f"seed{seed}") / "run"
    model = train(recorded, config, out, resume=benchmark.resume)
    prefix = f"two_rooms, seed {seed}: "

    def across(label: str, planner: Planner, wanted: str | None = None) -> tuple[float, int]:
        ever, candidates = reach(model, "two_rooms", Way(planner=planner), TASKS, BUDGET)
        benchmark.add(
            estimate(f"{prefix}{label}: success", wilson(ever["all"]).to_json()),
            estimate(f"{prefix}{label}: success across", wilson(ever["across"]).to_json(), wanted),
        )
        return float(ever["across"].mean()), candidates

    flat = [across(name, one) for name, one in FLAT.items()]
    mine = across("two levels", LEVELS, ">= 0.8")
    best = max(share for share, _ in flat)
    benchmark.add(
        figure(prefix + "two levels above the best flat, across", mine[0] - best, ">= 0.3"),
        figure(prefix + "candidates, two levels over flat", mine[1] / flat[0][1], "<= 1"),
    )
    assert model.hierarchy is not None
    for level in model.hierarchy.levels:
        level.config = replace(level.config, reach=FAR_REACH)
    across("two levels, prior ignored", LEVELS)


# ------------------------------------------------------------------------- the maze


def maze(benchmark: Benchmark, recorded: Dataset, seed: int) -> None:
    """Layouts never seen, goals near, middling and far: by the doors on the way."""
    recipe = recipes.get("rooms_maze")
    acting = recipes.acting(recipe)
    config = recipes.configure("rooms_maze", recorded.signature, seed=seed)
    out = benchmark.folder(f"maze{seed}") / "run"
    model = train(recorded, config, out, resume=benchmark.resume)
    ways = {name: Way(planner=planner) for name, planner in FLAT_IN_MAZE.items()}
    ways["flat, on a map"] = Way(planner=FLAT_ON_MAP, cost=roadmap_goal, attempts=acting.attempts)
    ways["two levels"] = Way(
        planner=acting.planner, cost=map_of_macro_actions, attempts=acting.attempts
    )
    ways["two levels, no account of attempts"] = replace(ways["two levels"], attempts=None)
    found: dict[str, tuple[dict[str, np.ndarray], int]] = {}
    tasks, budget = recipe.planning.episodes, recipe.planning.budget
    for label, way in ways.items():
        found[label] = ever, candidates = reach(model, "rooms_maze", way, tasks, budget)
        wanted = {"far": ">= 0.8"} if label == "two levels" else {}
        prefix = f"rooms_maze, seed {seed}: {label}: "
        for band in ("near", "middle", "far"):
            share = wilson(ever[band]).to_json()
            benchmark.add(estimate(f"{prefix}success, {band}", share, wanted.get(band)))
        benchmark.add(figure(f"{prefix}candidates a task", candidates))
    far = {label: float(ever["far"].mean()) for label, (ever, _) in found.items()}
    flat = max(FLAT_IN_MAZE, key=lambda label: far[label])
    prefix = f"rooms_maze, seed {seed}: "
    share = found["two levels"][1] / found[flat][1]
    benchmark.add(
        figure(prefix + "two levels above flat, far", far["two levels"] - far[flat], ">= 0.3"),
        figure(prefix + "candidates, two levels over flat", share, "<= 1"),
    )


# ------------------------------------------------------------------------- acting


def reach(
    model: Model, name: str, way: Way, tasks: int, budget: int
) -> tuple[dict[str, np.ndarray], int]:
    """Who met the goal of held-out tasks, by kind of task, and the candidates imagined for one of
    the last kind, which is the hardest.

    Each kind acts by itself, so that what all have met takes no more time.
    """
    seeds = np.arange(FIRST_TASK, FIRST_TASK + tasks)
    world = worlds.make(name, tasks)
    world.reset(seeds.tolist())
    met, candidates = {}, 0
    for group, mask in world.groups().items():
        met[group], candidates = act(model, name, way, seeds[mask].tolist(), budget)
    return {"all": np.concatenate(list(met.values())), **met}, candidates


def act(model: Model, name: str, way: Way, seeds: list[int], budget: int) -> tuple[np.ndarray, int]:
    """Who met the goal of these tasks, and the candidates imagined for one of them."""
    world = worlds.make(name, len(seeds))
    observation = world.reset(seeds)
    seeking = way.cost(observation=goals_of(world.goal(), model))
    agent = Agent(
        model, cost=seeking, actor=way.planner, num_agents=len(seeds), attempts=way.attempts
    )
    ever, candidates = np.asarray(world.succeeded()).copy(), imagined_for_map(seeking)
    for _ in range(budget):
        if ever.all():
            break
        decision = agent.act_batch(observation)
        if decision.plan is not None and decision.plan_step == 0:
            candidates += decision.plan.num_candidates
        observation = world.step(decision.action)
        ever |= np.asarray(world.succeeded())
    return ever, candidates


def goals_of(goal: Observation, model: Model) -> Observation:
    """What the model perceives of the goal."""
    return {key: goal[key] for key in model.world_model.perception.keys}


def imagined_for_map(seeking: CostTerm) -> int:
    """Steps imagined to make a map, each counted as a candidate; none for other goals."""
    if not isinstance(seeking, RoadmapGoal):
        return 0
    chains = seeking.num_chains * seeking.chain_steps
    return chains + (seeking.num_nodes + 1) * seeking.pushes


if __name__ == "__main__":
    main("hierarchy", measure, seeds=3)
