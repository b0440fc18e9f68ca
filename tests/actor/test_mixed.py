"""Two planners in turn: the second begins where the first ended, and the better plan counts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from known import around, quadratic, scored

from forethought.actor import CEM, Gradient, Mixed
from forethought.types import ForethoughtError, Imagination, PlanStatus, WarmStart

CLOSE = CEM(horizon=3, num_samples=64, num_iterations=3, num_elites=8)
EXACT = Gradient(horizon=3, num_restarts=1, num_iterations=60, learning_rate=0.05, noise=0.0)


@dataclass(frozen=True)
class Says:
    """Plans what it is told to, whatever it is handed; keeps what it was handed."""

    actions: torch.Tensor
    handed: list[tuple[WarmStart | None, float | None]]

    def plan(self, problem, *, generator, warm_start=None, deadline_s=None):
        self.handed.append((warm_start, deadline_s))
        one = CEM(horizon=3, num_samples=1, num_iterations=1, num_elites=1)
        return one.plan(problem, generator=generator, warm_start=WarmStart(actions=self.actions))


def test_gradients_finish_what_sampling_began(generator) -> None:
    """To four digits, where sampling alone is far off; all candidates are counted."""
    problem = quadratic(torch.tensor([[0.5, -1.0], [-2.0, 3.0]]))
    rough = CLOSE.plan(problem, generator=generator)
    plan = Mixed(first=CLOSE, second=EXACT).plan(problem, generator=generator)
    assert float(rough.energy.min()) > 1e-4 and float(plan.energy.max()) < 1e-4
    assert plan.status is PlanStatus.FOUND
    assert plan.num_candidates == 3 * 64 + 61 and plan.num_iterations == 3 + 61


def test_the_better_of_both_counts_in_each_world_by_itself(generator) -> None:
    """The second begins with the plan of the first, is better in one world, worse in the other."""
    targets = torch.tensor([[3.0, 0.0], [-3.0, 0.0]])
    right = torch.tensor([1.0, 0.0]).expand(2, 3, 2)
    handed: list[tuple[WarmStart | None, float | None]] = []
    mixed = Mixed(first=Says(right, []), second=Says(-right, handed))
    plan = mixed.plan(quadratic(targets), generator=generator)
    torch.testing.assert_close(plan.energy, torch.zeros(2))
    torch.testing.assert_close(plan.actions, torch.stack([right[0], -right[1]]))
    warm_start, deadline_s = handed[0]
    assert warm_start is not None and deadline_s is None
    assert torch.equal(warm_start.actions, right)


def test_a_feasible_plan_is_never_given_away_for_a_better_one(generator) -> None:
    """Straight through the disc the target is met; the first planner's plan stays clear of it."""
    through = torch.tensor([2 / 3, 0.0]).expand(1, 3, 2)
    mixed = Mixed(first=Says(torch.zeros(1, 3, 2), []), second=Says(through, []))
    plan = mixed.plan(around((2.0, 0.0), radius=0.5), generator=generator)
    assert plan.feasible.all() and float(plan.energy) == 4.0


def test_where_both_violate_the_lesser_violation_counts_in_units(generator) -> None:
    """A large violation in a large unit may be the lesser one."""
    problem = quadratic(torch.tensor([[0.0, 0.0]]))

    def score(imagination: Imagination):
        place = imagination.latents[:, :, 1:, 0, 0]
        # Left of zero it is ten short of one guardrail, elsewhere one short of the other.
        left = place[:, :, -1:] < 0
        scores = scored(
            place[:, :, -1].square(),
            far=torch.where(left, -10.0, 1.0),
            near=torch.where(left, 1.0, -1.0),
        )
        return replace(scores, units={"far": 100.0, "near": 1.0})

    left, right = torch.full((1, 3, 2), -0.1), torch.full((1, 3, 2), 0.1)
    mixed = Mixed(first=Says(left, []), second=Says(right, []))
    plan = mixed.plan(replace(problem, score=score), generator=generator)
    assert torch.equal(plan.actions, left) and plan.status is PlanStatus.INFEASIBLE


def test_planners_that_do_not_look_equally_far_are_refused(generator) -> None:
    """Energies of plans of other lengths say nothing about each other."""
    mixed = Mixed(first=CLOSE, second=replace(EXACT, horizon=5))
    with pytest.raises(ForethoughtError, match="looks 3 model steps ahead, the second 5"):
        mixed.plan(quadratic(torch.zeros(1, 2)), generator=generator)
