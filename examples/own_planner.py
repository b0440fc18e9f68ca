"""A planner of one's own, through the same evaluation as all others.

    python examples/own_planner.py RUN two_rooms

All that a planner is told is a PlanningProblem: what imagines, what scores, which actions are
allowed. It may be any object with a method `plan`; `forethought.checkers.check_planner` tests it.
"""

import json
import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

import forethought as ft
from forethought.types import Plan, PlanStatus, gather


@dataclass(frozen=True, kw_only=True)
class HillClimber:
    """Goes to the best of a few plans near the best so far; far and near steps take turns."""

    horizon: int = 2
    rounds: int = 40
    tries: int = 8

    @torch.no_grad()
    def plan(self, problem, *, generator, warm_start=None, deadline_s=None) -> Plan:
        """See forethought.types.Planner."""
        space, began, done, longest = problem.space, problem.now(), 0, 0.0
        actions = ((space.low + space.high) / 2).expand(problem.num_worlds, self.horizon, -1)
        if warm_start is not None and warm_start.actions is not None:
            actions = warm_start.actions
        while done < self.rounds:
            steps = torch.randn(self.tries, self.horizon, space.dim, generator=generator)
            steps[0] = 0  # The best so far is always among them.
            reach = 0.5 ** (done % 6) * (space.high - space.low) / 2
            imagination = problem.imagine(space.project(actions[:, None] + reach * steps))
            scores = problem.score(imagination)
            violated = torch.where(scores.feasible, 0, 1e6 * (1 + scores.violation()))
            index = (scores.energy + violated).argmin(1, keepdim=True)
            imagination, scores = imagination.pick(index), scores.each(partial(gather, index=index))
            actions, done, took = imagination.actions[:, 0], done + 1, problem.now() - began
            longest = max(longest, took / done)
            if deadline_s is not None and took + longest > deadline_s:
                break
        return Plan(
            actions=actions,
            energy=scores.energy[:, 0],
            terms={name: share[:, 0] for name, share in scores.terms.items()},
            margins={name: margin[:, 0] for name, margin in scores.margins.items()},
            feasible=scores.feasible[:, 0],
            status=PlanStatus.FOUND if scores.feasible.all() else PlanStatus.INFEASIBLE,
            imagination=imagination,
            num_iterations=done,
            num_candidates=done * self.tries,
            seconds=problem.now() - began,
        )


def main(run: str, world: str, **protocol: int) -> ft.evaluation.PlanningResults:
    """Evaluates a run with this planner, by its recipe's protocol or what is said otherwise."""
    model = ft.Model.from_pretrained(run)
    recipe = ft.recipes.get(model.notes["recipe"])
    acting = replace(ft.recipes.acting(recipe), planner=HillClimber())
    results = ft.evaluate(
        lambda goals, count: acting.agent(model, goals, count),
        lambda count: ft.worlds.make(world, count),
        replace(recipe.planning, **protocol),
    )
    file = Path(run) / "evaluate-own_planner.json"
    file.write_text(json.dumps(results.to_json()))
    print(results.headline(), f"forethought compare {run} {file}", sep="\n")
    return results


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python examples/own_planner.py RUN WORLD")
    main(*sys.argv[1:])
