"""Outcomes are weighed as the risk says, and all terms of a plan alike."""

from __future__ import annotations

import pytest
import torch

from forethought.cost import Cost, Expected, LatentDistance, Luckiest, Sight, Tail, Worst, term
from forethought.types import ActionSpace, ActionSpec, ForethoughtError, Imagination, Signature

SIGHT = Sight(
    encode=lambda observation: torch.zeros(1, 1, 2),
    push=lambda latents, units: latents,
    distance=LatentDistance(),
    read=lambda latents: {},
    space=ActionSpace(low=-torch.ones(2), high=torch.ones(2)),
    signature=Signature(observation={}, action=ActionSpec(dim=2), rate_hz=1.0),
)
ENERGIES = torch.tensor([[[1.0, 5.0, 2.0, 4.0]]])


@pytest.mark.parametrize(
    ("risk", "value"),
    [(Expected(), 3.0), (Worst(), 5.0), (Luckiest(), 1.0), (Tail(0.5), 4.5), (Tail(0.01), 5.0)],
)
def test_a_risk_weighs_outcomes(risk, value) -> None:
    weights = risk.weights(ENERGIES)
    torch.testing.assert_close(weights.sum(-1), torch.ones(1, 1))
    torch.testing.assert_close((weights * ENERGIES).sum(-1), torch.tensor([[value]]))


def test_the_whole_tail_is_the_mean() -> None:
    torch.testing.assert_close(Tail(1.0).weights(ENERGIES), Expected().weights(ENERGIES))
    with pytest.raises(ForethoughtError, match="share 0"):
        Tail(0.0)


def scores(risk):
    """Two candidates of two outcomes: first latent entry is danger, second is distance."""
    ends = torch.tensor([[[9.0, 0.0], [0.0, 1.0], [3.0, 2.0], [3.0, 3.0]]])
    latents = torch.stack([torch.zeros_like(ends), ends], dim=2).unsqueeze(3)
    imagination = Imagination(latents=latents, actions=torch.zeros(1, 4, 1, 2), num_outcomes=2)
    cost = (
        term("danger", lambda i: i.latents[:, :, 1:, 0, 0])
        + term("distance", lambda i: i.latents[:, :, 1:, 0, 1])
    ).at(risk)
    assert isinstance(cost, Cost)
    return cost.bind(SIGHT)(imagination)


def test_terms_add_up_and_share_their_outcome() -> None:
    """At worst, every term is that of the outcome whose whole energy is worst."""
    worst = scores(Worst())
    torch.testing.assert_close(worst.terms["danger"], torch.tensor([[9.0, 3.0]]))
    torch.testing.assert_close(worst.terms["distance"], torch.tensor([[0.0, 3.0]]))
    for risk in (Expected(), Worst(), Luckiest(), Tail(0.5)):
        found = scores(risk)
        torch.testing.assert_close(sum(found.terms.values()), found.energy)


def test_the_risk_decides_which_candidate_is_best() -> None:
    """The gamble is better on average, the even one at worst."""
    assert int(scores(Expected()).energy.argmin()) == 0
    assert int(scores(Worst()).energy.argmin()) == 1


def test_a_picked_candidate_keeps_all_its_outcomes() -> None:
    values = torch.arange(12.0).view(2, 6, 1, 1, 1).expand(-1, -1, 3, -1, -1)
    imagination = Imagination(latents=values, actions=torch.zeros(2, 6, 2, 1), num_outcomes=3)
    picked = imagination.pick(torch.tensor([[1], [0]]))
    assert picked.latents[:, :, 0, 0, 0].tolist() == [[3, 4, 5], [6, 7, 8]]
