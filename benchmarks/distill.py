"""Does a policy that answers at once keep what the search attains, and for how much of its time?

Mode 2 searches as the recipe says; Mode 1 is the policy distilled from it, with no search at all;
the gated agent answers by reflex where the policy's members agree and the world does as expected.
All three on the same held-out tasks.

A decision is an action that leaves the agent, one for every world step. It includes perception
where the agent looks; on the steps between, a plan or a chunk of reflexes goes on. Its usual time
over all world steps is what the goals are set on. Two further ratios say where time goes: of the
steps on which the agent looks and decides, perception included, and of thinking alone (the search;
the policy's answer), which is what the mode adds after perception. Where a search takes little more
time than perceiving, as in the two rooms, only the last can come to a twentieth while Mode 1 looks
as often as Mode 2; so Mode 1 looks less often there, and acts out several model steps at once.

Times are of one thread, in its own processor time, so that other work on the machine counts little.
The gated agents act one by one, since of several in lockstep all look again when one deliberates.

Parts can be run by themselves: ``python benchmarks/distill.py --resume --only two_rooms/``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from forethought import recipes, worlds
from forethought.actor import Gate, GateConfig
from forethought.agent import Agent
from forethought.evaluation.statistics import wilson
from forethought.learning.distilling import distill
from forethought.model import Model
from forethought.types import Plan, PlanningProblem, WarmStart
from guarded_worlds import trained
from harness import WORK, Benchmark, Figure, estimate, figure, main

FIRST_TASK = 1_000_000
TIMED_STEPS, LEFT_OUT = 400, 10
SHARE = 0.98
"""Of what was met in distillation, that the gate lets pass."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A world, and how it is acted in.

    Attributes:
        episodes: held-out tasks.
        chunk: model steps of reflexes that are acted out at once, in Mode 1 and through the gate.
    """

    episodes: int
    chunk: int


SUBJECTS = {
    "two_rooms": Subject(episodes=200, chunk=2),
    "reacher": Subject(episodes=100, chunk=1),
    "two_rooms_random": Subject(episodes=100, chunk=1),
}


def measure(benchmark: Benchmark) -> None:
    for seed in benchmark.seeds:
        for name in SUBJECTS:
            benchmark.part(f"{name}/seed{seed}", lambda _, n=name, s=seed: world(n, s))


def world(name: str, seed: int) -> Sequence[Figure]:
    subject, prefix = SUBJECTS[name], f"{name}, seed {seed}: "
    recipe = recipes.get(name)
    acting, model = recipes.acting(recipe), trained(name, seed)
    out = WORK / "distilled" / name / f"run{seed}"
    whole = distill(
        model,
        acting.agent,
        lambda count: worlds.make(name, count),
        out,
        name=name,
        config=recipe.distilling,
        resume=True,
        visible=False,
    )
    assert whole.policy is not None
    ways: dict[str, Gate | None] = {
        "Mode 2": None,
        "Mode 1": GateConfig.reflexes_only(chunk=subject.chunk),
        "gated": whole.policy.gate(SHARE, chunk=subject.chunk),
    }
    return [
        *rounds(prefix, out),
        *compared(prefix, {n: success(name, whole, gate) for n, gate in ways.items()}),
        *timed(prefix, {n: Times.of(name, whole, gate) for n, gate in ways.items()}),
    ]


def rounds(prefix: str, out: Path) -> list[Figure]:
    """How near the policy comes to the searches on tasks that it was not taught."""
    summary = json.loads((out / "train.json").read_text())["distilled"]
    last = summary["rounds"][-1]
    return [
        figure(prefix + "decisions searched", sum(r["decisions"] for r in summary["rounds"])),
        figure(prefix + "held-out error over the mean's", last["error"] / last["of_the_mean"]),
        figure(prefix + "learning", sum(summary["seconds"].values()), unit="s"),
    ]


# ------------------------------------------------------------------------------- success


def success(name: str, model: Model, gate: Gate | None) -> tuple[dict[str, float], float]:
    """The rate that the recipe's protocol counts, and the share of actions by reflex."""
    scene = worlds.make(name, SUBJECTS[name].episodes)
    seeds = unsolved(scene, SUBJECTS[name].episodes)
    mixed = gate is not None and gate.deliberates
    groups = [[seed] for seed in seeds] if mixed else [seeds]
    found = [played(name, model, gate, group) for group in groups]
    met, reflexes = (np.concatenate(part) for part in zip(*found, strict=True))
    return wilson(met).to_json(), float(reflexes.mean())


