"""Pretraining by joint-embedding prediction: learn to foresee one's own latents.

loss = multi-step prediction error + weighted regularisers; see "A Path Towards Autonomous Machine
Intelligence" (LeCun, 2022), section 4, and Sobal et al. (2022) for the terms against collapse.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from forethought.config import register
from forethought.data.windows import WindowSampler
from forethought.learning.augmentation import AugmentationConfig
from forethought.learning.errors import PredictionErrorConfig, SquaredError
from forethought.learning.linear_start import LinearStartConfig
from forethought.learning.trainer import OptimiserConfig, Stage
from forethought.types import ForethoughtError, Windows
from forethought.world_model.diagnostics import CollapseReport, collapse_report
from forethought.world_model.regularisers import RegulariserConfig
from forethought.world_model.world_model import WorldModel


@register
@dataclass(frozen=True, kw_only=True)
class JEPAConfig:
    """The pretraining objective.

    Attributes:
        optimiser: steps, batch size, learning rate.
        regularisers: what keeps latents from collapsing; each carries its weight.
        horizon: model steps rolled out in training.
        error: what prediction is measured by.
        augmentation: how training clips are changed; None to leave them as recorded.
        start: where the weights begin; None for at random.
    """

    optimiser: OptimiserConfig
    regularisers: tuple[RegulariserConfig, ...]
    horizon: int = 8
    error: PredictionErrorConfig = field(default_factory=SquaredError)
    augmentation: AugmentationConfig | None = None
    start: LinearStartConfig | None = None


class Regularisers(nn.Module):
    """The regularisers of a run, by name; some have weights of their own.

    Args:
        configs: their settings.
        world_model: whose latents they keep alive.
    """

    def __init__(self, configs: tuple[RegulariserConfig, ...], world_model: WorldModel) -> None:
        super().__init__()
        self.weights = {_name(config): config.weight for config in configs}
        self.terms = nn.ModuleDict(
            {
                _name(config): config.build(
                    world_model.num_tokens, world_model.width, world_model.action_width
                )
                for config in configs
            }
        )

    def forward(
        self,
        latents: Float[Tensor, "b t k d"],
        actions: Float[Tensor, "b t_minus_1 a"],
        generator: torch.Generator,
    ) -> dict[str, Float[Tensor, ""]]:
        """Each term, unweighted."""
        return {name: term(latents, actions, generator) for name, term in self.terms.items()}


def _name(config: RegulariserConfig) -> str:
    return type(config).__name__.removesuffix("Config")


class JEPAStage(Stage):
    """Trains a world model on clips.

    Args:
        config: the objective.
        world_model: what is trained.
        regularisers: what keeps it from collapsing.
        clips: training clips.
        held_out: clips of held-out episodes, for monitoring; fixed ones are drawn from it.
    """

    name = "world_model"
    label = "world model"

    def __init__(
        self,
        config: JEPAConfig,
        world_model: WorldModel,
        regularisers: Regularisers,
        clips: WindowSampler,
        held_out: WindowSampler,
    ) -> None:
        self.config = config
        self.optimiser = config.optimiser
        self.world_model = world_model
        self.regularisers = regularisers
        self.clips = clips
        self.watched = held_out.sample(96, torch.Generator().manual_seed(0))

    def begin(self) -> None:
        """See :class:`Stage`."""
        if self.config.start:
            self.config.start(self.world_model, self.clips)

    def parameters(self) -> Iterable[nn.Parameter]:
        """See :class:`Stage`."""
        yield from self.world_model.parameters()
        yield from self.regularisers.parameters()

    @property
    def images_per_step(self) -> int:
        """See :class:`Stage`."""
        return self.optimiser.batch_size * (self.config.horizon + 1)

    def loss(self, generator: torch.Generator) -> tuple[Float[Tensor, ""], Mapping[str, Tensor]]:
        """See :class:`Stage`."""
        clips = self.clips.sample(self.optimiser.batch_size, generator)
        if self.config.augmentation:
            clips = self.config.augmentation(clips, generator)
        latents, predicted, actions = self._foresee(clips)
        prediction = self.config.error(predicted, latents)
        terms = self.regularisers(latents, actions, generator)
        loss = self.config.error.weight * prediction
        for name, value in terms.items():
            loss = loss + self.regularisers.weights[name] * value
        return loss, {"prediction": prediction.detach(), **_detached(terms)}

    def _foresee(
        self, clips: Windows
    ) -> tuple[Float[Tensor, "b t k d"], Float[Tensor, "b t k d"], Float[Tensor, "b t_minus_1 a"]]:
        device = self.world_model.low.device
        observation = {key: value.to(device) for key, value in clips.observation.items()}
        actions = self.world_model.normalise(clips.actions.to(device))
        latents = self.world_model.encode(observation)
        return latents, self.world_model.rollout(latents[:, 0], actions), actions

    @torch.no_grad()
    def report(self) -> CollapseReport:
        """The health of the latents on held-out clips."""
        latents, predicted, actions = self._foresee(self.watched)
        if not (torch.isfinite(latents).all() and torch.isfinite(predicted).all()):
            raise ForethoughtError(
                "training diverged: latents or predictions of held-out clips are not finite; lower "
                "the learning rate, or check the data with `forethought data check`."
            )
        shuffled = self.world_model.rollout(latents[:, 0], actions.roll(1, 0))
        return collapse_report(latents, predicted, actions, shuffled)

    def monitor(self) -> Mapping[str, float]:
        """See :class:`Stage`."""
        report = self.report()
        return {
            "effective_rank": report.effective_rank,
            "within_share": report.within_share,
            "inverse_r2": report.inverse_r2,
            "action_gain": report.action_gain,
            "copy_ratio": report.copy_ratio,
            "rollout_ratio": report.rollout_ratio,
        }


def _detached(terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach() for name, value in terms.items()}
