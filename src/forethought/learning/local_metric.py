"""Training of a local metric: exact about steps, silent about what lies beyond walls.

Quasimetric learning (Wang et al., 2023) without bootstrapping: states of one episode are pushed
apart as far as the steps between them allow. A step that was recorded, or that the world model
imagines for a push of full strength, costs at most one; moments of one episode are at most as far
apart as the steps between them. Goals of other episodes are never compared: their layout may be
another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from forethought.config import register
from forethought.cost.critic import CriticConfig, Embedding
from forethought.learning.critic import CriticTraining, LatentEpisodes
from forethought.learning.trainer import OptimiserConfig, Stage
from forethought.types import ForethoughtError, unit_pushes
from forethought.world_model.world_model import WorldModel


@register
@dataclass(frozen=True, kw_only=True)
class LocalMetricTrainingConfig(CriticTraining):
    """How a local metric is learned.

    Attributes:
        critic: the form of the metric; it must embed.
        optimiser: steps, episodes in a batch, learning rate.
        moments: moments drawn from each episode.
        pushes: steps imagined from each moment.
        cap: distances beyond it are pushed no further.
        softness: width of the passage to the cap.
        constraint: weight of the constraints.
    """

    critic: CriticConfig
    optimiser: OptimiserConfig
    moments: int = 24
    pushes: int = 2
    cap: float = 25.0
    softness: float = 4.0
    constraint: float = 100.0

    def with_steps(self, num_steps: int) -> LocalMetricTrainingConfig:
        """See :class:`CriticTraining`."""
        return replace(self, optimiser=replace(self.optimiser, num_steps=max(1, num_steps)))

    def stage(
        self,
        world_model: WorldModel,
        critic: nn.Module,
        target: nn.Module,
        episodes: LatentEpisodes,
    ) -> Stage:
        """See :class:`CriticTraining`."""
        if not isinstance(critic, Embedding):
            raise ForethoughtError(
                f"a local metric needs a distance that embeds, {type(self.critic).__name__} does "
                "not; choose MetricDistanceConfig or GridMetricDistanceConfig."
            )
        return LocalMetricStage(self, world_model, critic, episodes)


class LocalMetricStage(Stage):
    """Trains a metric on frozen latents and imagined steps.

    Args:
        config: how.
        world_model: imagines the steps.
        critic: what is trained; an :class:`Embedding`.
        episodes: the latents.
    """

    name = "critic"
    label = "local metric"

    def __init__(
        self,
        config: LocalMetricTrainingConfig,
        world_model: WorldModel,
        critic: nn.Module,
        episodes: LatentEpisodes,
    ) -> None:
        self.config = config
        self.optimiser = config.optimiser
        self.world_model = world_model
        self.critic = critic
        self.episodes = episodes
        self._starts = episodes.offsets[:-1]
        self._choices = episodes.offsets.diff() - episodes.block
        if int(self._choices.min()) < 1:
            raise ForethoughtError(
                f"an episode is not longer than one model step of {episodes.block} world steps; "
                "record longer episodes."
            )

    def parameters(self) -> Iterable[nn.Parameter]:
        """See :class:`Stage`."""
        return self.critic.parameters()

    def loss(self, generator: torch.Generator) -> tuple[Float[Tensor, ""], Mapping[str, Tensor]]:
        """See :class:`Stage`."""
        size, moments, block = self.optimiser.batch_size, self.config.moments, self.episodes.block
        episode = torch.randint(len(self._starts), (size,), generator=generator)
        step = torch.rand(size, moments, generator=generator) * self._choices[episode][:, None]
        rows = self._starts[episode][:, None] + step.long()
        now, then = self.episodes.latents[rows], self.episodes.latents[rows + block]
        pushed = self._pushed(now, generator)
        places = self._embedded(now), self._embedded(then), self._embedded(pushed)
        here, after, beyond = places
        everywhere = torch.cat([here, after, beyond.flatten(1, 2)], dim=1)
        apart = _between(everywhere[:, :, None], everywhere[:, None])
        soft = self.config.softness
        push = soft * nn.functional.softplus((self.config.cap - apart) / soft).mean()
        single = torch.cat(
            [
                torch.relu(_between(here, after) - 1).square().flatten(),
                torch.relu(_between(here[:, :, None], beyond) - 1).square().flatten(),
            ]
        ).mean()
        observed = ((step[:, :, None] - step[:, None]).abs() / block).clamp_min(1)
        several = torch.relu(_between(here[:, :, None], here[:, None]) - observed).square()
        violation = single + (several / observed).mean()
        loss = push + self.config.constraint * violation
        return loss, {"distance": apart.detach().mean(), "violation": violation.detach()}

    @torch.no_grad()
    def _pushed(
        self, latents: Float[Tensor, "b m k d"], generator: torch.Generator
    ) -> Float[Tensor, "b m p k d"]:
        """One imagined model step from each moment under held pushes."""
        shape = (*latents.shape[:2], self.config.pushes)
        space = self.world_model.action_space
        push = unit_pushes(shape, space.dim // space.block, generator).repeat(1, 1, 1, space.block)
        actions = (space.low + space.high) / 2 + push * (space.high - space.low) / 2
        starts = latents[:, :, None].expand(-1, -1, self.config.pushes, -1, -1).flatten(0, 2)
        standard = self.world_model.normalise(actions).flatten(0, 2)
        return self.world_model.predictor(starts, standard).unflatten(0, shape)

    def _embedded(self, latents: Float[Tensor, "*batch k d"]) -> Float[Tensor, "*batch e"]:
        assert isinstance(self.critic, Embedding)
        return self.critic.embed(latents)


def _between(first: Tensor, second: Tensor) -> Tensor:
    return (first - second).square().sum(-1).add(1e-6).sqrt()
