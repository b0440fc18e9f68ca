"""Every planner on the same weights in four worlds: success and energy against the budget.

A budget is a number of candidate sequences imagined in one search; a gradient step counts as three,
one to imagine and two to go back. Energies are those of each planner's plan in the same situations,
as a share of what lies between doing nothing and the best plan that any of them found: 0 is the
best known, 1 is no better than doing nothing. The tasks, the cost and the horizon are the recipe's.

Parts can be measured by themselves: ``planning_quality.py --resume --only pendulum/MPPI``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import torch

from forethought import recipes, worlds
from forethought.actor import (
    CEM,
    ICEM,
    MPPI,
    BeamSearch,
    CategoricalCEM,
    Gradient,
    Mixed,
    ParallelGradient,
    PredictiveSampling,
    ProjectedGradient,
)
from forethought.actor.search import Search
from forethought.evaluation import evaluate_guardrails
from forethought.model import Model
from forethought.types import Plan, Planner, PlanningProblem, WarmStart
from guarded_worlds import trained
from harness import WORK, Benchmark, Figure, estimate, figure, main

WORLDS = ("two_rooms", "pendulum", "two_rooms_hazards", "two_rooms_compass")
BUDGETS = (32, 128, 512)
SITUATIONS = 48
ENERGIES = "energies.json"
EPISODES = 50
STEPS = 120
"""World steps of an episode."""
GRADIENT_STEP = 3
"""Sequences that a gradient step of one sequence counts for."""


@dataclass(frozen=True, kw_only=True)
class Nothing:
    """Does nothing, or the nearest to it that is allowed."""

    horizon: int

    def plan(
        self,
        problem: PlanningProblem,
        *,
        generator: torch.Generator,
        warm_start: WarmStart | None = None,
        deadline_s: float | None = None,
    ) -> Plan:
        """See :class:`forethought.types.Planner`."""
        search = Search(problem, None, deadline_s)
        search.elites(
            search.box.initial(problem.num_worlds, self.horizon, 0.0, None).mean[:, None], 1
        )
        return search.plan()


def measure(benchmark: Benchmark) -> None:
    for name in WORLDS:
        study = Study(name, benchmark.seeds[0])
        for planner in study.planners(BUDGETS[0]):
            label = f"{name}/{planner.replace(' ', '-')}"
            benchmark.part(label, partial(study.planner, planner))
        kept = WORK / benchmark.name / name
        energies = {
            path.parent.name: json.loads(path.read_text()) for path in kept.glob("*/" + ENERGIES)
        }
        benchmark.add(*study.compared(energies))


class Study:
    """One world, one model, every planner.

    Args:
        name: of the world and of its recipe.
        seed: of the model.
    """

    def __init__(self, name: str, seed: int) -> None:
        self.name, self.seed = name, seed
        self.recipe = recipes.get(name)
        self.acting = recipes.acting(self.recipe)
        own = self.acting.planner
        assert isinstance(own, CEM)
        self.own = own

    @cached_property
    def model(self) -> Model:
        """By the recipe."""
        return trained(self.name, self.seed)

    def planner(self, name: str, folder: Path) -> Sequence[Figure]:
        """Success and time at every budget; what its plans are worth is left in the folder."""
        figures: list[Figure] = []
        energies: dict[int, list[float]] = {}
        for budget in BUDGETS:
            planner = self.planners(budget)[name]
            energies[budget] = self.plan(planner).energy.tolist()
            figures += self.episodes(f"{name}, {budget} candidates", planner)
        (folder / ENERGIES).write_text(json.dumps(energies))
        return figures

    def planners(self, budget: int) -> Mapping[str, Planner]:
        """Every planner that the world's actions allow, at a budget."""
        horizon, rounds = self.own.horizon, 3
        elites = max(4, budget // (8 * rounds))
        same = {"horizon": horizon, "num_samples": budget // rounds, "num_iterations": rounds}
        found: dict[str, Planner] = {
            "CEM": replace(self.own, **same, num_elites=elites),
            "iCEM": ICEM(**{**same, "num_samples": round(budget / 2.44)}, num_elites=elites),
            "MPPI": MPPI(**same, num_elites=2 * elites),
            "predictive sampling": PredictiveSampling(horizon=horizon, num_samples=budget),
        }
        if self.model.signature.action.discrete:
            width = max(1, budget // (4 * horizon))
            return found | {
                "categorical CEM": CategoricalCEM(**same, num_elites=elites),
                "beam search": BeamSearch(horizon=horizon, widths=(width,)),
            }
        return found | self.by_gradients(budget)

    def by_gradients(self, budget: int) -> Mapping[str, Planner]:
        """Those that go down the slope of the energy."""
        horizon, restarts = self.own.horizon, 4
        steps = budget // (GRADIENT_STEP * restarts)
        half = CEM(
            horizon=horizon, num_samples=budget // 4, num_iterations=2, num_elites=budget // 24 + 2
        )
        finish = Gradient(
            horizon=horizon, num_restarts=1, num_iterations=budget // (2 * GRADIENT_STEP), noise=0.0
        )
        same = {"horizon": horizon, "num_restarts": restarts}
        return {
            "gradient": Gradient(**same, num_iterations=steps),
            "projected gradient": ProjectedGradient(**same, num_iterations=steps),
            "parallel gradient": ParallelGradient(**same, num_iterations=steps),
            "sampling then gradient": Mixed(first=half, second=finish),
        }

    def plan(self, planner: Planner) -> Plan:
        """What it plans in the same situations: tasks that have just begun."""
        world = worlds.make(self.name, SITUATIONS)
        observation = world.reset(range(5_000_000, 5_000_000 + SITUATIONS))
        agent = replace(self.acting, planner=planner).agent(self.model, world.goal(), SITUATIONS)
        plan = agent.act_batch(observation).plan
        assert plan is not None
        return plan

    def episodes(self, label: str, planner: Planner) -> list[Figure]:
        """Success at the recipe's own tasks, and the time of a search where all share a batch."""
        acting = replace(self.acting, planner=planner)
        protocol = replace(self.recipe.planning, episodes=EPISODES, budget=STEPS)
        results = evaluate_guardrails(
            lambda goals, count: acting.agent(self.model, goals, count),
            lambda count: worlds.make(self.name, count),
            [],
            protocol,
            visible=False,
        )
        success = results.final if protocol.hold > 1 else results.ever
        return [
            estimate(f"{self.name}, {label}: success", success.to_json()),
            figure(
                f"{self.name}, {label}: a search",
                results.decision_ms / EPISODES,
                unit="ms",
                n=EPISODES,
            ),
        ]

    def compared(self, energies: Mapping[str, Mapping[str, Sequence[float]]]) -> Sequence[Figure]:
        """Where each planner's energies lie between the best known and those of doing nothing."""
        if not energies:
            return []
        plans = {
            (name, budget): torch.tensor(values)
            for name, by_budget in sorted(energies.items())
            for budget, values in by_budget.items()
        }
        nothing = self.plan(Nothing(horizon=self.own.horizon)).energy
        best = torch.stack(list(plans.values())).amin(0)
        room = (nothing - best).clamp_min(1e-9)
        return [
            figure(
                f"{self.name}, {name.replace('-', ' ')}, {budget} candidates: energy",
                float(((energy - best) / room).mean()),
                n=SITUATIONS,
            )
            for (name, budget), energy in plans.items()
        ]


if __name__ == "__main__":
    main("planning_quality", measure)
