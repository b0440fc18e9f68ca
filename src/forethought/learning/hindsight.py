"""Training of hindsight: what was done between two recorded states, on frozen latents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from forethought.config import register
from forethought.learning.latents import LatentEpisodes
from forethought.learning.trainer import OptimiserConfig, Stage
from forethought.world_model.hindsight import Hindsight, HindsightConfig
from forethought.world_model.world_model import WorldModel


@register
@dataclass(frozen=True, kw_only=True)
class HindsightTrainingConfig:
    """How hindsight is learned.

    Attributes:
        hindsight: the heads.
        optimiser: steps, batch size (transitions of each head), learning rate.
    """

    hindsight: HindsightConfig = field(default_factory=HindsightConfig)
    optimiser: OptimiserConfig = field(
        default_factory=lambda: OptimiserConfig(num_steps=1500, batch_size=256, learning_rate=2e-3)
    )


class HindsightStage(Stage):
    """Regression of the action on the states around it; each head draws transitions of its own.

    Args:
        config: how.
        hindsight: the heads.
        world_model: whose latents they are; it standardises actions.
        episodes: frozen latents.
        actions: ``(rows, width)`` world actions, one row per row of the latents.
    """

    name = "hindsight"
    label = "hindsight"

    def __init__(
        self,
        config: HindsightTrainingConfig,
        hindsight: Hindsight,
        world_model: WorldModel,
        episodes: LatentEpisodes,
        actions: Float[Tensor, "rows w"],
    ) -> None:
        self.optimiser = config.optimiser
        self.num_heads = config.hindsight.num_heads
        self.hindsight, self.world_model = hindsight, world_model
        self.episodes, self.actions = episodes, actions
        self.starts, _ = episodes.starts()
        self.block = torch.arange(episodes.block)

    def parameters(self) -> Iterable[nn.Parameter]:
        """See :class:`Stage`."""
        return self.hindsight.parameters()

    def loss(self, generator: torch.Generator) -> tuple[Float[Tensor, ""], Mapping[str, Tensor]]:
        """See :class:`Stage`."""
        shape = (self.num_heads * self.optimiser.batch_size,)
        rows = self.starts[torch.randint(len(self.starts), shape, generator=generator)]
        device = self.world_model.low.device
        before, after = (
            self.episodes.latents[at].to(device).unflatten(0, (self.num_heads, -1))
            for at in (rows, rows + self.episodes.block)
        )
        done = self.actions[rows[:, None] + self.block].flatten(1).to(device)
        told = self.hindsight.told(before, after).flatten(0, 1)
        error = (told - self.world_model.normalise(done)).square().mean()
        return error, {"error": error.detach()}
