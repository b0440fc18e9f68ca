"""Agents within guardrails: by plan and shield, widened by what is seen, safe when stuck."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from forethought.actor import Hold, LeastViolation, Retreat, Stop
from forethought.cost import AdaptationConfig, CalibrationWarning, guardrail, keep_out, limit
from forethought.cost.chances import fewest_beyond
from forethought.safety import SafetyConfig
from forethought.senses import SMALL, ReadOnce
from forethought.types import STATE, ForethoughtError, PlanStatus
from point import PLANNER, Point, point_agent, point_model

EDGE = guardrail("position.x", below=3.0, risk=0.01, name="edge")
ERRORS = np.linspace(0.0, 0.2, 400)
BOUND = ERRORS[399 - fewest_beyond(400, EDGE.risk, 0.95)]


def widening(agent) -> float:
    """By how much a margin of zero is widened, one step ahead."""
    return -float(agent._safety.bounds("edge", 1).widen(torch.zeros(1, 1, 1)))


def act(agent, point: Point, steps: int) -> tuple[np.ndarray, list]:
    places, decisions, seen = [point.place], [], point.observe()
    for _ in range(steps):
        decisions.append(agent.act(seen))
        seen = point.push(decisions[-1].action)
        places.append(point.place)
    return np.stack(places), decisions


def test_an_agent_stops_before_the_edge_by_what_it_may_be_wrong_by() -> None:
    """The goal lies beyond: it comes as near as its bound allows, and no nearer."""
    # Between model steps the way is taken to be even, and so it is with even pushes.
    even = replace(PLANNER, shared_noise=1.0)
    agent = point_agent(point_model(errors=ERRORS), (6.0, 1.0), guardrails=[EDGE], actor=even)
    places, decisions = act(agent, Point(), 20)
    assert places[:, 0].max() <= 3.0 - BOUND + 1e-4
    assert places[:, 0].max() == pytest.approx(3.0 - BOUND, abs=0.1)
    assert all(d.plan.status is PlanStatus.FOUND for d in decisions)
    assert set(decisions[-1].plan.margins) == {"edge"}
    assert decisions[-1].margins["edge"][0] == pytest.approx(3.0 - places[-2, 0], abs=1e-4)


def test_limits_of_the_action_hold_in_everything_that_leaves() -> None:
    gentle = guardrail(limit("push.x", below=0.25) & limit("push.y", below=0.25), name="gentle")
    agent = point_agent(point_model(), (4.0, 4.0), guardrails=[gentle])
    _, decisions = act(agent, Point(), 12)
    assert np.stack([d.action for d in decisions]).max() <= 0.25 + 1e-6


def test_limits_of_the_action_need_not_be_searched_for() -> None:
    """Every candidate is within them, so that a search of four finds a plan at once."""
    gentle = guardrail(limit("push.x", below=0.01, above=-0.02), name="gentle")
    few = type(PLANNER)(horizon=3, num_samples=4, num_iterations=1, num_elites=2)
    agent = point_agent(point_model(), (4.0, 4.0), guardrails=[gentle], actor=few)
    _, decisions = act(agent, Point(), 10)
    assert all(d.plan.status is PlanStatus.FOUND and not d.changes for d in decisions)
    pushes = np.stack([d.action for d in decisions])
    assert pushes[:, 0].min() >= -0.02 and pushes[:, 0].max() <= 0.01
    with pytest.raises(ForethoughtError, match="leaves no action at all"):
        point_agent(point_model(), (4.0, 4.0), guardrails=[guardrail("push.x", above=1.5)])


def test_pushes_that_grow_stronger_than_recorded_widen_the_bound_and_are_told() -> None:
    """The world moves half as far again as it did: without adaptation bounds stay as they were."""
    model = point_model(errors=ERRORS)

    def after(adaptation: AdaptationConfig | None) -> float:
        safety = SafetyConfig(adaptation=adaptation)
        agent = point_agent(model, (2.5, 0.0), guardrails=[EDGE], safety=safety)
        act(agent, Point(scale=1.5), 40)
        return widening(agent)

    alarm = AdaptationConfig(alarm=0.2)
    with pytest.warns(CalibrationWarning, match="'edge'"):
        grown = after(alarm)
    assert after(None) == pytest.approx(BOUND, abs=1e-6)
    assert grown > after(None)


def test_live_errors_are_those_of_what_was_truly_done_since() -> None:
    """Seen from one, two and three model steps ago, the exact model of a changed world errs by the
    pushes that it did not know of."""
    agent = point_agent(
        point_model(errors=ERRORS), (50.0, 0.0), guardrails=[guardrail("position.x", below=1e3)]
    )
    point = Point(scale=1.5)
    seen, done = point.observe(), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CalibrationWarning)
        for _ in range(9):
            done.append(agent.act(seen).action[0])
            seen = point.push(np.array([done[-1], 0.0]))
    with torch.no_grad():
        imagined, came = agent._safety._foreseen(agent._safety._trail.before_acting())
    errors = (imagined["position.x < 1000"] - came["position.x < 1000"])[0]
    # At the time of the latest comparison eight pushes were known.
    expected = [0.5 * sum(done[8 - 2 * n : 8]) for n in (1, 2, 3)]
    np.testing.assert_allclose(errors.numpy(), expected, atol=2e-4)


@pytest.mark.parametrize(
    ("fallback", "expected"),
    [(Stop(), (0.0, 0.0)), (LeastViolation(), (-1.0, None)), (Retreat(steps=4), (-1.0, None))],
    ids=str,
)
def test_where_no_plan_is_feasible_the_fallback_acts_and_says_why(fallback, expected) -> None:
    """It is pushed beyond the edge from outside, too far for any plan to come back in time."""
    agent = point_agent(
        point_model(),
        (2.0, 0.0),
        guardrails=[EDGE],
        safety=SafetyConfig(fallback=fallback, shield=None),
    )
    point = Point()
    act(agent, point, 4)
    point.place = np.array([12.0, 0.0], np.float32)
    decision = agent.act(point.observe())
    assert decision.plan.status is PlanStatus.INFEASIBLE
    assert decision.margins["edge"][0] == pytest.approx(-9.0)
    (change,) = decision.changes
    assert change.by == str(fallback) and change.agent == 0 and "edge by " in change.reason
    for found, wanted in zip(decision.action, expected, strict=True):
        assert wanted is None or found == pytest.approx(wanted, abs=0.25)


def test_hold_does_again_what_was_done_last_and_a_users_own_fallback_is_checked() -> None:
    def held(fallback):
        safety = SafetyConfig(fallback=fallback, shield=None)
        agent = point_agent(point_model(), (2.0, 0.0), guardrails=[EDGE], safety=safety)
        point = Point()
        _, decisions = act(agent, point, 4)
        point.place = np.array([12.0, 0.0], np.float32)
        return decisions[-1].action, agent.act(point.observe()).action

    before, now = held(Hold())
    np.testing.assert_allclose(now, before)
    _, own = held(lambda predicament: torch.full((1, 2, 4), 0.125))
    np.testing.assert_allclose(own, [0.125, 0.125])
    with pytest.raises(ForethoughtError, match=r"shape \(1, 4\)"):
        held(lambda predicament: torch.zeros(1, 4))
    with pytest.raises(ForethoughtError, match="finite"):
        held(lambda predicament: torch.full((1, 2, 4), torch.nan))


def test_only_the_agent_in_trouble_falls_back() -> None:
    """Of two agents side by side the other one keeps to its plan."""
    model = point_model()
    safety = SafetyConfig(fallback=Stop(), shield=None)
    agent = point_agent(model, (2.0, 0.0), guardrails=[EDGE], safety=safety, num_agents=2)
    decision = agent.act_batch({STATE: np.array([[0.0, 0.0], [20.0, 0.0]], np.float32)})
    assert decision.plan.feasible.tolist() == [True, False]
    assert np.array_equal(decision.action[0], decision.plan.actions[0, 0, :2])
    assert decision.action[0].any() and not decision.action[1].any()
    assert [change.agent for change in decision.changes] == [1]


def test_the_shield_says_what_it_changed() -> None:
    """A plan is under way when the point is pushed to the edge from outside."""
    agent = point_agent(point_model(), (2.9, 0.0), guardrails=[EDGE])
    point = Point()
    first = agent.act(point.observe())
    assert first.action[0] > 0.5 and not first.shielded.any()
    point.place = np.array([2.8, 0.0], np.float32)
    second = agent.act(point.observe())
    assert second.plan_step == 1 and second.shielded.all()
    (change,) = second.changes
    assert change.by == "shield" and change.reason.startswith("edge by ")
    assert change.planned[0] > change.action[0] == second.action[0]
    assert 2.8 + 2 * second.action[0] <= 3.0 + 1e-5
    # What was imagined is not what was done, so nothing can be said about surprise.
    third = agent.act(point.push(second.action))
    assert third.plan_step == 0 and np.isnan(third.surprise).all()


def test_contradictory_guardrails_leave_no_plan() -> None:
    rails = [
        guardrail("position.x", below=-5.0, name="left"),
        guardrail("position.x", above=5.0, name="right"),
    ]
    agent = point_agent(
        point_model(), (0.0, 0.0), guardrails=rails, safety=SafetyConfig(fallback=Stop())
    )
    decision = agent.act(Point().observe())
    assert decision.plan.status is PlanStatus.INFEASIBLE
    assert "left by" in decision.changes[0].reason and "right by" in decision.changes[0].reason


def test_what_cannot_be_kept_is_said_before_anything_moves() -> None:
    model = point_model()
    with pytest.raises(ForethoughtError, match=r"'speed'.*position.x"):
        point_agent(model, (0.0, 0.0), guardrails=[guardrail("speed", below=1.0)])
    with pytest.raises(ForethoughtError, match="2995 held-out rollouts at least, there are 400"):
        point_agent(model, (0.0, 0.0), guardrails=[guardrail("position.x", below=1.0, risk=0.001)])
    with pytest.raises(ForethoughtError, match="two guardrails are called 'edge'"):
        point_agent(model, (0.0, 0.0), guardrails=[EDGE, EDGE])
    far = type(PLANNER)(horizon=9, num_samples=16, num_elites=4)
    with pytest.raises(ForethoughtError, match=r"calibrated for 4 model steps.*--horizon 9"):
        point_agent(model, (0.0, 0.0), guardrails=[EDGE], actor=far).act(Point().observe())
    model.calibration = None
    with pytest.raises(ForethoughtError, match="forethought calibrate RUN"):
        point_agent(model, (0.0, 0.0), guardrails=[EDGE])


def test_a_guardrail_that_is_nan_is_named() -> None:
    broken = guardrail(keep_out({"position.x": (float("nan"), float("nan"))}), name="broken")
    model = point_model()
    with warnings.catch_warnings(), pytest.raises(ForethoughtError, match="'broken'"):
        point_agent(model, (0.0, 0.0), guardrails=[broken]).act(Point().observe())


def test_a_new_episode_forgets_what_bounds_had_grown_by() -> None:
    agent = point_agent(point_model(errors=ERRORS), (2.5, 0.0), guardrails=[EDGE])
    before = widening(agent)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CalibrationWarning)
        act(agent, Point(scale=1.5), 12)
    assert widening(agent) > before
    agent.reset()
    assert widening(agent) == before


def test_the_same_latents_are_read_once_and_others_never_mistaken_for_them() -> None:
    """Views of one memory, values that change in place, large and small: as if read each time."""
    asked = []

    def read(latents: torch.Tensor) -> dict[str, torch.Tensor]:
        asked.append(latents.shape)
        return {"sum": latents.sum((-1, -2))}

    for size in (10, 2 * SMALL):
        once, latents = ReadOnce(read), torch.randn(2, size // 2, 1, 1)
        asked.clear()
        for _ in range(3):
            assert torch.equal(once(latents[:, 1:])["sum"], latents[:, 1:, 0, 0])
        assert len(asked) == 1
        latents += 1
        assert torch.equal(once(latents[:, 1:])["sum"], latents[:, 1:, 0, 0])
        assert torch.equal(once(latents[:, :-1])["sum"], latents[:, :-1, 0, 0])
        assert torch.equal(once(latents.clone())["sum"], latents[..., 0, 0])
    graph = torch.randn(2, 3, 1, 1, requires_grad=True)
    once = ReadOnce(read)
    for _ in range(2):
        total = once(graph * 2)["sum"].sum()
        assert torch.autograd.grad(total, graph)[0].eq(2).all()
