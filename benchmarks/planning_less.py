"""Thinking less: halving, screening by a sketch, and searching the sketch, beside plain CEM.

All draw equally many candidates in equally many rounds, on one model; beside them stand plain CEMs
that draw only as many as screening lets through. Success on held-out tasks, what a search takes of
a thread, what energy it leaves, and how many model steps the world model imagines for it.

Parts can be run by themselves, e.g. ``python benchmarks/planning_less.py --only two_rooms_random``.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from forethought import data, recipes, worlds
from forethought.actor import CEM, Halving, Mixed, Rung, Screened, Sketched
from forethought.agent import Agent
from forethought.evaluation.statistics import wilson
from forethought.learning import OptimiserConfig, SketchTrainingConfig, TrainConfig
from forethought.learning.folder import SUMMARY
from forethought.learning.train import train
from forethought.model import Model
from forethought.types import (
    Imagination,
    Observation,
    Plan,
    Planner,
    PlanningProblem,
    WarmStart,
)
from forethought.world_model import GridPredictorConfig, ResidualMLPConfig, SketchConfig
from harness import Benchmark, Figure, estimate, figure, main

FIRST_TASK = 1_000_000
SHARE = 0.25
"""Of the candidates, those that pass the screen."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """What is compared in one world.

    Attributes:
        world: its name, and its recipe's.
        change: of the recipe.
        sketch: how the world model is sketched.
        search: plain CEM.
        tasks: held-out ones.
        budget: world steps allowed.
        decisions: that are timed.
    """

    world: str
    change: Callable[[TrainConfig], TrainConfig]
    sketch: SketchTrainingConfig
    search: CEM
    tasks: int
    budget: int
    decisions: int = 30

    @property
    def ways(self) -> dict[str, Planner]:
        """Ways to search, by name."""
        few = replace(self.search, num_samples=round(SHARE * self.search.num_samples))
        fewest = replace(self.search, num_samples=few.num_samples // 2)
        screened, sketched = (
            Screened(planner=self.search, share=SHARE),
            Sketched(planner=self.search),
        )
        rungs = (Rung(steps=1, share=0.5), Rung(steps=2, share=0.5))
        return {
            "CEM": self.search,
            "CEM, a quarter of the candidates": few,
            "CEM, an eighth of the candidates": fewest,
            "halving": Halving(planner=self.search, rungs=rungs),
            "a quarter goes on": Halving(planner=self.search, rungs=(Rung(steps=1, share=SHARE),)),
            "screened": screened,
            "screened more narrowly": replace(screened, share=SHARE / 2),
            "screened, then halving": Halving(planner=screened, rungs=rungs),
            "in the sketch alone": sketched,
            "in the sketch first": Mixed(first=sketched, second=replace(few, num_iterations=1)),
        }


def studies() -> list[Study]:
    """A predictor that takes nearly all of a search, and one that shares it with the cost."""
    steps = OptimiserConfig(num_steps=3000, batch_size=64, learning_rate=3e-3)

    def large(run: TrainConfig) -> TrainConfig:
        predictor = ResidualMLPConfig(hidden=(1024, 1024))
        return replace(run, world_model=replace(run.world_model, predictor=predictor))

    return [
        Study(
            world="two_rooms",
            change=large,
            sketch=SketchTrainingConfig(optimiser=steps, horizon=4),
            search=CEM(horizon=4, num_samples=256, num_iterations=3, num_elites=8),
            tasks=100,
            budget=200,
        ),
        Study(
            world="two_rooms_random",
            change=lambda run: run,
            sketch=SketchTrainingConfig(
                sketch=SketchConfig(predictor=GridPredictorConfig(channels=24)),
                optimiser=steps,
                horizon=3,
            ),
            search=CEM(
                horizon=3,
                num_samples=256,
                num_iterations=3,
                num_elites=8,
                shared_noise=0.9,
                held_share=0.25,
            ),
            tasks=50,
            budget=200,
        ),
    ]


def measure(benchmark: Benchmark) -> None:
    """Every world, with the model of each seed."""
    for seed in benchmark.seeds:
        for study in studies():
            benchmark.part(
                f"{study.world}-{seed}",
                lambda _, study=study, seed=seed: compared(
                    f"{study.world}, seed {seed}: ", trained(benchmark, study, seed), study
                ),
            )


def trained(benchmark: Benchmark, study: Study, seed: int) -> Model:
    """The model of all ways, with its sketch."""
    recording = recipes.get(study.world).recording
    assert recording is not None
    folder = benchmark.folder(f"{study.world}-{seed}-model", fresh=False)
    recorded = data.record(
        worlds.make(recording.world, recording.num_worlds),
        folder / "episodes.lance",
        num_episodes=recording.num_episodes,
        episode_length=recording.episode_length,
        resume=True,
    )
    config = study.change(recipes.configure(study.world, recorded.signature, seed=seed))
    model = train(recorded, replace(config, sketch=study.sketch), folder / "run", resume=True)
    benchmark.add(*of_the_sketch(f"{study.world}, seed {seed}: ", folder / "run"))
    return model


def of_the_sketch(prefix: str, run: Path) -> list[Figure]:
    """How near the sketch comes to its model, on held-out episodes."""
    report = json.loads((run / SUMMARY).read_text())["sketch"]
    return [
        figure(f"{prefix}sketch's error over copying, {kind}", report[key], "< 1")
        for kind, key in (
            ("recorded actions", "against_copy"),
            ("random actions", "against_copy_random"),
        )
    ]


# ------------------------------------------------------------------------- acting


@dataclass
class Effort:
    """What searches took.

    Attributes:
        seconds: of the thread, of each search.
        energies: of the plans.
        steps: model steps that the world model has imagined.
    """

    seconds: list[float] = field(default_factory=list)
    energies: list[float] = field(default_factory=list)
    steps: int = 0


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A planner as it is, whose effort is told.

    Attributes:
        planner: the search.
        effort: where it is told.
    """

    planner: Planner
    effort: Effort

    def plan(
        self,
        problem: PlanningProblem,
        *,
        generator: torch.Generator,
        warm_start: WarmStart | None = None,
        deadline_s: float | None = None,
    ) -> Plan:
        """See :class:`forethought.types.Planner`."""

        def imagine(actions: Tensor) -> Imagination:
            self.effort.steps += actions.shape[:3].numel()
            return problem.imagine(actions)

        def go_on(so_far: Imagination, actions: Tensor) -> Imagination:
            assert problem.go_on is not None
            self.effort.steps += actions.shape[:3].numel()
            return problem.go_on(so_far, actions)

        started = time.thread_time()
        plan = self.planner.plan(
            replace(problem, imagine=imagine, go_on=go_on),
            generator=generator,
            warm_start=warm_start,
            deadline_s=deadline_s,
        )
        self.effort.seconds.append(time.thread_time() - started)
        self.effort.energies.append(float(plan.energy.mean()))
        return plan


