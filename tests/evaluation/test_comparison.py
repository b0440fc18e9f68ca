"""Runs that do not differ are seldom called different, and a real gap is found."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from forethought.cli import main
from forethought.evaluation import between_runs, compare, mcnemar, read_evaluation
from forethought.evaluation import resampled_comparisons as resampled
from forethought.evaluation.significance import detectable, of_means, of_two_runs, student
from forethought.types import ForethoughtError


def solved(both: int, first: int, second: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    """Tasks that both runs solved, one of them alone, or neither."""
    counts = (both, first, second, neither)
    return np.repeat([1, 1, 0, 0], counts) > 0, np.repeat([1, 0, 1, 0], counts) > 0


def population(
    draw: np.random.Generator, runs: int, tasks: np.ndarray, rate: float, spread: float
) -> np.ndarray:
    """Runs ``(runs, n)`` of one way of training on tasks of these difficulties: each run is a
    little better or worse than the others, at all tasks and at each."""
    skill = math.log(rate / (1 - rate)) + draw.normal(0, spread, (runs, 1))
    own = draw.normal(0, 0.7, (runs, len(tasks)))
    return draw.random((runs, len(tasks))) < 1 / (1 + np.exp(-(skill + own + tasks)))


# ------------------------------------------------------------------------------- definitions


def test_mcnemar_against_the_binomial() -> None:
    """2 of 14 tasks that tell runs apart: twice the tail of fourteen fair coins."""
    first, second = solved(36, 12, 2, 0)
    tail = sum(math.comb(14, k) for k in range(3)) / 2**14
    assert mcnemar(first, second) == pytest.approx(2 * tail) == mcnemar(second, first)
    assert mcnemar(first, first) == 1


def test_the_interval_of_a_difference_against_published_values() -> None:
    """Newcombe (1998), method 10: 36, 12, 2 and 0 of 50 give 0.2 (0.0569 to 0.3404)."""
    first, second = solved(36, 12, 2, 0)
    found = of_two_runs(second, first)
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0569, 0.3404), abs=1e-4)
    turned = of_two_runs(first, second)
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))
    same = of_two_runs(np.ones(50, bool), np.ones(50, bool))
    assert same.value == 0 and same.low < -0.05 and same.high > 0.05, "never without width"


def test_student_against_tables() -> None:
    for t, freedom in ((12.706, 1), (4.303, 2), (2.776, 4), (2.045, 29)):
        assert student(t, freedom) == pytest.approx(0.05, abs=2e-4)


def test_the_interval_of_several_runs_is_that_of_welch_where_tasks_say_nothing() -> None:
    """Rates 0.2, 0.4, 0.6 against 0.7, 0.8, 0.9; each task differs alike in the mean over runs."""
    n = 10

    def at(rate: float, shift: int) -> np.ndarray:
        return np.roll(np.arange(n) < round(rate * n), shift)

    first = np.stack([at(rate, shift) for rate, shift in ((0.2, 0), (0.4, 2), (0.6, 6))])
    second = np.stack([at(rate, shift) for rate, shift in ((0.7, 0), (0.8, 7), (0.9, 5))])
    found = between_runs(first, second)
    tasks = np.var(second.mean(0) - first.mean(0), ddof=1) / n
    error = math.sqrt(0.04 / 3 + 0.01 / 3 + tasks)
    freedom = error**4 / ((0.04 / 3) ** 2 / 2 + (0.01 / 3) ** 2 / 2 + tasks**2 / (n - 1))
    assert found.value == pytest.approx(0.4)
    assert found.p == pytest.approx(student(0.4 / error, freedom), abs=1e-6)
    assert found.low < 0.4 < found.high and found.high - 0.4 == pytest.approx(0.4 - found.low)


def test_runs_that_all_do_the_same_leave_something_open() -> None:
    """Three runs a side, everything solved: not that there could be no difference."""
    every = np.ones((3, 40), bool)
    found = between_runs(every, every)
    assert found.value == 0 and found.p == 1 and found.low < -0.05 and found.high > 0.05
    none = between_runs(every, ~every)
    assert none.value == -1 and none.p < 1e-6 and none.high < -0.8


def test_a_bootstrap_of_pairs_sees_a_shift_that_means_would_hide() -> None:
    draw = np.random.default_rng(0)
    steps = draw.uniform(5, 60, 80)
    later = steps + draw.normal(1.0, 0.5, 80)
    found = of_means(steps, later)
    assert found.low < 1 < found.high and found.p < 0.01 and found.high - found.low < 0.4


# ------------------------------------------------------------------------- how often it is wrong


@pytest.mark.parametrize("rate", [0.5, 0.9, 0.99])
def test_the_same_policy_is_seldom_called_different(rate) -> None:
    """Two evaluations that differ only by chance: 5 % at most, however high the rate."""
    draw = np.random.default_rng(0)
    called = [mcnemar(*(draw.random((2, 200)) < rate)) < 0.05 for _ in range(2000)]
    assert np.mean(called) <= 0.05


def test_a_gap_of_ten_points_is_found_with_400_episodes() -> None:
    """80 % against 90 %, on tasks that say nothing of each other: no pairing to help."""
    draw = np.random.default_rng(0)
    found = [mcnemar(draw.random(400) < 0.8, draw.random(400) < 0.9) < 0.05 for _ in range(400)]
    assert np.mean(found) > 0.93


def test_runs_that_differ_only_by_their_seed_are_seldom_called_different() -> None:
    """Runs whose success differs by four points and more from seed to seed, 200 comparisons: tasks
    alone call every fourth pair of runs different; three runs a side keep to 5 %."""
    draw, called = np.random.default_rng(0), {1: 0.0, 3: 0.0}
    for _ in range(200):
        runs = population(draw, 6, draw.normal(0, 1, 220), 0.88, 0.35)
        for several in called:
            called[several] += resampled(runs, episodes=200, runs=several, comparisons=1)
    assert called[1] / 200 > 0.2
    assert called[3] / 200 <= 0.05


def test_few_runs_drawn_anew_spread_less_than_those_they_stand_for() -> None:
    """Why not a bootstrap of runs and tasks: with three runs a side it is wrong too often."""
    draw = np.random.default_rng(1)
    wrong, ours = 0, 0
    for _ in range(200):
        tasks = draw.normal(0, 1, 1000)
        first, second = (population(draw, 3, tasks, 0.85, 0.5) for _ in range(2))
        gaps = [
            second[draw.integers(3, size=3)][:, some].mean()
            - first[draw.integers(3, size=3)][:, some].mean()
            for some in draw.integers(1000, size=(100, 1000))
        ]
        low, high = np.percentile(gaps, [2.5, 97.5])
        wrong += low > 0 or high < 0
        ours += between_runs(first, second).differs
    assert ours / 200 <= 0.05 < 0.08 < wrong / 200


def test_a_gap_between_ways_of_training_is_found_by_three_runs_of_each() -> None:
    draw = np.random.default_rng(2)
    tasks = draw.normal(0, 1, 400)
    worse, better = (population(draw, 8, tasks, rate, 0.15) for rate in (0.82, 0.905))
    gap = better.mean() - worse.mean()
    assert 0.08 < gap < 0.12
    assert resampled(worse, better, episodes=400, runs=3) > 0.8
    with pytest.raises(ForethoughtError, match="takes 18 runs"):
        resampled(worse, episodes=400, runs=9)


def test_what_would_have_been_found_is_found() -> None:
    """The difference that is named is found in four of five tries, a smaller one less often."""
    least = detectable(200, 0.1)
    draw, found = np.random.default_rng(0), []
    for gap in (least, least / 2):
        chances = [0.5, (0.1 + gap) / 2, (0.1 - gap) / 2, 0.4]
        counts = draw.multinomial(200, chances, size=500)
        found.append(np.mean([mcnemar(*solved(*c)) < 0.05 for c in counts]))
    assert found[0] > 0.77 and found[1] < 0.5
    sizes = [detectable(n, 0.1) for n in (50, 100, 200, 400, 800)]
    assert all(many <= few for few, many in pairwise(sizes))
    assert math.isnan(detectable(4, 0.1))


# ------------------------------------------------------------------------------- files


def written(folder: Path, ever: np.ndarray, **changes) -> Path:
    """A run's folder with an evaluation in it."""
    protocol = {"episodes": len(ever), "budget": 50, "hold": 1, "seed": 7, "traces": 6}
    near = np.arange(len(ever)) % 2 == 0
    content = {
        "world": "two_rooms",
        "protocol": protocol | {"tasks": {"from": "seeds"}} | changes,
        "bands": ["near", "far"],
        "groups": [],
        "episodes": [
            {
                "seed": 7 + i,
                "ever": bool(met),
                "final": bool(met),
                "steps": 10 + i % 3 if met else None,
                "bands": ["near" if near[i] else "far"],
                "groups": [],
            }
            for i, met in enumerate(ever)
        ],
    }
    folder.mkdir()
    (folder / "evaluate.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    """Seven runs: three good ones, three worse ones, and one that nobody can compare."""
    draw = np.random.default_rng(0)
    rates = [0.95] * 3 + [0.6] * 3
    found = [written(tmp_path / f"run{i}", draw.random(120) < r) for i, r in enumerate(rates)]
    return [*found, written(tmp_path / "other", draw.random(120) < 0.9, budget=60)]


def test_the_verdict_follows_from_the_files(runs) -> None:
    good, worse = (read_evaluation(runs[i]) for i in (0, 3))
    found = compare([worse], [good])
    assert found.differs and "the second run is better" in found.verdict
    assert "only by their training seed" in found.caution
    assert [row.name for row in found.rows] == ["success", "at the end", "near", "far"]
    assert found.rows[2].difference.episodes == 60
    assert found.rows[0].difference.value == pytest.approx(good.ever.mean() - worse.ever.mean())
    same = compare([good], [good])
    assert not same.differs and "would most likely have been" in same.verdict
    assert same.steps is not None and same.steps.value == 0
    several = compare(
        *([read_evaluation(runs[i]) for i in side] for side in ((3, 4, 5), (0, 1, 2)))
    )
    assert several.differs and several.caution == "" and several.steps is None
    assert "the second side is better" in several.verdict


def test_what_cannot_be_compared_is_refused(runs, tmp_path) -> None:
    one = read_evaluation(runs[0])
    with pytest.raises(ForethoughtError, match=r"budget differs: 50 .* 60 .*Evaluate both alike"):
        compare([one], [read_evaluation(runs[6])])
    content = json.loads((runs[1] / "evaluate.json").read_text())
    content["episodes"][4]["seed"] = 99
    moved = tmp_path / "moved.json"
    moved.write_text(json.dumps(content))
    with pytest.raises(ForethoughtError, match="differ from task 5 on"):
        compare([one], [read_evaluation(moved)])
    moved.write_text(json.dumps(content | {"world": "two_rooms_random"}))
    with pytest.raises(ForethoughtError, match="world differs"):
        compare([one], [read_evaluation(moved)])
    moved.write_text("{}")
    with pytest.raises(ForethoughtError, match="not an evaluation"):
        read_evaluation(moved)
    with pytest.raises(ForethoughtError, match="no evaluation here"):
        read_evaluation(tmp_path)


def test_files_from_before_are_read(runs) -> None:
    """Evaluations that say nothing of where tasks come from drew all of them."""
    file = runs[1] / "evaluate.json"
    content = json.loads(file.read_text())
    del content["protocol"]["tasks"], content["bands"], content["groups"]
    content["episodes"] = [
        {k: e[k] for k in ("seed", "ever", "final")} for e in content["episodes"]
    ]
    file.write_text(json.dumps(content))
    found = compare([read_evaluation(runs[0])], [read_evaluation(runs[1])])
    assert found.steps is None and len(found.rows) == 4


def test_the_command(runs, capsys) -> None:
    words = [str(runs[i]) for i in (3, 0)]
    assert main(["compare", *words, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["differs"] and answer["rows"][0]["difference"]["p"] < 0.001
    assert main(["compare", *words, "--runs-a", str(runs[4]), "--runs-b", str(runs[1])]) == 0
    printed = capsys.readouterr().out
    assert "1 more" in printed and "difference in" in printed
    assert main(["compare", str(runs[0]), str(runs[6])]) == 2
    assert "budget differs" in capsys.readouterr().err
