"""Recorded episodes as frozen latents: what all is learned on that builds on a world model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from forethought.data.store import EpisodeArrays
from forethought.data.windows import WindowConfig, WindowSampler
from forethought.types import ForethoughtError
from forethought.world_model.world_model import WorldModel


@dataclass(frozen=True, kw_only=True)
class LatentEpisodes:
    """Episodes as frozen latents, one row per world step.

    Attributes:
        latents: ``(rows, k, d)``.
        offsets: ``(episodes + 1,)`` first row of each episode.
        block: world steps in a model step.
    """

    latents: Float[Tensor, "rows k d"]
    offsets: Int[Tensor, " episodes_plus_1"]
    block: int

    @classmethod
    def of(cls, world_model: WorldModel, arrays: EpisodeArrays) -> LatentEpisodes:
        """Episodes as a world model perceives them."""
        return cls(
            latents=encode_rows(world_model, arrays),
            offsets=arrays.offsets,
            block=world_model.config.action_block,
        )

    def joined(self, others: LatentEpisodes) -> LatentEpisodes:
        """These episodes, and others behind them."""
        return LatentEpisodes(
            latents=torch.cat([self.latents, others.latents]),
            offsets=torch.cat([self.offsets, others.offsets[1:] + self.offsets[-1]]),
            block=self.block,
        )

    def starts(self) -> tuple[Int[Tensor, " n"], Int[Tensor, " n"]]:
        """Rows from which one model step can be taken, and the last row of their episodes."""
        rows = self.starts_of(self.block, remedy="lower action_block")
        return rows, self.last[rows]

    def starts_of(self, span: int, *, remedy: str) -> Int[Tensor, " n"]:
        """Rows from which so many world steps can be taken within their episodes.

        Args:
            span: world steps.
            remedy: what else than recording longer episodes would help; told where none is.

        Raises:
            ForethoughtError: no episode is long enough.
        """
        rows = torch.arange(len(self.latents))
        valid = rows + span <= self.last
        if not valid.any():
            raise ForethoughtError(
                f"no episode has the {span + 1} rows that are needed, the longest has "
                f"{int(self.offsets.diff().max())}; {remedy}, or record longer episodes."
            )
        return rows[valid]

    @cached_property
    def first(self) -> Int[Tensor, " rows"]:
        """The first row of each row's episode."""
        return torch.repeat_interleave(self.offsets[:-1], self.offsets.diff())

    @cached_property
    def last(self) -> Int[Tensor, " rows"]:
        """The last row of each row's episode."""
        return torch.repeat_interleave(self.offsets[1:] - 1, self.offsets.diff())


@torch.no_grad()
def encode_rows(
    world_model: WorldModel, arrays: EpisodeArrays, *, batch_size: int = 512
) -> Float[Tensor, "rows k d"]:
    """Latents of every recorded row."""
    sampler = WindowSampler(
        arrays,
        WindowConfig(
            length=1,
            action_block=1,
            frame_stack=world_model.config.perception.frame_stack,
            frame_gap=world_model.config.perception.frame_gap,
        ),
    )
    device = world_model.low.device
    parts = []
    for episodes, steps in sampler.rows(batch_size):
        clip = sampler.at(episodes, steps).observation
        parts.append(world_model.encode({k: v.to(device) for k, v in clip.items()})[:, 0].cpu())
    return torch.cat(parts)
