"""Distances between latents: how far, in model steps, from one state to another.

Latent L2 is not a path length: two places on either side of a wall look alike. A critic learns the
number of steps from the data (see ``forethought.learning``); its form says what it can express.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from forethought.config import register
from forethought.perception.encoders import mlp


class CriticConfig(ABC):
    """Settings of a trainable distance, and how to build it."""

    @abstractmethod
    def build(self, tokens: int, width: int) -> nn.Module:
        """A distance between latents ``(..., tokens, width)``."""


class LatentDistance:
    """Root mean squared difference of two latents; nothing to train."""

    def __call__(
        self, start: Float[Tensor, "*batch k d"], goal: Float[Tensor, "*batch k d"]
    ) -> Float[Tensor, "*batch"]:
        """In units of latent standard deviations."""
        return (start - goal).square().mean((-1, -2)).add(1e-12).sqrt()


@register
@dataclass(frozen=True, kw_only=True)
class MetricDistanceConfig(CriticConfig):
    """A symmetric distance, for motion that can be undone.

    Attributes:
        hidden: width of each hidden layer.
        embedding: width of the space in which distances are taken.
    """

    hidden: tuple[int, ...] = (256, 256)
    embedding: int = 32

    def build(self, tokens: int, width: int) -> nn.Module:
        """See :class:`CriticConfig`."""
        return MetricDistance(self, tokens * width)


class MetricDistance(nn.Module):
    """``norm(phi(s) - phi(g))``: symmetric, zero only at the goal, obeys the triangle law."""

    def __init__(self, config: MetricDistanceConfig, width: int) -> None:
        super().__init__()
        self.phi = mlp(width, config.hidden, config.embedding)

    def forward(
        self, start: Float[Tensor, "*batch k d"], goal: Float[Tensor, "*batch k d"]
    ) -> Float[Tensor, "*batch"]:
        """Steps from start to goal."""
        gap = self.phi(start.flatten(-2)) - self.phi(goal.flatten(-2))
        return gap.square().sum(-1).add(1e-6).sqrt()


@register
@dataclass(frozen=True, kw_only=True)
class QuasimetricDistanceConfig(CriticConfig):
    """An asymmetric distance, for motion that cannot simply be undone (momentum, gravity).

    Attributes:
        hidden: width of each hidden layer.
        embedding: width of the symmetric part.
        components: heads of the asymmetric part; the largest counts.
        component_width: width of each head.
    """

    hidden: tuple[int, ...] = (256, 256)
    embedding: int = 32
    components: int = 8
    component_width: int = 16

    def build(self, tokens: int, width: int) -> nn.Module:
        """See :class:`CriticConfig`."""
        return QuasimetricDistance(self, tokens * width)


class QuasimetricDistance(nn.Module):
    """Metric residual network (Liu et al., 2023): a norm plus maxima of relu(differences).

    Zero at the goal and obeys the triangle law, but there and back may differ.
    """

    def __init__(self, config: QuasimetricDistanceConfig, width: int) -> None:
        super().__init__()
        self.embedding = config.embedding
        self.components = config.components
        asymmetric = config.components * config.component_width
        self.phi = mlp(width, config.hidden, config.embedding + asymmetric)

    def forward(
        self, start: Float[Tensor, "*batch k d"], goal: Float[Tensor, "*batch k d"]
    ) -> Float[Tensor, "*batch"]:
        """Steps from start to goal."""
        gap = self.phi(start.flatten(-2)) - self.phi(goal.flatten(-2))
        symmetric, asymmetric = gap[..., : self.embedding], gap[..., self.embedding :]
        heads = torch.relu(asymmetric).unflatten(-1, (self.components, -1))
        return symmetric.square().sum(-1).add(1e-6).sqrt() + heads.amax(-1).mean(-1)
