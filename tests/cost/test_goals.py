"""Goals of all kinds: what they measure of states, how steps weigh, what a search makes of it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from plane import SIGHT, Plane, at, costs, ends, place, planned, random_walks

from forethought.checkers import check_cost_term
from forethought.cost import (
    Cost,
    StateTerm,
    effort,
    follow,
    goal,
    goal_among,
    keep_near,
    leave,
    probed_goal,
    region_goal,
    smoothness,
    states,
    time_until,
)
from forethought.cost.goal import SubGoal
from forethought.types import STATE, ForethoughtError, Imagination

HERE, THERE = place(2.0, 0.0), place(-1.0, 3.0)
BOX = {"position.x": (1.0, 2.0), "position.y": (None, 3.0)}
STATE_TERMS: list[StateTerm] = [
    goal(state=HERE),
    goal_among(states=[HERE, THERE]),
    leave(state=HERE, beyond=4.0),
    keep_near(state=HERE, within=0.5),
    region_goal(BOX),
    probed_goal(observation={STATE: HERE}),
    follow(states=[HERE, THERE]),
    SubGoal(target=torch.ones(1, 1, 2)),
]
TIME = time_until(goal(state=HERE), within=0.5)
kinds = pytest.mark.parametrize("term", STATE_TERMS, ids=lambda term: type(term).__name__)


# ------------------------------------------------------------------------- what they measure


def test_distances_taken_in_parts_are_those_taken_at_once(generator, monkeypatch) -> None:
    """Candidates are looked at a few at a time where they are many."""
    imagined, cost = random_walks(generator), goal(state=HERE)
    whole = cost.bind(SIGHT)(imagined)
    asked = []

    def counted(start: torch.Tensor, sought: torch.Tensor) -> torch.Tensor:
        asked.append(start.shape[1])
        return SIGHT.distance(start, sought)

    monkeypatch.setattr(states, "CHUNK_NUMBERS", 3 * imagined.latents[:, 0, 1:].numel())
    parts = replace(cost, distance=counted).bind(SIGHT)(imagined)
    torch.testing.assert_close(parts, whole, rtol=0, atol=0)
    assert max(asked) == 3 and sum(asked) == imagined.latents.shape[1]


def test_a_goal_among_examples_is_the_nearest_of_them(generator) -> None:
    """Whichever that is, for each state; examples for each world go with those for all."""
    of_each = torch.randn(2, 2, generator=generator).numpy()
    shown = [{STATE: HERE}, {STATE: THERE}, {STATE: of_each}]
    imagined = random_walks(generator)
    singles = torch.stack([goal(observation=one).bind(SIGHT)(imagined) for one in shown])
    found = goal_among(observations=shown).bind(SIGHT)(imagined)
    torch.testing.assert_close(found, singles.amin(0), rtol=0, atol=0)
    assert set(singles.argmin(0).flatten().tolist()) == {0, 1, 2}


def test_several_states_are_joined_one_to_one() -> None:
    """And may come as one array."""
    assert len(goal_among(states=np.stack([HERE, THERE])).examples) == 2
    both = goal_among(states=[HERE, THERE], texts=["here", "there"]).examples
    assert [sorted(one) for one in both] == [[STATE, "task"]] * 2
    with pytest.raises(ForethoughtError, match=r"found \{'state': 2, 'text': 1\}"):
        goal_among(states=[HERE, THERE], texts=["here"])
    with pytest.raises(ForethoughtError, match="found none"):
        goal_among()


def test_numbers_of_worlds_that_do_not_fit_are_said(generator) -> None:
    two, three = ({STATE: np.zeros((count, 2), np.float32)} for count in (2, 3))
    with pytest.raises(ForethoughtError, match=r"for \[2, 3\] worlds"):
        goal_among(observations=[two, three, {STATE: HERE}]).bind(SIGHT)
    with pytest.raises(ForethoughtError, match="states for 3 worlds, and plans are made for 2"):
        goal(observation=three).bind(SIGHT)(random_walks(generator))


def test_a_region_is_free_inside_and_as_far_as_its_border_outside() -> None:
    """Its open side has no border; the corner is the nearest of what lies across it."""
    inside = at(region_goal(BOX), (1.5, 0), (1, 3), (2, 3), (1.2, -99))
    assert inside.tolist() == [0, 0, 0, 0]
    outside = at(region_goal(BOX), (0.25, 0), (4, -7), (1.5, 5), (5, 7), (-2, 7))
    torch.testing.assert_close(outside, torch.tensor([0.75, 2.0, 2.0, 5.0, 5.0]))


def test_a_region_has_a_slope_of_one_outside_and_none_inside() -> None:
    """Finite at its border too, so that gradient planners come in and stay calm."""
    places = torch.tensor([[0.0, 0.0], [1.5, 0.0], [1.0, 3.0], [5.0, 7.0]]).requires_grad_()
    distance = region_goal(BOX).bind_states(SIGHT)
    total = distance(places.view(1, 4, 1, 1, 2)).sum()
    (slope,) = torch.autograd.grad(total, places)
    expected = torch.tensor([[-1.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.6, 0.8]])
    torch.testing.assert_close(slope, expected)


@pytest.mark.parametrize(
    ("bounds", "message"),
    [({}, "found none"), ({"position.x": (2.0, 1.0)}, "'position.x' are 2.0 and 1.0")],
)
def test_regions_that_are_none_are_refused(bounds, message) -> None:
    with pytest.raises(ForethoughtError, match=message):
        region_goal(bounds)


def test_a_region_of_unknown_quantities_names_the_known_ones() -> None:
    with pytest.raises(ForethoughtError, match=r"\['position.x', 'position.y'\], not 'speed'"):
        at(region_goal({"speed": (0.0, 1.0)}), (0, 0))


def test_leaving_costs_one_at_the_state_and_nothing_beyond() -> None:
    cost = at(leave(state=HERE, beyond=4.0), (2, 0), (3, 0), (2, 3), (6, 0), (-50, 9))
    torch.testing.assert_close(cost, torch.tensor([1.0, 0.75, 0.25, 0.0, 0.0]))


def test_keeping_near_is_free_within_and_costs_what_is_beyond() -> None:
    cost = at(keep_near(state=HERE, within=1.5), (2, 0), (2, 1.5), (2, 4), (-1, 4))
    torch.testing.assert_close(cost, torch.tensor([0.0, 0.0, 2.5, 3.5]))


def test_distances_that_mean_nothing_are_refused() -> None:
    with pytest.raises(ForethoughtError, match="beyond=0"):
        leave(state=HERE, beyond=0.0)
    with pytest.raises(ForethoughtError, match="within=-1"):
        keep_near(state=HERE, within=-1.0)
    with pytest.raises(ForethoughtError, match="show what is meant"):
        leave(beyond=1.0)


# ------------------------------------------------------------------------- how steps weigh


@kinds
def test_steps_weigh_as_they_are_told(term, generator) -> None:
    """The same law for all terms about states; the default weighs all steps alike."""
    imagined = random_walks(generator)
    plain = term.bind(SIGHT)(imagined)
    weighed = replace(term, running=0.25, terminal=3.0).bind(SIGHT)(imagined)
    torch.testing.assert_close(weighed, plain * torch.tensor([0.25, 0.25, 3.0]))
    last = replace(term, running=0.0, terminal=2.0).bind(SIGHT)(imagined)
    torch.testing.assert_close(last, plain * torch.tensor([0.0, 0.0, 2.0]))
    way = replace(term, terminal=0.0).bind(SIGHT)(imagined)
    torch.testing.assert_close(way, plain * torch.tensor([1.0, 1.0, 0.0]))
    with pytest.raises(ForethoughtError, match="running=0 and terminal=0"):
        replace(term, running=0.0, terminal=0.0)


def test_distances_of_steps_without_weight_are_not_measured(generator) -> None:
    imagined, distance = random_walks(generator, horizon=4), Plane()
    goal(state=HERE, distance=distance, running=0.0).bind(SIGHT)(imagined)
    goal(state=HERE, distance=distance, running=0.1).bind(SIGHT)(imagined)
    assert distance.asked == [2 * 5, 2 * 5 * 4]


# ------------------------------------------------------------------------- time


def test_time_counts_the_steps_until_a_goal_is_met_once() -> None:
    """To go away afterwards costs nothing; a plan that never comes costs its length."""
    assert costs(TIME, (0, 0), (1, 0), (1.5, 0), (2, 0)) == [1, 0, 0]
    assert costs(TIME, (0, 0), (1, 0), (2, 0), (9, 9), (9, 9)) == [1, 0, 0, 0]
    assert costs(TIME, (2, 0), (9, 9), (8, 8), (7, 7)) == [1, 1, 1]
    region = time_until(region_goal(BOX), within=0.1)
    assert costs(region, (0, 0), (0, 9), (0, 0), (1, 0), (0, 0)) == [1, 1, 0, 0]


def test_time_has_a_slope_on_the_last_stretch_only() -> None:
    """Between one and two times the distance at which it is met; a near miss later adds nothing."""
    assert costs(TIME, (0, 0), (2.75, 0), (2, 0.9)) == pytest.approx([0.5, 0.5])
    places = torch.tensor([[2.75, 0.0], [2.25, 0.0], [9.0, 0.0]]).requires_grad_()
    latents = places.view(1, 3, 1, 1, 2).expand(-1, -1, 2, -1, -1)
    rests = Imagination(latents=latents, actions=torch.zeros(1, 3, 1, 2))
    (slope,) = torch.autograd.grad(TIME.bind(SIGHT)(rests).sum(), places)
    torch.testing.assert_close(slope[:, 0], torch.tensor([2.0, 0.0, 0.0]))


def test_time_needs_a_goal_about_states_and_a_distance() -> None:
    with pytest.raises(ForethoughtError, match=r"positive distance; found Goal and within=0"):
        time_until(goal(state=HERE), within=0.0)


# ------------------------------------------------------------------------- together


@pytest.mark.parametrize("term", [*STATE_TERMS, TIME], ids=lambda term: type(term).__name__)
def test_terms_conform_add_and_scale(term, generator) -> None:
    check_cost_term(term.bind(SIGHT), tokens=1, width=2, action_width=2)
    imagined = random_walks(generator)
    scores = (3.0 * (0.5 * term + effort().named("work"))).bind(SIGHT)(imagined)
    torch.testing.assert_close(scores.terms[term.name], 1.5 * term.bind(SIGHT)(imagined).sum(-1))
    torch.testing.assert_close(sum(scores.terms.values()), scores.energy)


def test_a_level_below_seeks_its_sub_goal_in_place_of_goals() -> None:
    """What is asked of the way stays; what is about actions is asked of no level above."""
    terms = [
        *(term.named(type(term).__name__) for term in STATE_TERMS[:-1]),
        TIME,
        smoothness(),
    ]
    cost = Cost(terms=tuple(terms))
    below = cost.on_the_way_to(STATE_TERMS[-1])
    assert [term.name for term in below.terms] == ["sub-goal", "KeepNear", "smoothness"]
    assert [term.name for term in below.of_states().terms] == ["sub-goal", "KeepNear"]
    assert [term.name for term in cost.of_states().terms] == [term.name for term in terms[:-1]]


# ------------------------------------------------------------------------- what a search finds


def test_a_search_goes_to_the_example_nearest_to_each_world() -> None:
    starts = torch.tensor([[1.0, 0.5], [-1.0, 1.0]])
    plan = planned(goal_among(states=[HERE, THERE]), starts)
    expected = torch.as_tensor(np.stack([HERE, THERE]))
    torch.testing.assert_close(ends(plan), expected, atol=0.1, rtol=0)


def test_a_search_leaves_and_comes_into_a_region_by_the_least_effort() -> None:
    """To the border and no farther: the rest of the way costs and brings nothing."""
    asked = 10.0 * region_goal({"position.x": (1.2, None)}, running=0.0) + 0.01 * effort()
    torch.testing.assert_close(ends(planned(asked)), torch.tensor([[1.2, 0.0]]), atol=0.1, rtol=0)
    away = leave(state=place(0.0, 0.0), beyond=2.0, running=0.0)
    plan = planned(10.0 * away + 0.01 * effort())
    assert math.isclose(float(ends(plan).norm()), 2.0, abs_tol=0.1)


def test_a_search_keeps_near_while_it_goes() -> None:
    """As far towards the goal as the leash is long."""
    leash = keep_near(state=place(0.0, 0.0), within=1.5)
    plan = planned(goal(state=place(0.0, 5.0)) + 10.0 * leash)
    torch.testing.assert_close(ends(plan), torch.tensor([[0.0, 1.5]]), atol=0.1, rtol=0)


def test_a_search_that_counts_time_arrives_as_soon_as_can_be() -> None:
    """Two steps of one at most bring it within a half of two and a half: one is not there yet."""
    target = goal(state=place(2.5, 0.0), running=0.0)
    plan = planned(10.0 * time_until(target, within=0.5) + 0.01 * target, horizon=5)
    assert float(plan.terms["time"]) == pytest.approx(10, abs=1)
    assert float(plan.imagination.latents[0, 0, 2, 0, 0]) == pytest.approx(2, abs=0.1)
