"""Training of the critic: how many model steps from here to there, learned without rewards.

Temporal-difference learning with an optimistic expectile (Kostrikov et al., 2022, IQL; used on
goals by Park et al., 2023, HIQL): d(s, g) moves towards 1 + d(s', g), more readily down than up, so
that it tends to the fastest way anywhere in the data and not to the way that was taken. Steps
observed between two moments of one episode bound it from above. The latents are frozen.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from forethought.config import register
from forethought.cost.critic import CriticConfig
from forethought.learning.latents import LatentEpisodes
from forethought.learning.trainer import OptimiserConfig, Stage
from forethought.world_model.world_model import WorldModel


class CriticTraining(ABC):
    """A way to learn a distance on frozen latents; a frozen dataclass.

    Attributes:
        critic: the form of the distance.
        optimiser: steps, batch size, learning rate.
    """

    critic: CriticConfig
    optimiser: OptimiserConfig

    @abstractmethod
    def with_steps(self, num_steps: int) -> CriticTraining:
        """The same training with another number of steps."""

    @abstractmethod
    def stage(
        self,
        world_model: WorldModel,
        critic: nn.Module,
        target: nn.Module,
        episodes: LatentEpisodes,
    ) -> Stage:
        """The stage that trains ``critic``; ``target`` is a copy that may follow it."""


@register
@dataclass(frozen=True, kw_only=True)
class CriticTrainingConfig(CriticTraining):
    """How the temporal distance is learned.

    Attributes:
        critic: the form of the distance.
        optimiser: steps, batch size (pairs), learning rate.
        expectile: weight of errors that lower the distance; errors that raise it get the rest.
        other_episodes: share of goals drawn from anywhere in the data. Zero where episodes differ
            in what cannot be changed (another layout), since such goals cannot be reached.
        past: share of the same-episode goals that may lie before the state.
        discount: of the steps still to go, so that far goals stay finite; one counts plain steps.
        target_rate: how fast the target network follows.
        longest: largest distance that is learned, in model steps.
    """

    critic: CriticConfig
    optimiser: OptimiserConfig
    expectile: float = 0.9
    other_episodes: float = 0.5
    past: float = 0.0
    discount: float = 1.0
    target_rate: float = 0.01
    longest: float = 200.0

    def with_steps(self, num_steps: int) -> CriticTrainingConfig:
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
        return CriticStage(self, critic, target, episodes)


class CriticStage(Stage):
    """Trains a distance on frozen latents.

    Args:
        config: how.
        critic: what is trained.
        target: a copy of it that follows slowly, see :func:`target_of`.
        episodes: the latents.
    """

    name = "critic"
    label = "critic"

    def __init__(
        self,
        config: CriticTrainingConfig,
        critic: nn.Module,
        target: nn.Module,
        episodes: LatentEpisodes,
    ) -> None:
        self.config = config
        self.optimiser = config.optimiser
        self.critic = critic
        self.target = target
        self.episodes = episodes
        self._rows, self._last = episodes.starts()
        self._first = episodes.first[self._rows]

    def parameters(self) -> Iterable[nn.Parameter]:
        """See :class:`Stage`."""
        return self.critic.parameters()

    def loss(self, generator: torch.Generator) -> tuple[Float[Tensor, ""], Mapping[str, Tensor]]:
        """See :class:`Stage`."""
        row, goal_row, observed = self._draw(generator)
        latents = self.episodes.latents
        state, following, goal = (
            latents[index] for index in (row, row + self.episodes.block, goal_row)
        )
        with torch.no_grad():
            onward = self.target(following, goal)
            onward = torch.where(goal_row == row + self.episodes.block, 0.0, onward)
            target = (
                (1 + self.config.discount * onward).minimum(observed).clamp_max(self.config.longest)
            )
        distance = self.critic(state, goal)
        error = target - distance
        weight = torch.where(error < 0, self.config.expectile, 1 - self.config.expectile)
        loss = (weight * error.square()).mean()
        return loss, {"distance": distance.detach().mean(), "error": error.detach().abs().mean()}

    def _draw(
        self, generator: torch.Generator
    ) -> tuple[Int[Tensor, " b"], Int[Tensor, " b"], Float[Tensor, " b"]]:
        """States, goals, and the model steps observed between them (infinite where not)."""
        size = self.optimiser.batch_size
        pick = torch.randint(len(self._rows), (size,), generator=generator)
        row, last, first = self._rows[pick], self._last[pick], self._first[pick]
        block = self.episodes.block
        ahead = (last - row) // block
        steps = 1 + (torch.rand(size, generator=generator) * ahead).long().clamp_max(ahead - 1)
        goal = row + steps * block
        observed = steps.float()
        chance = torch.rand(size, generator=generator)
        backwards = chance < self.config.past
        anywhere_in_episode = first + (
            torch.rand(size, generator=generator) * (last - first + 1)
        ).long().clamp_max(last - first)
        goal = torch.where(backwards, anywhere_in_episode, goal)
        elsewhere = torch.rand(size, generator=generator) < self.config.other_episodes
        anywhere = torch.randint(len(self.episodes.latents), (size,), generator=generator)
        goal = torch.where(elsewhere, anywhere, goal)
        unknown = backwards | elsewhere
        return row, goal, torch.where(unknown, torch.inf, observed)

    @torch.no_grad()
    def after_step(self) -> None:
        """Moves the target network towards the critic."""
        for slow, fast in zip(self.target.parameters(), self.critic.parameters(), strict=True):
            slow.lerp_(fast, self.config.target_rate)


def target_of(critic: nn.Module) -> nn.Module:
    """A frozen copy, which follows the critic slowly."""
    return copy.deepcopy(critic).requires_grad_(False)
