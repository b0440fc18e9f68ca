"""Beam search finds the shortest path, where searching greedily, or too narrowly, does not."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from known import maze, starts, ways

from forethought.actor import BeamSearch
from forethought.types import ForethoughtError

DEAD_END = """
    #########
    #.......#
    #.#####.#
    #.0...#.#
    #.###.#.#
    #...#.#G#
    #########
"""
TWO = """
    #######
    #0#..1#
    #.#.#.#
    #...#.#
    #.###.#
    #....G#
    #######
"""
HAZARDS = """
    #######
    #.....#
    #.###.#
    #0!!!G#
    #!....#
    #######
"""


def first_there(plan, goal: tuple[int, int]) -> int:
    """The model step at which the goal is reached."""
    there = (plan.imagination.latents[0, 0, :, 0] == torch.tensor(goal).float()).all(-1)
    return int(there.int().argmax()) if bool(there.any()) else -1


def test_a_wide_beam_finds_the_shortest_path_that_a_narrow_one_misses(generator) -> None:
    """As the crow flies, the way begins in a dead end."""
    problem = maze(DEAD_END, hint=0.1)
    shortest = ways(DEAD_END)[starts(DEAD_END)[0]]
    wide = BeamSearch(horizon=14, widths=(4, 40)).plan(problem, generator=generator)
    greedy = BeamSearch(horizon=14, widths=(1,)).plan(problem, generator=generator)
    assert first_there(wide, (5, 7)) == shortest == 13
    assert float(wide.energy) == pytest.approx(shortest - 1)
    assert float(greedy.energy) > float(wide.energy) and first_there(greedy, (5, 7)) == -1


def test_as_wide_as_there_are_places_it_finds_the_shortest_path_without_a_hint(generator) -> None:
    """Of the plans that come to one place, one is gone on with: else the beam would be full of
    walks to and fro."""
    problem, lengths = maze(TWO, hint=0.0), ways(TWO)
    planner = BeamSearch(horizon=12, widths=(len(lengths),))
    plan = planner.plan(problem, generator=generator)
    assert plan.energy.tolist() == [lengths[start] - 1 for start in starts(TWO)]
    crowded = replace(planner, same=-1.0).plan(problem, generator=generator)
    assert (crowded.energy > plan.energy).any()


def test_random_sequences_turn_corners_within_a_model_step(generator) -> None:
    """Two moves to a model step, and a way that turns after odd numbers of moves."""
    stairs = """
        #######
        #0.####
        ##..###
        ###..##
        ####.G#
        #######
    """
    steps = -(-ways(stairs)[1, 1] // 2)
    problem = maze(stairs, block=2, hint=0.1)
    held = BeamSearch(horizon=4, widths=(30,), num_mixed=0)
    mixed = replace(held, num_mixed=40)
    assert float(mixed.plan(problem, generator=generator).energy) == steps - 1
    assert float(held.plan(problem, generator=generator).energy) > steps - 1


def test_hazards_are_gone_around_or_crossed_as_little_as_can_be(generator) -> None:
    """A plan that has begun badly is worse than any that has not, however near it is."""
    problem = maze(HAZARDS, hint=0.1)
    planner = BeamSearch(horizon=10, widths=(30,))
    plan = planner.plan(problem, generator=generator)
    assert plan.feasible.all()
    assert first_there(plan, (3, 5)) == ways(HAZARDS, through=".G0")[3, 1] == 8
    walled = maze(HAZARDS.replace("#.###.#", "#!###.#").replace("#0!!!G#", "#0!!#G#"), hint=0.1)
    plan = planner.plan(walled, generator=generator)
    assert plan.feasible.all()  # it stays
    assert first_there(plan, (3, 5)) == -1


def test_a_problem_without_a_way_to_go_on_is_refused(generator) -> None:
    with pytest.raises(ForethoughtError, match=r"go_on.*CategoricalCEM"):
        BeamSearch().plan(replace(maze(TWO), go_on=None), generator=generator)
