"""Distances between latents: how far, in model steps, from one state to another.

Latent L2 is not a path length: two places on either side of a wall look alike. A critic learns the
number of steps from the data (see ``forethought.learning``); its form says what it can express.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from forethought.config import register
from forethought.perception.encoders import mlp
from forethought.perception.grid import grid_readout, grid_side


class CriticConfig(ABC):
    """Settings of a trainable distance, and how to build it."""

    @abstractmethod
    def build(self, tokens: int, width: int) -> nn.Module:
        """A distance between latents ``(..., tokens, width)``."""


class LatentDistance:
    """Root mean squared difference of two latents; nothing to train."""

    def __call__(
        self, start: Float[Tensor, "*#batch k d"], goal: Float[Tensor, "*#batch k d"]
    ) -> Float[Tensor, "*#batch"]:
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

    def embed(self, latents: Float[Tensor, "*batch k d"]) -> Float[Tensor, "*batch e"]:
        """See :class:`Embedding`."""
        return self.phi(latents.flatten(-2))

    def views(self, latents: Float[Tensor, "*batch k d"]) -> Float[Tensor, "*batch 1 e"]:
        """See :class:`Embedding`."""
        return self.embed(latents).unsqueeze(-2)

    def forward(
        self, start: Float[Tensor, "*#batch k d"], goal: Float[Tensor, "*#batch k d"]
    ) -> Float[Tensor, "*#batch"]:
        """Steps from start to goal."""
        return _length(difference(self.embed, start, goal))


def difference(
    embed: Callable[[Tensor], Tensor],
    start: Float[Tensor, "*#batch k d"],
    goal: Float[Tensor, "*#batch k d"],
) -> Float[Tensor, "*#batch e"]:
    """Of embeddings; a goal that many states share is embedded once, in one batch with them."""
    if start.numel() == goal.numel():
        return embed(start) - embed(goal)
    both = [latents.reshape(-1, *latents.shape[-2:]) for latents in (start, goal)]
    starts, goals = embed(torch.cat(both)).split([len(latents) for latents in both])
    return starts.view(*start.shape[:-2], -1) - goals.view(*goal.shape[:-2], -1)


def _length(gap: Float[Tensor, "*batch e"]) -> Float[Tensor, "*batch"]:
    return gap.square().sum(-1).add(1e-6).sqrt()


@register
@dataclass(frozen=True, kw_only=True)
class GridMetricDistanceConfig(CriticConfig):
    """A symmetric distance between grids of tokens.

    Attributes:
        channels: of the two convolutions.
        hidden: width of the two hidden layers.
        embedding: width of the space in which distances are taken.
        outlooks: standard pushes whose outcome counts as part of a place. What looks alike on both
            sides of a thin wall differs by where a push leads.
        scale: what distances are multiplied by at first: about how long the longest are.
    """

    channels: tuple[int, int] = (32, 64)
    hidden: int = 256
    embedding: int = 64
    outlooks: int = 0
    scale: float = 10.0

    def build(self, tokens: int, width: int) -> nn.Module:
        """See :class:`CriticConfig`."""
        return GridMetricDistance(self, grid_side(tokens), width)


class GridMetricDistance(nn.Module):
    """:class:`MetricDistance` with convolutions before the embedding, and with outlooks."""

    def __init__(self, config: GridMetricDistanceConfig, side: int, width: int) -> None:
        super().__init__()
        self.num_views = 1 + config.outlooks
        self.place = self._readout(config, side, width, config.embedding)
        # Networks of their own: to foretell where pushes lead must not bend the place itself.
        self.outlooks = self._readout(config, side, width, config.outlooks * config.embedding)
        self.scale = nn.Parameter(torch.tensor(config.scale))

    @staticmethod
    def _readout(
        config: GridMetricDistanceConfig, side: int, width: int, outputs: int
    ) -> nn.Sequential:
        return grid_readout(
            side, width, outputs, channels=config.channels, hidden=(config.hidden, config.hidden)
        )

    def embed(self, latents: Float[Tensor, "*batch k d"]) -> Float[Tensor, "*batch e"]:
        """See :class:`Embedding`."""
        return self.views(latents).flatten(-2) / self.num_views**0.5

    def views(self, latents: Float[Tensor, "*batch k d"]) -> Float[Tensor, "*batch v e"]:
        """See :class:`Embedding`."""
        flat = latents.flatten(0, -3)
        places = [self.scale * self.place(flat)]
        if self.num_views > 1:
            places.append(self.scale.detach() * self.outlooks(flat))
        views = torch.cat(places, -1).unflatten(-1, (self.num_views, -1))
        return views.unflatten(0, latents.shape[:-2])

    def forward(
        self, start: Float[Tensor, "*#batch k d"], goal: Float[Tensor, "*#batch k d"]
    ) -> Float[Tensor, "*#batch"]:
        """Steps from start to goal."""
        return _length(difference(self.embed, start, goal))


@runtime_checkable
class Embedding(Protocol):
    """A distance that is the length of a difference of embeddings."""

    def embed(self, latents: Tensor) -> Tensor:
        """Where latents ``(..., k, d)`` lie in the space of distances: ``(..., e)``."""
        ...

    def views(self, latents: Tensor) -> Tensor:
        """The parts of an embedding, ``(..., v, e)``, of which its distance is the mean square.

        The first is the place itself; each other one is where a standard push would lead, in the
        terms of the first.
        """
        ...


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
        self, start: Float[Tensor, "*#batch k d"], goal: Float[Tensor, "*#batch k d"]
    ) -> Float[Tensor, "*#batch"]:
        """Steps from start to goal."""
        gap = difference(lambda latents: self.phi(latents.flatten(-2)), start, goal)
        symmetric, asymmetric = gap[..., : self.embedding], gap[..., self.embedding :]
        heads = torch.relu(asymmetric).unflatten(-1, (self.components, -1))
        return symmetric.square().sum(-1).add(1e-6).sqrt() + heads.amax(-1).mean(-1)
