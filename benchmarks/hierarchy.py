"""Flat and hierarchical planning on one model, with no more candidates imagined in total.

In two rooms without a critic, where one level looks straight at the wall; and in the maze of 5 x 5
rooms, on layouts that training never saw, with goals at three distances.

Parts can be run by themselves, e.g. ``python benchmarks/hierarchy.py --resume --only rooms_maze``.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from torch import Tensor

from forethought import data, recipes, worlds
from forethought.actor import CEM, Hierarchical
from forethought.agent import Agent
from forethought.cost import goal
from forethought.cost.terms import BoundTerm, CostTerm, Sight
from forethought.evaluation.statistics import wilson
from forethought.learning import HierarchyTrainingConfig, TrainConfig
from forethought.learning.folder import SUMMARY
from forethought.learning.train import train
from forethought.memory import AttemptsConfig
from forethought.model import Model
from forethought.recipes.rooms_maze import maze_map
from forethought.types import Observation, Planner
from forethought.world_model import HierarchyConfig, LevelConfig
from harness import WORK, Benchmark, Figure, estimate, figure, main

FIRST_TASK = 1_000_000
FAR_REACH = 8.0
"""Deviations from the prior's mean at which a macro-action is none that was ever inferred."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """A way to act.

    Attributes:
        planner: the search.
        cost: from goal observations to what is sought.
        attempts: when a step counts as tried in vain.
        heeds_prior: whether macro-actions are kept near those that were ever inferred.
    """

    planner: Planner
    cost: Callable[..., CostTerm] = goal
    attempts: AttemptsConfig | None = None
    heeds_prior: bool = True


@dataclass(frozen=True, kw_only=True)
class Study:
    """What is compared in one world.

    Attributes:
        world: its name, and its recipe's.
        change: of the recipe.
        ways: by name; those called ``flat ...`` are the rivals of ``two levels``.
        kinds: of tasks, the hardest last.
        tasks: of all kinds together.
        budget: world steps allowed.
        at_once: tasks that act together, until all of them have met their goals or the budget is
            spent.
    """

    world: str
    change: Callable[[TrainConfig], TrainConfig]
    ways: dict[str, Way]
    kinds: tuple[str, ...]
    tasks: int
    budget: int
    at_once: int


def two_rooms() -> Study:
    """No critic: both levels go by plain latent distance, which looks through the wall."""
    stride = 4

    def with_a_level(run: TrainConfig) -> TrainConfig:
        levels = HierarchyConfig(levels=(LevelConfig(stride=stride),))
        return replace(run, critic=None, hierarchy=HierarchyTrainingConfig(hierarchy=levels))

    flat = {
        f"flat, horizon {horizon}": Way(
            planner=CEM(horizon=horizon, num_samples=96, num_iterations=3, num_elites=8)
        )
        for horizon in (4, 8, 16)
    }
    levels = Way(
        planner=Hierarchical(
            upper=CEM(horizon=6, num_samples=64, num_iterations=3, num_elites=8),
            lower=CEM(horizon=stride, num_samples=48, num_iterations=2, num_elites=6),
        )
    )
    ignorant = replace(levels, heeds_prior=False)
    return Study(
        world="two_rooms",
        change=with_a_level,
        ways={**flat, "two levels": levels, "two levels, prior ignored": ignorant},
        kinds=("same", "across"),
        tasks=200,
        budget=200,
        at_once=100,
    )


def rooms_maze() -> Study:
    """Layouts never seen, goals near, middling and far: by the doors on the way."""
    recipe = recipes.get("rooms_maze")
    acting = recipes.acting(recipe)
    straight = Way(
        planner=CEM(
            horizon=8,
            num_samples=64,
            num_iterations=3,
            num_elites=8,
            shared_noise=0.9,
            held_share=0.25,
        )
    )
    assert isinstance(acting.planner, Hierarchical)
    levels = Way(planner=acting.planner, cost=maze_map, attempts=acting.attempts)
    single = Way(planner=acting.planner.lower, cost=maze_map, attempts=acting.attempts)
    return Study(
        world="rooms_maze",
        change=lambda run: run,
        ways={
            "two levels": levels,
            "flat, horizon 8": straight,
            "one level, on a map of its own": single,
        },
        kinds=("near", "middle", "far"),
        tasks=recipe.planning.episodes,
        budget=recipe.planning.budget,
        at_once=3,
    )


def measure(benchmark: Benchmark) -> None:
    for seed in benchmark.seeds:
        compare(benchmark, two_rooms(), seed)
    compare(benchmark, rooms_maze(), benchmark.seeds[0])


def compare(benchmark: Benchmark, study: Study, seed: int) -> None:
    """Every way to act on one model."""
    prefix = f"{study.world}, seed {seed}: "
    parts = f"{study.world}/{seed}-"
    if parts.startswith(benchmark.only) or benchmark.only.startswith(parts):
        benchmark.folder(f"{parts}model")
    for label, way in study.ways.items():
        benchmark.part(
            f"{study.world}/{seed}-{label}",
            lambda _, label=label, way=way: reached(
                f"{prefix}{label}: ", trained(benchmark, study, seed), study, way
            ),
        )
    benchmark.add(*against_flat(benchmark, study, prefix), *effort(benchmark, study, seed))


def against_flat(benchmark: Benchmark, study: Study, prefix: str) -> list[Figure]:
    """Two levels and the flat way that does best, where the tasks are hardest."""
    found = {one.name: one.value for one in benchmark.figures}
    hardest = study.kinds[-1]

    def told(label: str, what: str) -> float:
        return found[f"{prefix}{label}: {what}, {hardest}"]

    flat = [label for label in study.ways if label.startswith("flat")]
    if any(f"{prefix}{label}: success, {hardest}" not in found for label in ("two levels", *flat)):
        return []  # Parts of it have been left out.
    best = max(flat, key=lambda label: told(label, "success"))
    above = told("two levels", "success") - told(best, "success")
    share = told("two levels", "candidates a task") / told(best, "candidates a task")
    return [
        figure(f"{prefix}two levels above the best flat, {hardest}", above, ">= 0.3"),
        figure(f"{prefix}candidates, two levels over the best flat, {hardest}", share, "<= 1"),
    ]


def effort(benchmark: Benchmark, study: Study, seed: int) -> list[Figure]:
    """What training took."""
    summary = WORK / benchmark.name / study.world / f"{seed}-model" / "run" / SUMMARY
    if not summary.exists():
        return []
    seconds = json.loads(summary.read_text())["train_seconds"]
    return [figure(f"{study.world}, seed {seed}: training", seconds, unit="s")]


def trained(benchmark: Benchmark, study: Study, seed: int) -> Model:
    """The model of all ways: trained for the first of them, as it is for the others."""
    recording = recipes.get(study.world).recording
    assert recording is not None
    folder = benchmark.folder(f"{study.world}/{seed}-model", fresh=False)
    recorded = data.record(
        worlds.make(recording.world, recording.num_worlds),
        folder / "episodes.lance",
        num_episodes=recording.num_episodes,
        episode_length=recording.episode_length,
        resume=True,
    )
    config = study.change(recipes.configure(study.world, recorded.signature, seed=seed))
    return train(recorded, config, folder / "run", resume=True)


# ------------------------------------------------------------------------- acting


@dataclass
class Tally:
    """What was imagined for tasks: candidates of searches, and single steps for maps."""

    candidates: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Tallied(CostTerm):
    """A goal as it is; each step that it imagines itself, as maps do, counts as a candidate.

    Attributes:
        term: the goal.
        tally: where steps are counted.
    """

    term: CostTerm
    tally: Tally

    seeks_goal: ClassVar[bool] = True

    def bind(self, sight: Sight) -> BoundTerm:
        """See :class:`forethought.cost.terms.CostTerm`."""

        def push(latents: Tensor, units: Tensor) -> Tensor:
            self.tally.candidates += len(units)
            return sight.push(latents, units)

        return self.term.bind(replace(sight, push=push))


def reached(prefix: str, model: Model, study: Study, way: Way) -> list[Figure]:
    """How often held-out tasks are met, and the candidates imagined for one until it is.

    What is imagined for a task while it waits for others counts as well.
    """
    figures = []
    seeds = tasks_of(study)
    for kind in study.kinds:
        met, tally = [], Tally()
        for start in range(0, len(seeds[kind]), study.at_once):
            some = seeds[kind][start : start + study.at_once]
            met.append(act(model, study, way, some, tally))
        wanted = kind == study.kinds[-1] and prefix.endswith("two levels: ")
        share = wilson(np.concatenate(met)).to_json()
        figures += [
            estimate(f"{prefix}success, {kind}", share, ">= 0.8" if wanted else None),
            figure(f"{prefix}candidates a task, {kind}", tally.candidates / len(seeds[kind])),
        ]
    return figures


def act(model: Model, study: Study, way: Way, seeds: Sequence[int], tally: Tally) -> np.ndarray:
    """Who met the goal of these tasks; what is imagined is added to the tally."""
    world = worlds.make(study.world, len(seeds))
    observation = world.reset(seeds)
    sought = way.cost(observation=goals_of(world.goal(), model))
    agent = Agent(
        model if way.heeds_prior else ignoring_prior(model),
        cost=Tallied(name="goal", term=sought, tally=tally),
        actor=way.planner,
        num_agents=len(seeds),
        attempts=way.attempts,
    )
    met = np.asarray(world.succeeded()).copy()
    for _ in range(study.budget):
        if met.all():
            break
        decision = agent.act_batch(observation)
        if decision.plan is not None and decision.plan_step == 0:
            tally.candidates += decision.plan.num_candidates * len(seeds)
        observation = world.step(decision.action)
        met |= np.asarray(world.succeeded())
    return met


def goals_of(goal: Observation, model: Model) -> Observation:
    """What the model perceives of the goal."""
    return {key: goal[key] for key in model.world_model.perception.keys}


def tasks_of(study: Study) -> dict[str, list[int]]:
    """Seeds of held-out tasks by their kind."""
    seeds = np.arange(FIRST_TASK, FIRST_TASK + study.tasks)
    world = worlds.make(study.world, study.tasks)
    world.reset(seeds.tolist())
    return {kind: seeds[mask].tolist() for kind, mask in world.groups().items()}


def ignoring_prior(model: Model) -> Model:
    """The model with levels that try macro-actions far from any that was ever inferred."""
    free = copy.deepcopy(model)
    assert free.hierarchy is not None
    for level in free.hierarchy.levels:
        level.config = replace(level.config, reach=FAR_REACH)
    return free


if __name__ == "__main__":
    main("hierarchy", measure, seeds=3)
