"""Does the critic foresee? How far it is to a goal, what lies beyond a short horizon, what to fear.

Temporal distance is asked of maps of imagined states (``RoadmapGoal``) on layouts that no training
saw, against the true length of the shortest way; the straight line stands beside it. A horizon of a
quarter is asked of the metric critic of the two rooms. Fear is what a zone that costs will come to,
learned from recordings alone: is its upper quantile right, and what does an agent that sees a
single model step do with it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from forethought import data, worlds
from forethought.actor import CEM
from forethought.agent import Agent
from forethought.cost import (
    Cost,
    CostTerm,
    LatentDistance,
    RoadmapGoal,
    anticipated,
    goal,
    guardrail,
    keep_away,
    load_fear,
    quantity_term,
)
from forethought.evaluation.guarding import evaluate_guardrails
from forethought.evaluation.planning import PlanningProtocol
from forethought.evaluation.statistics import bootstrap_mean, rank_correlation
from forethought.learning import train_fear
from forethought.model import Model
from forethought.senses import sight_of
from forethought.types import Imagination, Observation
from guarded_worlds import PLACE, trained
from harness import WORK, Benchmark, Figure, estimate, figure, main

LAYOUTS, POINTS, FIRST_TASK = 20, 100, 1_000_000
FINE = {"num_nodes": 1000, "spacing": 0.35, "join": 0.4, "near": 0.7, "pushes": 32}
"""A map drawn finely, to measure by; the recipe's own is coarser, and enough to get there."""
MAPS = {
    "two_rooms_random": (RoadmapGoal(running=1.0, **FINE), ">= 0.97"),
    "rooms_maze": (RoadmapGoal(running=1.0, join=0.6, near=0.6, support=2), ">= 0.9"),
}
MODELS = {
    "two_rooms_random": "two_rooms_random/seed{}/run",
    "rooms_maze": "hierarchy/rooms_maze/{}-model/run",
}
"""Where the benchmarks of these worlds leave their models; where they do not, recipes make them."""
CENTRE, RADIUS = (14.0, 32.0), 6.0
ZONE = guardrail(keep_away(PLACE, CENTRE, distance=RADIUS), name="zone")
ZONE_WEIGHT = 20.0


def measure(benchmark: Benchmark) -> None:
    seed = benchmark.seeds[0]
    for world in MAPS:
        benchmark.part(f"{world}/", lambda folder, world=world: distances(world, seed))
    for one in benchmark.seeds:
        benchmark.part(
            f"horizon/{one}", lambda _, one=one: horizons(trained("two_rooms", one), one)
        )
    benchmark.part("fear/", lambda folder: fears(folder, trained("two_rooms", seed), seed))


# ------------------------------------------------------------------------------- distance


def distances(name: str, seed: int) -> list[Figure]:
    """Rank correlation with the true way, on each of many layouts that no training saw."""
    made = WORK / MODELS[name].format(seed)
    known = (made / "config.json").is_file()
    model = Model.from_pretrained(made) if known else trained(name, seed)
    (camera,) = model.signature.cameras
    world = worlds.make(name, LAYOUTS)
    world.reset(range(FIRST_TASK, FIRST_TASK + LAYOUTS))
    draw = np.random.default_rng(seed)
    goals, starts, truth = world.goal()[camera], world.observe()[camera], world.goal_truth()
    found, straight = [], []
    for number in range(LAYOUTS):
        free = world.free_grid(number, 1.0)  # type: ignore[attr-defined]
        points = free[draw.choice(len(free), POINTS, replace=False)]
        sought = np.array([truth["position.x"][number], truth["position.y"][number]])
        true = world.lengths_from(number, points, sought)  # type: ignore[attr-defined]
        images = world.images_at(number, points)  # type: ignore[attr-defined]
        term = replace(MAPS[name][0], observation={camera: goals[number]})
        told = steps_to(model, term, starts[number : number + 1], {camera: images})
        found.append(rank_correlation(told, true))
        straight.append(rank_correlation(np.hypot(*(points - sought).T), true))
    prefix = f"{name}, seed {seed}: rank correlation with the true way, "
    return [
        estimate(
            prefix + "temporal distance", bootstrap_mean(np.array(found)).to_json(), MAPS[name][1]
        ),
        estimate(prefix + "straight line", bootstrap_mean(np.array(straight)).to_json()),
    ]


