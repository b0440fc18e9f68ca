"""A sweep asks the same tasks at every point, keeps what it measured, and scores what is kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from forethought import recipes, worlds
from forethought.cli import main
from forethought.evaluation.planning import PlanningProtocol
from forethought.evaluation.readings import Errors
from forethought.evaluation.report.shift_report import failing, score_rows, shift_report
from forethought.evaluation.shifts import (
    Point,
    Reached,
    ShiftResults,
    robustness,
    sweep,
    weak_points,
)
from forethought.model import Model
from forethought.types import Decision, ForethoughtError, Observation, World
from forethought.worlds.factors import factors_of

PROTOCOL = PlanningProtocol(episodes=12, budget=40, traces=0)
CAMERA = "observation.images.top"


def reached(flags: Sequence[bool]) -> Reached:
    return Reached(ever=tuple(flags), final=tuple(flags))


def point(share: float, agent: Sequence[bool], floor: Sequence[bool]) -> Point:
    return Point(
        strength=10 * share,
        share=share,
        agent=reached(agent),
        floor=reached(floor),
        ceiling=reached([True] * len(agent)),
        errors=None,
    )


def curve(rates: Sequence[float], floors: Sequence[float], count: int = 100) -> list[Point]:
    """Points, evenly apart, at which so many tasks are reached."""
    shares = np.linspace(0, 1, len(rates))
    tasks = np.arange(count)
    return [
        point(share, (tasks < count * rate).tolist(), (tasks >= count * (1 - floor)).tolist())
        for share, rate, floor in zip(shares, rates, floors, strict=True)
    ]


class Walker:
    """Walks by the truth, which it should not know; counts how often it is asked."""

    def __init__(self) -> None:
        self.worlds: list[World] = []
        self.asked = 0

    def make_world(self, count: int) -> World:
        self.worlds.append(worlds.make("two_rooms", count))
        return self.worlds[-1]

    def make_agent(self, goals: Observation, count: int) -> Walker:
        return self

    def act_batch(self, observation: Observation) -> Decision:
        self.asked += 1
        action = self.worlds[-1].oracle()
        none = np.zeros(len(action))
        return Decision(
            action=action,
            mode=1,
            plan=None,
            plan_step=0,
            surprise=none,
            shielded=none > 0,
            seconds=0,
        )


def swept(walker: Walker, names: Sequence[str], **settings: object) -> ShiftResults:
    factors = factors_of(worlds.make("two_rooms"), names)
    return sweep(walker.make_agent, walker.make_world, factors, PROTOCOL, visible=False, **settings)


def test_to_lose_nothing_scores_one_and_to_be_random_scores_nothing() -> None:
    assert robustness(curve([1.0] * 5, [0.1] * 5)).ever.value == 1
    # Random actions may come to do better or worse by themselves.
    assert robustness(curve([1.0] * 5, [0.1, 0.2, 0.3, 0.4, 0.5])).ever.value == 1
    lost = robustness(curve([0.9, 0.1, 0.2, 0.3, 0.4], [0.1, 0.1, 0.2, 0.3, 0.4]))
    assert lost.ever.value == pytest.approx(0)
    half = robustness(curve([1.0, 1.0, 1.0, 0.0, 0.0], [0.0] * 5))
    assert half.ever.value == half.ever.low == half.ever.high == 0.5
    assert np.isnan(robustness(curve([0.1] * 5, [0.1] * 5)).ever.value)


def test_a_strength_counts_for_the_range_below_it() -> None:
    points = [point(share, [share <= 0.5] * 10, [False] * 10) for share in (0.0, 0.1, 0.5, 1.0)]
    assert robustness(points).ever.value == pytest.approx(0.5)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    truth, tasks, covered = np.mean([0.8, 0.5, 0.3]), 60, 0
    for _ in range(60):
        points = [
            point(share, (generator.random(tasks) < rate).tolist(), [False] * tasks)
            for share, rate in ((0.0, 1.0), (1 / 3, 0.8), (2 / 3, 0.5), (1.0, 0.3))
        ]
        score = robustness(points).ever
        covered += score.low <= truth <= score.high
    assert covered >= 52


def test_who_sees_the_truth_loses_nothing_where_only_sights_differ() -> None:
    results = swept(Walker(), ["hue", "latency", "noise"])
    assert len(results.curves) == 3 and results.together is not None
    assert results.score.ever.value == 1 == results.together.score.final.value
    for one in results.every_curve():
        assert [p.share for p in one.points] == [0, *one.factor.shares]
        assert all(p.agent == p.ceiling for p in one.points)
    assert not weak_points(results)


def test_tasks_are_the_same_at_every_point_and_floors_are_of_the_shifted_world() -> None:
    walker = Walker()
    results = swept(walker, ["turn", "gain"])
    again = swept(Walker(), ["turn", "gain"])
    assert results.to_json() == again.to_json()
    assert results.seeds == tuple(range(1_000_000, 1_000_012))
    assert all(world.seeds == results.seeds for world in walker.worlds[1:])
    turn = next(one for one in results.curves if one.factor.name == "turn")
    # Turned by a right angle, the oracle walks past its goals.
    assert sum(turn.points[-1].ceiling.ever) < sum(turn.points[0].ceiling.ever)
    assert "turn" in {one.factor.name for one, _ in weak_points(results)}


def test_a_killed_sweep_goes_on(tmp_path: Path) -> None:
    kept, whole = tmp_path / "points.json", Walker()
    settings = {"kept": kept, "who": "walker"}
    results = swept(whole, ["hue", "gain"], **settings)

    killed = Walker()
    once = killed.make_agent

    def dies(goals: Observation, count: int) -> Walker:
        if len(killed.worlds) > 6:
            raise KeyboardInterrupt
        return once(goals, count)

    killed.make_agent = dies  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        swept(killed, ["hue", "gain"], **settings)
    rest = Walker()
    finished = swept(rest, ["hue", "gain"], resume=True, **settings)
    assert finished.to_json() == results.to_json()
    assert 0 < rest.asked < whole.asked
    done = Walker()
    assert swept(done, ["hue", "gain"], resume=True, **settings).to_json() == results.to_json()
    assert done.asked == 0
    with pytest.raises(ForethoughtError, match="another who"):
        swept(Walker(), ["hue"], resume=True, kept=kept, who="someone else")


def test_readings_tell_what_fails(model: Model, tmp_path: Path) -> None:
    acting = recipes.acting(recipes.get("two_rooms"))

    def make_world(count: int) -> World:
        return worlds.make("two_rooms", count)

    results = sweep(
        lambda goals, count: acting.agent(model, goals, count),
        make_world,
        factors_of(make_world(1), ["gain", "camera"]),
        replace(PROTOCOL, episodes=6, budget=21),
        model=model,
        visible=False,
    )
    recorded = results.recorded
    assert recorded.errors is not None
    by_name = {one.factor.name: one.points[-1].errors for one in results.curves}
    gain, camera = by_name["gain"], by_name["camera"]
    assert gain is not None and camera is not None
    # Two and a half times the pushes are not foreseen; where goals are is read as before.
    assert gain.change["position.x"] > 1.5 * recorded.errors.change["position.x"]
    assert gain.goal == recorded.errors.goal
    assert camera.goal["position.x"] > recorded.errors.goal["position.x"]
    assert "foreseen" in failing(results.curves[0].points[-1], recorded)
    assert len(score_rows(results)[1]) == 3
    page = shift_report(tmp_path, results, make_world).read_text()
    assert "at reference" in page and page.count("<img") >= 4


def test_what_never_varied_says_nothing_of_what_fails() -> None:
    def read(present: float, wall: float, change: float) -> Point:
        errors = Errors(
            present={"x": present, "wall": wall}, goal={}, change={"x": change}, surprise=0.0
        )
        return replace(point(0.0, [True], [False]), errors=errors)

    recorded = read(0.2, 0.0, 0.5)
    assert failing(read(0.2, 9.0, 0.5), recorded).startswith("none of these")
    assert failing(read(2.0, 9.0, 1.5), recorded) == (
        "the present is misread (10.0 times); actions do not do what is foreseen (3.0 times)"
    )
    assert failing(point(1.0, [True], [False]), recorded) == "not read"


def test_the_command_writes_results_and_refuses_wrong_names(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def words(name: str) -> list[str]:
        return [
            *("shifts", str(run), "--world", "two_rooms", "--factors", name),
            *("--episodes", "4", "--budget", "10", "--json"),
        ]

    assert main(words("colour")) == 2
    assert "no factor 'colour'" in json.loads(capsys.readouterr().out)["error"]
    assert main(words("light")) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in printed["factors"]] == ["light"]
    assert printed["together"] is None
    assert json.loads((run / "shifts.json").read_text())["seeds"] == printed["seeds"]
    assert Path(printed["report"]).is_file()
    assert main([*words("light"), "--resume"]) == 0
    assert json.loads(capsys.readouterr().out) == printed
