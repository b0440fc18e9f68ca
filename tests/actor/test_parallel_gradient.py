"""All steps are foreseen at once, and what comes of it is what a rollout says."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from known import quadratic, scored, sprint

from forethought.actor import ParallelGradient
from forethought.actor.parallel_gradient import _Course
from forethought.types import ActionSpace, ForethoughtError, Imagination, PlanningProblem


def test_all_steps_are_foreseen_in_one_call_and_rollouts_are_few(generator) -> None:
    """Of 25 rounds four are rollouts, which alone are counted as candidates."""
    problem = sprint(10)
    calls: dict[str, list[tuple[int, ...]]] = {"imagine": [], "follow": []}
    assert problem.follow is not None
    follow = problem.follow

    def imagine(actions: torch.Tensor) -> Imagination:
        calls["imagine"].append(tuple(actions.shape))
        return problem.imagine(actions)

    def followed(states: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        calls["follow"].append(tuple(actions.shape))
        return follow(states, actions)

    planner = ParallelGradient(horizon=10, num_restarts=4, num_iterations=25, steps_per_rollout=8)
    plan = planner.plan(replace(problem, imagine=imagine, follow=followed), generator=generator)
    assert calls["imagine"] == 4 * [(1, 4, 10, 1)]
    assert calls["follow"] == 21 * [(1, 4, 10, 1)]
    assert plan.num_candidates == 4 * 4


def bent(horizon: int, generator: torch.Generator) -> PlanningProblem:
    """A world that bends the way, with a cost of each state and action."""
    turn = torch.randn(3, 3, generator=generator) / 2

    def step(states: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        return torch.tanh(states @ turn + actions.unsqueeze(-2))

    def imagine(actions: torch.Tensor) -> Imagination:
        states = [torch.ones(1, actions.shape[1], 1, 3)]
        for action in actions.unbind(2):
            states.append(step(states[-1], action))
        return Imagination(latents=torch.stack(states, dim=2), actions=actions)

    def score(imagination: Imagination):
        away = (imagination.latents[:, :, 1:] - 0.3).square().sum((-1, -2, -3))
        return scored(away + 0.1 * imagination.actions.pow(4).sum((-1, -2)))

    space = ActionSpace(low=-torch.ones(3), high=torch.ones(3))
    return PlanningProblem(imagine=imagine, score=score, follow=step, space=space, num_worlds=1)


def test_with_actions_at_rest_its_gradient_is_that_of_the_rollout(generator) -> None:
    """After as many sweeps as there are steps all news has arrived, wherever states began."""
    horizon = 6
    problem = bent(horizon, generator)
    units = torch.rand(1, 4, horizon, 3, generator=generator) - 0.5
    imagination = problem.imagine(units)
    still = ParallelGradient(horizon=horizon, learning_rate=0.0)
    course = _Course.begin(still, problem, units, imagination, problem.score(imagination))
    course.states = course.states + torch.randn(course.states.shape, generator=generator)
    course.states[:, :, 0] = 1.0
    for sweep in range(2 * horizon - 1):
        course.sweep()
        at_rest = units.clone().requires_grad_()
        energy = problem.score(problem.imagine(at_rest)).energy.sum()
        (slope,) = torch.autograd.grad(energy, at_rest)
        assert course.units.grad is not None
        arrived = torch.isclose(course.units.grad, slope, atol=1e-5).all()
        assert bool(arrived) == (sweep == 2 * horizon - 2)
    torch.testing.assert_close(course.states, imagination.latents[:, :, :-1])


def test_the_plan_is_what_follows_and_not_what_was_assumed(generator) -> None:
    """Also where what assumed states lead to is not what a rollout comes to."""
    problem = quadratic(torch.tensor([[0.5, -1.0]]))
    wrong = replace(problem, follow=lambda states, actions: states - actions.unsqueeze(-2))
    plan = ParallelGradient(horizon=3, num_iterations=17).plan(wrong, generator=generator)
    again = problem.imagine(plan.actions[:, None])
    torch.testing.assert_close(plan.imagination.latents, again.latents)
    torch.testing.assert_close(plan.energy, problem.score(again).energy[:, 0])


def test_a_problem_that_does_not_tell_what_follows_is_refused(generator) -> None:
    with pytest.raises(ForethoughtError, match=r"follow.*Gradient"):
        ParallelGradient().plan(replace(sprint(10), follow=None), generator=generator)
