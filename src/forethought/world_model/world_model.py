"""The world model: perception, and a predictor of what comes next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from forethought.config import register
from forethought.perception.normalise import Normaliser
from forethought.perception.perception import Perception, PerceptionConfig
from forethought.types import ActionSpace, Imagination, Signature
from forethought.world_model.predictors import PredictorConfig

CHUNK_NUMBERS = 2**16
"""Latent numbers rolled out at once: what a predictor makes of them then stays in the cache."""


@register
@dataclass(frozen=True, kw_only=True)
class WorldModelConfig:
    """Settings of a world model.

    Attributes:
        perception: how observations become latents.
        predictor: how latents follow from latents and actions.
        action_block: world steps in one model step.
    """

    perception: PerceptionConfig
    predictor: PredictorConfig
    action_block: int = 1


class WorldModel(nn.Module):
    """A joint-embedding predictive world model, s' = Pred(s, a).

    Args:
        config: what it is made of.
        signature: the observations and actions of one world step.
        normalisers: per vector key, and for ``action``, its standardisation.
    """

    low: Tensor
    high: Tensor

    def __init__(
        self,
        config: WorldModelConfig,
        signature: Signature,
        normalisers: Mapping[str, Normaliser],
    ) -> None:
        super().__init__()
        self.config = config
        self.signature = signature
        self.action_normaliser = normalisers["action"]
        self.perception = Perception(
            config.perception,
            signature,
            {key: normalisers[key] for key in config.perception.encoders if key in normalisers},
        )
        self.action_width = signature.action.width * config.action_block
        self.predictor = config.predictor.build(self.num_tokens, self.width, self.action_width)
        low = signature.action.low or (0.0,) * signature.action.width
        high = signature.action.high or (1.0,) * signature.action.width
        self.register_buffer("low", torch.tensor(low * config.action_block))
        self.register_buffer("high", torch.tensor(high * config.action_block))

    @property
    def num_tokens(self) -> int:
        """k."""
        return self.perception.num_tokens

    @property
    def width(self) -> int:
        """d."""
        return self.perception.width

    @property
    def action_space(self) -> ActionSpace:
        """The model actions: blocks of the world's actions."""
        return ActionSpace(
            low=self.low,
            high=self.high,
            num_choices=self.signature.action.num_choices,
            block=self.config.action_block,
        )

    def encode(self, observation: Mapping[str, Tensor]) -> Float[Tensor, "*batch k d"]:
        """Latents of observations ``(*batch, f, ...)`` per key."""
        spec = self.signature.observation
        keys = self.perception.keys
        leading = observation[keys[0]].shape[: -1 - len(spec[keys[0]].shape)]
        flat = {key: observation[key].flatten(0, len(leading) - 1) for key in keys}
        return self.perception(flat).unflatten(0, leading)

    def normalise(self, actions: Float[Tensor, "*batch a"]) -> Float[Tensor, "*batch a"]:
        """Model actions in world units to standard units, as the predictor takes them."""
        return self.action_normaliser(actions)

    def rollout(
        self, latents: Float[Tensor, "n k d"], actions: Float[Tensor, "n h a"]
    ) -> Float[Tensor, "n h_plus_1 k d"]:
        """Latents that follow under standardised actions; the first is where they start."""
        chunk = max(1, CHUNK_NUMBERS // (self.num_tokens * self.width))
        parts = zip(latents.split(chunk), actions.split(chunk), strict=True)
        return torch.cat([self._roll(*part) for part in parts])

    def _roll(
        self, latents: Float[Tensor, "n k d"], actions: Float[Tensor, "n h a"]
    ) -> Float[Tensor, "n h_plus_1 k d"]:
        states = [latents]
        for action in actions.unbind(1):
            states.append(self.predictor(states[-1], action))
        return torch.stack(states, dim=1)

    def imagine(
        self, latents: Float[Tensor, "b k d"], actions: Float[Tensor, "b n h a"]
    ) -> Imagination:
        """Rolls every candidate sequence, in world units, from its world's present latent."""
        b, n = actions.shape[:2]
        start = latents.unsqueeze(1).expand(-1, n, -1, -1).flatten(0, 1)
        futures = self.rollout(start, self.normalise(actions).flatten(0, 1))
        return Imagination(latents=futures.unflatten(0, (b, n)), actions=actions)
