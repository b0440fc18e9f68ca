"""Searches as thorough as there is time for, on a machine whose speed is known."""

from __future__ import annotations

import numpy as np
import pytest

from forethought.actor import CEM, BeamSearch, PredictiveSampling
from forethought.configurator import Budget, Search, Task
from forethought.configurator.effort import FEWEST, MOST_ROUNDS, SHARE, fitted, seconds_of
from forethought.cost import region_goal
from forethought.types import STATE, Planner
from point import PLANNER, point_agent, point_model

OVERHEAD, CALL, EACH = 0.002, 0.001, 0.0001
SEARCH = CEM(num_samples=50, num_iterations=2, num_elites=10)


def machine(planner: Planner) -> float:
    """Seconds of a decision where rounds and candidates take what they take."""
    assert isinstance(planner, CEM | PredictiveSampling)
    return OVERHEAD + planner.num_iterations * (CALL + EACH * planner.num_samples)


@pytest.mark.parametrize("deadline_s", [0.02, 0.05, 0.1])
def test_there_are_as_many_rounds_as_there_is_time_for(deadline_s) -> None:
    """One more would not be done in time."""
    found = fitted(SEARCH, machine, deadline_s)
    more = CEM(**{**vars(found), "num_iterations": found.num_iterations + 1})
    assert found.num_samples == 50 and found.num_elites == 10
    assert machine(found) <= SHARE * deadline_s < machine(more)


def test_no_more_rounds_than_are_of_use() -> None:
    assert fitted(SEARCH, machine, 60.0).num_iterations == MOST_ROUNDS


def test_where_no_round_is_in_time_there_are_fewer_candidates() -> None:
    """Elites among them still."""
    found = fitted(SEARCH, machine, 0.0085)
    assert found.num_iterations == 1 and FEWEST <= found.num_samples < 50
    assert machine(found) <= SHARE * 0.0085 and found.num_elites <= found.num_samples // 2


def test_there_is_a_least() -> None:
    """The deadline ends what takes longer."""
    assert fitted(SEARCH, machine, 1e-6).num_samples == FEWEST


def test_planners_without_rounds_stay_as_they_are() -> None:
    beam = BeamSearch()
    assert fitted(beam, machine, 0.1) is beam


def test_a_decision_is_timed_by_the_agents_clock() -> None:
    """Here a clock that ticks once at each look."""
    ticks = iter(range(10**9))
    agent = point_agent(point_model(), (3.0, 0.0), now=lambda: float(next(ticks)))
    assert seconds_of(agent) >= 1.0 and agent.act({STATE: np.zeros(2, np.float32)}).plan is not None


def test_a_task_with_a_deadline_searches_thoroughly() -> None:
    """More so with more time; not where it says how thoroughly."""
    model, goal = point_model(), region_goal({"position.x": (3.0, 4.0)})

    def planner(deadline_s: float, search: Search) -> CEM:
        found = Task(goal=goal, search=search, budget=Budget(deadline_s=deadline_s)).agent(model)
        assert isinstance(found.actor, CEM)
        return found.actor

    free = Search(planner=PLANNER)
    assert planner(5.0, free).num_iterations == MOST_ROUNDS
    assert planner(1e-4, free).num_samples == FEWEST
    assert planner(5.0, Search(planner=PLANNER, iterations=2)).num_iterations == 2
