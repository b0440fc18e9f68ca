"""Statistics equal their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from forethought.evaluation.statistics import auroc, bootstrap_mean, rank_correlation, wilson


def test_wilson_against_published_values() -> None:
    """Newcombe (1998), table I: 81 of 263, and 0 of 20."""
    found = wilson(np.arange(263) < 81)
    assert (found.low, found.high) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    none = wilson(np.zeros(20, bool))
    assert (none.value, none.low) == (0, 0) and none.high == pytest.approx(0.1611, abs=1e-4)


def test_wilson_covers() -> None:
    """Of many samples about 95 % cover the true rate."""
    draw = np.random.default_rng(0)
    intervals = [wilson(draw.random(60) < 0.9) for _ in range(2000)]
    covered = np.mean([i.low <= 0.9 <= i.high for i in intervals])
    assert 0.93 < covered < 0.98


def test_auroc_counts_pairs() -> None:
    """Ties count half."""
    positive, negative = np.array([1.0, 2.0, 2.0]), np.array([0.0, 2.0])
    pairs = [(p > n) + 0.5 * (p == n) for p in positive for n in negative]
    assert auroc(positive, negative) == pytest.approx(np.mean(pairs))


def test_rank_correlation_sees_order_only() -> None:
    x = np.linspace(0, 3, 50)
    assert rank_correlation(x, np.exp(x)) == pytest.approx(1)
    assert rank_correlation(x, -(x**3)) == pytest.approx(-1)


def test_bootstrap_interval_is_that_of_the_mean() -> None:
    draw = np.random.default_rng(0).normal(5, 2, 400)
    found = bootstrap_mean(draw)
    half = 1.96 * 2 / 20
    assert found.value == pytest.approx(draw.mean())
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.15)
