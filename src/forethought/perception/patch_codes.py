"""Linear codes of patches: as few numbers as tell nearly all of what a patch shows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from forethought.config import register
from forethought.perception.encoders import EncoderConfig, Patches, check_image, stacked_pixels
from forethought.types import ArraySpec


@register
@dataclass(frozen=True, kw_only=True)
class PatchCodesConfig(EncoderConfig):
    """An encoder that takes sums over the pixels of each patch: one token per patch.

    It is meant to begin at the principal components of patches (``PrincipalStartConfig``), and may
    be left there: nothing that is learned later then decides what is worth telling.

    Attributes:
        width: width d of each token.
        patch: side of the square patches.
    """

    width: int = 16
    patch: int = 4

    def build(self, spec: ArraySpec, frame_stack: int) -> nn.Module:
        """See :class:`EncoderConfig`."""
        check_image(type(self).__name__, spec, self.patch)
        return PatchCodes(self, frame_stack)

    def tokens(self, spec: ArraySpec) -> tuple[int, int]:
        """See :class:`EncoderConfig`."""
        return (spec.shape[0] // self.patch) * (spec.shape[1] // self.patch), self.width


class PatchCodes(nn.Module):
    """``weight @ pixels + bias`` for every patch, row by row; see :class:`PatchCodesConfig`."""

    def __init__(self, config: PatchCodesConfig, frame_stack: int) -> None:
        super().__init__()
        self.patch = config.patch
        self.codes = Patches(3 * frame_stack, config.width, config.patch, config.patch)

    def forward(self, values: UInt8[Tensor, "n f h w 3"]) -> Float[Tensor, "n k d"]:
        """``k = height * width / patch**2`` tokens per observation."""
        return self.codes(stacked_pixels(values)).flatten(2).transpose(1, 2)

    def tiles(self, values: UInt8[Tensor, "n f h w 3"]) -> Float[Tensor, "n k i"]:
        """The pixels that each code is a sum over, in the order of its weights."""
        return nn.functional.unfold(
            stacked_pixels(values), self.patch, stride=self.patch
        ).transpose(1, 2)

    @torch.no_grad()
    def begin_linear(self, weight: Float[Tensor, "i d"], bias: Float[Tensor, " d"]) -> None:
        """Sets the sums."""
        assert self.codes.bias is not None
        self.codes.weight.copy_(weight.T.unflatten(1, self.codes.weight.shape[1:]))
        self.codes.bias.copy_(bias)
