"""A video model that foresees pixels: the tokens of a frame are the pixels of its patches.

Nothing is learned but the predictor, and nothing can collapse: what is foreseen is the next frame
itself. Beside a joint-embedding model with the same predictor it shows what an embedding is for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from jaxtyping import Float, UInt8
from torch import Tensor, nn

from forethought.config import register
from forethought.learning.train import TrainConfig
from forethought.learning.video import VideoConfig
from forethought.perception.encoders import EncoderConfig, as_changes, check_image
from forethought.types import ArraySpec, ForethoughtError

SPREAD = 4.0
"""Pixels from 0 to 1 are told as numbers from -2 to 2, about as large as latents are."""


@register
@dataclass(frozen=True, kw_only=True)
class PixelTokensConfig(EncoderConfig):
    """An encoder that only cuts frames into patches.

    Attributes:
        patch: side of the square patches, each of which is one token.
        frames: stacked for one observation; those before the latest are told as changes.
    """

    patch: int = 4
    frames: int = 1

    def build(self, spec: ArraySpec, frame_stack: int) -> nn.Module:
        """See :class:`EncoderConfig`."""
        check_image(type(self).__name__, spec, self.patch)
        if frame_stack != self.frames:
            raise ForethoughtError(
                f"PixelTokensConfig is set to {self.frames} stacked frames, found "
                f"frame_stack={frame_stack}; set `frames` to it."
            )
        return PixelTokens(self.patch)

    def tokens(self, spec: ArraySpec) -> tuple[int, int]:
        """See :class:`EncoderConfig`."""
        rows, columns, colours = spec.shape
        width = self.patch**2 * colours * self.frames
        return (rows // self.patch) * (columns // self.patch), width


class PixelTokens(nn.Module):
    """Frames to patches, row by row; see :class:`PixelTokensConfig`."""

    def __init__(self, patch: int) -> None:
        super().__init__()
        self.patch = patch

    def forward(self, values: UInt8[Tensor, "n f h w 3"]) -> Float[Tensor, "n k d"]:
        """The pixels of every patch."""
        pixels = as_changes(values.float().div(255.0).sub(0.5).mul(SPREAD))
        side = self.patch
        tiles = pixels.unflatten(3, (-1, side)).unflatten(2, (-1, side)).movedim((2, 4), (1, 2))
        return tiles.flatten(3).flatten(1, 2)


def pixel_run(config: TrainConfig) -> TrainConfig:
    """The same run of a video model, foreseeing pixels instead of latents.

    Args:
        config: a run of a world model with one camera, pretrained by :class:`VideoConfig`.

    Raises:
        ForethoughtError: another objective.
    """
    objective = config.objective
    if not isinstance(objective, VideoConfig):
        raise ForethoughtError(
            f"pixel_run changes a run of VideoConfig, found {type(objective).__name__}; for "
            "rollouts with actions see drawing_run."
        )
    (camera,) = config.world_model.perception.encoders
    perception = config.world_model.perception
    encoder = PixelTokensConfig(frames=perception.frame_stack)
    perception = replace(perception, encoders={camera: encoder})
    return replace(
        config,
        recipe=f"{config.recipe}_pixels",
        world_model=replace(config.world_model, perception=perception),
        objective=replace(objective, regularisers=(), start=None),
    )