def played(
    name: str, model: Model, gate: Gate | None, seeds: list[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Whether each task was met, and the modes of all actions."""
    recipe = recipes.get(name)
    protocol, acting = recipe.planning, recipes.acting(recipe)
    scene = worlds.make(name, len(seeds))
    seen = scene.reset(seeds)
    agent = acting.agent(model, scene.goal(), len(seeds), gate=gate)
    flags, reflexes = [], []
    for _ in range(protocol.budget):
        decision = agent.act_batch(seen)
        reflexes.append(np.full(len(seeds), decision.mode == 1))
        seen = scene.step(decision.action)
        flags.append(scene.succeeded())
        if protocol.hold == 1 and np.array(flags).any(0).all():
            break
    held = np.array(flags)
    met = held[-protocol.hold :].all(0) if protocol.hold > 1 else held.any(0)
    return met, np.concatenate(reflexes)


def unsolved(scene, count: int) -> list[int]:
    """Tasks whose start is not their goal."""
    found: list[int] = []
    first = FIRST_TASK
    while len(found) < count:
        candidates = range(first, first + count)
        scene.reset(candidates)
        found += [s for s, solved in zip(candidates, scene.succeeded(), strict=True) if not solved]
        first += count
    return found[:count]


def compared(prefix: str, found: dict[str, tuple[dict[str, float], float]]) -> list[Figure]:
    """Success by mode, and against Mode 2."""
    searched = found["Mode 2"][0]["value"]
    reflexes = found["Mode 1"][0]["value"]
    return [
        estimate(prefix + "success, Mode 2", found["Mode 2"][0]),
        estimate(prefix + "success, Mode 1", found["Mode 1"][0]),
        figure(
            prefix + "success, Mode 1 over Mode 2",
            reflexes / searched if searched else float("nan"),
            ">= 0.95",
        ),
        estimate(
            prefix + "success, gated", found["gated"][0], f">= {searched:g} within the interval"
        ),
        figure(prefix + "decisions by reflex, gated", found["gated"][1]),
    ]


# ------------------------------------------------------------------------------- time


@dataclass
class Timed:
    """A planner whose searches are timed; a :class:`forethought.types.Planner`."""

    planner: object
    seconds: list[float] = field(default_factory=list)

    def plan(
        self,
        problem: PlanningProblem,
        *,
        generator: torch.Generator,
        warm_start: WarmStart | None = None,
        deadline_s: float | None = None,
    ) -> Plan:
        """See the class."""
        began = time.thread_time()
        plan = self.planner.plan(  # type: ignore[attr-defined]
            problem, generator=generator, warm_start=warm_start, deadline_s=deadline_s
        )
        self.seconds.append(time.thread_time() - began)
        return plan


@dataclass(frozen=True, kw_only=True)
class Times:
    """Processor time of one agent, in milliseconds.

    Attributes:
        step: of a decision: the medians of each kind (looking or not, by reflex or search), in the
            proportions in which they came.
        looking: median over the steps on which it perceives and decides.
        thinking: median of what it does then after perceiving: the search, or the policy's answer.
    """

    step: float
    looking: float
    thinking: float

    @classmethod
    def of(cls, name: str, model: Model, gate: Gate | None) -> Times:
        """Of an agent that seeks one held-out goal after another."""
        recipe = recipes.get(name)
        acting, scene = recipes.acting(recipe), worlds.make(name, 1)
        planner = Timed(acting.planner)
        steps: list[tuple[float, tuple[bool, int]]] = []
        task = FIRST_TASK
        while len(steps) < TIMED_STEPS:
            seen = scene.reset([task])
            agent = replaced(acting.agent(model, scene.goal(), 1, gate=gate), planner)
            episode = []
            for _ in range(recipe.planning.budget):
                one = {key: value[0] for key, value in seen.items()}
                began = time.thread_time()
                decision = agent.act(one)
                kind = (decision.plan_step == 0, decision.mode)
                episode.append((time.thread_time() - began, kind))
                seen = scene.step(decision.action[None])
            # The first steps of an episode draw a map, or meet what they call for the first time.
            steps += episode[LEFT_OUT:]
            task += 1
        thinking = planner.seconds if gate is None else answers(model)
        return cls(
            step=1000 * by_kind(steps),
            looking=1000 * float(np.median([s for s, (looked, _) in steps if looked])),
            thinking=1000 * float(np.median(thinking)),
        )


def by_kind(steps: Sequence[tuple[float, tuple[bool, int]]]) -> float:
    """The median of each kind, in the proportions in which they came."""
    kinds = {kind for _, kind in steps}
    of_kind = [[seconds for seconds, other in steps if other == kind] for kind in kinds]
    return sum(len(one) * float(np.median(one)) for one in of_kind) / len(steps)


def replaced(agent: Agent, planner: Timed) -> Agent:
    agent.actor = planner
    return agent


def answers(model: Model) -> list[float]:
    """Seconds of the policy's answers to one agent."""
    world_model = model.world_model
    latents = torch.randn(1, world_model.num_tokens, world_model.width)
    return [taken(lambda: model.policy.answer(latents, latents)) for _ in range(300)]


def taken(call: Callable[[], object]) -> float:
    began = time.thread_time()
    call()
    return time.thread_time() - began


def timed(prefix: str, found: dict[str, Times]) -> list[Figure]:
    """Times by mode, and against Mode 2."""
    search = found["Mode 2"]
    figures = [
        figure(f"{prefix}{what}, {mode}", getattr(times, attribute), unit="ms")
        for what, attribute in (
            ("a decision, all steps", "step"),
            ("looking and deciding", "looking"),
            ("thinking alone", "thinking"),
        )
        for mode, times in found.items()
        if (mode, attribute) != ("gated", "thinking")
    ]
    reflex, gated = found["Mode 1"], found["gated"]
    return [
        *figures,
        figure(
            prefix + "time of a decision, Mode 1 over Mode 2", reflex.step / search.step, "<= 0.05"
        ),
        figure(prefix + "of looking and deciding alone", reflex.looking / search.looking),
        figure(prefix + "of thinking alone", reflex.thinking / search.thinking),
        figure(
            prefix + "time of a decision, gated over Mode 2", gated.step / search.step, "<= 0.2"
        ),
    ]


if __name__ == "__main__":
    main("distill", measure)
