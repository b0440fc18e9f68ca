"""An index of what was done in recorded states, for proposals."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from forethought.data.store import Dataset
from forethought.data.windows import as_vectors
from forethought.learning.calibrating import check_recorded
from forethought.learning.latents import LatentEpisodes, encode_rows
from forethought.memory.chunks import ActionChunks
from forethought.model import Model


@torch.no_grad()
def action_chunks(
    model: Model, data: Dataset, episodes: Sequence[int] | None = None
) -> ActionChunks:
    """Recorded states as a model perceives them, with the actions that followed.

    Args:
        model: perceives them.
        data: recordings of the same world.
        episodes: which; all where not said. To measure planning on held-out tasks, leave their
            episodes out.

    Raises:
        ForethoughtError: the data lack what the model perceives, or no episode is as long as a
            model step.
    """
    check_recorded(model, data, None)
    keys = list(model.world_model.perception.keys)
    arrays = data.load(episodes, keys=keys, image_size=model.image_size)
    recorded = LatentEpisodes(
        latents=encode_rows(model.world_model, arrays),
        offsets=arrays.offsets,
        block=model.config.world_model.action_block,
    )
    return ActionChunks(
        latents=recorded.latents,
        actions=as_vectors(arrays),
        last=recorded.last,
        block=recorded.block,
    )
