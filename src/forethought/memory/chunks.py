"""What was done in states like the present: recorded stretches of actions, found by their latents.

A search draws actions at random; a recording holds some that someone meant. Planners let both
compete. Looking up the most similar state and repeating what was done there is a strong baseline by
itself (Mansimov and Cho, 2018; Pari et al., 2021); here it only proposes, and imagination decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from forethought.types import ForethoughtError

CHUNK_ROWS = 65_536
"""Rows compared at once: distances of a batch of worlds to them take little memory."""


@dataclass(frozen=True, kw_only=True)
class ActionChunks:
    """Recorded states and what was done; implements :class:`forethought.types.Proposer`.

    The nearest states are found by comparing with all of them, which is exact, and meant for up to
    a million rows (128 MB where a latent has 32 numbers); more than that asks for an approximate
    index, which this is not.

    Attributes:
        latents: ``(rows, k, d)`` one for each recorded world step.
        actions: ``(rows, c)`` the world action that followed each row, as a vector.
        last: ``(rows,)`` the last row of each row's episode; what was done in it led nowhere.
        block: world steps in a model step.
        choice: how many times more neighbours there are to draw from than sequences are asked for:
            consecutive rows are near each other and were followed by nearly the same.

    Raises:
        ForethoughtError: no episode is as long as a model step.
    """

    latents: Float[Tensor, "rows k d"]
    actions: Float[Tensor, "rows c"]
    last: Int[Tensor, " rows"]
    block: int
    choice: int = 4

    def __post_init__(self) -> None:
        if not self._num_starts:
            raise ForethoughtError(
                f"no episode has the {self.block + 1} rows that a model step needs; record longer "
                "episodes."
            )

    def __call__(
        self,
        latents: Float[Tensor, "b k d"],
        *,
        number: int,
        horizon: int,
        generator: torch.Generator,
    ) -> Float[Tensor, "b n h a"]:
        """What followed on states among the nearest; the first of each world is the very nearest.

        A stretch that ends before the horizon goes on with its last action.
        """
        near = self.nearest(latents, number * self.choice)
        rows = near[:, self._drawn(number, near.shape[1], generator).to(near.device)]
        ahead = torch.arange(horizon * self.block, device=rows.device)
        steps = torch.minimum(rows[..., None] + ahead, self.last[rows][..., None] - 1)
        return self.actions[steps].unflatten(2, (horizon, self.block)).flatten(3).to(latents)

    def nearest(self, latents: Float[Tensor, "b k d"], number: int) -> Int[Tensor, "b m"]:
        """The rows whose latents lie nearest, nearest first; fewer where there are fewer."""
        table = self.latents.flatten(1)
        wanted = latents.flatten(1).to(table)
        distances, rows = [], []
        for begin in range(0, len(table), CHUNK_ROWS):
            # Squares, but for the norm of what is looked up, which is the same for all rows.
            some = slice(begin, begin + CHUNK_ROWS)
            away = torch.addmm(self._norms[some], wanted, table[some].T, alpha=-2)
            found = away.topk(min(number, away.shape[1]), largest=False)
            distances.append(found.values)
            rows.append(found.indices + begin)
        near, among = torch.cat(distances, 1), torch.cat(rows, 1)
        order = near.topk(min(number, self._num_starts), largest=False).indices
        return among.gather(1, order)

    def _drawn(self, number: int, known: int, generator: torch.Generator) -> Int[Tensor, " n"]:
        """Which of the neighbours are taken, the same for all worlds; where there are too few, some
        more than once.
        """
        others = torch.randperm(known - 1, generator=generator, device=generator.device) + 1
        drawn = torch.cat([others.new_zeros(1), others])
        return drawn.repeat(-(-number // known))[:number]

    @cached_property
    def _norms(self) -> Float[Tensor, " rows"]:
        """Squared norms; infinite where no model step begins, so that these are never near."""
        rows = torch.arange(len(self.last), device=self.last.device)
        begins = rows + self.block <= self.last
        return self.latents.flatten(1).square().sum(1).where(begins, torch.inf)

    @cached_property
    def _num_starts(self) -> int:
        return int(self._norms.isfinite().sum())
