"""CEM on choices finds shortest paths, and holds choices over a model step."""

from __future__ import annotations

from dataclasses import replace

import torch
from known import MOVES, maze, scored, starts, ways

from forethought.actor import CategoricalCEM
from forethought.types import ActionSpace, Imagination, PlanningProblem, WarmStart

PLANNER = CategoricalCEM(horizon=12, num_samples=512, num_iterations=20)
ROOMS = """
    ########
    #0.#...#
    #..#.#.#
    ##...#G#
    #1.#...#
    ########
"""
HAZARDS = """
    #######
    #.....#
    #.###.#
    #0!!!G#
    #.....#
    #######
"""


def shortest(steps: int, horizon: int, block: int = 1) -> float:
    """The energy of going straight along the way, told how far it is at each step."""
    return float(sum(max(0, steps - block * t) for t in range(1, horizon + 1)))


def test_the_shortest_path_of_every_world_is_found(generator) -> None:
    """As a breadth-first search counts it."""
    plan = PLANNER.plan(maze(ROOMS), generator=generator)
    for energy, start in zip(plan.energy.tolist(), starts(ROOMS), strict=True):
        assert energy == shortest(ways(ROOMS)[start], 12)
    torch.testing.assert_close(plan.actions.unflatten(-1, (-1, 5)).sum(-1), torch.ones(2, 12, 1))


def test_a_hazard_on_the_way_is_gone_around(generator) -> None:
    """The way through is four steps, the way around six."""
    assert ways(HAZARDS)[3, 1] == 4
    plan = PLANNER.plan(maze(HAZARDS), generator=generator)
    safe = ways(HAZARDS, through=".G0")[3, 1]
    assert plan.feasible.all() and safe == 6
    assert torch.equal(plan.imagination.latents[0, 0, safe, 0], torch.tensor([3.0, 5.0]))


def test_held_choices_go_far_where_a_step_is_many_moves(generator) -> None:
    """Down a corridor in model steps of six moves: hardly any mixed draw is six times the same."""
    corridor = "\n".join(["#" * 27, "#0" + "." * 23 + "G#", "#" * 27])
    problem = maze(corridor, block=6)
    one_round = CategoricalCEM(horizon=4, num_samples=400, num_iterations=1, held_share=1.0)
    held = one_round.plan(problem, generator=generator)
    mixed = replace(one_round, held_share=0.0).plan(problem, generator=generator)
    assert float(held.energy) < shortest(24, 4, 6) + 12
    assert float(held.energy) < float(mixed.energy) - 12


def test_what_is_refitted_to_is_drawn_more_often(generator) -> None:
    """After one round the probabilities are the shares of the elites, smoothed."""
    drawn: list[torch.Tensor] = []

    def imagine(actions: torch.Tensor) -> Imagination:
        drawn.append(actions)
        return Imagination(latents=actions.new_zeros(1, actions.shape[1], 2, 1, 1), actions=actions)

    def score(imagination: Imagination) -> torch.Tensor:
        return scored(-imagination.actions[:, :, 0, 2])

    space = ActionSpace(low=torch.zeros(4), high=torch.ones(4), num_choices=4)
    problem = PlanningProblem(imagine=imagine, score=score, space=space, num_worlds=1)
    planner = CategoricalCEM(
        horizon=1,
        num_samples=4000,
        num_iterations=2,
        num_elites=100,
        kept_share=0.0,
        momentum=0.2,
        smallest=0.08,
    )
    planner.plan(problem, generator=generator)
    first, second = (actions[0, 1:, 0].mean(0) for actions in drawn)
    torch.testing.assert_close(first, torch.full((4,), 0.25), atol=0.03, rtol=0)
    sure = 0.92 * (0.8 + 0.2 / 4) + 0.02
    expected = torch.full((4,), (1 - sure) / 3)
    expected[2] = sure
    torch.testing.assert_close(second, expected, atol=0.03, rtol=0)


def test_a_warm_start_is_believed_as_far_as_it_reaches(generator) -> None:
    """A plan of three steps for a horizon of five: what it does not say is open."""
    said = torch.nn.functional.one_hot(torch.tensor([[4, 4, 2]]), len(MOVES)).float()
    hasty = CategoricalCEM(horizon=5, num_samples=500, num_iterations=1, confidence=0.6)
    belief = hasty._initial(maze(HAZARDS), WarmStart(actions=said))[0, :, 0]
    assert belief[:3].argmax(-1).tolist() == [4, 4, 2]
    torch.testing.assert_close(belief[:3].amax(-1), torch.full((3,), 0.6 + 0.4 / 5))
    torch.testing.assert_close(belief[3:], torch.full((2, 5), 0.2))