@torch.no_grad()
def steps_to(model: Model, term: CostTerm, start: np.ndarray, seen: Observation) -> np.ndarray:
    """What a term tells of many states, for an agent that stands at the start."""
    sight = sight_of(model)
    (camera,) = seen
    here, there = sight.encode({camera: start}), sight.encode(seen)
    latents = torch.stack([here.expand_as(there), there], dim=1)[None]
    actions = torch.zeros(1, len(there), 1, model.world_model.action_width)
    return term.bind(sight)(Imagination(latents=latents, actions=actions))[0, :, 0].numpy()


# ------------------------------------------------------------------------------- horizon


def horizons(model: Model, seed: int) -> list[Figure]:
    """Success in the two rooms by horizon, with the critic's distance and with the latents' own."""
    figures, found = [], {}
    for label, distance, lengths in (
        ("critic", None, (8, 4, 2)),
        ("latent distance", LatentDistance(), (16, 8, 4)),
    ):
        for horizon in lengths:
            planner = CEM(horizon=horizon, num_samples=64, num_iterations=2, num_elites=8)
            results = reached(
                model,
                lambda goals, distance=distance: goal(observation=goals, distance=distance),
                planner,
            )
            found[label, horizon] = results.ever.value
            name = f"two_rooms, seed {seed}: success, {label}, horizon {horizon}"
            figures.append(estimate(name, results.ever.to_json()))
    kept = found["critic", 2] - found["critic", 8]
    label = f"two_rooms, seed {seed}: success with the critic, horizon 2 less horizon 8"
    return [*figures, figure(label, kept, ">= 0")]


def reached(
    model: Model,
    cost: Callable[[Observation], Cost | CostTerm],
    planner: CEM,
    episodes: int = 200,
):
    """Episodes in the two rooms; the zone is judged, and no guardrail heeded."""
    return evaluate_guardrails(
        lambda goals, count: Agent(model, cost=cost(goals), actor=planner, num_agents=count),
        lambda count: worlds.make("two_rooms", count),
        [ZONE],
        PlanningProtocol(episodes=episodes, budget=150),
        visible=False,
    )


# ------------------------------------------------------------------------------- fear


def fears(folder: Path, model: Model, seed: int) -> Sequence[Figure]:
    """A zone that costs, seen one model step ahead: with what lies beyond it foretold, and not."""
    run = WORK / "guarded" / "two_rooms" / f"run{seed}"
    recorded = data.open(WORK / "guarded" / "two_rooms" / "data")
    train_fear(model, recorded, run, name="zone", guardrails=[ZONE], resume=True, visible=False)
    report = json.loads((run / "fears" / "zone.json").read_text())["report"]
    prefix = f"two_rooms, seed {seed}, fear of the zone: "
    figures = [
        estimate(prefix + "states after which more came than the upper quantile", report["above"]),
        figure(prefix + "share that should be", 1 - report["level"]),
        figure(prefix + "variance of what came explained by the mean", report["explained"]),
        figure(prefix + "rank correlation of the mean", report["rank_correlation"]),
    ]
    fear, step = (
        load_fear(run, "zone"),
        CEM(horizon=1, num_samples=64, num_iterations=2, num_elites=8),
    )
    entered = {}
    for label, extra in (
        ("zone in sight", ()),
        ("and its expected cost beyond", (anticipated(fear, weight=3.0),)),
        ("and its feared cost beyond", (anticipated(fear, weight=1.0, quantile=True),)),
    ):
        results = reached(
            model,
            lambda goals, extra=extra: Cost(terms=(goal(observation=goals), in_zone(), *extra)),
            step,
        )
        kept = results.rails["zone"].episodes
        entered[label] = kept.value
        name = f"two_rooms, seed {seed}, one step of sight, {label}: "
        figures += [
            estimate(name + "episodes that enter", kept.to_json()),
            estimate(name + "success", results.ever.to_json()),
        ]
    fewer = entered["and its expected cost beyond"] - entered["zone in sight"]
    label = f"two_rooms, seed {seed}, one step of sight: episodes that enter, foretold less not"
    return [*figures, figure(label, fewer, "< 0")]


def in_zone() -> CostTerm:
    """Share of the world steps of each imagined step that lie within the zone, dear."""

    def share(quantities):
        x, y = (quantities[name] for name in PLACE)
        return ((x - CENTRE[0]).square() + (y - CENTRE[1]).square() < RADIUS**2).to(x)

    return ZONE_WEIGHT * quantity_term("zone", share, quantities=PLACE)


if __name__ == "__main__":
    main("critic", measure, seeds=3)
