"""The latent variable: limited, informative, and able to hold two futures apart."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from forethought.types import Chance
from forethought.world_model import CategoricalLatentConfig
from forethought.world_model.latent_variable import kl_divergence


def variable(**changes):
    torch.manual_seed(0)
    return CategoricalLatentConfig(**changes).build(1, 2, 1)


def test_divergence_equals_its_closed_form() -> None:
    """A sure choice against an even one among four tells ln 4; equals tell nothing."""
    even = torch.full((1, 1, 4), 0.25)
    sure = torch.tensor([[[1 - 3e-9, 1e-9, 1e-9, 1e-9]]])
    assert float(kl_divergence(sure, even)) == pytest.approx(math.log(4), abs=1e-6)
    assert float(kl_divergence(even, even)) == 0


def test_draws_follow_the_expected_shares(generator) -> None:
    """Evenly spread numbers give each choice its share, to the nearest draw."""
    z = variable(num_choices=3)
    before, actions = torch.randn(1, 1, 2), torch.randn(1, 1)
    shares = z.expected(before, actions)[0, 0]
    numbers = Chance(num_outcomes=1000, seed=3).draws(1, 1)[:, 0]
    drawn = z.draw(before.expand(1000, -1, -1), actions.expand(1000, -1), numbers)
    torch.testing.assert_close(drawn.mean(0), shares, atol=2e-3, rtol=0)
    assert int(z.likeliest(before, actions).argmax()) == int(shares.argmax())


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 40), st.integers(0, 1000))
def test_chance_is_spread_evenly_and_repeatable(outcomes, seed) -> None:
    """At each step exactly one draw falls into each m-th of [0, 1)."""
    draws = Chance(num_outcomes=outcomes, seed=seed).draws(3, 2)
    places = (draws * outcomes).floor().sort(0).values
    assert torch.equal(places, torch.arange(outcomes).view(-1, 1, 1).expand(-1, 3, 2).float())
    assert torch.equal(draws, Chance(num_outcomes=outcomes, seed=seed).draws(3, 2))


def test_no_choice_dies() -> None:
    """However sure the network is, the floor is left to every choice."""
    z = variable(num_choices=4, floor=0.04)
    with torch.no_grad():
        z.expectation[-1].bias.copy_(torch.tensor([100.0, 0, 0, 0]))
    smallest = z.expected(torch.zeros(1, 1, 2), torch.zeros(1, 1)).detach().min()
    assert float(smallest) >= 0.04 / 4 - 1e-6


def test_it_learns_to_hold_two_futures_apart() -> None:
    """Where the next state is +1 or -1 by chance, drawn predictions are near both, never between.

    A predictor without z is drawn to the mean, zero, whose error is one.
    """
    z = variable(num_choices=4, weight=0.05)
    predictor = torch.nn.Linear(z.width, 2)
    optimiser = torch.optim.Adam([*z.parameters(), *predictor.parameters()], lr=1e-2)
    generator = torch.Generator().manual_seed(0)
    for _ in range(400):
        before = torch.randn(64, 1, 2, generator=generator)
        actions = torch.randn(64, 1, generator=generator)
        turn = torch.randint(2, (64, 1), generator=generator) * 2.0 - 1
        change = torch.cat([torch.zeros_like(turn), turn], -1)
        told, nats = z.infer(before, actions, before + change[:, None], generator)
        loss = (predictor(told) - change).square().mean() + 0.05 * nats.mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    before, actions = torch.randn(500, 1, 2), torch.randn(500, 1)
    with torch.no_grad():
        drawn = predictor(z.draw(before, actions, torch.rand(500, 1)))[:, 1]
    assert float((drawn.abs() - 1).abs().mean()) < 0.15
    assert 0.35 < float((drawn > 0).float().mean()) < 0.65
    assert float(nats.detach().mean()) < math.log(4)
