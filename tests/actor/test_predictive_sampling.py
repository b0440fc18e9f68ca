"""Predictive sampling tries noisy copies of the plan there is, smooth ones where it is asked to."""

from __future__ import annotations

from dataclasses import replace

import torch
from known import quadratic

from forethought.actor import PredictiveSampling
from forethought.types import ActionSpace, Imagination, PlanningProblem, WarmStart


def tried(planner: PredictiveSampling, block: int = 1) -> torch.Tensor:
    """The copies of a plan of nothing, in world steps: ``(n, t, c)``."""
    seen: list[torch.Tensor] = []
    base = quadratic(torch.zeros(1, 2))

    def imagine(actions: torch.Tensor) -> Imagination:
        seen.append(actions.unflatten(-1, (block, 2)).flatten(2, 3)[0])
        return base.imagine(actions[..., :2])

    space = ActionSpace(low=-torch.ones(2 * block), high=torch.ones(2 * block), block=block)
    problem = PlanningProblem(imagine=imagine, score=base.score, space=space, num_worlds=1)
    planner.plan(problem, generator=torch.Generator().manual_seed(0))
    return seen[0]


def test_noise_goes_in_straight_lines_between_its_knots() -> None:
    """Three knots over nine world steps: two lines of equal steps, which meet in the middle."""
    copies = tried(PredictiveSampling(horizon=3, num_samples=40, std=0.1, num_knots=3), block=3)
    bends = copies.diff(dim=1).diff(dim=1)
    assert float(copies[0].abs().max()) == 0
    assert float(bends[:, [0, 1, 2, 4, 5, 6]].abs().max()) < 1e-6
    assert float(bends[1:, 3].abs().min()) > 1e-4


def test_one_knot_holds_and_a_knot_for_each_step_is_white_noise() -> None:
    held = tried(PredictiveSampling(horizon=4, num_samples=40, std=0.1, num_knots=1))
    torch.testing.assert_close(held, held[:, :1].expand_as(held))
    white = tried(PredictiveSampling(horizon=4, num_samples=4000, std=0.1))[1:].transpose(0, 1)
    correlations = torch.corrcoef(white.flatten(1))
    torch.testing.assert_close(correlations, torch.eye(4), atol=0.05, rtol=0)
    torch.testing.assert_close(white.std(1), torch.full((4, 2), 0.1), atol=0.01, rtol=0)


def test_from_decision_to_decision_the_plan_gets_better(generator) -> None:
    """One round each, handed on: what the noise of one round cannot reach, several do."""
    problem = quadratic(torch.tensor([[2.0, -4.0], [-1.0, 1.0]]))
    planner = PredictiveSampling(horizon=3, num_samples=64, std=0.15)
    plan = planner.plan(problem, generator=generator)
    energies = [plan.energy]
    for _ in range(20):
        warm = WarmStart(actions=plan.actions)
        plan = planner.plan(problem, generator=generator, warm_start=warm)
        energies.append(plan.energy)
    fell = torch.stack(energies).diff(dim=0)
    assert (fell <= 0).all() and float(energies[0].min()) > 0.1 and float(energies[-1].max()) < 0.01
    rounds = replace(planner, num_iterations=21).plan(problem, generator=generator)
    assert float(rounds.energy.max()) < 0.01
