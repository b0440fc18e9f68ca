"""What a model is shown of places that are hidden from it: a grey that stands before them."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from forethought.world_model.world_model import WorldModel

GREY = 138
"""Level of the pixels of a veil: one that looks like something to be behind of, not like ground."""


def veiled(
    world_model: WorldModel, latents: Float[Tensor, "n t k d"], hidden: Bool[Tensor, "n t k"]
) -> Float[Tensor, "n t k d"]:
    """Latents in which hidden tokens are those of a picture that is grey all over.

    A hidden token that looked like empty ground would say that nothing is there.

    Args:
        world_model: whose latents they are; it perceives one camera.
        latents: what was seen.
        hidden: what is not to be shown.
    """
    (key,) = world_model.perception.keys
    frames = world_model.config.perception.frame_stack
    shape = world_model.signature.observation[key].shape
    picture = torch.full((1, frames, *shape), GREY, dtype=torch.uint8, device=latents.device)
    with torch.no_grad():
        veil = world_model.encode({key: picture})
    return torch.where(hidden[..., None], veil, latents)
