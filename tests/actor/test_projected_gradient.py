"""Projected gradient descent finds its own steps, and lands on the edge of the box."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from known import HIGH, LOW, quadratic, scored, sprint

from forethought.actor import ProjectedGradient
from forethought.types import Imagination


def energies(planner: ProjectedGradient, scale: float) -> torch.Tensor:
    """Of every start after each round: ``(rounds, n)``, of a narrow valley times a scale."""
    base, seen = quadratic(torch.tensor([[0.7, 1.1]])), []

    def score(imagination: Imagination):
        gap = imagination.latents[:, :, -1, 0] - torch.tensor([0.7, 1.1])
        energy = scale * (gap.square() * torch.tensor([1.0, 50.0])).sum(-1)
        seen.append(energy.detach()[0])
        return scored(energy)

    planner.plan(replace(base, score=score), generator=torch.Generator().manual_seed(0))
    return torch.stack(seen)


def test_a_narrow_valley_is_found_from_every_start_by_steps_of_the_right_length() -> None:
    """Two hundred times as steep across as along; some steps lead up, and are taken back."""
    seen = energies(ProjectedGradient(horizon=3, num_restarts=6, num_iterations=40), 1.0)
    assert float(seen[0].min()) > 0.3 and float(seen[-1].max()) < 1e-3
    assert (seen.diff(dim=0) > 0).any()


@pytest.mark.parametrize("scale", [2.0**-20, 2.0**20])
def test_the_unit_of_the_energy_makes_no_difference(scale) -> None:
    """There is no learning rate that it could be too large for."""
    planner = ProjectedGradient(horizon=3, num_restarts=4, num_iterations=12)
    assert torch.equal(energies(planner, scale) / scale, energies(planner, 1.0))


def test_a_long_sprint_is_run_at_full_speed(generator) -> None:
    """Thirty steps of which all lie at their limits, in forty rounds."""
    planner = ProjectedGradient(horizon=30, num_iterations=40)
    plan = planner.plan(sprint(30, 0.1), generator=generator)
    assert float(plan.energy) < 0.01
    assert float(plan.actions[0, :12].min()) > 0.5 and float(plan.actions[0, 18:].max()) < -0.5


def test_beyond_the_box_its_corner_is_found_exactly(generator) -> None:
    """Entries at their limit do not slow down the others."""
    planner = ProjectedGradient(horizon=3, num_restarts=2, num_iterations=40)
    plan = planner.plan(quadratic(torch.tensor([[50.0, -1.0]])), generator=generator)
    assert torch.equal(plan.actions[0, :, 0], HIGH[0].expand(3))
    assert (plan.actions >= LOW).all()
    torch.testing.assert_close(plan.actions[0, :, 1].sum(), torch.tensor(-1.0), atol=1e-3, rtol=0)
