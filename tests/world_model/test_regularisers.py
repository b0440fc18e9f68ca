"""Each regulariser equals its closed form, or keeps its law."""

from __future__ import annotations

import math

import pytest
import torch

from forethought.world_model.regularisers import (
    GridInverseDynamicsConfig,
    InverseDynamicsConfig,
    SIGRegConfig,
    TemporalSmoothnessConfig,
    TemporalStraighteningConfig,
    TemporalVarianceConfig,
    VICRegConfig,
)


def value(config, latents, generator, actions=None):
    b, t, k, d = latents.shape
    actions = torch.zeros(b, t - 1, 3) if actions is None else actions
    return config.build(k, d, actions.shape[-1])(latents, actions, generator)


def test_sigreg_of_a_constant_equals_its_closed_form(generator) -> None:
    """All samples at zero: the empirical characteristic function is one everywhere."""
    found = value(SIGRegConfig(num_knots=401), torch.zeros(8, 4, 1, 6), generator)
    # integral of (1 - exp(-t^2/2))^2 exp(-t^2/2) over the real line
    root = math.sqrt(2 * math.pi)
    closed = root * (1 - 2 / math.sqrt(2) + 1 / math.sqrt(3)) * 32
    assert float(found) == pytest.approx(closed, rel=1e-3)


def test_sigreg_prefers_the_normal_distribution(generator) -> None:
    """Neither too narrow, nor too wide, nor skewed, scores better than a normal sample."""
    normal = torch.randn(64, 8, 1, 4, generator=generator)
    at_best = value(SIGRegConfig(), normal, generator)
    for other in (0.3 * normal, 2 * normal, normal.exp() - 1.6, normal + 1):
        assert value(SIGRegConfig(), other, generator) > 3 * at_best


def test_vicreg_equals_its_closed_form(generator) -> None:
    """Hinge of the standard deviation, and mean squared covariance."""
    scale = torch.tensor([0.5, 2.0])
    base = torch.randn(500, 4, 1, 2, generator=generator)
    base = base - base.mean((0, 1))
    flat = base.flatten(0, 2)
    white = flat @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(flat.T))).T
    mixed = white.view(500, 4, 1, 2) * scale
    mixed[..., 1] += mixed[..., 0]  # covariance 0.25, variances 0.25 and 4.25
    found = value(VICRegConfig(covariance=1.0), mixed, generator)
    expected = (1 - math.sqrt(0.25 + 1e-4)) / 2 + 2 * 0.25**2 / 2
    assert float(found) == pytest.approx(expected, rel=1e-3)


def test_vicreg_is_zero_for_white_latents(generator) -> None:
    """Unit variance and no covariance cost nothing."""
    flat = torch.randn(400, 3, generator=generator)
    flat = flat - flat.mean(0)
    white = flat @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(flat.T))).T
    assert float(value(VICRegConfig(), white.view(100, 4, 1, 3), generator)) < 1e-6


def test_temporal_variance_sees_through_slow_features(generator) -> None:
    """What differs only between clips is as bad as a constant; what moves within them is free."""
    slow = 10 * torch.randn(64, 1, 1, 4, generator=generator).expand(-1, 9, -1, -1)
    moving = 2 * torch.randn(64, 9, 1, 4, generator=generator)
    config = TemporalVarianceConfig(share=1.0)
    assert float(value(config, slow, generator)) == pytest.approx(1 - 1e-2, rel=1e-3)
    assert float(value(config, moving, generator)) == 0


def test_temporal_variance_leaves_its_share_free(generator) -> None:
    """Only the first dimensions must move."""
    latents = 3 * torch.randn(64, 9, 1, 4, generator=generator)
    latents[..., 2:] = 1.0
    assert float(value(TemporalVarianceConfig(share=0.5), latents, generator)) == 0
    assert float(value(TemporalVarianceConfig(share=1.0), latents, generator)) > 0.4


def test_smoothness_is_the_mean_squared_change(generator) -> None:
    """A ramp of slope two costs four."""
    ramp = 2 * torch.arange(5.0).view(1, 5, 1, 1).expand(3, -1, 2, 4)
    assert float(value(TemporalSmoothnessConfig(), ramp, generator)) == pytest.approx(4)


