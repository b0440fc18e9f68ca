"""Bounds that follow what is seen: missed as often as stated, never too narrow."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from forethought.cost import AdaptationConfig, CalibrationWarning, LiveBounds, guardrail
from forethought.cost.chances import at_least
from forethought.types import ForethoughtError
from point import point_calibration, sight

RISK = 0.05
RAIL = guardrail("position.x", below=3.0, risk=RISK, name="edge")


def bounds(config: AdaptationConfig | None, agents: int = 1) -> LiveBounds:
    errors = np.random.default_rng(0).normal(size=400)
    return LiveBounds.of(point_calibration(errors).bounds([RAIL], sight()), agents, config)


def misses(
    live: LiveBounds, scale: float, steps: int, agents: int = 50
) -> tuple[float, LiveBounds]:
    """Share of errors, so many times larger than calibrated, that exceed the bound at each time."""
    draw, missed = np.random.default_rng(1), []
    for _ in range(steps):
        error = torch.tensor(scale * draw.normal(size=(agents, 1)), dtype=torch.float32)
        missed.append((error > live.bounds("edge", 1).widening).float().mean().item())
        live = live.learn({"edge": error})
    return float(np.mean(missed[steps // 4 :])), live


def test_errors_that_grow_are_missed_as_often_as_stated_in_the_long_run() -> None:
    """Three times the errors: left alone the bound fails ten times too often."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CalibrationWarning)
        fixed, _ = misses(bounds(None, 50), 3.0, 400)
        followed, _ = misses(bounds(AdaptationConfig(), 50), 3.0, 400)
    assert fixed > 4 * RISK
    assert followed == pytest.approx(RISK, abs=0.01)


def test_bounds_never_fall_below_what_was_calibrated() -> None:
    """However good the world is to it."""
    live = bounds(AdaptationConfig(), 50)
    _, after = misses(live, 0.01, 100)
    torch.testing.assert_close(after.bounds("edge", 4).widening, live.bounds("edge", 4).widening)
    rate, _ = misses(live, 1.0, 200)
    assert rate <= RISK + 0.01


def test_agents_follow_what_they_see_themselves() -> None:
    live = bounds(AdaptationConfig(), 2)
    grown = live.learn({"edge": torch.tensor([[9.0], [0.0]])}).bounds("edge", 4).widening
    before = live.bounds("edge", 4).widening
    assert grown[0, 0] > before[0, 0] and grown[1, 0] == before[1, 0]
    torch.testing.assert_close(grown[:, 1:], before[:, 1:])


def test_a_world_that_left_the_recordings_is_told_once_and_others_never() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        misses(bounds(AdaptationConfig()), 1.0, 300, agents=1)
    with pytest.warns(CalibrationWarning, match="'edge': of the latest") as told:
        misses(bounds(AdaptationConfig()), 4.0, 300, agents=1)
    assert len(told) == 1


def test_the_chance_of_so_many_misses_is_the_binomial_one() -> None:
    assert at_least(2, 3, 0.5) == pytest.approx(0.5)
    assert at_least(3, 3, 0.1) == pytest.approx(1e-3)
    assert at_least(0, 3, 0.1) == 1.0


def test_bounds_of_a_slower_clock_are_those_of_the_steps_it_ends_at() -> None:
    live = bounds(None)
    every = live.bounds("edge", 4).widening
    torch.testing.assert_close(live.bounds("edge", 2, steps=2).widening, every[:, [1, 3]])
    with pytest.raises(ForethoughtError, match=r"calibrated for 4 model steps.*--horizon 6"):
        live.bounds("edge", 3, steps=2)
