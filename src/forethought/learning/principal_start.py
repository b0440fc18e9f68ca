"""Beginning where principal components end: codes of patches, each as large as the others.

What is foreseen by a model that learns its own perception is what that perception finds worth
telling, and regularisers that keep it from telling nothing do not keep it from leaving out a colour
or a form. Principal components leave out no more than a known share of what patches show. Made
equally large, a thing that covers few pixels counts as much as the ground that covers many.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from forethought.config import register
from forethought.data.windows import WindowSampler
from forethought.learning.start import StartConfig
from forethought.perception.patch_codes import PatchCodes
from forethought.types import ForethoughtError
from forethought.world_model.world_model import WorldModel


@register
@dataclass(frozen=True, kw_only=True)
class PrincipalStartConfig(StartConfig):
    """Sets the codes of patches to their principal components, whitened.

    Attributes:
        clips: training clips whose patches are looked at, at most.
        floor: share of the largest variance that is added to each before it is divided by, so that
            what hardly varies does not count as much as what does.
    """

    clips: int = 400
    floor: float = 0.003

    @torch.no_grad()
    def __call__(self, world_model: WorldModel, clips: WindowSampler) -> None:
        """See :class:`StartConfig`; takes one camera and :class:`PatchCodes`."""
        key, encoder = _codes(world_model)
        episodes, steps = clips.starts()
        chosen = torch.linspace(0, len(steps) - 1, min(self.clips, len(steps))).long()
        frames = clips.at(episodes[chosen], steps[chosen]).observation[key].flatten(0, 1)
        tiles = encoder.tiles(frames).flatten(0, 1).double()
        mean = tiles.mean(0)
        variances, components = torch.linalg.eigh((tiles - mean).T.cov())
        width = encoder.codes.out_channels
        variances, components = variances.flip(0)[:width], components.flip(1)[:, :width]
        weight = components / (variances + self.floor * variances[0]).sqrt()
        encoder.begin_linear(weight.float(), -(mean @ weight).float())


def _codes(world_model: WorldModel) -> tuple[str, PatchCodes]:
    encoders = world_model.perception.by_key()
    (key, encoder), *others = encoders.items()
    if others or not isinstance(encoder, PatchCodes):
        found = [type(one).__name__ for one in encoders.values()]
        raise ForethoughtError(
            f"PrincipalStartConfig needs one camera and PatchCodesConfig, found {found}; leave "
            "`start` out of the objective."
        )
    return key, encoder
