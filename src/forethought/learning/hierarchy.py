"""Training of the upper levels, on frozen latents: where stretches of actions lead."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from forethought.config import register
from forethought.learning.latents import LatentEpisodes
from forethought.learning.trainer import OptimiserConfig, Stage
from forethought.world_model.hierarchy import HierarchyConfig, Level
from forethought.world_model.regularisers import SIGReg, SIGRegConfig
from forethought.world_model.world_model import WorldModel


@register
@dataclass(frozen=True, kw_only=True)
class HierarchyTrainingConfig:
    """How upper levels are learned, one after the other.

    Attributes:
        hierarchy: the levels.
        optimiser: steps, batch size (clips), learning rate, of each level.
        horizon: steps of a level that are rolled out.
        spread: weight of what keeps macro-actions close to a normal distribution.
        prior: weight of the prior's surprise at the macro-actions that were inferred.
    """

    hierarchy: HierarchyConfig = field(default_factory=HierarchyConfig)
    optimiser: OptimiserConfig = field(
        default_factory=lambda: OptimiserConfig(num_steps=1500, batch_size=64, learning_rate=2e-3)
    )
    horizon: int = 4
    spread: float = 0.01
    prior: float = 0.1


class LevelStage(Stage):
    """One level: prediction under inferred macro-actions, and a prior for these.

    Args:
        config: how.
        number: of the level, lowest first.
        level: what is trained.
        world_model: whose latents they are; it standardises actions.
        episodes: frozen latents.
        actions: ``(rows, width)`` world actions, one row per row of the latents.
    """

    def __init__(
        self,
        config: HierarchyTrainingConfig,
        number: int,
        level: Level,
        world_model: WorldModel,
        episodes: LatentEpisodes,
        actions: Float[Tensor, "rows w"],
    ) -> None:
        self.name, self.label = f"level_{number}", f"level {number} above"
        self.config, self.optimiser = config, config.optimiser
        self.level, self.world_model = level, world_model
        self.latents, self.actions = episodes.latents, actions
        stride = level.steps * episodes.block
        self.starts = episodes.starts_of(
            config.horizon * stride, remedy="lower the stride of the level or the horizon"
        )
        self.moments = torch.arange(config.horizon + 1) * stride
        self.done = torch.arange(config.horizon * stride)
        self.sigreg = SIGReg(SIGRegConfig(num_projections=16)).to(world_model.low.device)

    def parameters(self) -> Iterable[nn.Parameter]:
        """See :class:`Stage`."""
        return self.level.parameters()

    def loss(self, generator: torch.Generator) -> tuple[Float[Tensor, ""], Mapping[str, Tensor]]:
        """See :class:`Stage`."""
        shape = (self.optimiser.batch_size,)
        rows = self.starts[torch.randint(len(self.starts), shape, generator=generator)]
        device = self.world_model.low.device
        latents = self.latents[rows[:, None] + self.moments].to(device)
        actions = self._stretches(rows).to(device)
        macros = self.level.infer(actions.flatten(0, 1)).unflatten(0, actions.shape[:2])
        predicted = self.level.rollout(latents[:, 0], macros)
        error = (predicted[:, 1:] - latents[:, 1:]).square().mean()
        spread = self.sigreg(macros.unsqueeze(2), macros[:, 1:], generator)
        surprise = self._surprise(latents[:, :-1], macros.detach())
        loss = error + self.config.spread * spread + self.config.prior * surprise
        copy = (latents[:, 1:] - latents[:, :1]).square().mean()
        parts = {"prediction": error, "vs_copy": error / copy, "spread": spread, "prior": surprise}
        return loss, {name: value.detach() for name, value in parts.items()}

    def _stretches(self, rows: Tensor) -> Float[Tensor, "b h s a"]:
        """The standardised model actions of each step of the level."""
        width = self.actions.shape[1]
        block = self.world_model.config.action_block
        taken = self.actions[rows[:, None] + self.done].unflatten(1, (-1, self.level.steps, block))
        standard = self.world_model.normalise(taken.flatten(3).to(self.world_model.low.device))
        assert standard.shape[-1] == block * width
        return standard

    def _surprise(
        self, latents: Float[Tensor, "b h k d"], macros: Float[Tensor, "b h m"]
    ) -> Float[Tensor, ""]:
        """Negative logarithm of the prior's density, less a constant."""
        mean, std = self.level.expected(latents.flatten(0, 1))
        gap = (macros.flatten(0, 1) - mean) / std
        return (0.5 * gap.square() + std.log()).mean()
