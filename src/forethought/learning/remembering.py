"""Episodes into an episodic memory, as a model perceives them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from forethought.data.dataset import EpisodeArrays
from forethought.data.windows import as_vectors
from forethought.learning.latents import encode_rows
from forethought.memory.episodic import EpisodicMemory
from forethought.model import Model
from forethought.senses import perceived
from forethought.types import Episode, ForethoughtError


def open_memory(path: Path | str, model: Model) -> EpisodicMemory:
    """The episodic memory at a path, of a model's latents and actions; made where there is none.

    Raises:
        ForethoughtError: something else is there, or the memory of another kind of model.
    """
    world = model.world_model
    return EpisodicMemory(
        path, shape=(world.num_tokens, world.width), action_width=model.signature.action.width
    )


@torch.no_grad()
def remember(
    memory: EpisodicMemory,
    model: Model,
    episode: Episode,
    *,
    began: float,
    labels: Sequence[str] = (),
) -> int:
    """Adds an episode to a memory; what is said of it is its task.

    Args:
        memory: of this model's latents.
        model: perceives the episode, looking back within it as an agent would.
        episode: what was seen and done.
        began: when its first moment was, in seconds since 1970; others follow at the world's rate.
        labels: what its moments are called.

    Returns:
        The number of the episode in the memory.

    Raises:
        ForethoughtError: the episode lacks what the model perceives, or does not fit the memory.
    """
    if not len(episode):
        raise ForethoughtError("the episode has no rows; remember one that has.")
    seen = perceived(model, "the episode", episode.observation, leading=(len(episode),))
    arrays = EpisodeArrays(
        signature=model.signature,
        observation={key: torch.as_tensor(value) for key, value in seen.items()},
        action=torch.as_tensor(episode.action),
        offsets=torch.tensor([0, len(episode)]),
        episodes=(0,),
    )
    return memory.add(
        encode_rows(model.world_model, arrays),
        at=(began + np.arange(len(episode)) / model.signature.rate_hz).tolist(),
        actions=as_vectors(arrays),
        labels=labels,
        text=episode.task,
        observation=seen,
    )
