"""Candidates from elsewhere compete in the search, and win where they are better."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from known import maze, quadratic, scored

from forethought.actor import (
    CEM,
    ICEM,
    MPPI,
    CategoricalCEM,
    ParallelGradient,
    PolicyProposals,
    PredictiveSampling,
    ProjectedGradient,
)
from forethought.actor.proposals import with_proposals
from forethought.types import ActionSpace, ForethoughtError, Imagination, Proposer
from point import Point, point_agent, point_model

NEEDLE = torch.tensor([[0.31, -1.37], [-0.77, 0.59], [0.93, 1.71]])
SMALL = {"horizon": 3, "num_samples": 16, "num_iterations": 2}
TAKERS = [
    CEM(**SMALL, num_elites=4),
    ICEM(**SMALL, num_elites=4),
    MPPI(**SMALL, num_elites=4),
    PredictiveSampling(**SMALL),
    ProjectedGradient(horizon=3, num_restarts=4, num_iterations=2),
    ParallelGradient(horizon=3, num_restarts=4, num_iterations=2),
]


def haystack():
    """All plans are alike but one, which costs nothing."""
    base = quadratic(torch.zeros(2, 2))

    def score(imagination: Imagination):
        found = ((imagination.actions - NEEDLE).abs() < 1e-5).all(-1).all(-1)
        flat = 0 * imagination.actions.square().sum((-1, -2))  # a slope for planners that want one
        return scored(flat + 1.0 - found.float())

    return replace(base, score=score)


@pytest.mark.parametrize("planner", TAKERS, ids=lambda p: type(p).__name__)
def test_a_proposal_that_no_search_would_draw_is_found(planner, generator) -> None:
    """One share of the candidates, in world units; without it the needle stays where it is."""
    asked: list[tuple[int, int]] = []

    def propose(number: int, horizon: int, draw: torch.Generator) -> torch.Tensor:
        asked.append((number, horizon))
        proposed = torch.zeros(2, number, horizon, 2)
        proposed[1, -1] = NEEDLE
        return proposed

    lucky = planner.plan(replace(haystack(), propose=propose), generator=generator)
    assert lucky.energy.tolist() == [1.0, 0.0]
    torch.testing.assert_close(lucky.actions[1], NEEDLE)
    count = {"num_samples": 16, "num_restarts": 4}
    (total,) = [value for name, value in count.items() if name in vars(planner)]
    assert asked == [(total // 4, 3)]
    plain = planner.plan(haystack(), generator=generator)
    assert plain.energy.tolist() == [1.0, 1.0]


def test_choices_take_proposals_too(generator) -> None:
    """The way through a corridor of many turns, in a single small round."""
    picture = """
        ########
        #0.##..#
        ##.#..##
        ##...#G#
        ####...#
        ########
    """
    moves = torch.tensor([4, 2, 2, 4, 4, 2, 4, 4, 1])
    way = torch.nn.functional.one_hot(moves, 5).float()
    problem = maze(picture, hint=0.0)
    planner = CategoricalCEM(horizon=9, num_samples=20, num_iterations=1)
    told = replace(problem, propose=lambda number, *_: way.expand(1, number, -1, -1))
    assert float(planner.plan(told, generator=generator).energy) == 8
    assert float(planner.plan(problem, generator=generator).energy) == 9


def test_what_a_search_begins_with_always_stays(generator) -> None:
    """Others have their share of proposals wherever one cuts them off, clipped to the box; without
    any, nothing is drawn."""
    units = torch.arange(10.0).view(1, 10, 1, 1).expand(1, 10, 3, 2) / 10
    problem = quadratic(torch.zeros(1, 2))
    before = generator.get_state()
    assert with_proposals(units, problem, 0.5, generator) is units
    assert torch.equal(before, generator.get_state())
    far = replace(problem, propose=lambda n, h, _: torch.full((1, n, h, 2), 1.5))
    for share, places in ((0.3, [3, 6, 9]), (1.0, list(range(1, 10)))):
        mixed = with_proposals(units, far, share, generator)
        expected = units.clone()
        expected[:, places] = torch.tensor([1.0, 0.75])
        torch.testing.assert_close(mixed, expected)


# ----------------------------------------------------------------------------- a policy


def straight_there(latents: torch.Tensor, goal: torch.Tensor) -> torch.Tensor:
    """Half of the way that is left."""
    return (goal - latents)[:, 0] / 2


def walking(noise: float) -> PolicyProposals:
    return PolicyProposals(
        policy=straight_there,
        goal=torch.tensor([[[8.0, -4.0]], [[0.8, 0.0]]]),
        step=lambda states, actions: states[:, -1] + actions[:, -1:],
        space=ActionSpace(low=torch.tensor([-1.0, -2.0]), high=torch.tensor([1.0, 2.0])),
        noise=noise,
    )


def test_a_policy_is_asked_where_its_own_actions_have_led(generator) -> None:
    """The first proposal is the policy's own, closed loop, within the box."""
    proposed = walking(0.2)(torch.zeros(2, 1, 2), number=3, horizon=3, generator=generator)
    assert isinstance(walking(0.2), Proposer) and proposed.shape == (2, 3, 3, 2)
    far = torch.tensor([[1.0, -2.0], [1.0, -1.0], [1.0, -0.5]])
    near = torch.tensor([[0.4, 0.0], [0.2, 0.0], [0.1, 0.0]])
    torch.testing.assert_close(proposed[:, 0], torch.stack([far, near]))
    assert ((proposed[:, 1:] - proposed[:, :1]).abs().amax((2, 3)) > 0).all()


def test_noise_is_in_units_of_the_box_and_the_same_for_all_worlds(generator) -> None:
    still = replace(walking(0.1), policy=lambda latents, goal: torch.zeros(len(latents), 2))
    proposed = still(torch.zeros(2, 1, 2), number=4001, horizon=1, generator=generator)
    assert torch.equal(proposed[0], proposed[1])
    spread = proposed[0, 1:, 0].std(0)
    torch.testing.assert_close(spread, torch.tensor([0.1, 0.2]), rtol=0.05, atol=0)


# ----------------------------------------------------------------------------- an agent


def test_an_agent_hands_its_proposals_to_the_search() -> None:
    """With one other candidate, which stays where it is, it does what is proposed."""
    model = point_model()
    world = model.world_model
    goal = torch.tensor([[[3.0, -2.0]]])

    def push(latents: torch.Tensor, goal: torch.Tensor) -> torch.Tensor:
        return ((goal - latents)[:, 0] / 2).repeat(1, 2)

    proposals = PolicyProposals(
        policy=push, goal=goal, step=world.step, space=world.action_space, noise=0.0
    )
    planner = CEM(horizon=2, num_samples=2, num_iterations=1, num_elites=1, proposed_share=0.5)
    agent = point_agent(model, (3.0, -2.0), actor=planner, proposals=proposals)
    decision = agent.act(Point().observe())
    np.testing.assert_allclose(decision.action, [1.0, -1.0])
    assert decision.plan is not None
    torch.testing.assert_close(
        decision.plan.imagination.latents[0, 0, :, 0],
        torch.tensor([[0.0, 0.0], [2.0, -2.0], [3.0, -2.0]]),
    )


def test_proposals_of_another_shape_are_refused() -> None:
    """Before anything is imagined."""

    def wrong(latents, *, number, horizon, generator):
        return torch.zeros(1, number, horizon, 3)

    agent = point_agent(point_model(), (3.0, -2.0), proposals=wrong)
    with pytest.raises(ForethoughtError, match=r"proposals are of shape \(1, 32, 3, 3\); expected"):
        agent.act(Point().observe())
