"""Statistics equal their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from forethought.evaluation.statistics import (
    auroc,
    bootstrap_mean,
    rank_correlation,
    wilson,
    wilson_of_groups,
)


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


def test_what_comes_twice_counts_once() -> None:
    """Groups whose trials all end alike leave as much to chance as one trial each would."""
    once = np.random.default_rng(0).random(100) < 0.8
    groups = np.repeat(np.arange(100), 2)
    alike = wilson_of_groups(np.repeat(once, 2), groups)
    # The variance between groups is that of a sample, with one degree of freedom less.
    assert (alike.low, alike.high) == pytest.approx((wilson(once).low, wilson(once).high), abs=1e-3)
    # Where one of each two succeeds, groups leave less to chance; no more trials are made of it.
    mixed = np.tile([True, False], 100)
    assert wilson_of_groups(mixed, groups) == wilson(mixed)
    every = wilson_of_groups(np.ones(200, bool), groups)
    assert every.low == wilson(np.ones(100, bool)).low and every.high == 1


def test_intervals_of_groups_cover() -> None:
    """Rates that differ from group to group; by trials alone nine in ten would cover."""
    draw, groups = np.random.default_rng(1), np.repeat(np.arange(60), 2)
    covered = 0
    for _ in range(1000):
        rates = np.repeat(draw.choice([0.5, 1.0], 60), 2)
        found = wilson_of_groups(draw.random(120) < rates, groups)
        covered += found.low <= 0.75 <= found.high
    assert 930 < covered < 980


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
