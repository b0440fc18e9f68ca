"""What masked pretraining hides of a clip: whole moments, or blocks of its token grid."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from forethought.config import register
from forethought.perception.grid import grid_side
from forethought.types import ForethoughtError

PAINT = 128
"""Hidden pixels are this grey, about zero to an encoder."""


class MaskConfig(ABC):
    """A way to hide parts of clips; itself a function, since it holds nothing trainable."""

    @abstractmethod
    def draw(
        self, clips: int, length: int, tokens: int, generator: torch.Generator
    ) -> Bool[Tensor, "b t k"]:
        """What is hidden of each clip: true where it is.

        Args:
            clips: how many.
            length: moments of each.
            tokens: of each moment.
            generator: of the choice.

        Raises:
            ForethoughtError: clips of which nothing can be hidden this way.
        """

    def grown(self, share: float) -> MaskConfig:
        """What is hidden while masks still grow: less than in the end.

        Args:
            share: 0 at first, 1 when they are grown; most masks do not grow.
        """
        return self


@register
@dataclass(frozen=True, kw_only=True)
class MomentMasks(MaskConfig):
    """Whole moments are hidden, in runs: what lies between them has to be foretold in time.

    Attributes:
        share: of the moments of each clip; at least one is hidden, and one stays.
        run: moments in a row that are hidden together.

    Raises:
        ForethoughtError: a share outside (0, 1), or a run shorter than one.
    """

    share: float = 0.5
    run: int = 3

    def __post_init__(self) -> None:
        _check_share(type(self).__name__, self.share)
        if self.run < 1:
            raise ForethoughtError(f"MomentMasks: run is {self.run}; expected at least 1.")

    def count(self, length: int) -> int:
        """Moments hidden of each clip.

        Raises:
            ForethoughtError: clips of a single moment.
        """
        if length < 2:
            raise ForethoughtError(
                f"moments of a clip cannot be hidden when it has {length}; raise `length`."
            )
        return min(length - 1, max(1, round(self.share * length)))

    def draw(
        self, clips: int, length: int, tokens: int, generator: torch.Generator
    ) -> Bool[Tensor, "b t k"]:
        """See :class:`MaskConfig`. Runs that border on each other, or on an end, may differ in
        length, so that the share is kept exactly."""
        count = self.count(length)
        phase = torch.randint(self.run, (clips, 1), generator=generator)
        runs = (torch.arange(length) + phase) // self.run
        lots = torch.rand(clips, length // self.run + 2, generator=generator).gather(1, runs)
        # Within a run all have one lot; the earlier moments then go first.
        first = lots.argsort(dim=1, stable=True)[:, :count]
        hidden = torch.zeros(clips, length, dtype=torch.bool).scatter_(1, first, True)
        return hidden[:, :, None].expand(-1, -1, tokens).clone()


@register
@dataclass(frozen=True, kw_only=True)
class BlockMasks(MaskConfig):
    """Blocks of the token grid are hidden at all moments alike: tubes (Bardes et al., 2024).

    Attributes:
        blocks: how many; they may overlap.
        share: of the grid that each covers, up to rounding.
        narrowest: least ratio of a block's height to its width, and of its width to its height.

    Raises:
        ForethoughtError: a share or a ratio outside (0, 1), or no block.
    """

    blocks: int = 4
    share: float = 0.15
    narrowest: float = 0.75

    def __post_init__(self) -> None:
        _check_share(type(self).__name__, self.share)
        if not 0 < self.narrowest <= 1 or self.blocks < 1:
            raise ForethoughtError(
                f"BlockMasks: blocks={self.blocks} and narrowest={self.narrowest}; expected at "
                "least one block and a ratio above 0 and up to 1."
            )

    def draw(
        self, clips: int, length: int, tokens: int, generator: torch.Generator
    ) -> Bool[Tensor, "b t k"]:
        """See :class:`MaskConfig`."""
        if tokens == 1:
            raise ForethoughtError(
                "BlockMasks hide parts of a grid of tokens, the encoder gives one token; hide "
                "whole moments with MomentMasks, or choose an encoder with a grid (GridCNNConfig)."
            )
        side = grid_side(tokens)
        hidden = torch.zeros(clips, side, side, dtype=torch.bool)
        for _ in range(self.blocks):
            height, width = self._sizes(clips, side, generator)
            rows = _stretch(height, side, generator)
            columns = _stretch(width, side, generator)
            hidden |= rows[:, :, None] & columns[:, None, :]
        return hidden.flatten(1)[:, None].expand(-1, length, -1).clone()

    def _sizes(
        self, clips: int, side: int, generator: torch.Generator
    ) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
        """Heights and widths, their ratio drawn evenly on a logarithmic scale."""
        lots = torch.rand(clips, generator=generator)
        ratio = self.narrowest ** (2 * lots - 1)
        edge = side * self.share**0.5
        return tuple(
            (edge * stretched).round().clamp(1, side) for stretched in (ratio**0.5, ratio**-0.5)
        )


@register
@dataclass(frozen=True, kw_only=True)
class LapseMasks(MaskConfig):
    """Lapses of sight: for a while all of the token grid is hidden, or a block of it.

    Whoever is to know what is there all the same has to remember it, and how it moved. Long lapses
    teach nothing to a memory that does not yet bridge short ones: let them grow.

    Attributes:
        before: moments at the beginning that are always shown.
        none: share of the clips in which nothing is hidden.
        whole: share of the clips in which all is; in the others it is a block.
        longest: moments that something is hidden, at most.

    Raises:
        ForethoughtError: numbers below one, or shares that are none.
    """

    before: int = 2
    none: float = 0.4
    whole: float = 0.4
    longest: int = 9

    def __post_init__(self) -> None:
        shares = min(self.none, self.whole) >= 0 and self.none + self.whole <= 1
        if self.before < 1 or self.longest < 1 or not shares:
            raise ForethoughtError(
                f"LapseMasks: found before={self.before}, none={self.none}, whole={self.whole}, "
                f"longest={self.longest}; expected moments of at least 1 and shares that are "
                "together at most 1."
            )

    def grown(self, share: float) -> LapseMasks:
        """See :class:`MaskConfig`: at first a lapse is of a single moment."""
        return replace(self, longest=1 + int(share * (self.longest - 1)))

    def draw(
        self, clips: int, length: int, tokens: int, generator: torch.Generator
    ) -> Bool[Tensor, "b t k"]:
        """See :class:`MaskConfig`."""
        side = grid_side(tokens)
        kind, first, last = torch.rand(3, clips, generator=generator)
        begin = (self.before + first * (length - self.before)).floor()
        end = begin + 1 + (last * self.longest).floor()
        moments = torch.arange(length)
        when = (moments >= begin[:, None]) & (moments < end[:, None])
        extents = 2 + (torch.rand(2, clips, generator=generator) * (side - 1)).floor()
        rows, columns = (_stretch(one.clamp_max(side), side, generator) for one in extents)
        where = rows[:, :, None] & columns[:, None, :]
        where |= (kind < self.whole)[:, None, None]
        where &= (kind < 1 - self.none)[:, None, None]
        return when[:, :, None] & where.flatten(1)[:, None]


def _stretch(
    extent: Float[Tensor, " b"], side: int, generator: torch.Generator
) -> Bool[Tensor, "b s"]:
    """Stretches of given extent, anywhere on a line of ``side`` places."""
    lots = torch.rand(len(extent), generator=generator)
    first = (lots * (side - extent + 1)).floor().minimum(side - extent)[:, None]
    places = torch.arange(side)
    return (places >= first) & (places < first + extent[:, None])


def _check_share(name: str, share: float) -> None:
    if not 0 < share < 1:
        raise ForethoughtError(f"{name}: share is {share}; expected a number between 0 and 1.")


def painted(
    images: UInt8[Tensor, "n f h w 3"], hidden: Bool[Tensor, "n k"]
) -> UInt8[Tensor, "n f h w 3"]:
    """Images in which the pixels of hidden tokens of a square grid are grey, in every frame.

    Raises:
        ForethoughtError: images that the grid does not divide evenly.
    """
    side = grid_side(hidden.shape[1])
    height, width = images.shape[2:4]
    if height % side or width % side:
        raise ForethoughtError(
            f"hiding blocks of a {side}x{side} grid needs images that it divides evenly, found "
            f"{height}x{width}; set image_size, or hide whole moments with MomentMasks."
        )
    cells = hidden.unflatten(1, (side, side))
    pixels = cells.repeat_interleave(height // side, 1).repeat_interleave(width // side, 2)
    return images.masked_fill(pixels[:, None, :, :, None], PAINT)
