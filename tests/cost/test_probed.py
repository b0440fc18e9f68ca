"""Costs on probed quantities: distances as they are, also between model steps."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from forethought.checkers import check_cost_term
from forethought.cost import LatentDistance, Sight, keep_apart, probed_goal
from forethought.cost.probed import closest_approach
from forethought.types import ActionSpace, ActionSpec, ForethoughtError, Imagination, Signature

NAMES = ("position.x", "position.y", "obstacle.x", "obstacle.y")
SIGHT = Sight(
    encode=lambda observation: torch.as_tensor(observation["goal"]).view(-1, 1, 4),
    push=lambda latents, units: latents,
    distance=LatentDistance(),
    read=lambda latents: {name: latents[..., 0, i] for i, name in enumerate(NAMES)},
    space=ActionSpace(low=-torch.ones(2), high=torch.ones(2)),
    signature=Signature(observation={}, action=ActionSpec(dim=2), rate_hz=1.0),
)


def imagined(*rows: tuple[float, ...]) -> Imagination:
    latents = torch.tensor(rows, dtype=torch.float32).view(1, 1, len(rows), 1, 4)
    return Imagination(latents=latents, actions=torch.zeros(1, 1, len(rows) - 1, 2))


def test_what_passes_between_two_steps_is_seen() -> None:
    """A fast obstacle jumps from one side to the other: they met halfway."""
    danger = keep_apart(NAMES[:2], NAMES[2:], apart=4.0).bind(SIGHT)
    met = danger(imagined((0, 0, 6, 1), (0, 0, -6, 1), (0, 0, -18, 1)))
    torch.testing.assert_close(met, torch.tensor([[[1 - 1 / 4.0, 0.0]]]))
    missed = danger(imagined((0, 0, 6, 5), (0, 0, -6, 5)))
    torch.testing.assert_close(missed, torch.zeros(1, 1, 1))


def test_closest_approach_equals_a_fine_walk(generator) -> None:
    gaps = torch.randn(50, 4, 3, generator=generator)
    shares = torch.linspace(0, 1, 2001).view(-1, 1, 1, 1)
    walk = gaps[:, :-1] + shares * (gaps[:, 1:] - gaps[:, :-1])
    expected = walk.square().sum(-1).sqrt().min(0).values
    torch.testing.assert_close(closest_approach(gaps), expected, atol=2e-3, rtol=0)
    still = torch.ones(1, 2, 3)
    assert float(closest_approach(still)) == pytest.approx(math.sqrt(3))


def test_a_probed_goal_asks_for_some_quantities_only() -> None:
    """The obstacle of the goal picture does not matter; the last step has weight one."""
    goal = np.array([[3.0, 4.0, 99.0, 99.0]], np.float32)
    term = probed_goal(observation={"goal": goal}, running=0.5).bind(SIGHT)
    cost = term(imagined((0, 0, 0, 0), (0, 0, 7, 7), (3, 0, 8, 8)))
    torch.testing.assert_close(cost, torch.tensor([[[2.5, 4.0]]]))


def test_terms_conform_and_wrong_names_are_said() -> None:
    for term in (
        probed_goal(observation={"goal": np.zeros((1, 4), np.float32)}),
        keep_apart(NAMES[:2], NAMES[2:], apart=9.0),
    ):
        check_cost_term(term.bind(SIGHT), tokens=1, width=4, action_width=2)
    with pytest.raises(ForethoughtError, match="not 'speed'"):
        probed_goal(observation={"goal": np.zeros((1, 4), np.float32)}, quantities=("speed",)).bind(
            SIGHT
        )
    with pytest.raises(ForethoughtError, match="as many quantities"):
        keep_apart(NAMES[:2], NAMES[2:3], apart=9.0)
