"""What was tried in vain: imagined steps that an agent set out for and that did not come about.

A world model errs here and there, and a search finds where: it believes in the one wall that seems
to let it through, and pushes against it for ever. So an agent remembers from where it set out and
what it aimed at; if it has come no nearer after a fair time, the step is kept as disproved, and
costs that lay plans along imagined steps leave it out (edges of a map are dropped in the same way
by Savinov et al., 2018, and by Emmons et al., 2020).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from forethought.types import Distance, ForethoughtError


@dataclass(frozen=True, kw_only=True)
class AttemptsConfig:
    """When an attempt was in vain.

    Attributes:
        patience: how much longer than imagined an attempt may take, as a factor.
        share: of the way that must still be left at the nearest for it to have been in vain.
        least: length of the way, in the agent's distance, below which nothing is concluded.

    Raises:
        ForethoughtError: a patience below one, or a share outside of 0 to 1.
    """

    patience: float = 1.5
    share: float = 0.8
    least: float = 0.4

    def __post_init__(self) -> None:
        if self.patience < 1 or not 0 < self.share <= 1:
            raise ForethoughtError(
                f"attempts need a patience of at least 1 and a share above 0, up to 1; found "
                f"patience={self.patience}, share={self.share}."
            )


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One step that every agent set out for.

    Attributes:
        start: where from.
        aim: where to.
        way: how far that was.
        nearest: how far it was at the nearest so far.
        left: model steps until it is judged.
    """

    start: Float[Tensor, "b k d"]
    aim: Float[Tensor, "b k d"]
    way: Float[Tensor, " b"]
    nearest: Float[Tensor, " b"]
    left: int


@dataclass(frozen=True, kw_only=True)
class Attempts:
    """What agents set out for lately, and what of it was in vain. Immutable: each method returns
    the next state.

    Attributes:
        config: when an attempt was in vain.
        distance: the agent's measure of how far apart two latents are.
        pending: attempts not judged yet.
        in_vain: per agent ``(m, 2, k, d)`` where it set out from and what it did not come to.
    """

    config: AttemptsConfig
    distance: Distance
    pending: tuple[Attempt, ...] = ()
    in_vain: tuple[Float[Tensor, "_ 2 k d"], ...] = ()

    def set_out(
        self, start: Float[Tensor, "b k d"], aim: Float[Tensor, "b k d"], *, steps: int
    ) -> Attempts:
        """Every agent sets out for an imagined state that lies so many model steps ahead."""
        way = self.distance(start, aim)
        left = -int(-steps * self.config.patience // 1)
        attempt = Attempt(start=start, aim=aim, way=way, nearest=way, left=left)
        none = start.new_zeros(0, 2, *start.shape[1:])
        known = self.in_vain or (none,) * len(start)
        return replace(self, pending=(*self.pending, attempt), in_vain=known)

    def arrive(self, now: Float[Tensor, "b k d"]) -> Attempts:
        """Every agent finds itself here, a model step later."""
        seen = [
            replace(
                one,
                nearest=torch.minimum(one.nearest, self.distance(now, one.aim)),
                left=one.left - 1,
            )
            for one in self.pending
        ]
        in_vain = self.in_vain
        for one in seen:
            if one.left <= 0:
                in_vain = tuple(self._judged(one, in_vain))
        pending = tuple(one for one in seen if one.left > 0)
        return replace(self, pending=pending, in_vain=in_vain)

    def _judged(
        self, attempt: Attempt, known: tuple[Float[Tensor, "_ 2 k d"], ...]
    ) -> list[Float[Tensor, "_ 2 k d"]]:
        failed = (attempt.way > self.config.least) & (
            attempt.nearest > self.config.share * attempt.way
        )
        pairs = torch.stack([attempt.start, attempt.aim], dim=1)
        return [
            torch.cat([old, pair[None]]) if fail else old
            for old, pair, fail in zip(known, pairs, failed.tolist(), strict=True)
        ]
