"""Does a policy that answers at once keep what the search attains, and for how much of its time?

Mode 2 searches; Mode 1 is the policy distilled from it, with no search at all; the gated agent
answers by reflex where the policy's members agree and the world does as expected. All on the same
held-out tasks.

What is distilled is a thorough search, since once it is distilled its time is of no account: in the
two rooms with the 300 candidates, 30 rounds and 30 elites that stable-worldmodel searches with by
default, elsewhere the recipe's own. The two rooms' recipe itself searches a single round of 32,
which is next to nothing; it stands beside as Mode 2 as well.

A decision is an action that leaves the agent, one for every world step. It includes perception
where the agent looks; on the steps between, a plan or a chunk of reflexes goes on. Its usual time
over all world steps is what the goals are set on. Two further ratios say where time goes: of the
steps on which the agent looks and decides, perception included, and of thinking alone (the search;
the policy's answer), which is what the mode adds after perception.

Times are of one thread, in its own processor time, so that other work on the machine counts little.
The gated agents act one by one, since of several in lockstep all look again when one deliberates.

Parts can be run by themselves: ``python benchmarks/distill.py --resume --only two_rooms/``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from forethought import recipes, worlds
from forethought.actor import CEM, Gate, GateConfig
from forethought.evaluation.statistics import wilson
from forethought.learning.distilling import distill
from forethought.model import Model
from forethought.recipes.recipe import Acting
from forethought.types import Plan, Planner, PlanningProblem, WarmStart
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
        search: what is distilled; None for the recipe's own search.
        jitter: what reflexes are shaken by. In layouts never seen a few of them push against a wall
            for ever. Chosen among 0, 0.2 and 0.4 on 400 tasks, of which the first are those here.
    """

    episodes: int
    chunk: int
    search: Planner | None = None
    jitter: float = 0.0


