"""What a joint-embedding model is tested against, on one recording and the same tasks.

World models that are taught by drawing the future or by writing it token by token, and policies
that imagine nothing: each trained as well as it can be in a few minutes on one core.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from forethought import data, recipes, worlds
from forethought.baselines.cloning import CloningConfig
from forethought.baselines.frame_transformer import token_run
from forethought.baselines.iql import IQLConfig
from forethought.baselines.pixels import drawing_run
from forethought.baselines.policies import GoalPolicyConfig
from forethought.baselines.policy_training import train_policy
from forethought.data import Dataset
from forethought.evaluation.planning import MakeAgent, Outcome, PlanningResults, evaluate
from forethought.learning import TrainConfig
from forethought.learning.train import CollapseWarning, train
from forethought.model import Model
from forethought.types import Decision
from harness import Benchmark, Figure, estimate, figure, main
from rollouts import PLACE, rollout_distances

HORIZONS = (1, 5, 10, 20)
TASKS = 100
FEWER_TASKS = 25
"""Of a model that takes a good part of a second for each decision; the first of the others'."""
EPISODE_LENGTH = 126
"""Rows of an episode: twenty model steps of five, and the one they begin at."""


def with_steps(run: TrainConfig, num_steps: int) -> TrainConfig:
    """The same run with so many steps of pretraining."""
    optimiser = replace(run.objective.optimiser, num_steps=num_steps)
    return replace(run, objective=replace(run.objective, optimiser=optimiser))


WORLD_MODELS: dict[str, tuple[Callable[[TrainConfig], TrainConfig], int]] = {
    "JEPA": (lambda run: run, TASKS),
    "JEPA, as many steps as pixels": (
        lambda run: with_steps(run, drawing_run(run).objective.optimiser.num_steps),
        TASKS,
    ),
    "pixels, as many steps as JEPA": (
        lambda run: drawing_run(run, num_steps=run.objective.optimiser.num_steps),
        TASKS,
    ),
    "pixels": (drawing_run, TASKS),
    "pixels and latent dynamics": (lambda run: drawing_run(run, dynamics=1.0), TASKS),
    "tokens": (token_run, FEWER_TASKS),
}
"""How each run differs from the recipe, and on how many tasks it plans."""


def measure(benchmark: Benchmark) -> None:
    warnings.simplefilter("ignore", CollapseWarning)
    recording = recipes.get("two_rooms").recording
    assert recording is not None
    recorded = data.record(
        worlds.make("two_rooms", recording.num_worlds),
        benchmark.folder("data") / "rooms.lance",
        num_episodes=recording.num_episodes,
        episode_length=EPISODE_LENGTH,
        resume=benchmark.resume,
    )
    for seed in benchmark.seeds:
        run = recipes.configure("two_rooms", recorded.signature, seed=seed)
        prefix = f"two_rooms, seed {seed}, "
        for name, (change, tasks) in WORLD_MODELS.items():
            measured_here = partial(world_model, prefix + name, recorded, change(run), tasks)
            benchmark.part(label(seed, name), measured_here)
        for name, kind in POLICIES.items():
            benchmark.part(label(seed, name), partial(policy, prefix + name, recorded, run, kind))
        benchmark.part(label(seed, "bounds"), partial(bounds, prefix))


def label(seed: int, name: str) -> str:
    """Name of a part, as ``--only`` takes it and as its folder is called."""
    return f"{seed}-{name.replace(',', '').replace(' ', '-')}"


# ------------------------------------------------------------------------- world models


