"""Clips of recordings as a model sees them, shared by all measures of prediction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from forethought.data.store import EpisodeArrays
from forethought.data.windows import WindowConfig, WindowSampler
from forethought.model import Model
from forethought.types import STATE


@dataclass(frozen=True, kw_only=True)
class Clips:
    """Clips of ``t`` observations one model step apart; the second is "now", the first is before.

    Attributes:
        latents: ``(n, t, k, d)``.
        actions: ``(n, t-1, a)`` standardised model actions.
        features: ``(n, t, i)`` what linear baselines see of each moment.
        quantities: ``(n, t, q)`` the physical quantities, standardised.
        episode: ``(n,)``.
        step: ``(n,)`` row of the first observation.
    """

    latents: Float[Tensor, "n t k d"]
    actions: Float[Tensor, "n t_minus_1 a"]
    features: Float[Tensor, "n t i"]
    quantities: Float[Tensor, "n t q"]
    episode: Int[Tensor, " n"]
    step: Int[Tensor, " n"]

    def future(self) -> Float[Tensor, "n h a"]:
        """Actions from now on."""
        return self.actions[:, 1:]


@torch.no_grad()
def cut_clips(
    model: Model,
    arrays: EpisodeArrays,
    quantities: Float[Tensor, "rows q"],
    *,
    horizon: int,
    most: int,
    generator: torch.Generator,
    batch_size: int = 256,
) -> Clips:
    """Draws clips of ``horizon`` model steps from now on.

    Args:
        model: encodes them.
        arrays: the episodes.
        quantities: standardised quantities of every row.
        horizon: model steps ahead.
        most: clips at most; all there are where there are fewer.
        generator: draws them.
        batch_size: clips encoded at once.
    """
    perception = model.config.world_model.perception
    block = model.config.world_model.action_block
    sampler = WindowSampler(
        arrays,
        WindowConfig(
            length=horizon + 2,
            action_block=block,
            frame_stack=perception.frame_stack,
            frame_gap=perception.frame_gap,
        ),
    )
    episodes, steps = sampler.starts()
    chosen = torch.randperm(len(episodes), generator=generator)[:most]
    latents, actions, features, episode = [], [], [], []
    for index in chosen.split(batch_size):
        windows = sampler.at(episodes[index], steps[index])
        encoded = model.world_model.encode(dict(windows.observation))
        latents.append(encoded)
        actions.append(model.world_model.normalise(windows.actions))
        features.append(_features(model, windows.observation, encoded))
        episode.append(windows.episode)
    rows = arrays.offsets[episodes[chosen]] + steps[chosen]
    moments = rows[:, None] + torch.arange(horizon + 2) * block
    return Clips(
        latents=torch.cat(latents),
        actions=torch.cat(actions),
        features=torch.cat(features),
        quantities=quantities[moments],
        episode=torch.cat(episode),
        step=steps[chosen],
    )


def _features(
    model: Model, observation: Mapping[str, Tensor], latents: Float[Tensor, "n t k d"]
) -> Float[Tensor, "n t i"]:
    """The state's own history where the model perceives one, else the latent."""
    if STATE in model.world_model.perception.keys:
        return observation[STATE].flatten(2)
    return latents.flatten(2)