THOROUGH = CEM(
    horizon=5,
    num_samples=300,
    num_iterations=30,
    num_elites=30,
    shared_noise=0.9,
    held_share=0.25,
)
SUBJECTS = {
    "two_rooms": Subject(episodes=200, chunk=2, search=THOROUGH),
    "reacher_joints": Subject(episodes=200, chunk=2),
    "two_rooms_random": Subject(episodes=100, chunk=1, jitter=0.4),
}
QUICK = "the recipe's quick search"


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way of deciding.

    Attributes:
        acting: how it plans, where it does.
        gate: when reflexes answer; None for never.
    """

    acting: Acting
    gate: Gate | None = None


def measure(benchmark: Benchmark) -> None:
    for seed in benchmark.seeds:
        for name in SUBJECTS:
            benchmark.part(f"{name}/seed{seed}", lambda _, n=name, s=seed: world(n, s))


def world(name: str, seed: int) -> Sequence[Figure]:
    subject, prefix = SUBJECTS[name], f"{name}, seed {seed}: "
    recipe = recipes.get(name)
    quick = recipes.acting(recipe)
    acting = replace(quick, planner=subject.search or quick.planner)
    out = WORK / "distilled" / name / f"run{seed}"
    whole = distill(
        trained(name, seed),
        acting.agent,
        lambda count: worlds.make(name, count),
        out,
        name=name,
        config=recipe.distilling,
        resume=True,
        visible=False,
    )
    assert whole.policy is not None
    how: dict[str, Any] = {"chunk": subject.chunk, "jitter": subject.jitter}
    ways = {
        "Mode 2": Way(acting=acting),
        "Mode 1": Way(acting=acting, gate=GateConfig.reflexes_only(**how)),
        "gated": Way(acting=acting, gate=whole.policy.gate(SHARE, **how)),
    }
    if subject.search is not None:
        ways[QUICK] = Way(acting=quick)
    return [
        *rounds(prefix, out),
        *compared(prefix, {n: success(name, whole, way) for n, way in ways.items()}),
        *timed(prefix, {n: Times.of(name, whole, way) for n, way in ways.items()}),
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


@dataclass(frozen=True, kw_only=True)
class Played:
    """How held-out tasks went.

    Attributes:
        met: which ended as the recipe's protocol counts.
        first: world steps until each goal was first met; the budget where it never was.
        reflexes: which actions were by reflex.
    """

    met: np.ndarray
    first: np.ndarray
    reflexes: np.ndarray

    @classmethod
    def joined(cls, parts: Sequence[Played]) -> Played:
        """All of several."""
        names = ("met", "first", "reflexes")
        return cls(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in names})


def success(name: str, model: Model, way: Way) -> Played:
    """Held-out tasks, in lockstep or one by one."""
    scene = worlds.make(name, SUBJECTS[name].episodes)
    seeds = unsolved(scene, SUBJECTS[name].episodes)
    mixed = way.gate is not None and way.gate.deliberates
    groups = [[seed] for seed in seeds] if mixed else [seeds]
    return Played.joined([played(name, model, way, group) for group in groups])


def played(name: str, model: Model, way: Way, seeds: list[int]) -> Played:
    """Tasks in lockstep."""
    protocol = recipes.get(name).planning
    scene = worlds.make(name, len(seeds))
    seen = scene.reset(seeds)
    agent = way.acting.agent(model, scene.goal(), len(seeds), gate=way.gate)
    flags, reflexes = [], []
    for _ in range(protocol.budget):
        decision = agent.act_batch(seen)
        reflexes.append(np.full(len(seeds), decision.mode == 1))
        seen = scene.step(decision.action)
        flags.append(scene.succeeded())
        if protocol.hold == 1 and np.array(flags).any(0).all():
            break
    held = np.array(flags)
    return Played(
        met=np.asarray(held[-protocol.hold :].all(0) if protocol.hold > 1 else held.any(0)),
        first=np.where(held.any(0), held.argmax(0) + 1, protocol.budget),
        reflexes=np.concatenate(reflexes),
    )


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


def compared(prefix: str, found: dict[str, Played]) -> list[Figure]:
    """Success by mode, and against Mode 2."""
    searched = wilson(found["Mode 2"].met)
    gated = wilson(found["gated"].met)
    figures = []
    for mode, played in found.items():
        figures += [
            estimate(f"{prefix}success, {mode}", wilson(played.met).to_json()),
            figure(f"{prefix}world steps to the goal, {mode}", float(played.first.mean())),
        ]
    return [
        *figures,
        figure(
            prefix + "success, Mode 1 over Mode 2",
            wilson(found["Mode 1"].met).value / searched.value,
            ">= 0.95",
        ),
        # Within the interval: what is most that gated agents may reach of the two.
        figure(
            prefix + "success, upper end for gated agents over Mode 2",
            gated.high / searched.value,
            ">= 1",
        ),
        figure(prefix + "decisions by reflex, gated", float(found["gated"].reflexes.mean())),
    ]


# ------------------------------------------------------------------------------- time


@dataclass
class Timed:
    """A planner whose searches are timed; a :class:`forethought.types.Planner`."""

    planner: Planner
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
        plan = self.planner.plan(
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
    def of(cls, name: str, model: Model, way: Way) -> Times:
        """Of an agent that seeks one held-out goal after another."""
        recipe, scene = recipes.get(name), worlds.make(name, 1)
        planner = Timed(way.acting.planner)
        acting = replace(way.acting, planner=planner)
        steps: list[tuple[float, tuple[bool, int]]] = []
        task = FIRST_TASK
        while len(steps) < TIMED_STEPS:
            seen = scene.reset([task])
            agent = acting.agent(model, scene.goal(), 1, gate=way.gate)
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
        thinking = planner.seconds if way.gate is None else answers(model)
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


def answers(model: Model) -> list[float]:
    """Seconds of the policy's answers to one agent."""
    assert model.policy is not None
    world_model, answer = model.world_model, model.policy.answer
    latents = torch.randn(1, world_model.num_tokens, world_model.width)
    return [taken(lambda: answer(latents, latents)) for _ in range(300)]


def taken(call: Callable[[], object]) -> float:
    began = time.thread_time()
    call()
    return time.thread_time() - began


def timed(prefix: str, found: dict[str, Times]) -> list[Figure]:
    """Times by mode, and against Mode 2."""
    search, reflex, gated = found["Mode 2"], found["Mode 1"], found["gated"]
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
    figures += [
        figure(
            prefix + "time of a decision, Mode 1 over Mode 2", reflex.step / search.step, "<= 0.05"
        ),
        figure(
            prefix + "time of a decision, gated over Mode 2", gated.step / search.step, "<= 0.2"
        ),
        figure(
            prefix + "looking and deciding, Mode 1 over Mode 2", reflex.looking / search.looking
        ),
        figure(prefix + "thinking alone, Mode 1 over Mode 2", reflex.thinking / search.thinking),
    ]
    if quick := found.get(QUICK):
        name = f"{prefix}time of a decision, Mode 1 over {QUICK}"
        figures.append(figure(name, reflex.step / quick.step))
    return figures


if __name__ == "__main__":
    main("distill", measure)