def test_inverse_dynamics_can_be_learned_only_if_latents_move(generator) -> None:
    """On latents that add up actions the error falls; on constant ones it stays at chance."""
    actions = torch.randn(256, 1, 2, generator=generator)
    moved = torch.stack([torch.zeros(256, 1, 2), actions], 1)
    for latents, reached in ((moved, 0.05), (torch.zeros(256, 2, 1, 2), None)):
        torch.manual_seed(0)
        term = InverseDynamicsConfig().build(1, 2, 2)
        optimiser = torch.optim.Adam(term.parameters(), 1e-2)
        for _ in range(150):
            loss = term(latents, actions, generator)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        if reached is None:
            assert float(loss.detach()) == pytest.approx(float(actions.var()), rel=0.1)
        else:
            assert float(loss.detach()) < reached


def test_straightening_is_zero_on_lines_and_two_where_they_turn_back(generator) -> None:
    """Whatever the speed; a right angle costs one."""
    line = torch.tensor([0.0, 1.0, 3.0, 9.0]).view(1, 4, 1, 1) * torch.ones(1, 1, 1, 3)
    assert float(value(TemporalStraighteningConfig(), line, generator)) == pytest.approx(
        0, abs=1e-6
    )
    back = torch.tensor([0.0, 1.0, 0.0]).view(1, 3, 1, 1)
    assert float(value(TemporalStraighteningConfig(), back, generator)) == pytest.approx(2)
    corner = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 5.0]]).view(1, 3, 1, 2)
    assert float(value(TemporalStraighteningConfig(), corner, generator)) == pytest.approx(1)


def test_inverse_dynamics_of_a_grid_reads_the_same_wherever_it_happens(generator) -> None:
    """The loss of a change in one place is that of the same change in another, to the bit's noise;
    of another change it is not."""
    config = GridInverseDynamicsConfig(channels=8, hidden=8)
    torch.manual_seed(0)
    term = config.build(12**2, 3, 2)
    with torch.no_grad():
        for parameter in term.parameters():
            parameter.mul_(3)
    before, after = torch.randn(2, 3, generator=generator)
    actions = torch.randn(1, 1, 2, generator=generator)

    def loss_at(row: int, column: int, then: torch.Tensor) -> float:
        latents = torch.zeros(1, 2, 12, 12, 3)
        latents[0, 0, row, column], latents[0, 1, row, column + 1] = before, then
        return float(term(latents.flatten(2, 3), actions, generator).detach())

    assert loss_at(5, 4, after) == pytest.approx(loss_at(7, 6, after), rel=1e-4)
    assert loss_at(5, 4, after) != pytest.approx(loss_at(5, 4, before), rel=1e-2)


def test_inverse_dynamics_of_a_grid_can_be_learned(generator) -> None:
    """A dot that moves by a token either way on a still, busy ground: the direction is read from
    few examples, and at places where it was never seen."""
    torch.manual_seed(0)
    term = GridInverseDynamicsConfig(channels=16, hidden=32).build(64, 3, 1)
    optimiser = torch.optim.Adam(term.parameters(), lr=1e-2)

    def loss(rows: range) -> torch.Tensor:
        count = 32
        ground = torch.randn(count, 1, 8, 8, 3, generator=generator).expand(-1, 2, -1, -1, -1)
        latents, batch = ground.clone(), torch.arange(count)
        row = torch.randint(rows.start, rows.stop, (count,), generator=generator)
        column = torch.randint(2, 6, (count,), generator=generator)
        way = torch.randint(0, 2, (count,), generator=generator) * 2 - 1
        latents[batch, 0, row, column] += 4
        latents[batch, 1, row, column + way] += 4
        return term(latents.flatten(2, 3), way.float().view(count, 1, 1), generator)

    for _ in range(150):
        optimiser.zero_grad()
        loss(range(1, 4)).backward()
        optimiser.step()
    with torch.no_grad():
        assert torch.stack([loss(range(4, 7)) for _ in range(8)]).mean() < 0.1
