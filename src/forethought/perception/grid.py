"""Tokens that are places of a square grid."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from forethought.perception.encoders import mlp
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
        grid = torch.stack(torch.meshgrid(ticks, ticks, indexing="ij"), -1).flatten(0, 1)
        self.register_buffer("places", grid, persistent=False)

    def forward(self, latents: Float[Tensor, "n k d"]) -> Float[Tensor, "n d_plus_2 side side"]:
        """``(n, k, d)`` to maps ``(n, d + 2, side, side)``.

        Tokens hold their features side by side, so the maps come in the channels-last layout, in
        which convolutions on a CPU take a third of the time.
        """
        places = self.places.expand(len(latents), -1, -1)
        joined = torch.cat([latents, places], dim=-1).unflatten(1, (self.side, self.side))
        return joined.permute(0, 3, 1, 2)


def use_channels_last(module: nn.Module) -> None:
    """Lays the kernels of a module's convolutions out as :class:`GridPlaces` lays out maps."""
    for parameter in module.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


def grid_readout(
    side: int, width: int, outputs: int, *, channels: tuple[int, int], hidden: tuple[int, ...]
) -> nn.Sequential:
    """Numbers read from a grid of tokens: two convolutions, the second with stride two, and an MLP.

    Args:
        side: of the grid.
        width: d of its tokens.
        outputs: numbers.
        channels: of the convolutions.
        hidden: width of each hidden layer.
    """
    first, second = channels
    layers = nn.Sequential(
        GridPlaces(side),
        nn.Conv2d(width + 2, first, 3, padding=1),
        nn.GELU(),
        nn.Conv2d(first, second, 3, stride=2, padding=1),
        nn.GELU(),
        nn.Flatten(),
        mlp(second * ((side + 1) // 2) ** 2, hidden, outputs),
    )
    use_channels_last(layers)
    return layers
