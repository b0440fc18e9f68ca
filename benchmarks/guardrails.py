"""Are guardrails kept, in every planner, at what cost in success and in time, and when the world
changes? Violations are judged by the world's own truth at every world step of 500 episodes."""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property

from forethought import recipes, worlds
from forethought.actor import CEM, ICEM, MPPI, Gradient, Hierarchical
from forethought.cost import CalibrationWarning, Guardrail
from forethought.evaluation import GuardingResults, evaluate_guardrails
from forethought.evaluation.guarding import solvable_tasks
from forethought.evaluation.planning import PlanningProtocol
from forethought.model import Model
from forethought.recipes.recipe import Acting
from forethought.safety import SafetyConfig
from forethought.types import Planner, World
from forethought.world_model.hierarchy import LevelConfig
from forethought.worlds.shifted import ShiftConfig, Shifted
from guarded_worlds import GUARDED, Guarded, fresh, trained
from harness import Benchmark, Figure, estimate, figure, main

RISKS = (0.01, 0.05)
EPISODES = 500
SHIFTS = {
    "actions by 0.8": ShiftConfig(scale=0.8),
    "actions by 1.2": ShiftConfig(scale=1.2),
    "noise of 0.2": ShiftConfig(noise=0.2),
}
FIXED = SafetyConfig(adaptation=None, shield=None)
STRIDE = 4
"""Model steps in a step of the level above, where there is one."""


def measure(benchmark: Benchmark) -> None:
    warnings.simplefilter("ignore", CalibrationWarning)
    for world in GUARDED:
        for seed in benchmark.seeds:
            study = Study(world, seed)
            for label, part in study.parts().items():
                name = f"{world.name}/{seed}-{label.replace(' ', '-')}/"
                benchmark.part(name, lambda _, part=part, label=label: part(label))


