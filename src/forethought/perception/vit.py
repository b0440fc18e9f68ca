"""A vision transformer, trained from scratch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from forethought.config import register
from forethought.perception.attention import TransformerBlock
from forethought.perception.encoders import EncoderConfig, check_image, stacked_pixels
from forethought.types import ArraySpec, ForethoughtError


@register
@dataclass(frozen=True, kw_only=True)
class ViTConfig(EncoderConfig):
    """A vision transformer (Dosovitskiy et al., 2021) with fixed positions and, where one token is
    asked for, the mean over patches (Beyer et al., 2022).

    Attributes:
        width: width d of each token that it gives.
        patch: side of a patch in pixels.
        hidden: width inside; a multiple of four and of ``heads``.
        depth: transformer blocks.
        heads: of attention in each.
        pooled: whether it gives one token; otherwise one per patch, row by row.

    Raises:
        ForethoughtError: a hidden width that cannot be shared evenly.
    """

    width: int = 16
    patch: int = 8
    hidden: int = 128
    depth: int = 4
    heads: int = 4
    pooled: bool = True

    def __post_init__(self) -> None:
        if self.hidden % 4 or self.hidden % self.heads:
            raise ForethoughtError(
                f"ViTConfig: hidden is {self.hidden}; expected a multiple of 4 (sines and cosines "
                f"of two positions) and of heads={self.heads}."
            )

    def build(self, spec: ArraySpec, frame_stack: int) -> nn.Module:
        """See :class:`EncoderConfig`."""
        check_image(type(self).__name__, spec, self.patch)
        return ViT(self, spec, frame_stack)

    def tokens(self, spec: ArraySpec) -> tuple[int, int]:
        """See :class:`EncoderConfig`."""
        patches = (spec.shape[0] // self.patch) * (spec.shape[1] // self.patch)
        return (1 if self.pooled else patches), self.width


class ViT(nn.Module):
    """Patches to tokens, transformer blocks, and a linear map to the latent's width."""

    positions: Tensor

    def __init__(self, config: ViTConfig, spec: ArraySpec, frame_stack: int) -> None:
        super().__init__()
        rows, columns = spec.shape[0] // config.patch, spec.shape[1] // config.patch
        self.pooled = config.pooled
        self.patches = nn.Conv2d(3 * frame_stack, config.hidden, config.patch, stride=config.patch)
        self.register_buffer(
            "positions", grid_waves(rows, columns, config.hidden), persistent=False
        )
        self.blocks = nn.ModuleList(
            [TransformerBlock(config.hidden, config.heads) for _ in range(config.depth)]
        )
        self.norm = nn.LayerNorm(config.hidden)
        self.head = nn.Linear(config.hidden, config.width)

    def forward(self, values: UInt8[Tensor, "n f h w 3"]) -> Float[Tensor, "n k d"]:
        """One token per observation, or one per patch."""
        patches = self.patches(stacked_pixels(values)).flatten(2).transpose(1, 2)
        tokens = patches + self.positions
        for block in self.blocks:
            tokens = block(tokens)
        tokens = self.norm(tokens)
        return self.head(tokens.mean(1, keepdim=True) if self.pooled else tokens)


def grid_waves(rows: int, columns: int, width: int) -> Float[Tensor, "k d"]:
    """Sines and cosines of the row and of the column of each place of a grid, row by row.

    Wavelengths go from 2 pi to 10 000 times that (Vaswani et al., 2017); a quarter of the width
    each for the sine and cosine of either coordinate.
    """
    rates = 10_000.0 ** -(torch.arange(width // 4) / (width // 4))
    places = torch.cartesian_prod(torch.arange(rows), torch.arange(columns))
    phases = (places[:, :, None] * rates).flatten(1)
    return torch.cat([phases.sin(), phases.cos()], dim=1)
