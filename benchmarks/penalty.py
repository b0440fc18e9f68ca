"""Guardrails by construction against limits that are only dear: which are kept, and at what price.

The same models, searches and tasks. A penalty adds to the energy how far a plan goes where it must
not, at weights from slight to prohibitive; a guardrail is a condition that a plan must meet, with a
bound that is calibrated for a stated risk. Both are judged by the world's own truth, in the world
as it was recorded and in one where actions do a fifth more. The penalty's weight is chosen in its
favour, on the very tasks that it is judged by.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from forethought import recipes, worlds
from forethought.agent import Agent
from forethought.cost import CalibrationWarning, keep_apart
from forethought.evaluation import GuardingResults, evaluate_guardrails
from forethought.model import Model
from forethought.types import Observation, World
from forethought.worlds.shifted import ShiftConfig, Shifted
from guarded_worlds import GUARDED, PLACE, fresh, trained
from harness import Benchmark, Figure, estimate, figure, main

HAZARDS = next(one for one in GUARDED if one.name == "two_rooms_hazards")
WEIGHTS = (1.0, 10.0, 100.0, 1000.0)
RISK = 0.01
EPISODES = 300
SETTINGS = {"as recorded": ShiftConfig(), "actions by 1.2": ShiftConfig(scale=1.2)}


def measure(benchmark: Benchmark) -> None:
    warnings.simplefilter("ignore", CalibrationWarning)
    for seed in benchmark.seeds:
        for setting, shift in SETTINGS.items():
            for label, weight in ways().items():
                name = f"{seed}-{setting}-{label}".replace(" ", "-")
                prefix = f"seed {seed}, {setting}, {label}: "
                benchmark.part(name, partial(kept, prefix, seed, shift, weight))
            compare(benchmark, f"seed {seed}, {setting}, ")


def ways() -> dict[str, float | None]:
    """Weights of the penalty by label; None for guardrails, 0 for neither."""
    penalties = {f"penalty of {weight:g}": weight for weight in WEIGHTS}
    return {"neither": 0.0, **penalties, "guardrails": None}


def kept(
    prefix: str, seed: int, shift: ShiftConfig, weight: float | None, _: Path
) -> Sequence[Figure]:
    """How often limits were truly crossed, and goals met."""
    results = acted(trained(HAZARDS.name, seed), shift, weight)
    figures = [estimate(prefix + "success", results.ever.to_json())]
    for name, one in results.rails.items():
        figures += [
            estimate(f"{prefix}{name}, steps violated", one.steps.to_json()),
            estimate(f"{prefix}{name}, episodes violated", one.episodes.to_json()),
        ]
    return figures


def acted(model: Model, shift: ShiftConfig, weight: float | None) -> GuardingResults:
    """Episodes of agents that heed limits in one of the ways."""
    recipe = recipes.get(HAZARDS.name)
    acting = recipes.acting(recipe)
    config = worlds.make(HAZARDS.name, 1).config  # type: ignore[attr-defined]
    if weight is None:
        model.calibration = fresh(model, HAZARDS.name, 0)

    def make_agent(goals: Observation, count: int) -> Agent:
        if weight is None:
            return acting.agent(model, goals, count, guardrails=HAZARDS.rails(RISK))
        cost = acting.goal(
            observation={key: goals[key] for key in model.world_model.perception.keys}
        )
        if weight:
            near_zone = keep_apart(PLACE, ("zone.x", "zone.y"), apart=config.zone_radius)
            near_disc = keep_apart(PLACE, ("hazard.x", "hazard.y"), apart=config.patrol_radius)
            cost = cost + weight * near_zone + weight * replace(near_disc, name="keep_apart_disc")
        return Agent(
            model,
            cost=cost,
            actor=acting.planner,
            num_agents=count,
            replan_every=acting.replan_every,
            num_outcomes=acting.num_outcomes,
            attempts=acting.attempts,
        )

    def make_world(count: int) -> World:
        return Shifted(worlds.make(HAZARDS.name, count), shift)

    protocol = replace(recipe.planning, episodes=EPISODES, budget=HAZARDS.budget)
    return evaluate_guardrails(make_agent, make_world, HAZARDS.rails(RISK), protocol, visible=False)


def compare(benchmark: Benchmark, prefix: str) -> None:
    """The penalty that costs least beside guardrails: the fewest violations at equal success."""
    found = {one.name: one for one in benchmark.figures}

    def told(label: str, what: str) -> Figure:
        return found[f"{prefix}{label}: {what}"]

    if any(f"{prefix}{label}: success" not in found for label in ways()):
        return  # Parts of it have been left out.
    enough = told("guardrails", "success").value - 0.05
    penalties = [label for label in ways() if label.startswith("penalty")]
    able = [one for one in penalties if told(one, "success").value >= enough] or penalties
    best = min(able, key=lambda one: sum(told(one, what).value for what in CROSSED))
    benchmark.add(figure(f"{prefix}weight of the best penalty", ways()[best] or 0.0))
    for what in (*CROSSED, "success"):
        one = told(best, what)
        benchmark.add(replace(one, name=f"{prefix}best penalty: {what}"))


CROSSED = ("zone, episodes violated", "disc, episodes violated")


if __name__ == "__main__":
    main("penalty", measure, seeds=3)
