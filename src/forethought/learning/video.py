"""Learning from video alone: every frame of a clip is foreseen from those before it.

The joint-embedding objective without actions and without rollouts: what it takes to foresee a frame
after others were hidden is learned by memory, since credit reaches back through all of the clip.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from forethought.config import register
from forethought.data.windows import WindowSampler
from forethought.learning.jepa import JEPAConfig, JEPAStage, Regularisers
from forethought.learning.masks import MaskConfig
from forethought.types import ForethoughtError
from forethought.world_model.targets import Target
from forethought.world_model.veils import veiled
from forethought.world_model.world_model import WorldModel


@register
@dataclass(frozen=True, kw_only=True)
class VideoConfig(JEPAConfig):
    """Pretraining on clips in which nothing is done.

    A clip is as long as the predictor remembers, and one frame more.

    Attributes:
        horizon: one, since nothing is rolled out.
        each_step: weight of the prediction error.
        masks: what of a clip the predictor is not shown while it foresees all of it; None to show
            it everything. Memory is then asked for in every clip, and not only where something
            happens to pass behind something else.
        growing: steps over which the masks grow, from brief ones to what they are.
        unknown: frames at the beginning whose prediction does not count: of how fast things are
            nothing has been seen yet, and such errors would outweigh all others. Regularisers do
            not look at them either.

    Raises:
        ForethoughtError: another horizon, or no weight.
    """

    horizon: int = 1
    each_step: float = 1.0
    masks: MaskConfig | None = None
    growing: int = 0
    unknown: int = 0

    def __post_init__(self) -> None:
        if self.horizon != 1 or self.each_step <= 0 or min(self.growing, self.unknown) < 0:
            raise ForethoughtError(
                f"VideoConfig foresees every frame from those before it: found horizon="
                f"{self.horizon}, each_step={self.each_step}, growing={self.growing} and unknown="
                f"{self.unknown}; expected 1, a weight above 0, and twice 0 or more. "
                "Set the predictor's window for longer clips; for rollouts use JEPAConfig."
            )

    def stage(
        self,
        world_model: WorldModel,
        parts: Mapping[str, nn.Module],
        clips: WindowSampler,
        held_out: WindowSampler,
    ) -> VideoStage:
        """See :class:`ObjectiveConfig`."""
        regularisers, target = parts["regularisers"], parts["target"]
        assert isinstance(regularisers, Regularisers) and isinstance(target, Target)
        return VideoStage(self, world_model, regularisers, target, clips, held_out)


class VideoStage(JEPAStage):
    """Trains a world model on clips, without a rollout; see :class:`JEPAStage`."""

    label = "video model"
    config: VideoConfig
    _grown = 1.0

    def before_step(self, step: int) -> None:
        """See :class:`Stage`."""
        self._grown = min(1.0, step / self.config.growing) if self.config.growing else 1.0

    def loss(self, generator: torch.Generator) -> tuple[Float[Tensor, ""], Mapping[str, Tensor]]:
        """See :class:`Stage`."""
        clips = self.clips.sample(self.optimiser.batch_size, generator)
        if self.config.augmentation:
            clips = self.config.augmentation(clips, generator)
        observation, model = self.on_device(clips), self.world_model
        actions = model.normalise(clips.actions.to(model.low.device))
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.config.frozen_encoder):
            latents = model.encode(observation)
        targets = self.target(observation, latents)
        ahead = model.each(self._shown(latents[:, :-1], generator), actions)
        first = self.config.unknown
        ahead, seen, targets = ahead[:, :, first:], latents[:, first:], targets[:, first:]
        told = seen[:, :-1].expand_as(ahead)
        pairs = torch.stack([told, ahead], dim=3).flatten(0, 2)
        came = torch.stack([targets[:, :-1], targets[:, 1:]], dim=2).flatten(0, 1)
        prediction = self.config.error(pairs, came.repeat(len(ahead), 1, 1, 1))
        loss = self.config.each_step * prediction
        # Where prediction does not count, variance must not either: it would all go there.
        terms = self.regularisers(seen, actions[:, first:], generator)
        for name, value in terms.items():
            loss = loss + self.regularisers.weights[name] * value
        with torch.no_grad():
            copy = (targets[:, 1:] - seen[:, :-1]).square().mean()
            error = (targets[:, 1:] - ahead).square().mean()
        parts = {name: value.detach() for name, value in terms.items()}
        return loss, {"prediction": prediction.detach(), "copy_share": error / copy, **parts}

    def _shown(
        self, latents: Float[Tensor, "b t k d"], generator: torch.Generator
    ) -> Float[Tensor, "b t k d"]:
        """What the predictor is shown of clips: before hidden tokens is a veil."""
        masks = self.config.masks
        if masks is None:
            return latents
        clips, length, tokens, _ = latents.shape
        hidden = masks.grown(self._grown).draw(clips, length, tokens, generator)
        return veiled(self.world_model, latents, hidden.to(latents.device))
