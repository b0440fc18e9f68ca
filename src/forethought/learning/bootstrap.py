"""Members of an ensemble that learn from different episodes, so that they disagree where few were.

Members that learn from the same clips side by side with their encoder end alike, but for their
random starts: where one recorded step in a thousand has been, they agree nearly as well as where
most have. So they learn on, on latents that no longer change, each from its own share of the
episodes (Osband et al., 2016; Sekar et al., 2020): a place that few episodes have seen is unknown
to some of the members, and what they expect there is their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from forethought.config import register
from forethought.learning.latents import LatentEpisodes
from forethought.learning.trainer import OptimiserConfig, Stage
from forethought.types import ForethoughtError
from forethought.world_model.ensemble import EnsembleConfig
from forethought.world_model.world_model import WorldModel, WorldModelConfig


@register
@dataclass(frozen=True, kw_only=True)
class BootstrapConfig:
    """How the members of an ensemble learn apart.

    Attributes:
        share: of the episodes that each member learns from, drawn for each.
        optimiser: steps, batch size (steps of the world model, for each member), learning rate.

    Raises:
        ForethoughtError: a share outside (0, 1].
    """

    share: float = 0.5
    optimiser: OptimiserConfig = field(
        default_factory=lambda: OptimiserConfig(num_steps=1000, batch_size=128, learning_rate=2e-3)
    )

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ForethoughtError(
                f"bootstrap: share is {self.share}; expected a share above 0 and up to 1."
            )

    def check(self, world_model: WorldModelConfig) -> None:
        """Refuses world models without members to learn apart.

        Raises:
            ForethoughtError: a single predictor, or one that is told a latent variable.
        """
        single = not isinstance(world_model.predictor, EnsembleConfig)
        if single or world_model.latent_variable is not None:
            raise ForethoughtError(
                "bootstrap lets the members of an ensemble learn apart, and this world model has "
                f"{'a single predictor' if single else 'a latent variable beside them'}. Use "
                "EnsembleConfig as the predictor, without a latent variable, or leave bootstrap "
                "out."
            )

    def with_steps(self, num_steps: int) -> BootstrapConfig:
        """The same with another number of steps."""
        return replace(self, optimiser=replace(self.optimiser, num_steps=num_steps))


class BootstrapStage(Stage):
    """Trains the members of an ensemble on frozen latents, one model step ahead.

    Args:
        config: how.
        world_model: whose predictor is an ensemble, see :meth:`BootstrapConfig.check`.
        episodes: frozen latents.
        actions: ``(rows, width)`` world actions, one row per row of the latents.
        generator: draws the episodes of each member.
    """

    name = "members"
    label = "members"

    def __init__(
        self,
        config: BootstrapConfig,
        world_model: WorldModel,
        episodes: LatentEpisodes,
        actions: Float[Tensor, "rows w"],
        generator: torch.Generator,
    ) -> None:
        self.config, self.optimiser = config, config.optimiser
        self.world_model, self.episodes, self.actions = world_model, episodes, actions
        window, block = world_model.predictor.window, episodes.block
        starts = episodes.starts_of(window * block, remedy="lower action_block")
        self._moments = torch.arange(window) * block
        self._done = torch.arange(window * block).unflatten(0, (window, block))
        self._pools = _pools(config, world_model, episodes.first[starts], starts, generator)

    def parameters(self) -> Iterable[nn.Parameter]:
        """See :class:`Stage`."""
        return self.world_model.predictor.parameters()

    def loss(self, generator: torch.Generator) -> tuple[Float[Tensor, ""], Mapping[str, Tensor]]:
        """See :class:`Stage`."""
        size, model = self.optimiser.batch_size, self.world_model
        rows = torch.cat(
            [pool[torch.randint(len(pool), (size,), generator=generator)] for pool in self._pools]
        )
        device, latents = model.low.device, self.episodes.latents
        seen = latents[rows[:, None] + self._moments].to(device)
        after = latents[rows + len(self._moments) * self.episodes.block].to(device)
        actions = self.actions[rows[:, None, None] + self._done].flatten(2).to(device)
        foreseen = model.predictor(seen, model.normalise(actions))
        error = (foreseen - after).square().mean()
        return error, {"error": error.detach()}


def _pools(
    config: BootstrapConfig,
    world_model: WorldModel,
    first: Int[Tensor, " n"],
    starts: Int[Tensor, " n"],
    generator: torch.Generator,
) -> list[Int[Tensor, " some"]]:
    """Rows that each member learns from: of at least one episode."""
    episodes, which = first.unique(return_inverse=True)
    count = max(1, round(config.share * len(episodes)))
    pools = []
    for _ in range(world_model.predictor.num_members):
        own = torch.randperm(len(episodes), generator=generator)[:count]
        pools.append(starts[torch.isin(which, own)])
    return pools
