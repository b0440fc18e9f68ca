"""Normalisation whose statistics are part of the model, saved and loaded with its weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Normaliser(nn.Module):
    """Standardises vectors, entry by entry: ``(x - mean) / scale``.

    Entries that never vary in the data keep a scale of one, so that they stay constant instead
    of amplifying noise.

    Args:
        mean: mean of each entry.
        std: standard deviation of each entry.
        change_std: standard deviation of each entry's change from one row to the next; that of
            the entry itself where not said.
    """

    mean: Tensor
    scale: Tensor
    change_scale: Tensor

    def __init__(
        self,
        mean: Sequence[float],
        std: Sequence[float],
        change_std: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        change = torch.tensor(std if change_std is None else change_std, dtype=torch.float32)
        self.register_buffer(
            "change_scale", torch.where(change > 1e-9, change, torch.ones_like(change))
        )
        scale = torch.tensor(std, dtype=torch.float32)
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("scale", torch.where(scale > 1e-6, scale, torch.ones_like(scale)))

    def forward(self, values: Float[Tensor, "*batch w"]) -> Float[Tensor, "*batch w"]:
        """World units to standard units."""
        return (values - self.mean) / self.scale

    def inverse(self, values: Float[Tensor, "*batch w"]) -> Float[Tensor, "*batch w"]:
        """Standard units to world units."""
        return values * self.scale + self.mean

    def history(self, values: Float[Tensor, "n f w"]) -> Float[Tensor, "n f w"]:
        """A window of frames in standard units: the latest as it is, the others as changes.

        Frames of a fast sensor hardly differ; told as changes to the next frame, each in units of
        its usual size, velocities are as plain to a network as positions.
        """
        changes = (values[:, 1:] - values[:, :-1]) / self.change_scale
        return torch.cat([changes, self(values[:, -1:])], dim=1)
