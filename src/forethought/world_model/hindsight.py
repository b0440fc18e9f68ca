"""Hindsight: what was done between two states, as several heads tell it.

Where a transition is like those that were recorded the heads agree; where it is not (a jump, a way
through a wall, things never seen) each extrapolates in its own way. A predictor's spread cannot
tell this: it is asked before the outcome, and a teleport begins in an ordinary state.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from forethought.config import register
from forethought.types import ForethoughtError


@register
@dataclass(frozen=True, kw_only=True)
class HindsightConfig:
    """Several inverse models on one encoder.

    Attributes:
        num_heads: how many.
        hidden: width of each hidden layer of each head.

    Raises:
        ForethoughtError: fewer than two heads, which cannot disagree.
    """

    num_heads: int = 5
    hidden: tuple[int, ...] = (128, 128)

    def __post_init__(self) -> None:
        if self.num_heads < 2:
            raise ForethoughtError(
                f"hindsight with {self.num_heads} head cannot disagree; give num_heads=2 or more."
            )

    def build(self, tokens: int, width: int, action_width: int) -> Hindsight:
        """Heads for latents of so many tokens of a width, and actions of a width."""
        return Hindsight(self, tokens * width, action_width)


class Hindsight(nn.Module):
    """Inverse models ``a = f(s, s')``, each from its own random start, in one batched call."""

    def __init__(self, config: HindsightConfig, width: int, action_width: int) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        sizes = (2 * width, *config.hidden, action_width)
        self.layers = nn.ModuleList(
            HeadsLinear(config.num_heads, size_in, size_out)
            for size_in, size_out in pairwise(sizes)
        )

    def forward(
        self, before: Float[Tensor, "n k d"], after: Float[Tensor, "n k d"]
    ) -> Float[Tensor, "m n a"]:
        """The standardised model action that each head believes in."""
        heads = (self.num_heads, -1, -1, -1)
        return self.told(before.expand(heads), after.expand(heads))

    def told(
        self, before: Float[Tensor, "m n k d"], after: Float[Tensor, "m n k d"]
    ) -> Float[Tensor, "m n a"]:
        """What each head makes of transitions of its own."""
        values = torch.cat([before.flatten(2), (after - before).flatten(2)], dim=-1)
        for layer in self.layers[:-1]:
            values = nn.functional.gelu(layer(values))
        return self.layers[-1](values)

    def spread(
        self, before: Float[Tensor, "n k d"], after: Float[Tensor, "n k d"]
    ) -> Float[Tensor, " n"]:
        """How far the heads lie apart, in standard deviations of the action."""
        return self(before, after).var(0, correction=0).mean(-1).sqrt()


class HeadsLinear(nn.Module):
    """A linear layer for each head, in one product.

    Args:
        num_heads: layers side by side.
        size_in: inputs of each.
        size_out: outputs of each.
    """

    def __init__(self, num_heads: int, size_in: int, size_out: int) -> None:
        super().__init__()
        limit = size_in**-0.5  # as nn.Linear begins
        self.weight = nn.Parameter(
            torch.empty(num_heads, size_in, size_out).uniform_(-limit, limit)
        )
        self.bias = nn.Parameter(torch.empty(num_heads, 1, size_out).uniform_(-limit, limit))

    def forward(self, values: Float[Tensor, "m n i"]) -> Float[Tensor, "m n o"]:
        """Each head's part by its own layer."""
        return torch.baddbmm(self.bias, values, self.weight)
