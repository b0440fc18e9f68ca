"""Augmentation of clips, for recordings that are few: whole clips are moved, lit and mirrored.

Every frame of a clip is changed alike, so that what happens in it stays lawful.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from forethought.config import register
from forethought.types import IMAGES, Windows


@register
@dataclass(frozen=True, kw_only=True)
class AugmentationConfig:
    """How clips are changed, each by its own draw.

    Attributes:
        shift: pixels by which the picture is moved at most, along each axis; edges are repeated.
        brightness: share by which it is made brighter or darker at most.
        mirrored: entries of a world action that change sign where left and right are exchanged
            (steering, say); empty where clips are not mirrored.
        action_dim: width of a world action; needed where clips are mirrored.
    """

    shift: int = 0
    brightness: float = 0.0
    mirrored: tuple[int, ...] = ()
    action_dim: int = 1

    def __call__(self, clips: Windows, generator: torch.Generator) -> Windows:
        """Changed clips; vectors are left as they are."""
        count = len(clips.episode)
        moved = torch.randint(-self.shift, self.shift + 1, (2, count), generator=generator)
        lit = 1 + self.brightness * (2 * torch.rand(count, generator=generator) - 1)
        turned = torch.rand(count, generator=generator) < (0.5 if self.mirrored else 0.0)
        observation = {
            key: self._changed(value, moved, lit, turned) if key.startswith(IMAGES) else value
            for key, value in clips.observation.items()
        }
        return replace(clips, observation=observation, actions=self._turned(clips.actions, turned))

    def _changed(
        self,
        images: UInt8[Tensor, "b t f h w 3"],
        moved: Int[Tensor, "2 b"],
        lit: Float[Tensor, " b"],
        turned: Bool[Tensor, " b"],
    ) -> UInt8[Tensor, "b t f h w 3"]:
        height, width = images.shape[3:5]
        rows = (torch.arange(height) + moved[0][:, None]).clamp(0, height - 1)
        columns = (torch.arange(width) + moved[1][:, None]).clamp(0, width - 1)
        columns = torch.where(turned[:, None], columns.flip(1), columns)
        clip = torch.arange(len(images))[:, None, None]
        # Indexing with slices between puts the indexed dimensions first: (b, h, w, t, f, 3).
        picked = images[clip, :, :, rows[:, :, None], columns[:, None, :]]
        moved_only = picked.permute(0, 3, 4, 1, 2, 5)
        if not self.brightness:
            return moved_only.contiguous()
        bright = moved_only.float() * lit.view(-1, 1, 1, 1, 1, 1)
        return bright.clamp(0, 255).round().to(torch.uint8)

    def _turned(
        self, actions: Float[Tensor, "b t_minus_1 a"], turned: Bool[Tensor, " b"]
    ) -> Float[Tensor, "b t_minus_1 a"]:
        if not self.mirrored:
            return actions
        signs = torch.ones(self.action_dim)
        signs[list(self.mirrored)] = -1
        mirrored = actions * signs.repeat(actions.shape[-1] // self.action_dim)
        return torch.where(turned[:, None, None], mirrored, actions)
