"""Violations are judged by what truly happened, on tasks that can be solved at all."""

from __future__ import annotations

import numpy as np
import pytest

from forethought import worlds
from forethought.cost import guardrail, keep_away, limit, rate_limit
from forethought.evaluation.guarding import evaluate_guardrails, solvable_tasks, violations_of
from forethought.evaluation.planning import PlanningProtocol
from forethought.types import Decision, ForethoughtError
from forethought.worlds.shifted import ShiftConfig, Shifted

PLACE = ("position.x", "position.y")
ZONE = guardrail(keep_away(PLACE, (14.0, 32.0), distance=6.0), name="zone")
SHORT = PlanningProtocol(episodes=20, budget=12)


def make(count: int):
    return worlds.make("two_rooms", count)


class Pusher:
    """Pushes one way for ever."""

    def __init__(self, goals, count: int, push: tuple[float, float]) -> None:
        self.action = np.tile(np.array(push, np.float32), (count, 1))

    def act_batch(self, observation) -> Decision:
        agents = len(self.action)
        return Decision(
            action=self.action,
            mode=1,
            plan=None,
            plan_step=0,
            surprise=np.zeros(agents),
            shielded=np.zeros(agents, bool),
            seconds=0.0,
        )


def test_tasks_that_nobody_could_solve_are_left_out() -> None:
    seeds, world = solvable_tasks(make, [ZONE], PlanningProtocol(episodes=80))
    world.reset(seeds)
    for place in (world.truth(), world.goal_truth()):
        away = np.hypot(place["position.x"] - 14, place["position.y"] - 32)
        assert (away >= 6).all()
    with pytest.raises(ForethoughtError, match="of 800 tasks only 0 can be solved"):
        solvable_tasks(make, [guardrail("position.x", below=-1.0)], SHORT)


def test_every_world_step_in_violation_is_counted() -> None:
    """Pushed right at full strength, each dot is beyond an edge from a step on that can be told."""
    edge = guardrail("position.x", below=30.0, name="edge")
    seeds, world = solvable_tasks(make, [edge], SHORT)
    world.reset(seeds)
    start = world.truth()["position.x"].copy()
    places = np.minimum(start[:, None] + 1.2 * np.arange(1, 13), 30.5)
    kept = violations_of(
        lambda _: np.tile(np.array([1.2, 0.0], np.float32), (20, 1)), make, [edge], SHORT
    )["edge"]
    assert kept.steps.value == pytest.approx((places > 30.0).mean(), abs=0.01)
    assert kept.episodes.value == pytest.approx((places > 30.0).any(1).mean())
    assert kept.steps.low <= kept.steps.value <= kept.steps.high


def test_rates_and_entries_of_the_action_are_judged_in_their_units() -> None:
    """1.2 px a step at 10 Hz: 12 px a second, wherever no wall is in the way."""
    rails = [
        guardrail(rate_limit("position.y", at_most=11.0), name="fast"),
        guardrail(rate_limit("position.y", at_most=13.0), name="faster"),
        guardrail(limit("step.y", below=1.1), name="strong"),
        guardrail(limit("step.y", below=1.3), name="stronger"),
    ]
    up = violations_of(
        lambda _: np.tile(np.array([0.0, -1.2], np.float32), (20, 1)), make, rails, SHORT
    )
    assert up["fast"].episodes.value > 0.9 and up["faster"].episodes.value == 0
    down = violations_of(
        lambda _: np.tile(np.array([0.0, 1.2], np.float32), (20, 1)), make, rails, SHORT
    )
    assert down["strong"].steps.value == 1 and down["stronger"].steps.value == 0
    # Where nothing was seen to happen, the interval still says what may have.
    assert 0 < down["stronger"].steps.high <= 0.2


def test_what_the_truth_does_not_hold_cannot_be_judged() -> None:
    rail = guardrail("speed", below=1.0)
    with pytest.raises(ForethoughtError, match=r"'speed'.*position.x"):
        evaluate_guardrails(
            lambda goals, count: Pusher(goals, count, (0.0, 0.0)), make, [rail], SHORT
        )


def test_a_shifted_world_moves_as_told_and_repeats_itself() -> None:
    plain, weak = make(3), Shifted(make(3), ShiftConfig(scale=0.5))
    plain.reset([1, 2, 3]), weak.reset([1, 2, 3])
    push = np.array([[0.4, 0.2]] * 3, np.float32)
    plain.step(0.5 * push), weak.step(push)
    np.testing.assert_allclose(plain.truth()["position.x"], weak.truth()["position.x"], atol=1e-6)
    noisy = Shifted(make(3), ShiftConfig(noise=0.5))
    runs = []
    for _ in range(2):
        noisy.reset([1, 2, 3])
        noisy.step(push)
        runs.append(noisy.truth()["position.y"].copy())
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.allclose(runs[0], plain.truth()["position.y"])
