"""Several goals in their order: reached, overdue, kept."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from forethought.actor import CEM
from forethought.configurator import (
    Leg,
    Outcome,
    Overdue,
    Search,
    SequencedAgent,
    ShownGoal,
    Task,
    planning,
    read_task,
)
from forethought.cost import guardrail, region_goal
from forethought.cost.path import follow
from forethought.traces import Traced, TraceWriter, read_trace
from forethought.types import STATE, ForethoughtError
from point import Point, point_agent, point_model

SEARCH = Search(planner=CEM(num_samples=96, num_iterations=3, num_elites=8), horizon=3)
CORNERS = ((8.0, 0.0), (8.0, 8.0), (0.0, 8.0))
RATE_HZ = 10


def leg(place: tuple[float, float], within: float | None = 1.0, **about) -> Leg:
    shown = ShownGoal(observation={STATE: np.array(place, np.float32)})
    return Leg(goal=shown, within=within, **about)


def sequence(*legs: Leg, **task) -> SequencedAgent:
    return SequencedAgent(
        Task(goal=legs[0].goal, legs=legs, search=SEARCH, **task), point_model(), seed=0
    )


def walk(agent: SequencedAgent, steps: int, *, scale: float = 1.0) -> np.ndarray:
    """Places ``(steps, 2)`` that a point is led through; one of scale 0 cannot move."""
    point, path = Point(scale=scale), []
    for _ in range(steps):
        point.push(agent.act(point.observe()).action)
        path.append(point.place)
    return np.stack(path)


def nearest(path: np.ndarray, place: tuple[float, float]) -> tuple[float, int]:
    """How near a path came to a place, and when."""
    distances = np.linalg.norm(path - np.array(place), axis=1)
    return float(distances.min()), int(distances.argmin())


def test_goals_are_come_to_in_their_order() -> None:
    agent = sequence(*map(leg, CORNERS))
    path = walk(agent, 60)
    near, when = zip(*(nearest(path, corner) for corner in CORNERS), strict=True)
    assert max(near) < 1.5 and list(when) == sorted(when)
    assert agent.progress.outcomes == (Outcome.REACHED,) * 3 and agent.done


def test_the_last_goal_is_kept() -> None:
    path = walk(sequence(*map(leg, CORNERS)), 80)
    assert np.linalg.norm(path[-15:] - np.array(CORNERS[-1]), axis=1).max() < 2.5


def test_a_goal_that_is_reached_already_is_passed_over() -> None:
    agent = sequence(leg((0.0, 0.0)), leg((0.5, 0.0)), leg(CORNERS[0]))
    agent.act(Point().observe())
    assert agent.leg == 2 and agent.progress.outcomes == (Outcome.REACHED,) * 2


def test_an_overdue_goal_gives_way_to_the_next() -> None:
    """As many world steps are taken for it as it has seconds."""
    seconds = 0.7
    agent = sequence(leg(CORNERS[0], seconds=seconds), leg((0.0, 0.0)))
    walk(agent, int(seconds * RATE_HZ), scale=0)
    assert agent.leg == 0
    agent.act(Point().observe())
    assert agent.progress.outcomes[0] is Outcome.OVERDUE and agent.leg == 1


def test_an_overdue_goal_may_end_it() -> None:
    agent = sequence(leg(CORNERS[0], seconds=0.5, overdue=Overdue.STOP), leg(CORNERS[1]))
    walk(agent, 20, scale=0)
    assert agent.done and agent.progress.outcomes == (Outcome.OVERDUE,)


def test_quantities_may_tell_that_a_goal_is_reached() -> None:
    """Here long before the goal itself."""
    half = region_goal({"position.x": (4.0, None)})
    agent = sequence(leg((40.0, 0.0), None, reached=half), leg((0.0, 0.0)))
    path = walk(agent, 12)
    assert 4.0 <= path[:, 0].max() < 9.0 and agent.leg == 1


def test_guardrails_hold_on_every_leg() -> None:
    """Also for a goal behind one, which is never come to."""
    rail = guardrail("position.x", below=5.0, risk=0.05)
    agent = sequence(leg((0.0, 6.0)), leg((9.0, 6.0), seconds=3.0), guardrails=(rail,))
    path = walk(agent, 60)
    assert path[:, 0].max() <= 5.0 and nearest(path, (5.0, 6.0))[0] < 1.5
    assert [one.name for one in agent.agent.cost.guardrails] == [rail.name]


def test_it_begins_anew() -> None:
    agent = sequence(*map(leg, CORNERS))
    first = walk(agent, 30)
    agent.reset()
    assert agent.leg == 0 and not agent.done
    again = walk(agent, 30)
    assert max(nearest(again, corner)[0] for corner in CORNERS[:1]) < 1.5
    assert first.shape == again.shape


def test_another_wish_keeps_what_is_remembered() -> None:
    """Its guardrails too; the plan to what it wanted before is dropped."""
    agent = point_agent(
        point_model(), (9.0, 0.0), guardrails=(guardrail("position.x", below=5.0, risk=0.05),)
    )
    point = Point()
    agent.act(point.observe())
    agent.seek(follow(states=[np.array([0.0, 9.0], np.float32)]))
    decision = agent.act(point.observe())
    assert decision.plan_step == 0 and decision.action[1] > 0.5
    assert set(decision.plan.margins) == {agent.cost.guardrails[0].name}


def test_a_shown_goal_needs_a_test() -> None:
    with pytest.raises(ForethoughtError, match="needs a test"):
        leg(CORNERS[0], None)


def test_a_task_of_one_goal_is_no_sequence() -> None:
    with pytest.raises(ForethoughtError, match="goals:"):
        SequencedAgent(Task(goal=region_goal({"position.x": (1.0, 2.0)})), point_model())


# ------------------------------------------------------------------------ the file

FILE = """
goals:
  - state: [8, 0]
    within: 1.0
    seconds: 20
    otherwise: stop
  - region: {position.y: [4, null]}
planner: {name: cem, horizon: 3}
"""


def test_a_file_tells_of_legs(tmp_path) -> None:
    path = tmp_path / "task.yaml"
    path.write_text(FILE)
    task = read_task(path)
    first, second = task.legs
    assert (first.within, first.seconds, first.overdue) == (1.0, 20.0, Overdue.STOP)
    assert second.goal.bounds == {"position.y": (4.0, None)} and second.seconds is None
    agent = SequencedAgent(task, point_model())
    assert walk(agent, 40)[-1][1] > 3.5 and agent.done


def test_a_sequence_is_traced_through_its_goals(tmp_path) -> None:
    """What was wanted at each step is on record, and a new episode begins with the first goal."""
    up = Leg(goal=region_goal({"position.y": (6.0, None)}))
    agent, point = sequence(leg(CORNERS[0]), up), Point()
    with TraceWriter(tmp_path / "trace") as writer:
        traced = Traced(planning(agent), writer, through=agent)
        for _ in range(25):
            point.push(traced.act(point.observe()).action)
        with pytest.raises(ForethoughtError, match="use act"):
            traced.act_batch({key: value[None] for key, value in point.observe().items()})
        traced.reset()
    assert agent.leg == 0 and not agent.done
    costs = [one.cost for one in read_trace(tmp_path / "trace").records]
    assert len(costs) == 25 and len(set(costs)) == 2
    changes = [first != second for first, second in pairwise(costs)]
    assert sum(changes) == 1
