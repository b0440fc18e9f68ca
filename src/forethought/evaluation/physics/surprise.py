"""How surprised a model is by each frame of a clip.

Surprise is the distance of what was foreseen from what came, in the model's own latents: the mean
absolute difference over tokens and features, as Garrido et al. (2025, "Intuitive physics
understanding emerges from self-supervised pretraining on natural videos") take it for V-JEPA.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from forethought.baselines.frame_transformer import FrameTransformer
from forethought.model import Model
from forethought.types import ForethoughtError, Past
from forethought.world_model.veils import veiled

CLIPS_AT_ONCE = 50


class Surprise(Protocol):
    """Gives how surprising each moment of clips is; the moments are the same for all clips."""

    def __call__(self, clips: UInt8[np.ndarray, "n t h w 3"]) -> Float[np.ndarray, "n m"]:
        """One number for each of ``m`` moments of each clip."""
        ...


@dataclass(frozen=True, kw_only=True)
class WorldModelSurprise:
    """Surprise of a world model with one camera, to which nothing is done.

    A model whose steps are longer than a frame is shown every second frame (or third, ...), from
    the first one on, then from the second: what it says of all frames is taken together.

    Attributes:
        model: what foresees.
        context: model steps that are seen before the others of a window are foreseen, one from
            another, as published (2 to 10 frames there); None for all before each, of which every
            one is foreseen one step ahead, which a model with a memory is made for.
        window: model steps of a window; as many as the model remembers and one more where not said.
            Of no account without a context.
        stride: model steps from a window to the next.
        hide: whether what is behind the context is foreseen with a veil before it, as training
            hides things, and not one from another.

    Raises:
        ForethoughtError: a model that perceives anything but one camera, or a context that leaves
            nothing to be foreseen.
    """

    model: Model
    context: int | None = None
    window: int | None = None
    stride: int = 2
    hide: bool = False

    def __post_init__(self) -> None:
        keys = self.model.world_model.perception.keys
        if len(keys) != 1 or keys[0] not in self.model.signature.cameras:
            raise ForethoughtError(
                f"surprise at clips needs a model that perceives one camera and nothing else, "
                f"found {list(keys)}; train one with `forethought train --recipe physics`."
            )
        if self.context is not None and not 1 <= self.context < self._window():
            raise ForethoughtError(
                f"context={self.context} of windows of {self._window()} model steps; expected from "
                "1 to one less than the window."
            )

    @torch.no_grad()
    def __call__(self, clips: UInt8[np.ndarray, "n t h w 3"]) -> Float[np.ndarray, "n m"]:
        """See :class:`Surprise`.

        Without a context the first moment is that of the first frame that a model step leads to,
        and a moment follows for each frame; with one, windows follow one another, those from the
        first frame on before those from the second.
        """
        parts = []
        for some in torch.from_numpy(np.ascontiguousarray(clips)).split(CLIPS_AT_ONCE):
            parts.append(self._each_frame(some) if self.context is None else self._windows(some))
        return torch.cat(parts).double().cpu().numpy()

    def _each_frame(self, clips: UInt8[Tensor, "n t h w 3"]) -> Float[Tensor, "n t_minus_block"]:
        """Every frame from those before it that lie whole model steps back."""
        latents, block = self._encode(clips), self._block
        told = latents.new_empty(len(clips), clips.shape[1] - block)
        for begin in range(block):
            told[:, begin::block] = self._told(latents[:, begin::block])
        return told

    def _windows(self, clips: UInt8[Tensor, "n t h w 3"]) -> Float[Tensor, "n m"]:
        latents = self._encode(clips)
        found = [self._imagined(latents[:, begin :: self._block]) for begin in range(self._block)]
        return torch.cat(found, dim=1)

    @property
    def _block(self) -> int:
        return self.model.world_model.config.action_block

    def _window(self) -> int:
        return self.window or self.model.world_model.predictor.window + 1

    def _encode(self, clips: UInt8[Tensor, "n t h w 3"]) -> Float[Tensor, "n t k d"]:
        world_model = self.model.world_model
        (key,) = world_model.perception.keys
        config = world_model.config.perception
        back = torch.arange(1 - config.frame_stack, 1) * config.frame_gap
        rows = (torch.arange(clips.shape[1])[:, None] + back).clamp_min(0)
        return world_model.encode({key: clips[:, rows].to(world_model.low.device)})

    def _still(self, latents: Float[Tensor, "n t k d"]) -> Float[Tensor, "n t a"]:
        """Nothing is done in any frame."""
        world_model = self.model.world_model
        nothing = (world_model.low + world_model.high) / 2
        return world_model.normalise(nothing).expand(*latents.shape[:2], -1)

    def _told(self, latents: Float[Tensor, "n t k d"]) -> Float[Tensor, "n t_minus_1"]:
        """Each model step from all before it."""
        world_model, actions = self.model.world_model, self._still(latents)[:, :-1]
        predictor = world_model.predictor
        if isinstance(predictor, FrameTransformer):
            # It foresees a distribution over tokens; surprise is minus its logarithm.
            return predictor.nats(latents, actions).mean(-1)
        ahead = world_model.each(latents[:, :-1], actions).mean(0)
        return (ahead - latents[:, 1:]).abs().mean((2, 3))

    def _imagined(self, latents: Float[Tensor, "n t k d"]) -> Float[Tensor, "n m"]:
        """Window by window, all that is behind the context from the context alone."""
        world_model, size = self.model.world_model, min(self._window(), latents.shape[1])
        assert self.context is not None
        now, found = self.context - 1, []
        for first in range(0, latents.shape[1] - size + 1, self.stride):
            seen = latents[:, first : first + size]
            actions = self._still(seen)
            if self.hide:
                hidden = torch.arange(size, device=seen.device) > now
                shown = veiled(world_model, seen, hidden[:, None].expand(seen.shape[:-1]))
                ahead = world_model.each(shown[:, :-1], actions[:, :-1]).mean(0)[:, now:]
            else:
                past = Past(latents=seen[:, :now], actions=actions[:, :now])
                ahead = world_model.rollout(seen[:, now], actions[:, now:-1], past=past)[:, 1:]
            found.append((ahead - seen[:, now + 1 :]).abs().mean((1, 2, 3)))
        return torch.stack(found, dim=1)
