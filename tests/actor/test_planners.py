"""Every planner finds a known optimum, keeps its deadline and its bounds, and repeats itself."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
import torch

from forethought.actor import CEM, ICEM, MPPI, Gradient, shift
from forethought.types import (
    ActionSpace,
    ForethoughtError,
    Imagination,
    PlanningProblem,
    PlanStatus,
    Scores,
    WarmStart,
)

PLANNERS = [
    CEM(horizon=3, num_samples=256, num_iterations=12, num_elites=24, smallest_std=0.01),
    ICEM(horizon=3, num_samples=256, num_iterations=12, num_elites=24, smallest_std=0.01),
    MPPI(horizon=3, num_samples=256, num_iterations=12, smallest_std=0.01),
    Gradient(horizon=3, num_restarts=8, num_iterations=80, learning_rate=0.1),
]
LOW, HIGH = torch.tensor([-1.0, -2.0]), torch.tensor([1.0, 2.0])


def problem(targets: torch.Tensor, **changes) -> PlanningProblem:
    """States add up actions; energy is the squared distance of the last from a target."""

    def imagine(actions: torch.Tensor) -> Imagination:
        path = torch.nn.functional.pad(actions.cumsum(2), (0, 0, 1, 0))
        return Imagination(latents=path.unsqueeze(3), actions=actions)

    def score(imagination: Imagination) -> Scores:
        energy = (imagination.latents[:, :, -1, 0] - targets[:, None]).square().sum(-1)
        return Scores(
            energy=energy,
            terms={"distance": energy},
            feasible=torch.ones_like(energy, dtype=torch.bool),
        )

    base = PlanningProblem(
        imagine=imagine,
        score=score,
        space=ActionSpace(low=LOW, high=HIGH),
        num_worlds=len(targets),
    )
    return replace(base, **changes)


@pytest.mark.parametrize("planner", PLANNERS, ids=lambda p: type(p).__name__)
def test_the_optimum_of_every_world_is_found(planner, generator) -> None:
    """Three worlds with different optima, one of which needs the largest actions."""
    targets = torch.tensor([[0.5, -1.0], [-2.0, 3.0], [2.9, 5.8]])
    plan = planner.plan(problem(targets), generator=generator)
    reached = plan.imagination.latents[:, 0, -1, 0]
    torch.testing.assert_close(reached, targets, atol=0.15, rtol=0)
    assert plan.status is PlanStatus.FOUND
    torch.testing.assert_close(plan.terms["distance"], plan.energy)
    torch.testing.assert_close(plan.imagination.actions[:, 0], plan.actions)


@pytest.mark.parametrize("planner", PLANNERS, ids=lambda p: type(p).__name__)
def test_actions_stay_in_their_box(planner, generator) -> None:
    """However far the goal."""
    plan = planner.plan(problem(torch.tensor([[50.0, -50.0]])), generator=generator)
    assert (plan.actions >= LOW - 1e-6).all() and (plan.actions <= HIGH + 1e-6).all()
    torch.testing.assert_close(
        plan.imagination.latents[0, 0, -1, 0], torch.tensor([3.0, -6.0]), atol=0.3, rtol=0
    )


@pytest.mark.parametrize("planner", PLANNERS, ids=lambda p: type(p).__name__)
def test_the_same_generator_gives_the_same_plan(planner) -> None:
    """All randomness comes from the generator that is passed."""
    targets = torch.tensor([[1.0, 1.0]])
    first, second = (
        planner.plan(problem(targets), generator=torch.Generator().manual_seed(3)) for _ in range(2)
    )
    assert torch.equal(first.actions, second.actions)


@pytest.mark.parametrize("planner", PLANNERS, ids=lambda p: type(p).__name__)
def test_a_warm_start_is_never_lost(planner, generator) -> None:
    """Handed the optimum and a single round, a planner gives nothing worse."""
    targets = torch.tensor([[1.5, -3.0]])
    best = (targets / 3).unsqueeze(1).expand(-1, 3, -1)
    hasty = replace(planner, num_iterations=1)
    plan = hasty.plan(
        problem(targets), generator=generator, warm_start=WarmStart(actions=best.contiguous())
    )
    assert float(plan.energy) < 1e-8


@pytest.mark.parametrize("planner", PLANNERS, ids=lambda p: type(p).__name__)
def test_the_deadline_is_kept(planner, generator) -> None:
    """With rounds of 20 ms and 70 ms to think, the best so far comes back in time."""
    base = problem(torch.tensor([[1.0, 1.0]]))

    def slow(actions: torch.Tensor) -> Imagination:
        time.sleep(0.02)
        return base.imagine(actions)

    plan = planner.plan(replace(base, imagine=slow), generator=generator, deadline_s=0.07)
    assert plan.status is PlanStatus.OUT_OF_TIME
    assert 1 <= plan.num_iterations <= 3
    assert plan.seconds < 0.07 + 0.02


@pytest.mark.parametrize("planner", PLANNERS, ids=lambda p: type(p).__name__)
def test_discrete_actions_are_chosen_one_hot(planner, generator) -> None:
    """Of three choices at each step the one that reaches the target is found by enumeration."""
    values = torch.tensor([-1.0, 0.2, 1.0])
    target = 2.2  # 1 + 1 + 0.2

    def imagine(actions: torch.Tensor) -> Imagination:
        path = (actions @ values).cumsum(2)
        latents = torch.nn.functional.pad(path, (1, 0))[..., None, None]
        return Imagination(latents=latents, actions=actions)

    def score(imagination: Imagination) -> Scores:
        energy = (imagination.latents[:, :, -1, 0, 0] - target).square()
        return Scores(
            energy=energy, terms={"d": energy}, feasible=torch.ones_like(energy, dtype=torch.bool)
        )

    space = ActionSpace(low=torch.zeros(3), high=torch.ones(3), num_choices=3)
    discrete = PlanningProblem(imagine=imagine, score=score, space=space, num_worlds=1)
    plan = planner.plan(discrete, generator=generator)
    torch.testing.assert_close(plan.actions.sum(-1), torch.ones(1, 3))
    assert float(plan.energy) < 1e-6


@pytest.mark.parametrize("planner", PLANNERS, ids=lambda p: type(p).__name__)
def test_a_feasible_candidate_beats_a_better_one_that_is_not(planner, generator) -> None:
    """A guardrail keeps the first coordinate below one; the target lies beyond."""
    base = problem(torch.tensor([[2.0, 0.0]]))

    def guarded(imagination: Imagination) -> Scores:
        margin = 1.0 - imagination.latents[:, :, 1:, 0, 0]
        scores = base.score(imagination)
        return replace(scores, margins={"wall": margin}, feasible=(margin >= 0).all(-1))

    plan = planner.plan(replace(base, score=guarded), generator=generator)
    assert plan.status is PlanStatus.FOUND
    assert float(plan.margins["wall"].min()) >= 0


def test_an_infeasible_problem_is_said_to_be_so(generator) -> None:
    """No candidate keeps a guardrail that nothing can keep; the least violation is returned."""
    base = problem(torch.tensor([[0.0, 0.0]]))

    def impossible(imagination: Imagination) -> Scores:
        margin = -1 - imagination.actions[..., 0].square()
        scores = base.score(imagination)
        return replace(
            scores,
            margins={"never": margin},
            feasible=torch.zeros_like(scores.feasible),
        )

    plan = PLANNERS[0].plan(replace(base, score=impossible), generator=generator)
    assert plan.status is PlanStatus.INFEASIBLE
    assert float(plan.margins["never"].min()) == pytest.approx(-1, abs=0.05)


def test_nan_energies_are_worst_and_all_nan_is_an_error(generator) -> None:
    """A broken candidate is never chosen; a broken cost is named."""
    base = problem(torch.tensor([[1.0, 0.0]]))

    def half_broken(imagination: Imagination) -> Scores:
        scores = base.score(imagination)
        broken = torch.where(imagination.actions[:, :, 0, 0] > 0, torch.nan, scores.energy)
        return replace(scores, energy=broken)

    plan = PLANNERS[0].plan(replace(base, score=half_broken), generator=generator)
    assert torch.isfinite(plan.energy).all()

    def all_broken(imagination: Imagination) -> Scores:
        scores = base.score(imagination)
        broken = scores.energy * torch.nan
        return replace(scores, energy=broken, terms={**scores.terms, "mine": broken})

    with pytest.raises(ForethoughtError, match="NaN, which stands in cost term 'mine'"):
        PLANNERS[0].plan(replace(base, score=all_broken), generator=generator)


def test_shift_drops_what_was_executed(generator) -> None:
    """The rest moves up and its last action is repeated."""
    plan = PLANNERS[0].plan(problem(torch.tensor([[1.0, 2.0]])), generator=generator)
    left = shift(plan, steps=2).actions
    assert torch.equal(left[:, 0], plan.actions[:, 2])
    assert torch.equal(left[:, 1], plan.actions[:, 2])
