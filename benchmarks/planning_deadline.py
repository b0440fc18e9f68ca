"""Whether decisions are in time: a small model and a LeWM-sized one, alone and beside others' work.

Every decision is a search that could go on for ever, so that the deadline ends each. Where other
processes share the processor, some decisions are late because they were interrupted; those that
were not are told apart by the system's count of involuntary switches. Run it with a higher priority
(``nice -n -10``) on a machine that is not idle.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from forethought import data, recipes, worlds
from forethought.actor import CEM
from forethought.agent import Agent
from forethought.cost import goal
from forethought.model import Model
from forethought.recipes import stock
from forethought.types import Observation, PlanStatus
from forethought.world_model.fast import FastConfig
from harness import Benchmark, Figure, figure, main

TOLERANCE_S = 0.002
ENDLESS = 100_000
"""Rounds of a search that only its deadline ends."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """Agents that are given a deadline.

    Attributes:
        name: how figures call it.
        agent: an agent with a deadline.
        observe: what it sees next, after an action; None to begin.
        deadlines_s: to be kept.
        decisions: taken with each of them.
    """

    name: str
    agent: Callable[[float], Agent]
    observe: Callable[[np.ndarray | None], Observation]
    deadlines_s: Sequence[float]
    decisions: int


def measure(benchmark: Benchmark) -> None:
    for case in (_demo(benchmark), _lewm_size()):
        for deadline_s in case.deadlines_s:
            name = f"{case.name}, {1000 * deadline_s:g} ms"
            benchmark.add(*deadline_kept(name, case, deadline_s))
    crowded = replace(_demo(benchmark), deadlines_s=(0.02,), decisions=500)
    with _busy_processes(os.cpu_count() or 1):
        benchmark.add(*deadline_kept("demo, 20 ms, every core busy", crowded, 0.02, goal=None))


def deadline_kept(
    name: str, case: Case, deadline_s: float, goal: str | None = ">= 0.99"
) -> list[Figure]:
    """The share of decisions in time, the first of all included, and what they were made of.

    Args:
        name: how the figures are called.
        case: whose decisions.
        deadline_s: given to the agent.
        goal: of the share in time.
    """
    agent, action = case.agent(deadline_s), None
    late, interrupted, candidates = [], [], []
    for _ in range(case.decisions):
        seen, before = case.observe(action), _interruptions()
        began = time.perf_counter()
        decision = agent.act(seen)
        late.append(time.perf_counter() - began - deadline_s)
        interrupted.append(_interruptions() > before)
        assert decision.plan is not None and decision.plan.status is PlanStatus.OUT_OF_TIME
        candidates.append(decision.plan.num_candidates)
        action = decision.action
    late, undisturbed = np.array(late), ~np.array(interrupted)
    in_time = late <= TOLERANCE_S
    return [
        figure(f"{name}: within deadline + 2 ms", float(in_time.mean()), goal, n=len(late)),
        figure(
            f"{name}: same, where not interrupted",
            float(in_time[undisturbed].mean()) if undisturbed.any() else float("nan"),
            n=int(undisturbed.sum()),
        ),
        figure(f"{name}: late by, p99", 1000 * np.quantile(late, 0.99), unit="ms"),
        figure(f"{name}: first decision late by", 1000 * late[0], unit="ms"),
        figure(f"{name}: time used, median", 1 + np.median(late) / deadline_s),
        figure(f"{name}: candidates, median", np.median(candidates)),
    ]


def _interruptions() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


@contextmanager
def _busy_processes(count: int) -> Iterator[None]:
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


# ------------------------------------------------------------------------------- cases


def _demo(benchmark: Benchmark) -> Case:
    """What the demo trains, in its world, searching at every step."""
    model = _demo_model(benchmark.folder("demo", fresh=False))
    world = worlds.make("two_rooms", 1)
    world.reset([0])
    planner = CEM(horizon=4, num_samples=64, num_iterations=ENDLESS, num_elites=8)
    cost = goal(observation=world.goal())
    return Case(
        name="demo",
        agent=lambda deadline_s: Agent(
            model, cost=cost, actor=planner, replan_every=1, deadline_s=deadline_s
        ),
        observe=lambda action: _first(world.observe() if action is None else world.step(action)),
        deadlines_s=(0.002, 0.005, 0.02),
        decisions=2000,
    )


def _demo_model(folder: Path) -> Model:
    if (folder / "run" / "train.json").exists():
        return Model.from_pretrained(folder / "run")
    recording = recipes.get("two_rooms").recording
    assert recording is not None
    recorded = data.record(
        worlds.make("two_rooms", recording.num_worlds),
        folder / "data",
        num_episodes=recording.num_episodes,
        episode_length=recording.episode_length,
        resume=True,
        visible=False,
    )
    return recipes.train(
        recorded, recipe="two_rooms", out=folder / "run", resume=True, visible=False
    )


def _first(observation: Observation) -> Observation:
    return {key: value[0] for key, value in observation.items()}


def _lewm_size() -> Case:
    """LeWorldModel's sizes with random weights, the search of its paper, and fast units: as it was
    trained, perceiving alone may take a tenth of a second."""
    model = stock.get("lewm").build()
    draw = np.random.default_rng(0)

    def picture() -> np.ndarray:
        return draw.integers(0, 256, (224, 224, 3), dtype=np.uint8)

    planner = CEM(horizon=5, num_samples=300, num_iterations=ENDLESS, num_elites=30)
    cost = goal(image=picture())
    return Case(
        name="LeWM size",
        agent=lambda deadline_s: Agent(
            model,
            cost=cost,
            actor=planner,
            replan_every=1,
            deadline_s=deadline_s,
            fast=FastConfig(),
        ),
        observe=lambda _: {stock.CAMERA: picture()},
        deadlines_s=(0.1, 0.5),
        decisions=200,
    )


if __name__ == "__main__":
    main("planning_deadline", measure)
