"""Does an agent that adapts while it acts come back after a sudden change, and forget nothing?

    python benchmarks/adapt.py [--resume] [--only PART]

The recipe's agent of two rooms, with a search fine enough to stay at its goals, acts alone for
2,000 world steps in a world that has changed, one task of 150 world steps after another. Success is
to be at the goal for the last ten world steps of a task; it is measured on tasks that nobody acted
in, with the model as it then is. Afterwards the same agent acts one task in the old world, and is
measured there. Each seed is a training and a life of its own.

The search looks two model steps ahead in five rounds. One that looks four ahead in three rounds
stays at few goals where pushes add up, even with the true world in place of the model (0.65 of 20
tasks with 0.7 of each push left over), and so says nothing about adapting.

A camera that was pushed by (4, 6) pixels no longer shows a dot at the lower and right border. In
the old world a dot is never nearer to the border than two pixels; tasks that start or end nearer
than that to the border of the moved picture are told apart, since their goal cannot be seen. They
count in "all tasks", the comparison with the original is on the others. The life is not so chosen.

Time is that of the thread, by which the agent also keeps its bound: on a machine that does nothing
else it is the time that passes.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from forethought import data, recipes, worlds
from forethought.actor import CEM
from forethought.cost import goal
from forethought.evaluation.statistics import wilson
from forethought.learning.adapting import AdaptingConfig, Anchors, adaptable
from forethought.learning.adapting_agent import AdaptingAgent
from forethought.learning.calibrating import episodes_for
from forethought.model import Model
from forethought.recipes.recipe import Acting
from forethought.worlds.changed import CHANGES, ChangeConfig, Changed
from forethought.worlds.picture import SIZE
from forethought.worlds.two_rooms import FIXED
from harness import Benchmark, Figure, figure, main

LIVED = 2000
BUDGET = 150
HOLD = 10
TASKS = 60
FIRST_TASK, FIRST_LIVED, LIVES = 1_000_000, 500_000, 10_000
SEARCH = CEM(
    horizon=2, num_samples=64, num_iterations=5, num_elites=8, shared_noise=0.9, held_share=0.25
)
OLD = ChangeConfig()
CONFIG = AdaptingConfig()


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What all parts of a seed share: the model, how its agent searches, and what was recorded."""

    seed: int
    model: Model
    acting: Acting
    anchors: Anchors

    @cached_property
    def original(self) -> np.ndarray:
        """In which tasks of the old world goals are kept."""
        return kept(self, self.model, OLD)


def prepared(folder: Path, seed: int) -> Setup:
    """The recipe's model and its held-out recordings; made once."""
    recipe = recipes.get("two_rooms")
    assert recipe.recording is not None and recipe.acting is not None
    recording = data.record(
        worlds.make("two_rooms", recipe.recording.num_worlds),
        folder / "data",
        num_episodes=recipe.recording.num_episodes,
        episode_length=recipe.recording.episode_length,
        resume=True,
        visible=False,
    )
    model = recipes.train(
        recording,
        recipe="two_rooms",
        out=folder / f"run_{seed}",
        seed=seed,
        resume=True,
        visible=False,
    )
    anchors = Anchors.of(adapted(model), episodes_for(model, recording))
    acting = replace(recipe.acting, planner=SEARCH)
    return Setup(seed=seed, model=model, acting=acting, anchors=anchors)


def adapted(model: Model) -> Model:
    return adaptable(model, history=CONFIG.history, rank=CONFIG.rank)


def changed(config: ChangeConfig, num_worlds: int) -> Changed:
    return Changed(worlds.make("two_rooms", num_worlds), config)


def kept(setup: Setup, model: Model, config: ChangeConfig) -> np.ndarray:
    """In which tasks goals are kept at the end, by an agent that does not adapt."""
    world = changed(config, TASKS)
    seen = world.reset(range(FIRST_TASK, FIRST_TASK + TASKS))
    agent = setup.acting.agent(model, world.goal(), TASKS)
    met = []
    for _ in range(BUDGET):
        seen = world.step(agent.act_batch(seen).action)
        met.append(world.succeeded())
    return np.stack(met)[-HOLD:].all(0)