class Study:
    """One world and one model of it.

    Args:
        world: what must hold.
        seed: of the model.
    """

    def __init__(self, world: Guarded, seed: int) -> None:
        self.world, self.seed = world, seed
        self.recipe = recipes.get(world.name)
        self.acting = recipes.acting(self.recipe)

    @cached_property
    def model(self) -> Model:
        """Calibrated on episodes of its own; made when first asked for."""
        return self._calibrated(trained(self.world.name, self.seed))

    @cached_property
    def levelled(self) -> Model:
        """The same with a slower level on top, for the hierarchical planner."""
        return self._calibrated(
            trained(self.world.name, self.seed, level=LevelConfig(stride=STRIDE))
        )

    def _calibrated(self, model: Model) -> Model:
        model.calibration = fresh(model, self.world.name, 0)
        return model

    def parts(self) -> dict[str, Callable[[str], Sequence[Figure]]]:
        """Everything that is measured, by its label."""
        rails, parts = self.world.rails, {}
        parts["no guardrails"] = lambda label: self.told(label, self.run([]))
        parts["not calibrated"] = lambda label: self.told(
            label, self.run(rails(RISKS[0], calibrated=False))
        )
        for name, planner in self.planners().items():
            for risk in RISKS:
                parts[f"{name}, risk {risk:g}"] = lambda label, planner=planner, risk=risk: (
                    self.told(label, self.run(rails(risk), planner=planner), risk)
                )
        levels = self.hierarchical()
        parts["hierarchical, no guardrails"] = lambda label: self.told(
            label, self.run([], planner=levels)
        )
        risk = RISKS[0]
        for name, shift in SHIFTS.items():
            parts[f"{name}, risk {risk:g}"] = lambda label, shift=shift: self.told(
                label, self.run(rails(risk), shift=shift), risk
            )
        parts["actions by 1.2, neither adaptation nor shield"] = lambda label: self.told(
            label, self.run(rails(risk), shift=SHIFTS["actions by 1.2"], safety=FIXED)
        )
        parts["time"] = self.time
        return parts

    def planners(self) -> dict[str, Planner]:
        """Every planner with as many candidates as the recipe's own, give or take a few."""
        own = self.acting.planner
        assert isinstance(own, CEM)
        same = {
            "horizon": own.horizon,
            "num_samples": own.num_samples,
            "num_iterations": own.num_iterations,
        }
        return {
            "CEM": own,
            "iCEM": ICEM(**same, num_elites=own.num_elites),
            "MPPI": MPPI(**same, num_elites=2 * own.num_elites),
            "gradient": Gradient(horizon=own.horizon, num_restarts=8, num_iterations=16),
            "hierarchical": self.hierarchical(),
        }

    def hierarchical(self) -> Hierarchical:
        """Two slow steps ahead, and the first of them by the recipe's own search."""
        own = self.acting.planner
        assert isinstance(own, CEM)
        slow = CEM(
            horizon=2,
            num_samples=own.num_samples,
            num_iterations=own.num_iterations,
            num_elites=own.num_elites,
        )
        return Hierarchical(upper=slow, lower=replace(own, horizon=STRIDE))

    def run(
        self,
        rails: Sequence[Guardrail],
        *,
        planner: Planner | None = None,
        shift: ShiftConfig | None = None,
        safety: SafetyConfig | None = None,
    ) -> GuardingResults:
        """Episodes of an agent, in the world as it was recorded or another."""
        acting = replace(self.acting, planner=planner or self.acting.planner)
        model = self.levelled if isinstance(planner, Hierarchical) else self.model

        def make(count: int) -> World:
            world = worlds.make(self.world.name, count)
            return world if shift is None else Shifted(world, shift)

        return evaluate_guardrails(
            lambda goals, count: acting.agent(model, goals, count, guardrails=rails, safety=safety),
            make,
            self.world.rails(RISKS[0]),
            self.protocol(EPISODES),
            visible=False,
        )

    def protocol(self, episodes: int) -> PlanningProtocol:
        """The recipe's own, for so many episodes of this world's length."""
        return replace(self.recipe.planning, episodes=episodes, budget=self.world.budget)

    def told(self, label: str, results: GuardingResults, risk: float | None = None) -> list[Figure]:
        """Violations of steps against the risk, of episodes for information, and success."""
        prefix = f"{self.world.name}, seed {self.seed}, {label}: "
        goal = None if risk is None else f"<= {risk:g}"
        figures = []
        for name, kept in results.rails.items():
            steps, episodes = kept.steps.to_json(), kept.episodes.to_json()
            figures += [
                estimate(f"{prefix}{name}, steps violated", steps, goal),
                estimate(f"{prefix}{name}, episodes violated", episodes),
            ]
        return [
            *figures,
            estimate(prefix + "success", results.ever.to_json()),
            estimate(prefix + "success at the end", results.final.to_json()),
            figure(prefix + "searches without a feasible plan", results.infeasible),
            figure(prefix + "steps shielded", results.shielded),
        ]

    def time(self, label: str) -> list[Figure]:
        """A single agent's decisions, guarded and not, in turns."""
        prefix = f"{self.world.name}, seed {self.seed}, time: "
        ratios = []
        for _ in range(7):
            bare = decision_ms(self.acting, self.model, self.world.name, [])
            guarded = decision_ms(
                self.acting, self.model, self.world.name, self.world.rails(RISKS[1])
            )
            ratios.append((guarded / bare, bare, guarded))
        ratio, bare, guarded = (statistics.median(part) for part in zip(*ratios, strict=True))
        return [
            figure(prefix + "a search without guardrails", bare, unit="ms"),
            figure(prefix + "with them", guarded, unit="ms"),
            figure(prefix + "with over without", ratio, "<= 1.3"),
        ]


def decision_ms(acting: Acting, model: Model, name: str, rails: Sequence[Guardrail]) -> float:
    """Median milliseconds of a single agent's searches, at the same candidates."""
    seeds, _ = solvable_tasks(
        lambda count: worlds.make(name, count), [], PlanningProtocol(episodes=4)
    )
    taken: list[float] = []
    for seed in seeds:
        world = worlds.make(name, 1)
        observation = world.reset([seed])
        agent = acting.agent(model, world.goal(), 1, guardrails=rails)
        for step in range(40):
            decision = agent.act_batch(observation)
            if step and decision.plan_step == 0:
                taken.append(1000 * decision.seconds)
            observation = world.step(decision.action)
    return statistics.median(taken)


if __name__ == "__main__":
    main("guardrails", measure)
