"""A decision is in time from the observation to the action; a plan that comes about is kept to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from forethought.actor import Retreat
from forethought.actor.search import SMALL
from forethought.agent import Agent, ReuseConfig
from forethought.cost import guardrail
from forethought.safety import SafetyConfig
from forethought.types import STATE, ForethoughtError, PlanStatus
from point import PLANNER, Point, point_agent, point_model

EDGE = guardrail("position.x", below=3.0, risk=0.1, name="edge")
CALM = ReuseConfig(surprise=1e-6, longest=6)


class Time:
    """A clock that moves only while a model is at work.

    Args:
        encode_s: seconds that an observation takes to be perceived.
        step_s: seconds of a step of the predictor.
        candidate_s: seconds for each state that it is told.
    """

    def __init__(self, encode_s: float, step_s: float, candidate_s: float) -> None:
        self.encode_s, self.step_s, self.candidate_s = encode_s, step_s, candidate_s
        self.seconds = 0.0

    def now(self) -> float:
        return self.seconds

    def model(self):
        """Foresees pushes exactly, but takes its time."""
        model = point_model()
        see, foresee = model.world_model.perception.forward, model.world_model.predictor.unroll

        def slowly_see(seen):
            self.seconds += self.encode_s
            return see(seen)

        def slowly_foresee(latents, actions):
            steps = actions.shape[1] + 1 - latents.shape[1]
            self.seconds += steps * (self.step_s + self.candidate_s * len(latents))
            return foresee(latents, actions)

        model.world_model.perception.forward = slowly_see
        model.world_model.predictor.unroll = slowly_foresee
        return model


def acted(agent: Agent, point: Point, steps: int) -> list:
    decisions, seen = [], point.observe()
    for _ in range(steps):
        decisions.append(agent.act(seen))
        seen = point.push(decisions[-1].action)
    return decisions


def test_a_decision_is_in_time_with_all_that_it_takes() -> None:
    """10 ms to see, 40 to imagine a round of all candidates: a search has 20 of 30."""
    slow = Time(0.01, 0.0005, 1e-4)
    agent = point_agent(slow.model(), (9.0, 4.0), deadline_s=0.03, replan_every=1, now=slow.now)
    for decision in acted(agent, Point(), 20):
        assert 0.026 < decision.seconds <= 0.03
        assert decision.plan.seconds <= 0.02
        assert decision.plan.status is PlanStatus.OUT_OF_TIME
        assert decision.plan.num_candidates > SMALL


def test_the_rest_of_a_decision_is_kept_free_by_what_it_took_before() -> None:
    """Margins are measured after the search, from probes that take five milliseconds."""
    slow = Time(0.001, 0.0005, 1e-4)
    model = slow.model()
    read = model.mlp_probe.forward

    def slowly_read(latents):
        slow.seconds += 0.005 if latents.numel() == 2 else 0.0
        return read(latents)

    model.mlp_probe.forward = slowly_read
    agent = point_agent(
        model,
        (2.0, 0.0),
        guardrails=[EDGE],
        safety=SafetyConfig(adaptation=None),
        deadline_s=0.04,
        now=slow.now,
    )
    decisions = [d for d in acted(agent, Point(), 20) if d.plan_step == 0]
    assert len(decisions) == 10 and all(d.seconds <= 0.04 for d in decisions)


def test_a_fallback_that_searches_is_in_time_too() -> None:
    """From beyond the edge no plan is feasible; the way back is searched in what is left, and what
    it needs is left to it from then on, up to half of the time."""
    slow = Time(0.001, 0.0005, 1e-4)
    safety = SafetyConfig(fallback=Retreat(steps=4), shield=None, adaptation=None)
    agent = point_agent(
        slow.model(),
        (2.0, 0.0),
        guardrails=[EDGE],
        safety=safety,
        deadline_s=0.04,
        replan_every=1,
        now=slow.now,
    )
    point = Point()
    acted(agent, point, 4)
    point.place = np.array([40.0, 0.0], np.float32)
    decisions = acted(agent, point, 10)
    assert all(d.plan.status is PlanStatus.INFEASIBLE and d.changes for d in decisions)
    late = [d.seconds - 0.04 for d in decisions]
    # Only the first fallback comes as a surprise; it takes what it must, a call of one candidate.
    assert max(late[1:]) <= 1e-9 and late[0] <= 0.002
    assert all(0.01 < d.plan.seconds < 0.021 for d in decisions[5:])
    assert np.median([d.action[0] for d in decisions[5:]]) < 0


def test_a_rehearsal_leaves_nothing_behind() -> None:
    """With time to spare a deadline changes no action, from the first on."""
    rails = {"guardrails": [EDGE], "seed": 3}
    unhurried = acted(point_agent(point_model(), (6.0, 1.0), **rails), Point(), 7)
    slow = Time(0.01, 0.01, 1e-6)
    rails = {**rails, "deadline_s": 60.0, "now": slow.now}
    in_time = acted(point_agent(slow.model(), (6.0, 1.0), **rails), Point(), 7)
    for one, other in zip(unhurried, in_time, strict=True):
        assert np.array_equal(one.action, other.action)
        assert one.plan_step == other.plan_step and one.margins == other.margins


def test_the_pace_outlives_the_episode() -> None:
    """The first search of the next one wastes no time on it."""
    agent = point_agent(point_model(), (6.0, 1.0))
    acted(agent, Point(), 1)
    agent.reset()
    (decision,) = acted(agent, Point(), 1)
    assert decision.plan.pace.calls == 2 * PLANNER.num_iterations


def test_earlier_observations_are_perceived_once() -> None:
    """A predictor that looks back two model steps is told what was perceived then."""
    slow = Time(1.0, 0.0, 0.0)
    model = slow.model()
    model.world_model.predictor.window = 3
    agent, point, places = point_agent(model, (9.0, 4.0), now=slow.now), Point(), []
    slow.seconds = 0.0
    for _ in range(9):
        places.append(point.place)
        point.push(agent.act(point.observe()).action)
    looked_back = [agent._perceive(steps_ago)[0, 0].numpy() for steps_ago in (4, 2, 0)]
    np.testing.assert_array_equal(looked_back, [places[4], places[6], places[8]])
    assert slow.seconds == 5


# ------------------------------------------------------------------ plans that come about


def test_a_plan_that_comes_about_is_carried_out_to_its_end() -> None:
    """Three model steps of two; the trace says how old the plan is."""
    decisions = acted(point_agent(point_model(), (20.0, 5.0), reuse=CALM), Point(), 13)
    assert [d.plan_step for d in decisions] == [*range(6), *range(6), 0]
    assert decisions[5].plan is decisions[0].plan is not decisions[6].plan
    expected = decisions[0].plan.actions[0].reshape(6, 2).numpy()
    np.testing.assert_allclose([d.action for d in decisions[:6]], expected)
    ends = [float(d.surprise[0]) for d in decisions]
    assert np.isnan(ends[1::2]).all() and max(ends[2::2]) < 1e-6


def test_no_plan_outlasts_what_is_allowed() -> None:
    brief = replace(CALM, longest=4)
    decisions = acted(point_agent(point_model(), (20.0, 5.0), reuse=brief), Point(), 9)
    assert [d.plan_step for d in decisions] == [0, 1, 2, 3] * 2 + [0]


def test_a_surprised_agent_searches() -> None:
    """The world moves further than was imagined: each model step begins with a search."""
    decisions = acted(point_agent(point_model(), (20.0, 5.0), reuse=CALM), Point(scale=1.2), 8)
    assert [d.plan_step for d in decisions] == [0, 1] * 4


def test_agents_search_together_when_one_is_surprised() -> None:
    agent = point_agent(point_model(), (20.0, 5.0), reuse=CALM, num_agents=2)
    places = np.zeros((2, 2), np.float32)
    steps = []
    for _ in range(6):
        decision = agent.act_batch({STATE: places})
        steps.append(decision.plan_step)
        places = places + decision.action * np.array([[1.0], [1.2]], np.float32)
    assert steps == [0, 1] * 3


def test_an_agent_beyond_a_guardrail_searches() -> None:
    """Carried over the edge between model steps, by nothing that it could have foreseen."""
    safety = SafetyConfig(shield=None, adaptation=None)
    calm = ReuseConfig(surprise=1e9, longest=6)
    agent = point_agent(point_model(), (2.5, 0.0), guardrails=[EDGE], safety=safety, reuse=calm)
    point = Point()
    assert [d.plan_step for d in acted(agent, point, 4)] == [0, 1, 2, 3]
    point.place = np.array([3.5, 0.0], np.float32)
    assert agent.act(point.observe()).plan_step == 0


def test_reuse_needs_whole_model_steps() -> None:
    with pytest.raises(ForethoughtError, match="replan_every=3, give a multiple of 2"):
        point_agent(point_model(), (1.0, 0.0), reuse=CALM, replan_every=3)