def world_model(
    name: str, recorded: Dataset, run: TrainConfig, tasks: int, folder: Path
) -> list[Figure]:
    """Trains a world model, and measures what it keeps, foresees and reaches."""
    model = train(recorded, run, folder / "run")
    summary = json.loads((folder / "run" / "train.json").read_text())
    health, probes = summary["diagnostics"], summary["probes"]
    columns = [probes["names"].index(one) for one in PLACE]
    found = [figure(f"{name}: training", summary["train_seconds"], unit="s")]
    for kind in ("linear", "mlp"):
        read = float(np.mean([probes[f"{kind}_r2"][column] for column in columns]))
        found.append(figure(f"{name}: R2 of the place, {kind} probe", read))
    found += [
        figure(f"{name}: effective rank", health["effective_rank"]),
        figure(f"{name}: symptoms of collapse", len(health["findings"])),
    ]
    for horizon, off in rollout_distances(model, recorded, HORIZONS).items():
        found += [
            figure(f"{name}: off after {horizon} blocks", float(off.median()), unit="px"),
            figure(f"{name}: off after {horizon} blocks, mean", float(off.mean()), unit="px"),
        ]
    return found + reached(name, planned(model, tasks))


def planned(model: Model, tasks: int) -> PlanningResults:
    """How an agent of the recipe plans with a model."""
    acting = recipes.acting(recipes.get("two_rooms"))
    return measured(lambda goals, count: acting.agent(model, goals, count), tasks)


# ------------------------------------------------------------------------- policies


POLICIES: dict[str, type[CloningConfig] | type[IQLConfig]] = {
    "cloning": CloningConfig,
    "IQL": IQLConfig,
}
"""How each policy learns."""


def of_recipe(run: TrainConfig) -> GoalPolicyConfig:
    """A policy that sees and acts as a model of the run does."""
    return GoalPolicyConfig(
        perception=run.world_model.perception, action_block=run.world_model.action_block
    )


def policy(
    name: str,
    recorded: Dataset,
    run: TrainConfig,
    kind: type[CloningConfig] | type[IQLConfig],
    folder: Path,
) -> list[Figure]:
    """Trains a policy with the encoder of the recipe, and measures what it reaches."""
    config = kind(policy=of_recipe(run), seed=run.seed)
    trained = train_policy(recorded, config, folder / "run")
    seconds = float(trained.notes["train_seconds"])
    results = measured(lambda goals, count: trained.seeking(goals), TASKS)
    return [figure(f"{name}: training", seconds, unit="s"), *reached(name, results)]


# ------------------------------------------------------------------------- what is measured


def measured(make_agent: MakeAgent, tasks: int) -> PlanningResults:
    """An agent on the first of the held-out tasks."""
    protocol = replace(
        recipes.get("two_rooms").planning, episodes=tasks, traces=0, latency_decisions=20
    )
    return evaluate(
        make_agent, lambda count: worlds.make("two_rooms", count), protocol, visible=False
    )


def reached(name: str, results: PlanningResults) -> list[Figure]:
    """Success of an agent, and what a decision takes it."""
    return [
        *success(name, results.agent),
        figure(f"{name}: decision", results.decision_ms["median"], unit="ms"),
    ]


class Idle:
    """Does nothing, so that floor and ceiling are all that is measured."""

    def __init__(self, num_agents: int) -> None:
        self.num_agents = num_agents

    def act_batch(self, observation: Mapping[str, Any]) -> Decision:
        """No step."""
        return Decision(
            action=np.zeros((self.num_agents, 2), np.float32),
            mode=1,
            plan=None,
            plan_step=0,
            surprise=np.full(self.num_agents, np.nan, np.float32),
            shielded=np.zeros(self.num_agents, bool),
            seconds=0.0,
        )


def bounds(prefix: str, _: Path) -> list[Figure]:
    """What random actions and the oracle reach on the tasks of all the others."""
    results = measured(lambda goals, count: Idle(count), TASKS)
    return [
        *success(prefix + "random actions", results.floor),
        *success(prefix + "oracle", results.ceiling),
    ]


def success(name: str, outcome: Outcome) -> list[Figure]:
    """Success at any time, on all tasks and on those across rooms."""
    return [
        estimate(f"{name}: success", outcome.ever.to_json()),
        estimate(f"{name}: success across", outcome.groups["across"][0].to_json()),
    ]


if __name__ == "__main__":
    main("baselines", measure)
