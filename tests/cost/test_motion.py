"""Smooth actions: what a change costs, wherever in a plan it comes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from plane import SIGHT, ends, place, planned

from forethought.checkers import check_cost_term
from forethought.cost import goal, smoothness
from forethought.types import ActionSpace, Imagination

LOW, HIGH = torch.tensor([-1.0, 0.0]), torch.tensor([1.0, 4.0])


def roughness(steps: torch.Tensor, *, block: int) -> torch.Tensor:
    """Of world actions ``(steps, 2)``, so many of them in a model action."""
    space = ActionSpace(low=LOW.repeat(block), high=HIGH.repeat(block), block=block)
    actions = steps.reshape(1, 1, -1, 2 * block)
    latents = torch.zeros(1, 1, actions.shape[2] + 1, 1, 2)
    bound = smoothness().bind(replace(SIGHT, space=space))
    return bound(Imagination(latents=latents, actions=actions))[0, 0]


@pytest.mark.parametrize("block", [1, 2, 3, 6])
def test_what_does_not_change_is_smooth_and_from_end_to_end_is_one(block) -> None:
    """However the world actions are grouped into model steps."""
    constant = torch.tensor([[0.7, 3.0]]).expand(6, 2)
    assert roughness(constant, block=block).tolist() == [0] * (6 // block)
    alternating = torch.stack([LOW, HIGH] * 3)
    torch.testing.assert_close(roughness(alternating, block=block).sum(), torch.tensor(1.0))


def test_one_change_costs_its_square_at_the_step_that_makes_it() -> None:
    """Half the range of one entry of two, once in five: between model steps, or within one."""
    steps = torch.zeros(6, 2)
    steps[2:, 1] = 2.0
    share = 0.5**2 / 2 / 5
    torch.testing.assert_close(roughness(steps, block=2), torch.tensor([0, share, 0]))
    torch.testing.assert_close(roughness(steps, block=3), torch.tensor([share, 0]))


def test_grouping_does_not_change_the_whole(generator) -> None:
    steps = LOW + (HIGH - LOW) * torch.rand(6, 2, generator=generator)
    changes = (steps.diff(dim=0) / (HIGH - LOW)).square().mean()
    for block in (1, 2, 3, 6):
        torch.testing.assert_close(roughness(steps, block=block).sum(), changes)


def test_a_single_action_is_smooth() -> None:
    """There is no change to speak of, nor a division by nothing."""
    assert roughness(torch.ones(1, 2), block=1).tolist() == [0]


def test_smoothness_conforms_and_judges_actions() -> None:
    assert smoothness().judges_actions and not smoothness().seeks_goal
    check_cost_term(smoothness().bind(SIGHT), tokens=1, width=2, action_width=2)


def test_a_search_goes_evenly() -> None:
    """All ways there cost the same but for their changes."""
    plan = planned(10.0 * goal(state=place(1.5, -0.6), running=0.0) + 300.0 * smoothness())
    torch.testing.assert_close(ends(plan), torch.tensor([[1.5, -0.6]]), atol=0.05, rtol=0)
    expected = torch.tensor([[0.5, -0.2]]).expand(1, 3, 2)
    torch.testing.assert_close(plan.actions, expected, atol=0.1, rtol=0)
