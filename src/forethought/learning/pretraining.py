"""What all ways of pretraining a world model share: clips, what is kept, and how it is watched."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from forethought.data.windows import WindowSampler
from forethought.learning.trainer import OptimiserConfig, Stage
from forethought.types import ForethoughtError, Past, Windows
from forethought.world_model.diagnostics import CollapseReport, collapse_report
from forethought.world_model.world_model import WorldModel


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig(ABC):
    """What a world model is pretrained by, and the stage that does so.

    Attributes:
        optimiser: steps, batch size, learning rate.
        horizon: model steps rolled out in training.
    """

    optimiser: OptimiserConfig
    horizon: int = 8

    @abstractmethod
    def parts(self, world_model: WorldModel) -> dict[str, nn.Module]:
        """What only training needs, by name: it is kept in checkpoints, not in the model."""

    @abstractmethod
    def stage(
        self,
        world_model: WorldModel,
        parts: Mapping[str, nn.Module],
        clips: WindowSampler,
        held_out: WindowSampler,
    ) -> PretrainingStage:
        """The stage that trains ``world_model``.

        Args:
            world_model: what is trained.
            parts: what :meth:`parts` gave.
            clips: training clips, ``horizon`` plus the predictor's window long.
            held_out: clips of held-out episodes, for monitoring; fixed ones are drawn from it.
        """


class PretrainingStage(Stage):
    """Trains a world model on clips, and watches its latents and predictions on held-out ones.

    Args:
        optimiser: steps, batch size, learning rate.
        world_model: what is trained.
        clips: training clips.
        held_out: clips of held-out episodes; fixed ones are drawn from it.
    """

    name = "world_model"
    label = "world model"

    def __init__(
        self,
        optimiser: OptimiserConfig,
        world_model: WorldModel,
        clips: WindowSampler,
        held_out: WindowSampler,
    ) -> None:
        self.optimiser = optimiser
        self.world_model = world_model
        self.clips = clips
        self.watched = held_out.sample(96, torch.Generator().manual_seed(0))

    @property
    def images_per_step(self) -> int:
        """See :class:`Stage`."""
        return self.optimiser.batch_size * self.clips.config.length

    def known(self, generator: torch.Generator) -> int:
        """Latents before the present that prediction is told: all numbers occur, so that acting can
        begin without any."""
        window = self.world_model.predictor.window
        return int(torch.randint(window, (), generator=generator)) if window > 1 else 0

    def on_device(self, clips: Windows) -> dict[str, Tensor]:
        """The observations of clips, where the world model is."""
        device = self.world_model.low.device
        return {key: value.to(device) for key, value in clips.observation.items()}

    @torch.no_grad()
    def report(self) -> CollapseReport:
        """The health of the latents on held-out clips."""
        clips, window = self.watched, self.world_model.predictor.window
        model, known = self.world_model, window - 1
        latents = model.encode(self.on_device(clips))
        actions = model.normalise(clips.actions.to(model.low.device))
        past = Past(latents=latents[:, :known], actions=actions[:, :known])
        latents, actions = latents[:, known:], actions[:, known:]
        # The latent variable stays untold: acting has to do without the outcome as well.
        predicted = self.world_model.rollout(latents[:, 0], actions, past=past)
        if not (torch.isfinite(latents).all() and torch.isfinite(predicted).all()):
            raise ForethoughtError(
                "training diverged: latents or predictions of held-out clips are not finite; lower "
                "the learning rate, or check the data with `forethought data check`."
            )
        shuffled = self.world_model.rollout(latents[:, 0], actions.roll(1, 0), past=past)
        return collapse_report(latents, predicted, actions, shuffled)

    def monitor(self) -> Mapping[str, float]:
        """See :class:`Stage`."""
        report = asdict(self.report())
        return {name: value for name, value in report.items() if name != "findings"}
