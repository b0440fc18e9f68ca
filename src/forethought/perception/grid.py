"""Tokens that are places of a square grid."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from forethought.types import ForethoughtError


def grid_side(tokens: int) -> int:
    """Side of a square grid of so many tokens.

    Raises:
        ForethoughtError: they make no square.
    """
    side = round(tokens**0.5)
    if side * side != tokens:
        raise ForethoughtError(
            f"a square grid of tokens is needed, found {tokens} tokens; use GridCNNConfig on "
            "square images, or a predictor and critic for single tokens."
        )
    return side


class GridPlaces(nn.Module):
    """Tokens laid out as maps, with two more that say where each place is.

    Args:
        side: of the grid.
    """

    places: Tensor

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side
        ticks = torch.linspace(-1, 1, side)
        grid = torch.stack(torch.meshgrid(ticks, ticks, indexing="ij"))
        self.register_buffer("places", grid, persistent=False)

    def forward(self, latents: Float[Tensor, "n k d"]) -> Float[Tensor, "n d_plus_2 side side"]:
        """``(n, k, d)`` to maps ``(n, d + 2, side, side)``."""
        maps = latents.transpose(1, 2).unflatten(2, (self.side, self.side))
        return torch.cat([maps, self.places.expand(len(latents), -1, -1, -1)], dim=1)