def shown(config: ChangeConfig) -> np.ndarray:
    """In which tasks the camera shows start and goal as wholly as the old one does."""
    world = worlds.make("two_rooms", TASKS)
    world.reset(range(FIRST_TASK, FIRST_TASK + TASKS))
    truths = (world.truth(), world.goal_truth())
    down, right = config.camera
    return np.logical_and.reduce(
        [
            (truth[f"position.{axis}"] + by >= FIXED.margin)
            & (truth[f"position.{axis}"] + by <= SIZE - FIXED.margin)
            for truth in truths
            for axis, by in (("x", right), ("y", down))
        ]
    )


def live(agent: AdaptingAgent, config: ChangeConfig, first: int, steps: int) -> list[float]:
    """One task after another; milliseconds of adapting at each world step."""
    world, taken = changed(config, 1), []
    for step in range(steps):
        if step % BUDGET == 0:
            seen = world.reset([first + step // BUDGET])
            agent.reset()
            agent.seek(goal(observation=dict(world.goal())))
        seen = world.step(agent.act_batch(seen).action)
        assert agent.last is not None
        taken.append(1000 * agent.last.seconds)
    return taken


def measure_change(setup: Setup, name: str, folder: Path) -> Sequence[Figure]:
    """One change: frozen, adapted, and back in the old world."""
    config, first = CHANGES[name], FIRST_LIVED + LIVES * setup.seed
    agent = AdaptingAgent(
        setup.acting.agent(adapted(setup.model), changed(config, 1).goal(), 1),
        setup.anchors,
        CONFIG,
        now=time.thread_time,
    )
    frozen = kept(setup, setup.model, config)
    taken = live(agent, config, first, LIVED)
    agent.save(folder)
    lived = kept(setup, copy.deepcopy(agent.model), config)
    taken += live(agent, OLD, first + 1000, BUDGET)
    back = kept(setup, copy.deepcopy(agent.model), OLD)
    said, tasks = f"{name}, seed {setup.seed}", shown(config)
    rate = partial(_rate, said)
    share = float(lived[tasks].mean() / setup.original[tasks].mean())
    lost = float(100 * (setup.original.mean() - back.mean()))
    p99, bound = float(np.quantile(taken, 0.99)), 1000 * CONFIG.seconds_per_step
    hidden = []
    if not tasks.all():
        hidden = [
            rate("tasks that the camera shows", tasks),
            rate("frozen, all tasks", frozen),
            rate("adapted, all tasks", lived),
        ]
    return [
        rate("original, old world", setup.original[tasks]),
        rate("frozen", frozen[tasks], "< 0.5"),
        rate(f"adapted for {LIVED} world steps", lived[tasks]),
        figure(f"{said}: adapted, share of the original", share, ">= 0.9"),
        *hidden,
        rate("back in the old world", back),
        figure(f"{said}: points lost there", lost, "<= 3"),
        figure(f"{said}: adapting, median", float(np.median(taken)), unit="ms"),
        figure(f"{said}: adapting, p99", p99, f"<= {bound:g}", unit="ms"),
    ]


def _rate(said: str, name: str, met: np.ndarray, goal: str | None = None) -> Figure:
    found = wilson(met)
    return figure(
        f"{said}: {name}", found.value, goal, low=found.low, high=found.high, n=found.episodes
    )


def measure(benchmark: Benchmark) -> None:
    shared = benchmark.folder("shared")
    for seed in benchmark.seeds:
        setup = prepared(shared, seed)
        for name in CHANGES:
            benchmark.part(f"{name}_{seed}", partial(measure_change, setup, name))


if __name__ == "__main__":
    main("adapt", measure, seeds=3)
