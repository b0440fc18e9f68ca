"""Collocation foresees all steps at once, and answers with what was rolled out in earnest."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from known import quadratic, sprint

from forethought.actor import Collocation
from forethought.types import ForethoughtError, Imagination, PlanningProblem


def counted(problem: PlanningProblem) -> tuple[PlanningProblem, dict[str, list[tuple[int, ...]]]]:
    """The same problem, and the shapes of the actions that it was asked about."""
    calls: dict[str, list[tuple[int, ...]]] = {"imagine": [], "follow": [], "steps": []}
    assert problem.follow is not None
    follow = problem.follow

    def imagine(actions: torch.Tensor) -> Imagination:
        calls["imagine"].append(tuple(actions.shape))
        return problem.imagine(actions)

    def followed(states: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        calls["follow"].append(tuple(actions.shape))
        return follow(states, actions)

    return replace(problem, imagine=imagine, follow=followed), calls


def test_all_steps_are_foreseen_in_one_call_and_rollouts_are_few(generator) -> None:
    """Of 25 rounds three are rollouts, which alone are counted as candidates."""
    problem, calls = counted(sprint(10))
    planner = Collocation(horizon=10, num_restarts=4, num_iterations=25, steps_per_rollout=12)
    plan = planner.plan(problem, generator=generator)
    assert calls["imagine"] == 3 * [(1, 4, 10, 1)]
    assert calls["follow"] == 22 * [(1, 4, 10, 1)]
    assert plan.num_candidates == 3 * 4


def test_the_plan_is_what_follows_and_not_what_was_assumed(generator) -> None:
    """Wherever the states were moved to: noise as large as this fits nowhere."""
    problem = quadratic(torch.tensor([[0.5, -1.0]]))
    planner = Collocation(horizon=3, num_iterations=14, noise=100.0)
    plan = planner.plan(problem, generator=generator)
    again = problem.imagine(plan.actions[:, None])
    torch.testing.assert_close(plan.imagination.latents, again.latents)
    torch.testing.assert_close(plan.energy, problem.score(again).energy[:, 0])


@pytest.mark.parametrize("penalty", [0.1, 1.0])
def test_prices_close_the_gaps_whatever_the_penalty(penalty, generator) -> None:
    """From a single start that goes nowhere, and so tells nothing of what usually changes."""
    planner = Collocation(
        horizon=4, num_restarts=1, num_iterations=400, learning_rate=0.1, penalty=penalty
    )
    plan = planner.plan(quadratic(torch.tensor([[2.0, 3.0]])), generator=generator)
    assert float(plan.energy) < 0.01


def test_a_problem_that_does_not_tell_what_follows_is_refused(generator) -> None:
    with pytest.raises(ForethoughtError, match=r"follow.*Gradient"):
        Collocation().plan(replace(sprint(10), follow=None), generator=generator)
