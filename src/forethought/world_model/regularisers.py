"""What keeps the latents of a joint-embedding model from collapsing.

Each regulariser is one small module: ``(latents (b,t,k,d), actions (b,t-1,a), generator)`` to a
scalar. Statistics are taken over clips and time, for each token by itself, and over the clips of
all processes where several train together: the batch is the joined one, in equal shares.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from forethought.config import register
from forethought.perception.encoders import mlp
from forethought.perception.grid import grid_side
from forethought.world_model.collective import from_first, num_processes, total


class RegulariserConfig(ABC):
    """Settings of a regulariser, and how to build it."""

    weight: float

    @abstractmethod
    def build(self, tokens: int, width: int, action_width: int) -> nn.Module:
        """A regulariser for latents ``(b, t, tokens, width)``."""


# ------------------------------------------------------------------------------------- SIGReg


@register
@dataclass(frozen=True, kw_only=True)
class SIGRegConfig(RegulariserConfig):
    """Sketched isotropic Gaussian regularisation (Balestriero and LeCun, 2025).

    Attributes:
        weight: share in the loss.
        num_projections: random directions looked along at each step.
        num_knots: points at which characteristic functions are compared, from -5 to 5.
    """

    weight: float = 0.02
    num_projections: int = 64
    num_knots: int = 17

    def build(self, tokens: int, width: int, action_width: int) -> nn.Module:
        """See :class:`RegulariserConfig`."""
        return SIGReg(self)


class SIGReg(nn.Module):
    """Pulls every random projection of the latents to a standard normal distribution.

    The Epps-Pulley statistic: the squared distance of the empirical characteristic function from
    that of the normal, weighted by the latter and integrated; zero for a perfect match.
    """

    knots: Tensor
    normal: Tensor
    quadrature: Tensor

    def __init__(self, config: SIGRegConfig) -> None:
        super().__init__()
        self.num_projections = config.num_projections
        knots = torch.linspace(-5, 5, config.num_knots)
        spacing = torch.full_like(knots, 10 / (config.num_knots - 1))
        spacing[[0, -1]] /= 2
        self.register_buffer("knots", knots, persistent=False)
        self.register_buffer("normal", torch.exp(-(knots**2) / 2), persistent=False)
        self.register_buffer("quadrature", spacing * self.normal, persistent=False)

    def forward(
        self,
        latents: Float[Tensor, "b t k d"],
        actions: Float[Tensor, "b t_minus_1 a"],
        generator: torch.Generator,
    ) -> Float[Tensor, ""]:
        """The statistic, averaged over projections and tokens, times the number of samples."""
        samples = latents.flatten(0, 1).transpose(0, 1)  # (k, samples, d)
        directions = torch.randn(
            samples.shape[-1], self.num_projections, generator=generator, device=generator.device
        ).to(latents)
        projected = samples @ nn.functional.normalize(from_first(directions), dim=0)
        phases = projected.unsqueeze(-1) * self.knots  # (k, samples, projections, knots)
        count = samples.shape[1] * num_processes()
        real = total(phases.cos().sum(1)) / count - self.normal
        imaginary = total(phases.sin().sum(1)) / count
        return ((real**2 + imaginary**2) @ self.quadrature).mean() * count


# ------------------------------------------------------------------------------------- VICReg


@register
@dataclass(frozen=True, kw_only=True)
class VICRegConfig(RegulariserConfig):
    """Variance and covariance regularisation (Bardes, Ponce and LeCun, 2022).

    Attributes:
        weight: share of the variance term in the loss.
        covariance: weight of the covariance term relative to the variance term.
        pool_tokens: whether all tokens are samples of one distribution, as places of a grid are,
            instead of having statistics of their own.
    """

    weight: float = 1.0
    covariance: float = 0.25
    pool_tokens: bool = False

    def build(self, tokens: int, width: int, action_width: int) -> nn.Module:
        """See :class:`RegulariserConfig`."""
        return VICReg(self.covariance, pool_tokens=self.pool_tokens)


class VICReg(nn.Module):
    """Each dimension varies at least by one; no two dimensions say the same."""

    def __init__(self, covariance: float, *, pool_tokens: bool = False) -> None:
        super().__init__()
        self.covariance = covariance
        self.pool_tokens = pool_tokens

    def forward(
        self,
        latents: Float[Tensor, "b t k d"],
        actions: Float[Tensor, "b t_minus_1 a"],
        generator: torch.Generator,
    ) -> Float[Tensor, ""]:
        """Equations 1 and 3 of the paper, averaged over tokens."""
        samples = latents.flatten(0, 1).transpose(0, 1)  # (k, samples, d)
        if self.pool_tokens:
            samples = samples.flatten(0, 1).unsqueeze(0)
        count = samples.shape[1] * num_processes()
        centred = samples - total(samples.sum(1, keepdim=True)) / count
        covariance = total(centred.transpose(1, 2) @ centred) / (count - 1)
        variance = covariance.diagonal(dim1=1, dim2=2)
        hinge = torch.relu(1 - torch.sqrt(variance + 1e-4)).mean()
        off_diagonal = (covariance**2).sum((1, 2)) - (variance**2).sum(1)
        return hinge + self.covariance * off_diagonal.mean() / samples.shape[-1]


# --------------------------------------------------------------------------- inverse dynamics


@register
@dataclass(frozen=True, kw_only=True)
class InverseDynamicsConfig(RegulariserConfig):
    """The action must be readable from the latents before and after it.

    Attributes:
        weight: share in the loss.
        hidden: width of the hidden layer.
    """

    weight: float = 1.0
    hidden: int = 128

    def build(self, tokens: int, width: int, action_width: int) -> nn.Module:
        """See :class:`RegulariserConfig`."""
        return InverseDynamics(self, tokens * width, action_width)


class InverseDynamics(nn.Module):
    """Mean squared error of the action predicted from two successive latents.

    It keeps in the latent what the agent controls, which prediction alone is free to drop
    (Sobal et al., 2022).
    """

    def __init__(self, config: InverseDynamicsConfig, width: int, action_width: int) -> None:
        super().__init__()
        self.layers = mlp(2 * width, (config.hidden,), action_width)

    def forward(
        self,
        latents: Float[Tensor, "b t k d"],
        actions: Float[Tensor, "b t_minus_1 a"],
        generator: torch.Generator,
    ) -> Float[Tensor, ""]:
        """Actions are normalised, so that one is the error of always guessing their mean."""
        flat = latents.flatten(2)
        guess = self.layers(torch.cat([flat[:, :-1], flat[:, 1:]], dim=-1))
        return (guess - actions).square().mean()


@register
@dataclass(frozen=True, kw_only=True)
class GridInverseDynamicsConfig(RegulariserConfig):
    """Inverse dynamics for grids of tokens: where something changed is sought, and read there.

    Little of a picture moves, and moves in the same way wherever it is. Attention over places finds
    it within a few hundred steps; weights of their own for every place need ten times as many.

    Attributes:
        weight: share in the loss.
        channels: width of the maps.
        hidden: width of the hidden layer.
    """

    weight: float = 5.0
    channels: int = 32
    hidden: int = 128

    def build(self, tokens: int, width: int, action_width: int) -> nn.Module:
        """See :class:`RegulariserConfig`."""
        return GridInverseDynamics(self, grid_side(tokens), width, action_width)


class GridInverseDynamics(nn.Module):
    """See :class:`InverseDynamics`."""

    def __init__(
        self, config: GridInverseDynamicsConfig, side: int, width: int, action_width: int
    ) -> None:
        super().__init__()
        self.side = side
        self.maps = nn.Sequential(
            nn.Conv2d(2 * width, config.channels, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(config.channels, config.channels, 3, padding=1),
            nn.GELU(),
        )
        self.where = nn.Conv2d(config.channels, 1, 1)
        self.readout = mlp(config.channels, (config.hidden,), action_width)

    def forward(
        self,
        latents: Float[Tensor, "b t k d"],
        actions: Float[Tensor, "b t_minus_1 a"],
        generator: torch.Generator,
    ) -> Float[Tensor, ""]:
        """See :class:`InverseDynamics`."""
        before, change = latents[:, :-1], latents.diff(dim=1)
        pairs = torch.cat([before, change], dim=-1).flatten(0, 1)
        maps = self.maps(pairs.transpose(1, 2).unflatten(2, (self.side, self.side)))
        attention = self.where(maps).flatten(2).softmax(-1)
        told = self.readout((maps.flatten(2) * attention).sum(-1))
        return (told - actions.flatten(0, 1)).square().mean()


# ------------------------------------------------------------------------------ temporal terms


@register
@dataclass(frozen=True, kw_only=True)
class TemporalSmoothnessConfig(RegulariserConfig):
    """Successive latents lie close together.

    Attributes:
        weight: share in the loss.
    """

    weight: float = 0.5

    def build(self, tokens: int, width: int, action_width: int) -> nn.Module:
        """See :class:`RegulariserConfig`."""
        return TemporalSmoothness()


class TemporalSmoothness(nn.Module):
    """Mean squared change from one model step to the next."""

    def forward(
        self,
        latents: Float[Tensor, "b t k d"],
        actions: Float[Tensor, "b t_minus_1 a"],
        generator: torch.Generator,
    ) -> Float[Tensor, ""]:
        """Averaged over everything."""
        return (latents[:, 1:] - latents[:, :-1]).square().mean()


@register
@dataclass(frozen=True, kw_only=True)
class TemporalVarianceConfig(RegulariserConfig):
    """A share of the dimensions must vary within each episode.

    The cure for the slow-feature trap: variance over the batch is satisfied by whatever differs
    between episodes and never changes within one, such as a wall drawn at random.

    Attributes:
        weight: share in the loss.
        share: part of the dimensions that must vary, the first ones; the others are free to hold
            what is constant.
        moving_tokens: how many tokens are expected to move; of a grid only few see anything change.
    """

    weight: float = 1.0
    share: float = 0.5
    moving_tokens: float = 1.0

    def build(self, tokens: int, width: int, action_width: int) -> nn.Module:
        """See :class:`RegulariserConfig`."""
        return TemporalVariance(max(1, round(self.share * width)), self.moving_tokens)


class TemporalVariance(nn.Module):
    """Hinge on the standard deviation over time, clip by clip, of the first dimensions.

    Deviations are pooled over clips only after each clip's own mean is removed, so that
    differences between clips count for nothing.
    """

    def __init__(self, num_dimensions: int, moving_tokens: float = 1.0) -> None:
        super().__init__()
        self.num_dimensions = num_dimensions
        self.moving_tokens = moving_tokens

    def forward(
        self,
        latents: Float[Tensor, "b t k d"],
        actions: Float[Tensor, "b t_minus_1 a"],
        generator: torch.Generator,
    ) -> Float[Tensor, ""]:
        """Zero as soon as each of these dimensions varies by one within clips."""
        fast = latents[..., : self.num_dimensions]
        within = fast - fast.mean(1, keepdim=True)
        count = within.shape[0] * within.shape[1] * num_processes()
        variance = total(within.square().sum((0, 1, 2))) / count / self.moving_tokens
        return torch.relu(1 - torch.sqrt(variance + 1e-4)).mean()


@register
@dataclass(frozen=True, kw_only=True)
class TemporalStraighteningConfig(RegulariserConfig):
    """Trajectories of latents bend little, so that latent distance is closer to path length.

    After the straightening seen in human vision (Henaff, Goris and Simoncelli, 2019).

    Attributes:
        weight: share in the loss.
    """

    weight: float = 0.1

    def build(self, tokens: int, width: int, action_width: int) -> nn.Module:
        """See :class:`RegulariserConfig`."""
        return TemporalStraightening()


class TemporalStraightening(nn.Module):
    """One minus the cosine between successive changes: 0 on a straight line, 2 where it turns back.

    It is about direction alone, so slow latents gain nothing by it.
    """

    def forward(
        self,
        latents: Float[Tensor, "b t k d"],
        actions: Float[Tensor, "b t_minus_1 a"],
        generator: torch.Generator,
    ) -> Float[Tensor, ""]:
        """Averaged over clips and time; zero for clips of fewer than three latents."""
        if latents.shape[1] < 3:
            return latents.new_zeros(())
        changes = (latents[:, 1:] - latents[:, :-1]).flatten(2)
        cosine = nn.functional.cosine_similarity(changes[:, 1:], changes[:, :-1], dim=-1, eps=1e-6)
        return (1 - cosine).mean()
