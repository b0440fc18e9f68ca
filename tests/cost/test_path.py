"""Paths of sub-goals: what is left of them, without memory of what was passed."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from plane import SIGHT, Plane, at, costs, place, planned, random_walks

from forethought.cost import follow, goal
from forethought.types import STATE, ForethoughtError

CORNER = [place(0, 0), place(10, 0), place(10, 10), place(20, 10)]


def test_what_is_left_falls_by_one_with_each_step_along_the_path() -> None:
    """From its whole length at the beginning, by way of the corners, to nothing at the end."""
    along = [(0, 0), (5, 0), (9, 0), (10, 0), (10, 1), (10, 10), (17, 10), (20, 10)]
    left = at(follow(states=CORNER), *along)
    torch.testing.assert_close(left, torch.tensor([30.0, 25, 21, 20, 19, 10, 3, 0]))


def test_before_the_path_its_beginning_comes_first() -> None:
    left = at(follow(states=CORNER), (-3, -4), (-7, 0))
    torch.testing.assert_close(left, torch.tensor([35.0, 37]))


def test_the_next_sub_goal_is_preferred_to_a_way_across() -> None:
    """Of steps of one, the one along the path; the end alone would have it cut the corner."""
    angles = torch.linspace(0, 2 * math.pi, 73)[:-1]
    for here, heading in (((0, 0), 0.0), ((6, 0), 0.0), ((10, 3), math.pi / 2)):
        around = [(here[0] + math.cos(a), here[1] + math.sin(a)) for a in angles.tolist()]
        best = float(angles[at(follow(states=CORNER), *around).argmin()])
        assert best == pytest.approx(heading, abs=1e-6)
    around = [(math.cos(a), math.sin(a)) for a in angles.tolist()]
    assert float(angles[at(goal(state=CORNER[-1]), *around).argmin()]) > 0.4


def test_straying_costs_its_detour_at_its_price() -> None:
    """From beside the middle of a leg: what it is longer to go by there, and what is left."""
    beside, leg = (5.0, 1.0), math.hypot(5, 1)
    for stray in (1.0, 4.0):
        left = float(at(follow(states=CORNER[:2], stray=stray), beside))
        assert left == pytest.approx(stray * (2 * leg - 10) + leg, abs=1e-4)


def test_a_path_of_one_is_a_goal(generator) -> None:
    imagined = random_walks(generator)
    one, same = follow(states=CORNER[1:2]), goal(state=CORNER[1])
    torch.testing.assert_close(one.bind(SIGHT)(imagined), same.bind(SIGHT)(imagined))


def test_each_world_may_have_its_own_path(generator) -> None:
    """Beside sub-goals that are for all; as long as each world's own."""
    of_each = np.stack([place(10, 0), place(0, 5)])
    path = follow(observations=[{STATE: CORNER[0]}, {STATE: of_each}, {STATE: CORNER[2]}])
    imagined = random_walks(generator)
    found = path.bind(SIGHT)(imagined)
    for world in range(2):
        alone = follow(states=[CORNER[0], of_each[world], CORNER[2]]).bind(SIGHT)(imagined)
        torch.testing.assert_close(found[world], alone[world])


def test_a_distance_with_a_direction_is_asked_in_that_direction() -> None:
    """Downhill is free: what is left counts the climbs that are still to come.

    From above the highest hill it is free to go anywhere, and one climb too many to come there.
    """

    class Climb(Plane):
        def __call__(self, start, goal):
            return torch.relu(goal - start)[..., 0, 1]

    hills = [place(0, 0), place(0, 4), place(0, 1), place(0, 3)]
    path = follow(states=hills, distance=Climb())
    assert at(path, (0, 0), (0, 5)).tolist() == [4 + 0 + 2, 3 * 1 + 0 + 2]


def test_paths_that_are_none_are_refused() -> None:
    with pytest.raises(ForethoughtError, match="found none"):
        follow()
    with pytest.raises(ForethoughtError, match="stray=-1"):
        follow(states=CORNER, stray=-1.0)


def test_who_cuts_across_has_not_come_by_what_was_cut_off() -> None:
    """To wait at the end is dearer than to go all the way round, though that ends there later."""
    tip, end = (1.5, 2.598), (3.0, 0.0)
    path = follow(states=[place(*tip), place(*end)])
    up, down = (0.5, 0.866), (0.5, -0.866)
    steps = torch.tensor([up, up, up, down, down, down]).cumsum(0).tolist()
    across = [(1.0, 0.0), (2.0, 0.0), end, end, end, end]
    round_about, straight = costs(path, (0, 0), *steps), costs(path, (0, 0), *across)
    assert round_about == pytest.approx([5, 4, 3, 2, 1, 0], abs=2e-3)
    assert sum(straight) > sum(round_about) and straight[-1] == pytest.approx(3.65, abs=0.01)
    assert float(at(path, end)) == pytest.approx(0, abs=1e-3)


def test_an_agent_that_searches_anew_comes_to_each_sub_goal_in_turn() -> None:
    """The end alone lies straight ahead, and the search sees that far."""
    path = [place(2, 2), place(4, 0)]

    def visited(cost) -> torch.Tensor:
        here, places = torch.zeros(1, 2), []
        for _ in range(6):
            here = planned(cost, here, horizon=4).imagination.latents[:, 0, 1, 0]
            places.append(here)
        return torch.cat(places)

    trace = visited(follow(states=path))
    assert (trace - torch.tensor([2.0, 2.0])).norm(dim=-1).min() < 0.3
    torch.testing.assert_close(trace[-1], torch.tensor([4.0, 0.0]), atol=0.15, rtol=0)
    straight = visited(goal(state=path[-1]))
    assert (straight - torch.tensor([2.0, 2.0])).norm(dim=-1).min() > 1
