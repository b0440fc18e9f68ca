"""Does an agent that adapts while it acts come back after a sudden change, and forget nothing?

    python benchmarks/adapt.py [--resume] [--only PART]

The recipe's agent of two rooms, with a search fine enough to stay at its goals, acts alone for
2,000 world steps in a world that has changed, one task of 150 world steps after another. Success is
to be at the goal for the last ten world steps of a task; it is measured on tasks that nobody acted
in, with the model as it then is. Afterwards the same agent acts one task in the old world, and is
measured there.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from forethought import data, recipes, worlds
from forethought.actor import CEM
from forethought.cost import goal
from forethought.evaluation.statistics import Estimate, wilson
from forethought.learning.adapting import AdaptingConfig, Anchors, adaptable
from forethought.learning.adapting_agent import AdaptingAgent
from forethought.learning.calibrating import episodes_for
from forethought.model import Model
from forethought.recipes.recipe import Acting
from forethought.types import World
from forethought.worlds.changed import ChangeConfig, Changed
from harness import WORK, Benchmark, Figure, figure, main

LIVED = 2000
BUDGET = 150
HOLD = 10
TASKS = 100
FIRST_TASK, FIRST_LIVED = 1_000_000, 500_000
SEARCH = CEM(
    horizon=4, num_samples=64, num_iterations=3, num_elites=8, shared_noise=0.9, held_share=0.25
)
CHANGES = {
    "flip": ChangeConfig(flipped=(1,)),
    "gain": ChangeConfig(gain=-1.5),
    "friction": ChangeConfig(sliding=0.7),
    "camera": ChangeConfig(camera=(4, 6)),
}
CONFIG = AdaptingConfig()


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What all parts share: the model, how its agent searches, and what was recorded."""

    model: Model
    acting: Acting
    anchors: Anchors


def prepared() -> Setup:
    """The recipe's model and its held-out recordings; made once."""
    recipe, folder = recipes.get("two_rooms"), WORK / "adapt" / "shared"
    folder.mkdir(parents=True, exist_ok=True)
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
        recording, recipe="two_rooms", out=folder / "run", resume=True, visible=False
    )
    anchors = Anchors.of(adapted(model), episodes_for(model, recording))
    return Setup(model=model, acting=replace(recipe.acting, planner=SEARCH), anchors=anchors)


def adapted(model: Model) -> Model:
    return adaptable(model, history=CONFIG.history, rank=CONFIG.rank)


def changed(config: ChangeConfig, num_worlds: int) -> World:
    return Changed(worlds.make("two_rooms", num_worlds), config)


def success(setup: Setup, model: Model, config: ChangeConfig) -> Estimate:
    """Whether goals are kept at the end, of an agent that does not adapt."""
    world = changed(config, TASKS)
    seen = world.reset(range(FIRST_TASK, FIRST_TASK + TASKS))
    agent = setup.acting.agent(model, world.goal(), TASKS)
    met = []
    for _ in range(BUDGET):
        seen = world.step(agent.act_batch(seen).action)
        met.append(world.succeeded())
    return wilson(np.stack(met)[-HOLD:].all(0))


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
    config, old = CHANGES[name], ChangeConfig()
    world = changed(config, 1)
    agent = AdaptingAgent(
        setup.acting.agent(adapted(setup.model), world.goal(), 1), setup.anchors, CONFIG
    )
    original = success(setup, setup.model, old)
    frozen = success(setup, setup.model, config)
    taken = live(agent, config, FIRST_LIVED, LIVED)
    agent.save(folder)
    lived = success(setup, copy.deepcopy(agent.model), config)
    taken += live(agent, old, FIRST_LIVED + 1000, BUDGET)
    back = success(setup, copy.deepcopy(agent.model), old)
    rate = partial(_rate, name)
    bound = 1000 * CONFIG.seconds_per_step
    return [
        rate("original, old world", original),
        rate("frozen", frozen, "< 0.5"),
        rate(f"adapted for {LIVED} world steps", lived),
        figure(f"{name}: adapted, share of the original", lived.value / original.value, ">= 0.9"),
        rate("back in the old world", back),
        figure(f"{name}: points lost there", 100 * (original.value - back.value), "<= 3"),
        figure(f"{name}: adapting, median", float(np.median(taken)), unit="ms"),
        figure(
            f"{name}: adapting, p99", float(np.quantile(taken, 0.99)), f"<= {bound:g}", unit="ms"
        ),
    ]


def _rate(change: str, name: str, found: Estimate, goal: str | None = None) -> Figure:
    return figure(
        f"{change}: {name}", found.value, goal, low=found.low, high=found.high, n=found.episodes
    )


def measure(benchmark: Benchmark) -> None:
    setup = prepared()
    for name in CHANGES:
        benchmark.part(name, partial(measure_change, setup, name))


if __name__ == "__main__":
    main("adapt", measure)
