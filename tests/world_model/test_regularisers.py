"""Each regulariser equals its closed form, or keeps its law."""

from __future__ import annotations

import math

import pytest
import torch

from forethought.world_model.regularisers import (
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