def compared(prefix: str, model: Model, study: Study) -> list[Figure]:
    """Every way on the same tasks."""
    efforts, figures = side_by_side(model, study), []
    plain = efforts["CEM"]
    for label, planner in study.ways.items():
        effort, name = efforts[label], f"{prefix}{label}: "
        met = act(model, study, planner, range(FIRST_TASK, FIRST_TASK + study.tasks))
        seconds = statistics.median(effort.seconds)
        worse = np.subtract(effort.energies, plain.energies).mean() / np.mean(plain.energies)
        figures += [
            estimate(f"{name}success", wilson(met).to_json()),
            figure(f"{name}search, median", 1e3 * seconds, unit="ms"),
            figure(f"{name}time over CEM's", seconds / statistics.median(plain.seconds)),
            figure(f"{name}energy above CEM's", worse),
            figure(f"{name}model steps over CEM's", effort.steps / plain.steps),
        ]
    return figures


def side_by_side(model: Model, study: Study) -> dict[str, Effort]:
    """What each way takes and finds at the same moments on the way to goals, taken in turns.

    Plain CEM acts. How fast a machine is changes, so that only ratios mean much.
    """
    efforts = {label: Effort() for label in study.ways}
    task, plain = FIRST_TASK, efforts["CEM"]
    while len(plain.seconds) < study.decisions:
        world = worlds.make(study.world, 1)
        observation = world.reset([task])
        agents = {
            label: agent_of(
                model, study, Watched(planner=planner, effort=efforts[label]), world.goal(), 1
            )
            for label, planner in study.ways.items()
        }
        for _ in range(study.budget):
            if bool(world.succeeded()) or len(plain.seconds) == study.decisions:
                break
            seen = observation
            done = {label: agent.act_batch(seen).action for label, agent in agents.items()}
            observation = world.step(done["CEM"])
        task += 1
    return efforts


def act(model: Model, study: Study, planner: Planner, seeds: Sequence[int]) -> np.ndarray:
    """Who met the goal of these tasks."""
    world = worlds.make(study.world, len(seeds))
    observation = world.reset(list(seeds))
    agent = agent_of(model, study, planner, world.goal(), len(seeds))
    met = np.asarray(world.succeeded()).copy()
    for _ in range(study.budget):
        if met.all():
            break
        observation = world.step(agent.act_batch(observation).action)
        met |= np.asarray(world.succeeded())
    return met


def agent_of(
    model: Model, study: Study, planner: Planner, goals: Observation, num_agents: int
) -> Agent:
    """An agent that seeks goals as its recipe says, by another planner."""
    acting = recipes.acting(recipes.get(study.world))
    return replace(acting, planner=planner).agent(model, goals, num_agents)


if __name__ == "__main__":
    main("planning_less", measure)
