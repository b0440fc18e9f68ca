"""A sketch of a world model: a cheap predictor that foresees roughly what the world model does.

A search asks it first, so that the world model is asked only about what looks worth it. It is
distilled from the world model (Hinton et al., 2015): what it is to foresee is what that foresees,
not what was recorded, so that it also learns of actions that nobody took.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from forethought.config import register
from forethought.types import ForethoughtError, Imagination, Past
from forethought.world_model.predictors import PredictorConfig, ResidualMLPConfig


@register
@dataclass(frozen=True, kw_only=True)
class SketchConfig:
    """What a sketch is made of.

    Attributes:
        predictor: much cheaper than the world model's, else there is nothing to gain. For latents
            of many tokens, one that knows of tokens: an MLP grows with the square of all of them.
    """

    predictor: PredictorConfig = field(default_factory=lambda: ResidualMLPConfig(hidden=(64,)))

    def build(self, tokens: int, width: int, action_width: int) -> Sketch:
        """A sketch for latents of so many tokens of a width, and model actions of a width."""
        return Sketch(self, tokens, width, action_width)


class Sketch(nn.Module):
    """Foresees one future, on the world model's latents.

    Args:
        config: what it is made of.
        tokens: k.
        width: d.
        action_width: a, of one model action.

    Raises:
        ForethoughtError: the predictor is an ensemble.
    """

    def __init__(self, config: SketchConfig, tokens: int, width: int, action_width: int) -> None:
        super().__init__()
        self.predictor = config.predictor.build(tokens, width, action_width)
        if self.predictor.num_members > 1:
            raise ForethoughtError(
                f"a sketch with an ensemble of {self.predictor.num_members} members, where it is "
                "to be cheap; give SketchConfig a predictor of one."
            )

    def rollout(
        self,
        latents: Float[Tensor, "n k d"],
        actions: Float[Tensor, "n h a"],
        *,
        past: Past | None = None,
    ) -> Float[Tensor, "n h_plus_1 k d"]:
        """Latents that follow under standardised actions; the first is where they start."""
        known, moves = latents[:, None], actions
        if past is not None and self.predictor.window > 1:
            seen = past.latest(self.predictor.window - 1)
            known = torch.cat([seen.latents, known], dim=1)
            moves = torch.cat([seen.actions, moves], dim=1)
        return self.predictor.unroll(known, moves)

    def imagine(
        self,
        latents: Float[Tensor, "b k d"],
        actions: Float[Tensor, "b n h a"],
        *,
        normalise: Callable[[Tensor], Tensor],
        past: Past | None = None,
    ) -> Imagination:
        """Rolls every candidate sequence, in world units, from its world's present latent.

        Args:
            latents: the present of each world.
            actions: candidates.
            normalise: from world units to the world model's standard units.
            past: what came before in each world.
        """
        b, n = actions.shape[:2]
        futures = self.rollout(
            latents.repeat_interleave(n, 0),
            normalise(actions).flatten(0, 1),
            past=past and past.repeated(n),
        )
        return Imagination(latents=futures.unflatten(0, (b, n)), actions=actions)
