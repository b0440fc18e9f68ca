"""Pretraining by joint-embedding prediction: learn to foresee one's own latents.

loss = multi-step prediction error + weighted regularisers; see "A Path Towards Autonomous Machine
Intelligence" (LeCun, 2022), section 4, and Sobal et al. (2022) for the terms against collapse.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from forethought.config import register
from forethought.data.windows import WindowSampler
from forethought.learning.augmentation import AugmentationConfig
from forethought.learning.errors import PredictionErrorConfig, SquaredError
from forethought.learning.linear_start import LinearStartConfig
from forethought.learning.trainer import OptimiserConfig, Stage
from forethought.types import ForethoughtError, Past, Windows
from forethought.world_model.diagnostics import CollapseReport, collapse_report
from forethought.world_model.regularisers import RegulariserConfig
from forethought.world_model.targets import OwnLatentsConfig, Target, TargetConfig
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
        target: what predictions are compared with.
        frozen_encoder: whether perception is left as it is, pretrained or random; only the
            predictor learns.
    """

    optimiser: OptimiserConfig
    regularisers: tuple[RegulariserConfig, ...]
    horizon: int = 8
    error: PredictionErrorConfig = field(default_factory=SquaredError)
    augmentation: AugmentationConfig | None = None
    start: LinearStartConfig | None = None
    target: TargetConfig = field(default_factory=OwnLatentsConfig)
    frozen_encoder: bool = False


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


@dataclass(frozen=True, kw_only=True)
class Foreseen:
    """Clips, encoded and foreseen.

    Attributes:
        latents: ``(b, t, k, d)`` what the encoder makes of the clips.
        actions: ``(b, t-1, a)`` standardised.
        present: index of the latent that prediction starts from; what lies before it is known.
        predicted: ``(m, b, t-present, k, d)`` what each member of the predictor foresees from
            there; it begins with the present itself.
        information: nats that the latent variable was told per step; zero without one.
    """

    latents: Float[Tensor, "b t k d"]
    actions: Float[Tensor, "b t_minus_1 a"]
    present: int
    predicted: Float[Tensor, "m b t_left k d"]
    information: Float[Tensor, ""]


class JEPAStage(Stage):
    """Trains a world model on clips.

    Args:
        config: the objective.
        world_model: what is trained.
        regularisers: what keeps it from collapsing.
        target: what predictions are compared with.
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
        target: Target,
        clips: WindowSampler,
        held_out: WindowSampler,
    ) -> None:
        self.config = config
        self.optimiser = config.optimiser
        self.world_model = world_model
        self.regularisers = regularisers
        self.target = target
        self.clips = clips
        self.watched = held_out.sample(96, torch.Generator().manual_seed(0))

    def begin(self) -> None:
        """See :class:`Stage`."""
        if self.config.start:
            self.config.start(self.world_model, self.clips)

    def parameters(self) -> Iterable[nn.Parameter]:
        """See :class:`Stage`."""
        frozen = set(self.world_model.perception.parameters() if self.config.frozen_encoder else ())
        for parameter in (*self.world_model.parameters(), *self.regularisers.parameters()):
            if parameter.requires_grad and parameter not in frozen:
                yield parameter

    def after_step(self) -> None:
        """See :class:`Stage`."""
        self.target.follow(self.world_model)

    @property
    def images_per_step(self) -> int:
        """See :class:`Stage`."""
        return self.optimiser.batch_size * self.clips.config.length

    def loss(self, generator: torch.Generator) -> tuple[Float[Tensor, ""], Mapping[str, Tensor]]:
        """See :class:`Stage`."""
        clips = self.clips.sample(self.optimiser.batch_size, generator)
        if self.config.augmentation:
            clips = self.config.augmentation(clips, generator)
        observation = self._on_device(clips)
        seen = self._foresee(observation, clips, self._known(generator), generator)
        targets = self.target(observation, seen.latents)[:, seen.present :]
        members = len(seen.predicted)
        prediction = self.config.error(
            seen.predicted.flatten(0, 1), targets.repeat(members, 1, 1, 1)
        )
        loss = self.config.error.weight * prediction
        terms = self.regularisers(seen.latents, seen.actions, generator)
        for name, value in terms.items():
            loss = loss + self.regularisers.weights[name] * value
        variable = self.world_model.config.latent_variable
        if variable is not None:
            loss = loss + variable.weight * seen.information
            terms["information"] = seen.information
        return loss, {"prediction": prediction.detach(), **_detached(terms)}

    def _known(self, generator: torch.Generator) -> int:
        """Latents before the present that prediction is told: all numbers occur, so that acting can
        begin without any."""
        window = self.world_model.predictor.window
        return int(torch.randint(window, (), generator=generator)) if window > 1 else 0

    def _on_device(self, clips: Windows) -> dict[str, Tensor]:
        device = self.world_model.low.device
        return {key: value.to(device) for key, value in clips.observation.items()}

    def _foresee(
        self,
        observation: Mapping[str, Tensor],
        clips: Windows,
        present: int,
        generator: torch.Generator,
    ) -> Foreseen:
        model = self.world_model
        actions = model.normalise(clips.actions.to(model.low.device))
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.config.frozen_encoder):
            latents = model.encode(observation)
        past = Past(latents=latents[:, :present], actions=actions[:, :present])
        z, information = self._told(latents[:, present:], actions[:, present:], generator)
        predicted = model.futures(latents[:, present], actions[:, present:], past=past, z=z)
        return Foreseen(
            latents=latents,
            actions=actions,
            present=present,
            predicted=predicted,
            information=information,
        )

    def _told(
        self,
        latents: Float[Tensor, "b t k d"],
        actions: Float[Tensor, "b t_minus_1 a"],
        generator: torch.Generator,
    ) -> tuple[Float[Tensor, "b t_minus_1 z"] | None, Float[Tensor, ""]]:
        """What the latent variable learns of each outcome, and how much that says."""
        variable = self.world_model.latent_variable
        if variable is None:
            return None, latents.new_zeros(())
        steps = actions.shape[:2]
        z, information = variable.infer(
            latents[:, :-1].flatten(0, 1),
            actions.flatten(0, 1),
            latents[:, 1:].flatten(0, 1),
            generator,
        )
        return z.unflatten(0, steps), information.mean()

    @torch.no_grad()
    def report(self) -> CollapseReport:
        """The health of the latents on held-out clips."""
        clips, window = self.watched, self.world_model.predictor.window
        model, known = self.world_model, window - 1
        latents = model.encode(self._on_device(clips))
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


def _detached(terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach() for name, value in terms.items()}
