"""Against collapse where little of a picture moves: what moves has to differ from what moves."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from forethought.config import register
from forethought.world_model.regularisers import RegulariserConfig, VICReg


@register
@dataclass(frozen=True, kw_only=True)
class MovingTokensConfig(RegulariserConfig):
    """Variance and covariance of the tokens that change most, frame by frame.

    Of the tokens of a picture nearly all show the ground, or what stands on it. Variance over all
    of them is soon had from telling grounds and scenery apart, and what moves, a few tokens in a
    hundred, counts for nothing. Where it alone is asked to vary, in directions that say different
    things, its colour, its form and its place within a token are what is left to say.

    Attributes:
        weight: share of the variance term in the loss.
        covariance: weight of the covariance term relative to the variance term.
        tokens: of each frame, those that have changed most since the frame before.
    """

    weight: float = 1.0
    covariance: float = 0.25
    tokens: int = 6

    def build(self, tokens: int, width: int, action_width: int) -> nn.Module:
        """See :class:`RegulariserConfig`."""
        return MovingTokens(self, tokens)


class MovingTokens(nn.Module):
    """See :class:`MovingTokensConfig`; equations 1 and 3 of VICReg on the chosen tokens."""

    def __init__(self, config: MovingTokensConfig, tokens: int) -> None:
        super().__init__()
        self.most = min(config.tokens, tokens)
        self.statistics = VICReg(config.covariance)

    def forward(
        self,
        latents: Float[Tensor, "b t k d"],
        actions: Float[Tensor, "b t_minus_1 a"],
        generator: torch.Generator,
    ) -> Float[Tensor, ""]:
        """The terms of the tokens that moved, before and after they did."""
        change = latents.detach().diff(dim=1).square().sum(-1)
        places = (
            change.topk(self.most, dim=-1).indices[..., None].expand(*(-1,) * 3, latents.shape[-1])
        )
        moved = torch.stack([latents[:, :-1], latents[:, 1:]]).gather(
            3, places.expand(2, *(-1,) * 4)
        )
        # Each sample is a clip of one moment and one token, in which nothing could be done.
        samples = moved.flatten(0, 3)[:, None, None]
        return self.statistics(samples, actions.new_zeros(len(samples), 0, 1), generator)
