"""Statistics of recorded values, entry by entry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Statistics of one key, entry by entry (per channel for images).

    Attributes:
        mean: mean.
        std: standard deviation.
        low: smallest value.
        high: largest value.
        change_std: root mean squared change from one row of an episode to the next.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    change_std: tuple[float, ...]


Statistics = Mapping[str, Moments]


def vector_moments(
    values: Float[Tensor, "rows entries"], offsets: Int[Tensor, " episodes_plus_1"]
) -> Moments:
    """Of vectors whose episodes begin at ``offsets``."""
    within = torch.ones(max(len(values) - 1, 0), dtype=torch.bool)
    within[offsets[1:-1] - 1] = False
    wide = values.double()
    return _moments(wide, wide.diff(dim=0)[within])


def image_moments(first: Tensor, following: Tensor) -> Moments:
    """Per channel, of images ``(n, height, width, 3)`` and of those one row later."""
    channels = first.double().flatten(0, -2)
    return _moments(channels, following.double().flatten(0, -2) - channels)


def _moments(values: Float[Tensor, "n entries"], changes: Float[Tensor, "m entries"]) -> Moments:
    return Moments(
        mean=tuple(values.mean(0).tolist()),
        std=tuple(values.std(0, correction=0).tolist()),
        low=tuple(values.amin(0).tolist()),
        high=tuple(values.amax(0).tolist()),
        change_std=tuple(changes.square().mean(0).sqrt().tolist()),
    )
