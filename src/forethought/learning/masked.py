"""Masked latent prediction on clips without actions: see a part, foretell the rest.

After V-JEPA (Bardes et al., 2024): an encoder sees what is left of a clip, a small transformer
foretells the latents that a slowly moving copy of the encoder gives of what was hidden. No action
is ever looked at, so recordings of any kind will do.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from forethought.config import register
from forethought.data.windows import WindowSampler
from forethought.learning.masks import MaskConfig, MomentMasks, painted
from forethought.learning.trainer import OptimiserConfig, Stage
from forethought.perception.attention import TransformerBlock
from forethought.perception.perception import Perception
from forethought.types import IMAGES, ForethoughtError
from forethought.world_model.diagnostics import (
    MAX_COPY_RATIO,
    MIN_EFFECTIVE_RANK,
    MIN_WITHIN_SHARE,
    effective_rank,
    within_episode_share,
)
from forethought.world_model.regularisers import (
    GridInverseDynamicsConfig,
    InverseDynamicsConfig,
    RegulariserConfig,
    VICRegConfig,
)

NEED_ACTIONS = (InverseDynamicsConfig, GridInverseDynamicsConfig)
"""Regularisers that there is no use for without actions."""


@register
@dataclass(frozen=True, kw_only=True)
class MaskedPredictorConfig:
    """The transformer that foretells hidden latents; only pretraining needs it.

    Attributes:
        hidden: width inside.
        depth: transformer blocks.
        heads: of attention in each.
    """

    hidden: int = 64
    depth: int = 2
    heads: int = 4


@register
@dataclass(frozen=True, kw_only=True)
class MaskedPretrainingConfig:
    """The objective of masked pretraining.

    Attributes:
        optimiser: steps, clips in a batch, learning rate.
        length: moments of a clip.
        masks: what is hidden; the clips of a batch take them in turn.
        predictor: what foretells it.
        decay: share of the target encoder that is kept at each step.
        beta: errors below it count squared, those above absolutely; zero for absolute error.
        weight: of the error of foretelling in the loss.
        regularisers: what keeps latents of whole clips from collapsing, each with its weight; none
            that reads actions.

    Raises:
        ForethoughtError: a number out of range, no masks, or a regulariser that needs actions.
    """

    optimiser: OptimiserConfig
    length: int = 9
    masks: tuple[MaskConfig, ...] = (MomentMasks(),)
    predictor: MaskedPredictorConfig = field(default_factory=MaskedPredictorConfig)
    decay: float = 0.99
    beta: float = 0.0
    weight: float = 1.0
    regularisers: tuple[RegulariserConfig, ...] = (VICRegConfig(),)

    def __post_init__(self) -> None:
        if not 0 <= self.decay <= 1 or self.beta < 0 or not self.masks:
            raise ForethoughtError(
                f"MaskedPretrainingConfig: decay={self.decay}, beta={self.beta} and "
                f"{len(self.masks)} masks; expected a decay from 0 to 1, a beta of at least 0 and "
                "at least one mask."
            )
        for one in self.regularisers:
            if isinstance(one, NEED_ACTIONS):
                raise ForethoughtError(
                    f"masked pretraining sees no actions, {type(one).__name__} needs them; leave "
                    "it to the training that follows."
                )


class MaskedPredictor(nn.Module):
    """Latents of a clip, some hidden, to latents of all of it; every token sees every other.

    Args:
        config: its size.
        length: moments of a clip.
        tokens: of each moment.
        width: of a token.
    """

    def __init__(self, config: MaskedPredictorConfig, length: int, tokens: int, width: int) -> None:
        super().__init__()
        self.enter = nn.Linear(width, config.hidden)
        self.mask_token = nn.Parameter(0.02 * torch.randn(config.hidden))
        self.moments = nn.Parameter(0.02 * torch.randn(length, 1, config.hidden))
        self.places = nn.Parameter(0.02 * torch.randn(tokens, config.hidden))
        self.blocks = nn.ModuleList(
            [TransformerBlock(config.hidden, config.heads) for _ in range(config.depth)]
        )
        self.norm = nn.LayerNorm(config.hidden)
        self.exit = nn.Linear(config.hidden, width)

    def forward(
        self, latents: Float[Tensor, "b t k d"], hidden: Bool[Tensor, "b t k"]
    ) -> Float[Tensor, "b t k d"]:
        """What is foretold; hidden latents are not looked at."""
        entered = torch.where(hidden[..., None], self.mask_token, self.enter(latents))
        tokens = (entered + self.moments + self.places).flatten(1, 2)
        for block in self.blocks:
            tokens = block(tokens)
        return self.exit(self.norm(tokens)).unflatten(1, hidden.shape[1:])


class MaskedModel(nn.Module):
    """All that changes in masked pretraining; the perception is what is kept.

    Args:
        config: the objective.
        perception: what is trained.
    """

    def __init__(self, config: MaskedPretrainingConfig, perception: Perception) -> None:
        super().__init__()
        self.decay = config.decay
        self.perception = perception
        self.target = copy.deepcopy(perception).requires_grad_(False)
        tokens, width = perception.num_tokens, perception.width
        self.predictor = MaskedPredictor(config.predictor, config.length, tokens, width)
        self.regularisers = nn.ModuleList(
            [one.build(tokens, width, 0) for one in config.regularisers]
        )

    def context(
        self, observation: Mapping[str, Tensor], hidden: Bool[Tensor, "b t k"]
    ) -> Float[Tensor, "b t k d"]:
        """What the encoder makes of the parts that can be seen; zero for hidden tokens.

        Moments that are hidden wholly are not encoded; of others, hidden pixels are painted grey
        first. Stacked frames belong to their moment: where windows of frames overlap, a
        neighbour that is seen shows them too.
        """
        shown = ~hidden.all(-1)
        seen = {key: observation[key][shown] for key in self.perception.keys}
        if hidden[shown].any():
            seen |= {
                key: painted(values, hidden[shown])
                for key, values in seen.items()
                if key.startswith(IMAGES)
            }
        tokens = self.perception(seen)
        latents = tokens.new_zeros(*hidden.shape, tokens.shape[-1])
        latents[shown] = tokens
        return latents.masked_fill(hidden[..., None], 0.0)

    def whole(self, observation: Mapping[str, Tensor]) -> Float[Tensor, "b t k d"]:
        """What the encoder makes of whole clips."""
        return _encoded(self.perception, observation)

    @torch.no_grad()
    def targets(self, observation: Mapping[str, Tensor]) -> Float[Tensor, "b t k d"]:
        """What the moving average makes of whole clips."""
        return _encoded(self.target.eval(), observation)

    @torch.no_grad()
    def follow(self) -> None:
        """Moves the target: theta' = decay theta' + (1 - decay) theta."""
        pairs = zip(self.target.parameters(), self.perception.parameters(), strict=True)
        for slow, fast in pairs:
            slow.lerp_(fast, 1 - self.decay)


def _encoded(perception: nn.Module, observation: Mapping[str, Tensor]) -> Float[Tensor, "b t k d"]:
    assert isinstance(perception, Perception)
    leading = observation[perception.keys[0]].shape[:2]
    flat = {key: observation[key].flatten(0, 1) for key in perception.keys}
    return perception(flat).unflatten(0, leading)


def hidden_error(
    predicted: Float[Tensor, "b t k d"],
    targets: Float[Tensor, "b t k d"],
    hidden: Bool[Tensor, "b t k"],
    beta: float = 0.0,
) -> Float[Tensor, ""]:
    """Smooth absolute error, averaged over what was hidden; nothing else is looked at."""
    return nn.functional.smooth_l1_loss(predicted[hidden], targets[hidden], beta=beta)


@dataclass(frozen=True, kw_only=True)
class MaskedReport:
    """The health of pretrained latents on held-out clips.

    Attributes:
        effective_rank: how many dimensions are used.
        within_share: share of the latents' variance that lies within episodes, 0 to 1.
        copy_ratio: squared error of what is foretold over that of copying, from the nearest moment
            at which the same place was seen; from the mean of the place where it never was.
        findings: one sentence per symptom, each with its remedy; empty when healthy.
    """

    effective_rank: float
    within_share: float
    copy_ratio: float
    findings: tuple[str, ...]

    @property
    def collapsed(self) -> bool:
        """Whether any symptom was found."""
        return bool(self.findings)


class MaskedStage(Stage):
    """Trains a perception on clips whose actions are not looked at.

    Args:
        config: the objective.
        model: what is trained.
        clips: training clips.
        held_out: clips of held-out episodes, for monitoring; fixed ones are drawn from it.
    """

    name = "masked"
    label = "masked prediction"

    def __init__(
        self,
        config: MaskedPretrainingConfig,
        model: MaskedModel,
        clips: WindowSampler,
        held_out: WindowSampler,
    ) -> None:
        self.config, self.optimiser = config, config.optimiser
        self.model, self.clips = model, clips
        generator = torch.Generator().manual_seed(0)
        self.watched = held_out.sample(96, generator).observation
        self.watched_hidden = self.hidden(96, generator)

    def parameters(self) -> Iterable[nn.Parameter]:
        """See :class:`Stage`."""
        return (one for one in self.model.parameters() if one.requires_grad)

    def after_step(self) -> None:
        """See :class:`Stage`."""
        self.model.follow()

    @property
    def images_per_step(self) -> int:
        """See :class:`Stage`."""
        return self.optimiser.batch_size * self.config.length

    def hidden(self, clips: int, generator: torch.Generator) -> Bool[Tensor, "b t k"]:
        """What is hidden of so many clips."""
        tokens, masks = self.model.perception.num_tokens, self.config.masks
        drawn = [one.draw(clips, self.config.length, tokens, generator) for one in masks]
        turn = torch.arange(clips) % len(masks)
        return torch.stack(drawn)[turn, torch.arange(clips)]

    def loss(self, generator: torch.Generator) -> tuple[Float[Tensor, ""], Mapping[str, Tensor]]:
        """See :class:`Stage`."""
        observation = self._on_device(
            self.clips.sample(self.optimiser.batch_size, generator).observation
        )
        hidden = self.hidden(self.optimiser.batch_size, generator).to(self._device)
        predicted = self.model.predictor(self.model.context(observation, hidden), hidden)
        error = hidden_error(predicted, self.model.targets(observation), hidden, self.config.beta)
        loss, parts = self.config.weight * error, {"masked": error.detach()}
        if self.config.regularisers:
            for name, weight, value in self._regularised(observation, generator):
                loss = loss + weight * value
                parts[name] = value.detach()
        return loss, parts

    def _regularised(
        self, observation: Mapping[str, Tensor], generator: torch.Generator
    ) -> Iterable[tuple[str, float, Float[Tensor, ""]]]:
        """Name, weight and value of each regulariser, on the latents of whole clips."""
        latents = self.model.whole(observation)
        unknown = latents.new_zeros(latents.shape[0], latents.shape[1] - 1, 0)
        pairs = zip(self.config.regularisers, self.model.regularisers, strict=True)
        for config, term in pairs:
            name = type(config).__name__.removesuffix("Config")
            yield name, config.weight, term(latents, unknown, generator)

    @property
    def _device(self) -> torch.device:
        return self.model.predictor.mask_token.device

    def _on_device(self, observation: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {key: value.to(self._device) for key, value in observation.items()}

    @torch.no_grad()
    def report(self) -> MaskedReport:
        """The health of the latents on held-out clips.

        Raises:
            ForethoughtError: they are not finite.
        """
        observation = self._on_device(self.watched)
        hidden = self.watched_hidden.to(self._device)
        latents = self.model.whole(observation)
        predicted = self.model.predictor(self.model.context(observation, hidden), hidden)
        targets = self.model.targets(observation)
        if not (torch.isfinite(latents).all() and torch.isfinite(predicted).all()):
            raise ForethoughtError(
                "training diverged: latents or predictions of held-out clips are not finite; lower "
                "the learning rate, or check the data with `forethought data check`."
            )
        return masked_report(latents, predicted, targets, hidden)

    def monitor(self) -> Mapping[str, float]:
        """See :class:`Stage`."""
        report = asdict(self.report())
        return {name: value for name, value in report.items() if name != "findings"}


def masked_report(
    latents: Float[Tensor, "b t k d"],
    predicted: Float[Tensor, "b t k d"],
    targets: Float[Tensor, "b t k d"],
    hidden: Bool[Tensor, "b t k"],
) -> MaskedReport:
    """Looks for the symptoms of collapse; the threshold of each is that of trained world models.

    Args:
        latents: what the encoder makes of held-out clips.
        predicted: what was foretold of them.
        targets: what was to be foretold.
        hidden: what was hidden.
    """
    rank = effective_rank(latents.flatten(0, 1))
    within = within_episode_share(latents)
    error = (predicted - targets)[hidden].square().mean()
    copied = (nearest_seen(targets, hidden) - targets)[hidden].square().mean()
    ratio = float(error / copied.clamp_min(1e-12))
    findings = []
    if rank < MIN_EFFECTIVE_RANK:
        findings.append(
            f"collapsed: the latents use {rank:.1f} dimensions (healthy: more than "
            f"{MIN_EFFECTIVE_RANK}). Add VICReg or SIGReg, or raise its weight."
        )
    if within < MIN_WITHIN_SHARE:
        findings.append(
            f"slow features: only {within:.1%} of the latents' variance lies within episodes "
            f"(healthy: more than {MIN_WITHIN_SHARE:.0%}); they keep what never changes and lose "
            "what moves. Add TemporalVariance, and hide moments with MomentMasks."
        )
    if ratio > MAX_COPY_RATIO:
        findings.append(
            f"what is hidden is foretold no better than by copying what was seen nearest (error "
            f"ratio {ratio:.2f}). Train longer, or lengthen action_block."
        )
    return MaskedReport(
        effective_rank=rank, within_share=within, copy_ratio=ratio, findings=tuple(findings)
    )


def nearest_seen(
    targets: Float[Tensor, "b t k d"], hidden: Bool[Tensor, "b t k"]
) -> Float[Tensor, "b t k d"]:
    """The latent of the nearest moment at which each place was seen, the earlier of two; the mean
    of the place where it never was."""
    moments = torch.arange(hidden.shape[1], device=hidden.device)
    away = (moments[:, None] - moments).abs().float()  # (t asked, t seen)
    gap = away[None, :, :, None].masked_fill(hidden[:, None], torch.inf)
    distance, nearest = gap.min(2)  # (b, t, k)
    copied = targets.gather(1, nearest[..., None].expand_as(targets))
    never = torch.isinf(distance)[..., None]
    return torch.where(never, targets.mean((0, 1)), copied)
