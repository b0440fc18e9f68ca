"""The IMPALA network: a deeper convolutional encoder, without normalisation."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from jaxtyping import Float, UInt8
from torch import Tensor, nn

from forethought.config import register
from forethought.perception.encoders import EncoderConfig, check_image, stacked_pixels
from forethought.types import ArraySpec


@register
@dataclass(frozen=True, kw_only=True)
class IMPALAConfig(EncoderConfig):
    """The large network of IMPALA (Espeholt et al., 2018, figure 3) to one token.

    Attributes:
        width: width d of the token.
        channels: channels of each section; every section halves the image.
        normalise: whether layer normalisation ends it.
    """

    width: int = 16
    channels: tuple[int, ...] = (16, 32, 32)
    normalise: bool = False

    @property
    def stride(self) -> int:
        """How many times the image is reduced."""
        return 2 ** len(self.channels)

    def build(self, spec: ArraySpec, frame_stack: int) -> nn.Module:
        """See :class:`EncoderConfig`."""
        check_image(type(self).__name__, spec, self.stride)
        return IMPALA(self, spec, frame_stack)

    def tokens(self, spec: ArraySpec) -> tuple[int, int]:
        """See :class:`EncoderConfig`."""
        return 1, self.width


class IMPALA(nn.Module):
    """Sections of a convolution, a max-pool and two residual blocks; a linear map of the whole."""

    def __init__(self, config: IMPALAConfig, spec: ArraySpec, frame_stack: int) -> None:
        super().__init__()
        height, width = spec.shape[0] // config.stride, spec.shape[1] // config.stride
        sizes = (3 * frame_stack, *config.channels)
        self.sections = nn.Sequential(*[_section(i, o) for i, o in pairwise(sizes)], nn.ReLU())
        self.head = nn.Linear(config.channels[-1] * height * width, config.width)
        self.norm = nn.LayerNorm(config.width) if config.normalise else nn.Identity()

    def forward(self, values: UInt8[Tensor, "n f h w 3"]) -> Float[Tensor, "n 1 d"]:
        """One token per observation."""
        flat = self.sections(stacked_pixels(values)).flatten(1)
        return self.norm(self.head(flat)).unsqueeze(1)


class ResidualBlock(nn.Module):
    """``x + conv(relu(conv(relu(x))))``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, maps: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Maps of the same shape."""
        return maps + self.layers(maps)


def _section(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, padding=1),
        nn.MaxPool2d(3, stride=2, padding=1),
        ResidualBlock(channels_out),
        ResidualBlock(channels_out),
    )
