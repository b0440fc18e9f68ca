"""How likely so many of so many are: what calibration and its alarm rest on."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def binomial(trials: int, share: float) -> Float[Tensor, " trials_plus_1"]:
    """Probability of 0, 1, ... successes among independent trials."""
    count = torch.arange(trials + 1, dtype=torch.float64)
    every = torch.tensor(trials + 1.0, dtype=torch.float64)
    ways = torch.lgamma(every) - torch.lgamma(count + 1) - torch.lgamma(every - count)
    chance = torch.tensor(share, dtype=torch.float64)
    return torch.exp(ways + count * chance.log() + (trials - count) * torch.log1p(-chance))


def at_least(count: int, trials: int, share: float) -> float:
    """Probability of so many successes or more among independent trials."""
    return float(binomial(trials, share)[count:].sum().clamp(max=1.0))


def fewest_beyond(trials: int, risk: float, confidence: float) -> int:
    """How many of ``trials`` errors a bound may leave beyond it.

    The most that are still so few that, had the bound a larger risk than stated, they would have
    been more with the confidence: of a bound that leaves this many beyond, the risk is kept with
    that confidence over what was drawn for calibration (Vovk, 2012, proposition 2a). None at all:
    -1.
    """
    chance = binomial(trials, risk).cumsum(0)
    return int((chance <= 1 - confidence + 1e-12).sum()) - 1
