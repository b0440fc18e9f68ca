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
from forethought.learning.critic import CriticTraining
from forethought.learning.latents import LatentEpisodes
from forethought.learning.trainer import OptimiserConfig, Stage
from forethought.types import ForethoughtError, axis_pushes, unit_pushes
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
        outlook: weight of foretelling where standard pushes lead, for distances that do.
    """

    critic: CriticConfig
    optimiser: OptimiserConfig
    moments: int = 24
    pushes: int = 2
    cap: float = 25.0
    softness: float = 4.0
    constraint: float = 100.0
    outlook: float = 0.1

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
        space = world_model.action_space
        pushes, foretold = axis_pushes(space.dim // space.block), self._num_outlooks()
        if foretold > len(pushes):
            raise ForethoughtError(
                f"the distance foretells {foretold} pushes, a world action of {pushes.shape[1]} "
                f"numbers has {len(pushes)}: one each way along each; lower `outlooks`."
            )
        self._outlooks = pushes[:foretold]
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
        shape = (*now.shape[:2], self.config.pushes)
        pushed = self._pushed(now, unit_pushes(shape, self._outlooks.shape[-1], generator))
        violation, push, apart = self._stretched(now, then, pushed, step / block)
        outlook = self._outlook(torch.cat([now[:, ::2], pushed[:, 1::2, 0]], dim=1))
        loss = push + self.config.constraint * violation + self.config.outlook * outlook
        return loss, {
            "distance": apart.detach(),
            "violation": violation.detach(),
            "outlook": outlook.detach(),
        }

    def _stretched(
        self,
        now: Float[Tensor, "b m k d"],
        then: Float[Tensor, "b m k d"],
        pushed: Float[Tensor, "b m p k d"],
        moment: Float[Tensor, "b m"],
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""], Float[Tensor, ""]]:
        """How far known steps are too long, how far all is not apart, and how far it is apart."""
        here, after, beyond = self._place(now), self._place(then), self._place(pushed)
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
        observed = (moment[:, :, None] - moment[:, None]).abs().clamp_min(1)
        several = torch.relu(_between(here[:, :, None], here[:, None]) - observed).square()
        return single + (several / observed).mean(), push, apart.mean()

    def _outlook(self, latents: Float[Tensor, "b m k d"]) -> Float[Tensor, ""]:
        """Squared error of the places where standard pushes are said to lead."""
        if not len(self._outlooks):
            return latents.new_zeros(())
        pushes = self._outlooks.to(latents).expand(*latents.shape[:2], -1, -1)
        with torch.no_grad():
            reached = self._place(self._pushed(latents, pushes))
        foretold = self._views(latents)[..., 1:, :]
        return (foretold - reached).square().sum(-1).mean()

    @torch.no_grad()
    def _pushed(
        self, latents: Float[Tensor, "b m k d"], pushes: Float[Tensor, "b m p a"]
    ) -> Float[Tensor, "b m p k d"]:
        """One imagined model step from each moment under held pushes."""
        starts = latents[:, :, None].expand(-1, -1, pushes.shape[2], -1, -1).flatten(0, 2)
        ahead = self.world_model.push(starts, pushes.flatten(0, 2))
        return ahead.unflatten(0, pushes.shape[:3])

    def _place(self, latents: Float[Tensor, "*batch k d"]) -> Float[Tensor, "*batch e"]:
        return self._views(latents)[..., 0, :]

    def _views(self, latents: Float[Tensor, "*batch k d"]) -> Float[Tensor, "*batch v e"]:
        assert isinstance(self.critic, Embedding)
        return self.critic.views(latents)

    @torch.no_grad()
    def _num_outlooks(self) -> int:
        return self._views(self.episodes.latents[:1]).shape[-2] - 1


def _between(first: Tensor, second: Tensor) -> Tensor:
    return (first - second).square().sum(-1).add(1e-6).sqrt()
