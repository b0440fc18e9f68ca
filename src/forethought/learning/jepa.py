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
from forethought.learning.pretraining import ObjectiveConfig, PretrainingStage
from forethought.learning.start import StartConfig
from forethought.types import ForethoughtError, Past, Windows
from forethought.world_model.regularisers import RegulariserConfig
from forethought.world_model.targets import OwnLatentsConfig, Target, TargetConfig
from forethought.world_model.world_model import WorldModel


@register
@dataclass(frozen=True, kw_only=True)
class JEPAConfig(ObjectiveConfig):
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
        each_step: weight of foreseeing every step of a clip from all that came before it, besides
            the rollout from the present. What has to be remembered for long is learned by it:
            nothing that was imagined lies between what was seen and what follows from it.
    """

    regularisers: tuple[RegulariserConfig, ...]
    error: PredictionErrorConfig = field(default_factory=SquaredError)
    augmentation: AugmentationConfig | None = None
    start: StartConfig | None = None
    target: TargetConfig = field(default_factory=OwnLatentsConfig)
    frozen_encoder: bool = False
    each_step: float = 0.0

    def parts(self, world_model: WorldModel) -> dict[str, nn.Module]:
        """See :class:`ObjectiveConfig`.

        Raises:
            ForethoughtError: each step is to be foreseen by a model with a latent variable.
        """
        if self.each_step and world_model.latent_variable is not None:
            raise ForethoughtError(
                f"each_step={self.each_step}, but the world model has a latent variable, of which "
                "each step would have to be told; set each_step=0, or latent_variable=None."
            )
        return {
            "regularisers": Regularisers(self.regularisers, world_model),
            "target": self.target.build(world_model),
        }

    def stage(
        self,
        world_model: WorldModel,
        parts: Mapping[str, nn.Module],
        clips: WindowSampler,
        held_out: WindowSampler,
    ) -> JEPAStage:
        """See :class:`ObjectiveConfig`."""
        regularisers, target = parts["regularisers"], parts["target"]
        assert isinstance(regularisers, Regularisers) and isinstance(target, Target)
        return JEPAStage(self, world_model, regularisers, target, clips, held_out)


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


class JEPAStage(PretrainingStage):
    """Trains a world model on clips.

    Args:
        config: the objective.
        world_model: what is trained.
        regularisers: what keeps it from collapsing.
        target: what predictions are compared with.
        clips: training clips.
        held_out: clips of held-out episodes, for monitoring; fixed ones are drawn from it.
    """

    def __init__(
        self,
        config: JEPAConfig,
        world_model: WorldModel,
        regularisers: Regularisers,
        target: Target,
        clips: WindowSampler,
        held_out: WindowSampler,
    ) -> None:
        super().__init__(config.optimiser, world_model, clips, held_out)
        self.config = config
        self.regularisers = regularisers
        self.target = target

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

    def loss(self, generator: torch.Generator) -> tuple[Float[Tensor, ""], Mapping[str, Tensor]]:
        """See :class:`Stage`."""
        clips = self.clips.sample(self.optimiser.batch_size, generator)
        if self.config.augmentation:
            clips = self.config.augmentation(clips, generator)
        observation = self.on_device(clips)
        seen = self._foresee(observation, clips, self.known(generator), generator)
        targets = self.target(observation, seen.latents)
        members = len(seen.predicted)
        prediction = self.config.error(
            seen.predicted.flatten(0, 1), targets[:, seen.present :].repeat(members, 1, 1, 1)
        )
        loss = self.config.error.weight * prediction
        if self.config.each_step:
            loss = loss + self.config.each_step * self._single(seen, targets)
        terms = self.regularisers(seen.latents, seen.actions, generator)
        for name, value in terms.items():
            loss = loss + self.regularisers.weights[name] * value
        variable = self.world_model.config.latent_variable
        if variable is not None:
            loss = loss + variable.weight * seen.information
            terms["information"] = seen.information
        return loss, {"prediction": prediction.detach(), **_detached(terms)}

    def _single(self, seen: Foreseen, targets: Float[Tensor, "b t k d"]) -> Float[Tensor, ""]:
        """Error of every step of the clips, each from what came before it."""
        ahead = self.world_model.each(seen.latents[:, :-1], seen.actions)
        told = seen.latents[:, :-1].expand_as(ahead)
        pairs = torch.stack([told, ahead], dim=3).flatten(0, 2)
        came = torch.stack([targets[:, :-1], targets[:, 1:]], dim=2).flatten(0, 1)
        return self.config.error(pairs, came.repeat(len(ahead), 1, 1, 1))

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


def _detached(terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach() for name, value in terms.items()}
