"""Verdicts and Shapley values follow from how often episodes succeed."""

from __future__ import annotations

import numpy as np
import pytest

from forethought.evaluation.blame import PARTS, Shares, shapley, subsets, verdicts


def rates_where(mends) -> dict[tuple[str, ...], np.ndarray]:
    """One episode, which succeeds with the sets of parts of which ``mends`` is true."""
    return {arm: np.array([float(bool(mends(set(arm))))]) for arm in subsets(PARTS)}


@pytest.mark.parametrize(
    ("mends", "verdict"),
    [
        (lambda replaced: "model" in replaced, "model"),
        (lambda replaced: "objective" in replaced, "objective"),
        (lambda replaced: "search" in replaced, "search"),
        (lambda replaced: {"model", "search"} <= replaced, "several"),
        (lambda replaced: replaced & {"model", "search"}, "several"),
        # Either of two would do, but one of them does so only without the other.
        (lambda replaced: "model" in replaced or replaced == {"search"}, "model"),
        (lambda replaced: False, "none"),
        (lambda replaced: True, "luck"),
    ],
)
def test_the_part_that_mends_is_named(mends, verdict: str) -> None:
    assert verdicts(rates_where(mends), PARTS) == [verdict]


def test_shapley_values_add_up_and_are_fair() -> None:
    """They add up to what all parts together add; equal parts have equal ones, idle ones none."""
    draw = np.random.default_rng(0)
    rates = {arm: draw.random(50) for arm in subsets(PARTS)}
    total = sum(shapley(rates, PARTS).values())
    np.testing.assert_allclose(total, rates[PARTS] - rates[()], atol=1e-12)
    both = shapley(rates_where(lambda replaced: {"model", "search"} <= replaced), PARTS)
    assert both["model"] == pytest.approx(0.5) and both["search"] == pytest.approx(0.5)
    assert both["objective"] == pytest.approx(0)


def test_parts_that_cannot_be_replaced_are_left_out() -> None:
    rates = {(): np.array([0.0, 0.0]), ("search",): np.array([1.0, 0.0])}
    assert verdicts(rates, ("search",)) == ["search", "none"]
    np.testing.assert_allclose(shapley(rates, ("search",))["search"], [1.0, 0.0])


def test_shares_are_of_all_failures_and_values_of_those_that_are_no_luck() -> None:
    lucky, other = rates_where(lambda replaced: True), rates_where(lambda r: "model" in r)
    rates = {arm: np.concatenate([lucky[arm], *[other[arm]] * 3]) for arm in lucky}
    shares = Shares.of(rates, PARTS)
    assert {name: one.value for name, one in shares.named.items()} == {"luck": 0.25, "model": 0.75}
    assert shares.named["model"].low <= 0.75 <= shares.named["model"].high
    assert shares.values["model"].value == 1 and shares.values["model"].episodes == 3
