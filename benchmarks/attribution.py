"""Are failures attributed to what made them? Failures of each kind are planted, and counted.

The agent of the two rooms reaches every goal within 60 world steps. It is spoiled in one part at a
time: its model takes every push along y for the opposite one; its objective also asks for the
mirror image of the goal, in the other room, and for that twice as much; its search has one
candidate, or two, in place of 32. Each failure of a spoiled agent has one known cause.
Attribution replaces parts of the spoiled agent, and is told nothing of what was planted.

Last comes a failure that nobody planted: the goal's distance in latents in place of the critic's,
by which the way through the wall looks shorter than the way through the door. Tasks are others than
those by which the ranges of :mod:`forethought.evaluation.evidence` were set.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from forethought import recipes, worlds
from forethought.actor import CEM
from forethought.agent import Agent
from forethought.cost import LatentDistance, goal
from forethought.cost.terms import Cost, CostTerm
from forethought.evaluation.attribution import Attribution, AttributionConfig, attribute
from forethought.evaluation.blame import PARTS
from forethought.evaluation.planning import PlanningProtocol, evaluate
from forethought.evaluation.simulated import ReplacedAgent, Replacement
from forethought.evaluation.statistics import wilson
from forethought.model import Model
from forethought.types import Observation, World
from guarded_worlds import trained
from harness import Benchmark, Figure, estimate, figure, main

WORLD, BUDGET = "two_rooms", 60
FIRST = 2_000_000
"""Tasks are drawn from seeds from here on."""
FAILURES = 100
EPISODES = {
    "model": 110,
    "objective": 120,
    "search": 100,
    "search of two": 180,
    "latent distance": 300,
}
"""Tasks, of which about as many fail as are looked into."""
NAMED = ">= 0.9"


def measure(benchmark: Benchmark) -> None:
    seed = benchmark.seeds[0]
    benchmark.part("ceiling", lambda _: ceiling(seed))
    for kind in EPISODES:
        benchmark.part(
            kind.replace(" ", "-"), lambda folder, kind=kind: failures(kind, seed, folder)
        )


def ceiling(seed: int) -> list[Figure]:
    """The agent as it is, and with the true simulator for a model."""
    agent = maker("nothing", seed)
    protocol = PlanningProtocol(
        episodes=100, budget=BUDGET, seed=FIRST, traces=0, latency_decisions=5
    )
    results = evaluate(lambda goals, count: agent(goals, count, 0), make, protocol, visible=False)
    world = make(len(results.seeds))
    observation = world.reset(results.seeds)
    planned = ReplacedAgent(
        agent(world.goal(), world.num_worlds, 0), world, make(1), Replacement(model=True)
    )
    met = np.zeros(world.num_worlds, bool)
    for _ in range(BUDGET):
        observation = world.step(planned.act_batch(observation).action)
        met |= world.succeeded()
        planned.leave(met)
    return [
        estimate("success, agent as it is", results.agent.ever.to_json()),
        estimate("success, true simulator for a model", wilson(met).to_json()),
    ]


def failures(kind: str, seed: int, folder: Path) -> list[Figure]:
    """Failures of one kind, and what they are attributed to."""
    agent = maker(kind, seed)
    protocol = PlanningProtocol(
        episodes=EPISODES[kind], budget=BUDGET, seed=FIRST, traces=0, latency_decisions=5
    )
    results = evaluate(lambda goals, count: agent(goals, count, 0), make, protocol, visible=False)
    failed = [one for one, ever in zip(results.seeds, results.ever, strict=True) if not ever]
    solved = [one for one, ever in zip(results.seeds, results.ever, strict=True) if ever]
    found = attribute(
        agent,
        make,
        failed,
        AttributionConfig(budget=BUDGET, most=FAILURES),
        solved=solved,
        visible=False,
    )
    found.log.save(folder / "episodes.npz")
    success = estimate(f"{kind}: success", results.agent.ever.to_json())
    planted = kind.split()[0]
    return [success, *(named(kind, planted, found) if planted in PARTS else shares(kind, found))]


def named(kind: str, planted: str, found: Attribution) -> list[Figure]:
    """How often the planted cause is named."""
    verdicts = np.array(found.verdicts)
    steady = verdicts[verdicts != "luck"]
    by_itself = np.array(found.evidence.verdicts)
    return [
        estimate(
            f"{kind} planted: named by replacing parts",
            wilson(verdicts == planted).to_json(),
            NAMED,
        ),
        estimate(f"{kind} planted: the same, luck left out", wilson(steady == planted).to_json()),
        estimate(
            f"{kind} planted: named by the episode alone", wilson(by_itself == planted).to_json()
        ),
        *shares(kind, found),
    ]


def shares(kind: str, found: Attribution) -> list[Figure]:
    """What failures are of."""
    what = found.shares
    return [
        *(estimate(f"{kind}: share {n}", one.to_json()) for n, one in what.named.items()),
        *(estimate(f"{kind}: Shapley value {n}", one.to_json()) for n, one in what.values.items()),
        figure(f"{kind}: failed again from the same seed", float(np.mean(found.again))),
    ]


# ------------------------------------------------------------------------------- what is planted


def make(count: int) -> World:
    return worlds.make(WORLD, count)


def maker(kind: str, seed: int) -> Callable[[Observation, int, int], Agent]:
    """Builds agents with one part spoiled."""
    model = trained(WORLD, seed)
    planner = recipes.acting(recipes.get(WORLD)).planner
    assert isinstance(planner, CEM)
    if kind == "model":
        turned(model)
    candidates = {"search": 1, "search of two": 2}
    if kind in candidates:
        # Pushes that are held are good guesses, which one candidate in two would always be.
        planner = replace(planner, num_samples=candidates[kind], num_elites=1, held_share=0.0)

    def agent(goals: Observation, count: int, own: int) -> Agent:
        seen = {key: goals[key] for key in model.world_model.perception.keys}
        return Agent(model, cost=asked(kind, seen), actor=planner, num_agents=count, seed=own)

    return agent


def turned(model: Model) -> None:
    """Every second entry of an action, which is y, is taken for its opposite."""
    actions = model.world_model.action_normaliser
    actions.mean[1::2] *= -1
    actions.scale[1::2] *= -1


def asked(kind: str, seen: Observation) -> Cost | CostTerm:
    """What the agent wants."""
    if kind == "latent distance":
        return goal(observation=seen, distance=LatentDistance())
    if kind != "objective":
        return goal(observation=seen)
    mirrored = {key: np.flip(value, axis=2).copy() for key, value in seen.items()}
    return goal(observation=seen) + (2.0 * goal(observation=mirrored)).named("mirror image")


if __name__ == "__main__":
    main("attribution", measure)
