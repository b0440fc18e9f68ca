"""Verdicts: laws of intervals and of what decides, and the claims that the package carries."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forethought.cli import main
from forethought.evaluation.claims import (
    CLAIMS,
    Claim,
    Experiment,
    Prediction,
    Span,
    Support,
    Verdict,
    committed,
    judge,
    measured_in,
    pooled,
)
from forethought.evaluation.statistics import wilson
from forethought.types import ForethoughtError

THREE = ("a", "b", "c")


def experiment(**figures: tuple[float, float, float]) -> Experiment:
    return Experiment(
        command="make bench NAME=toy",
        seeds=(0,),
        figures={
            name: Span(value=value, low=low, high=high)
            for name, (value, low, high) in figures.items()
        },
    )


def claim(*predictions: Prediction, models: tuple[str, ...] = THREE) -> Claim:
    return Claim(
        name="toy", says="It is so.", source="a test", predictions=predictions, models=models
    )


AT_LEAST = Prediction(says="high", experiment="toy", figure="x", at_least=0.5)
AT_MOST = Prediction(says="low", experiment="toy", figure="x", at_most=0.5)


@pytest.mark.parametrize(
    ("interval", "support"),
    [
        ((0.7, 0.6, 0.8), Support.FOR),
        ((0.7, 0.4, 0.8), Support.OPEN),
        ((0.3, 0.2, 0.4), Support.AGAINST),
        ((0.9, math.nan, math.nan), Support.OPEN),
    ],
)
def test_the_interval_decides_and_not_the_value(
    interval: tuple[float, float, float], support: Support
) -> None:
    assert AT_LEAST.weigh(experiment(x=interval)).support is support
    mirrored = {Support.FOR: Support.AGAINST, Support.AGAINST: Support.FOR}
    assert AT_MOST.weigh(experiment(x=interval)).support is mirrored.get(support, support)


@given(st.integers(1, 200), st.integers(0, 200), st.integers(1, 200), st.integers(0, 200))
def test_a_difference_of_rates_turns_with_its_parts(n: int, k: int, m: int, j: int) -> None:
    """What is taken away the other way round is the mirror image, and holds its own value."""
    first, second = (wilson(np.arange(size) < min(hits, size)) for size, hits in ((n, k), (m, j)))
    one, two = (Span(value=e.value, low=e.low, high=e.high) for e in (first, second))
    there, back = one.less(two), two.less(one)
    assert there.low <= there.value <= there.high
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    assert there.low >= -1 - 1e-9 and there.high <= 1 + 1e-9


def test_differences_cover_the_truth() -> None:
    """Of 400 pairs of samples whose rates truly differ by 0.2 about 95 % say so."""
    draw, covered = np.random.default_rng(0), 0
    for _ in range(400):
        first, second = wilson(draw.random(80) < 0.7), wilson(draw.random(120) < 0.5)
        one, two = (Span(value=e.value, low=e.low, high=e.high) for e in (first, second))
        covered += one.less(two).low <= 0.2 <= one.less(two).high
    assert 0.92 <= covered / 400 <= 0.98


def test_cases_that_differ_widen_what_is_pooled() -> None:
    same = [Span(value=0.5, low=0.4, high=0.6)] * 4
    apart = [Span(value=v, low=v - 0.1, high=v + 0.1) for v in (0.1, 0.9, 0.2, 0.8)]
    assert pooled(same).high - pooled(same).low == pytest.approx(0.1)
    assert pooled(apart).value == pytest.approx(0.5)
    assert pooled(apart).high - pooled(apart).low > 1
    bare = [Span(value=v, low=math.nan, high=math.nan) for v in (0.01, 0.02, 0.03)]
    assert 0.02 < pooled(bare).high < 0.05
    assert math.isnan(pooled(bare[:2]).high)


def test_shares_stay_shares() -> None:
    """Shares that differ much from case to case: their mean may be all, and no more; gains may."""
    prediction = Prediction(says="", experiment="toy", figure="{case}", at_least=0.5, cases=THREE)
    high, low = (1.0, 0.9, 1.0), (0.7, 0.6, 0.8)
    assert prediction.weigh(experiment(a=high, b=high, c=low)).span.high == 1
    gains = replace(prediction, against="none")
    found = gains.weigh(experiment(a=high, b=high, c=low, none=(0.0, 0.0, 0.0)))
    assert found.span.high > 1


def test_what_speaks_against_it_in_one_case_leaves_it_open() -> None:
    prediction = Prediction(says="", experiment="toy", figure="{case}", at_least=0.5, cases=THREE)
    good, bad = (0.99, 0.98, 1.0), (0.45, 0.44, 0.46)
    assert prediction.weigh(experiment(a=good, b=good, c=good)).support is Support.FOR
    assert prediction.weigh(experiment(a=good, b=good, c=bad)).support is Support.OPEN


def test_verdicts() -> None:
    good, bad, wide = (0.9, 0.8, 1.0), (0.1, 0.0, 0.2), (0.5, 0.1, 0.9)
    other = Prediction(says="other", experiment="toy", figure="y", at_least=0.5)
    shown = Prediction(says="shown", experiment="toy", figure="y", at_least=0.5, decides=False)

    def verdict(one: Claim, **figures: tuple[float, float, float]) -> Verdict:
        return judge(one, {"toy": experiment(**figures)}).verdict

    assert verdict(claim(AT_LEAST), x=good) is Verdict.HOLDS
    assert verdict(claim(AT_LEAST), x=bad) is Verdict.DOES_NOT
    assert verdict(claim(AT_LEAST), x=wide) is Verdict.NOT_SETTLED
    assert verdict(claim(AT_LEAST, other), x=good, y=bad) is Verdict.DOES_NOT
    assert verdict(claim(AT_LEAST, other), x=good, y=wide) is Verdict.NOT_SETTLED
    assert verdict(claim(AT_LEAST, shown), x=good, y=bad) is Verdict.HOLDS
    assert verdict(claim(AT_LEAST, models=("a", "b")), x=good) is Verdict.NOT_SETTLED
    assert verdict(claim(AT_LEAST, models=("a", "b")), x=bad) is Verdict.NOT_SETTLED
    assert verdict(claim()) is Verdict.NOT_TESTED
    assert judge(claim(AT_LEAST), {}).verdict is Verdict.NOT_TESTED


def test_a_figure_that_is_missing_is_said_by_name() -> None:
    with pytest.raises(ForethoughtError, match=r"no figure 'x'.*make bench NAME=toy"):
        judge(claim(AT_LEAST), {"toy": experiment(y=(0.0, 0.0, 0.0))})


def test_every_claim_can_be_judged_by_what_the_package_carries() -> None:
    """Each prediction names figures that exist, and a claim has a verdict only with them."""
    found = committed()
    for one in CLAIMS:
        judged = judge(one, found)
        tested = bool(one.predictions) and all(name in found for name in one.experiments())
        assert (judged.verdict is not Verdict.NOT_TESTED) == tested
        assert [weighed.prediction for weighed in judged.weighed] == (
            list(one.predictions) if tested else []
        )
    assert len({one.name for one in CLAIMS}) == len(CLAIMS)


def test_files_that_are_no_results_are_refused(tmp_path: Path) -> None:
    (tmp_path / "toy.json").write_text('{"name": "toy"')
    with pytest.raises(ForethoughtError, match=r"toy.json: no results file.*make bench NAME=toy"):
        measured_in(tmp_path, [claim(AT_LEAST)])
    with pytest.raises(ForethoughtError, match="no such folder"):
        measured_in(tmp_path / "nowhere", [claim(AT_LEAST)])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ForethoughtError, match=r"none of the results .* toy.json"):
        measured_in(tmp_path / "empty", [claim(AT_LEAST)])


def test_the_command_shows_verdicts_and_writes_a_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "claims.html"
    assert main(["claims", "reflexes", "many-levels", "--page", str(page), "--json"]) == 0
    told = {one["name"]: one for one in json.loads(capsys.readouterr().out)["claims"]}
    assert told["many-levels"]["verdict"] == "not yet tested"
    assert told["reflexes"]["predictions"][0]["support"] == "for"
    text = page.read_text()
    assert told["reflexes"]["claim"] in text and "make bench NAME=distill" in text
    assert main(["claims", "nonsense"]) == 2
    assert "choose among" in capsys.readouterr().err
    assert main(["claims", "--again"]) == 2
    assert "name those" in capsys.readouterr().err
