"""Frames as tokens: patches, each named by the nearest of a codebook learned from the recording.

The codebook is k-means over the distinct patches of recorded frames, in the space of their
principal components (vector quantisation; Gray, 1984). Nothing in it is trained by gradients, so a
frame's tokens never change while a transformer learns their order.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from forethought.config import register
from forethought.perception.encoders import EncoderConfig, check_image
from forethought.types import ArraySpec, ForethoughtError

CHUNK_FRAMES = 256
"""Frames whose patches are looked at together while codes are learned."""


@register
@dataclass(frozen=True, kw_only=True)
class CodedFramesConfig(EncoderConfig):
    """An encoder whose tokens are codes: nothing of a patch but which code is nearest gets through.

    Attributes:
        patch: side of the square patches, each of which is one token.
        codes: different tokens there are.
        width: principal components in which patches are compared; the width of a token.
    """

    patch: int = 16
    codes: int = 1024
    width: int = 32

    def build(self, spec: ArraySpec, frame_stack: int) -> nn.Module:
        """See :class:`EncoderConfig`."""
        check_image(type(self).__name__, spec, self.patch)
        if frame_stack != 1:
            raise ForethoughtError(
                f"CodedFramesConfig codes one frame at a time, found frame_stack={frame_stack}; "
                "set it to 1, and give the predictor a window of more frames instead."
            )
        return FrameCodes(self, spec)

    def tokens(self, spec: ArraySpec) -> tuple[int, int]:
        """See :class:`EncoderConfig`."""
        return (spec.shape[0] // self.patch) * (spec.shape[1] // self.patch), self.width


class FrameCodes(nn.Module):
    """Frames to codes and back.

    Args:
        config: patches and codes.
        spec: of the frames.
    """

    mean: Tensor
    basis: Tensor
    scale: Tensor
    codes: Tensor

    def __init__(self, config: CodedFramesConfig, spec: ArraySpec) -> None:
        super().__init__()
        self.config = config
        self.grid = (spec.shape[0] // config.patch, spec.shape[1] // config.patch)
        size = config.patch**2 * spec.shape[2]
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("basis", torch.eye(size, config.width))
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("codes", torch.randn(config.codes, config.width))

    def forward(self, values: UInt8[Tensor, "n 1 h w 3"]) -> Float[Tensor, "n k d"]:
        """The codes of frames, as vectors."""
        return self.codes[self.ids(values[:, 0])]

    def ids(self, frames: UInt8[Tensor, "n h w 3"]) -> Int[Tensor, "n k"]:
        """The codes of frames, as numbers; row by row."""
        return nearest(self.coordinates(self.patches(frames)), self.codes)

    def draw(self, ids: Int[Tensor, "n k"]) -> UInt8[Tensor, "n h w 3"]:
        """The frames that codes stand for."""
        patches = self.mean + (self.codes[ids] * self.scale) @ self.basis.T
        rows, columns = self.grid
        side = self.config.patch
        tiles = patches.reshape(-1, rows, columns, side, side, 3).transpose(2, 3)
        pixels = tiles.reshape(-1, rows * side, columns * side, 3)
        return pixels.mul(255.0).round().clamp(0, 255).to(torch.uint8)

    def patches(self, frames: UInt8[Tensor, "n h w 3"]) -> Float[Tensor, "n k p"]:
        """The pixels of every patch, in [0, 1]."""
        rows, columns = self.grid
        side = self.config.patch
        tiles = frames.reshape(-1, rows, side, columns, side, 3).transpose(2, 3)
        return tiles.reshape(len(frames), rows * columns, -1).float().div(255.0)

    def coordinates(self, patches: Float[Tensor, "*batch p"]) -> Float[Tensor, "*batch d"]:
        """Principal components of patches, in units of their usual size."""
        return (patches - self.mean) @ self.basis / self.scale

    @torch.no_grad()
    def learn(
        self, frames: UInt8[Tensor, "n h w 3"], generator: torch.Generator, *, rounds: int = 15
    ) -> None:
        """Learns components and codes from recorded frames.

        Args:
            frames: enough of them to show what there is to see.
            generator: chooses the patches that codes begin as.
            rounds: of k-means.

        Raises:
            ForethoughtError: fewer distinct patches than codes.
        """
        patches, counts = self._distinct(frames)
        if len(patches) < self.config.codes:
            raise ForethoughtError(
                f"{len(frames)} frames show {len(patches)} distinct patches, fewer than the "
                f"{self.config.codes} codes asked for; lower `codes`, or give more frames."
            )
        self.mean.copy_(patches.mean(0))
        centred = patches - self.mean
        _, components = torch.linalg.eigh(centred.T @ centred)
        self.basis.copy_(components[:, -self.config.width :])
        self.scale.copy_((centred @ self.basis).square().mean().sqrt())
        points = self.coordinates(patches)
        first = _first_codes(counts, self.config.codes, generator)
        self.codes.copy_(k_means(points, counts, points[first], rounds=rounds))

    def _distinct(
        self, frames: UInt8[Tensor, "n h w 3"]
    ) -> tuple[Float[Tensor, "m p"], Float[Tensor, " m"]]:
        """Every different patch once, and how often it occurs; most of the ground is alike."""
        key = torch.rand(len(self.mean), generator=torch.Generator().manual_seed(0)).double()
        key = key.to(self.mean.device)
        found, counts = [], []
        seen: Tensor = key[:0]
        for some in frames.split(CHUNK_FRAMES):
            patches = self.patches(some).flatten(0, 1)
            # Equal patches have equal products with a random vector, and different ones have not.
            products = patches.double() @ key
            values, owner, number = products.unique(return_inverse=True, return_counts=True)
            place = torch.empty_like(values, dtype=torch.long)
            place[owner] = torch.arange(len(patches), device=place.device)
            found.append(patches[place])
            counts.append(number.float())
            seen = torch.cat([seen, values])
        values, owner = seen.unique(return_inverse=True)
        total = torch.zeros(len(values), device=seen.device).index_add_(0, owner, torch.cat(counts))
        place = torch.empty_like(values, dtype=torch.long)
        place[owner] = torch.arange(len(seen), device=place.device)
        return torch.cat(found)[place], total


def nearest(
    points: Float[Tensor, "*batch d"], codes: Float[Tensor, "c d"]
) -> Int[Tensor, "*batch"]:
    """The number of the code closest to each point."""
    return (codes.square().sum(1) - 2 * points @ codes.T).argmin(-1)


def k_means(
    points: Float[Tensor, "n d"],
    weights: Float[Tensor, " n"],
    codes: Float[Tensor, "c d"],
    *,
    rounds: int,
) -> Float[Tensor, "c d"]:
    """Lloyd's iterations from given codes; a code to which no point is nearest stays where it is.

    Args:
        points: what is to be stood for.
        weights: how much each point counts.
        codes: where to begin.
        rounds: iterations.
    """
    for _ in range(rounds):
        owner = nearest(points, codes)
        sums = torch.zeros_like(codes).index_add_(0, owner, points * weights[:, None])
        mass = codes.new_zeros(len(codes)).index_add_(0, owner, weights)
        codes = torch.where(mass[:, None] > 0, sums / mass.clamp_min(1e-12)[:, None], codes)
    return codes


def _first_codes(
    counts: Float[Tensor, " m"], codes: int, generator: torch.Generator
) -> Int[Tensor, " c"]:
    """Patches that codes begin as: the commonest, which are the ground, and any of the others."""
    order = counts.argsort(descending=True, stable=True)
    common = codes // 16
    others = torch.randperm(len(counts) - common, generator=generator)[: codes - common]
    return torch.cat([order[:common], order[common:][others.to(order.device)]])
