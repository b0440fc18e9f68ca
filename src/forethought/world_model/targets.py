"""What predictions are compared with: who encodes the targets, and whether gradients reach them.

A joint-embedding model can make its targets easy to predict by making them empty. Regularisers
forbid the result; the targets here remove the incentive instead, or as well.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from forethought.config import register
from forethought.perception.perception import Perception
from forethought.types import ForethoughtError
from forethought.world_model.world_model import WorldModel


class TargetConfig(ABC):
    """Settings of a target, and how to build it."""

    @abstractmethod
    def build(self, world_model: WorldModel) -> Target:
        """The target for a world model that is about to be trained."""


class Target(nn.Module, ABC):
    """Gives the latents that predictions are compared with."""

    @abstractmethod
    def forward(
        self, observation: Mapping[str, Tensor], latents: Float[Tensor, "b t k d"]
    ) -> Float[Tensor, "b t k d"]:
        """Targets of clips.

        Args:
            observation: the clips, per key ``(b, t, f, ...)``.
            latents: what the trained encoder makes of them.
        """

    @torch.no_grad()
    def follow(self, world_model: WorldModel) -> None:
        """Called after each update of the world model; nothing by default."""


@register
@dataclass(frozen=True, kw_only=True)
class OwnLatentsConfig(TargetConfig):
    """The trained encoder's own latents, gradients included; regularisers alone prevent collapse.

    Attributes:
        gradient: whether gradients reach the targets; without them the encoder is taught by what
            it starts from only (Chen and He, 2021).
    """

    gradient: bool = True

    def build(self, world_model: WorldModel) -> Target:
        """See :class:`TargetConfig`."""
        return OwnLatents(self)


class OwnLatents(Target):
    """See :class:`OwnLatentsConfig`."""

    def __init__(self, config: OwnLatentsConfig) -> None:
        super().__init__()
        self.gradient = config.gradient

    def forward(
        self, observation: Mapping[str, Tensor], latents: Float[Tensor, "b t k d"]
    ) -> Float[Tensor, "b t k d"]:
        """See :class:`Target`."""
        return latents if self.gradient else latents.detach()


@register
@dataclass(frozen=True, kw_only=True)
class MovingAverageConfig(TargetConfig):
    """The latents of a slowly moving copy of the encoder (EMA; Grill et al., 2020).

    Attributes:
        decay: share of the copy that is kept at each step, 0 to 1.

    Raises:
        ForethoughtError: a decay outside [0, 1].
    """

    decay: float = 0.99

    def __post_init__(self) -> None:
        if not 0 <= self.decay <= 1:
            raise ForethoughtError(f"decay is {self.decay}; expected a number from 0 to 1.")

    def build(self, world_model: WorldModel) -> Target:
        """See :class:`TargetConfig`."""
        return MovingAverage(self, world_model)


class MovingAverage(Target):
    """See :class:`MovingAverageConfig`."""

    def __init__(self, config: MovingAverageConfig, world_model: WorldModel) -> None:
        super().__init__()
        self.decay = config.decay
        self.perception = copy.deepcopy(world_model.perception).requires_grad_(False)

    @torch.no_grad()
    def forward(
        self, observation: Mapping[str, Tensor], latents: Float[Tensor, "b t k d"]
    ) -> Float[Tensor, "b t k d"]:
        """See :class:`Target`."""
        return encode_clips(self.perception.eval(), observation)

    @torch.no_grad()
    def follow(self, world_model: WorldModel) -> None:
        """Moves the copy towards the encoder: theta' = decay theta' + (1 - decay) theta."""
        for mine, theirs in zip(
            self.perception.parameters(), world_model.perception.parameters(), strict=True
        ):
            mine.lerp_(theirs, 1 - self.decay)


def encode_clips(
    perception: Perception, observation: Mapping[str, Tensor]
) -> Float[Tensor, "b t k d"]:
    """Latents of clips, per key ``(b, t, f, ...)``."""
    leading = observation[perception.keys[0]].shape[:2]
    flat = {key: observation[key].flatten(0, 1) for key in perception.keys}
    return perception(flat).unflatten(0, leading)
