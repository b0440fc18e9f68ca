"""Perception: a whole observation to one latent, whatever sensors it has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from forethought.config import register
from forethought.perception.backbone import Backbone
from forethought.perception.encoders import EncoderConfig, mlp
from forethought.perception.normalise import Normaliser
from forethought.types import ForethoughtError, Signature


@register
@dataclass(frozen=True, kw_only=True)
class PerceptionConfig:
    """Which keys are perceived, by which encoder.

    Attributes:
        encoders: one encoder configuration per observation key.
        frame_stack: frames that make one observation; 2 shows velocities.
        frame_gap: world steps between these frames.
        fusion: hidden width of the network that fuses several keys into one token; unused for
            one key.
        missing: share of the training observations in which a key is left out, each key by itself
            but never all; above zero the model learns to do without, and keys may be absent when
            it acts.
        shift: pixels by which pictures are moved before they are encoded, rows (downwards) and
            columns (to the right): what a camera that was pushed has to be told. Their border is
            repeated.

    Raises:
        ForethoughtError: a share outside [0, 1), or one above zero for a single key.
    """

    encoders: Mapping[str, EncoderConfig]
    frame_stack: int = 1
    frame_gap: int = 1
    fusion: int = 128
    missing: float = 0.0
    shift: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        if not 0 <= self.missing < 1:
            raise ForethoughtError(
                f"missing is {self.missing}; expected a share of at least 0 and below 1."
            )
        if self.missing and len(self.encoders) < 2:
            raise ForethoughtError(
                f"missing is {self.missing}, but {sorted(self.encoders)} is all that is perceived: "
                "nothing would be left. Perceive a second key, or set missing=0."
            )

    def resolved(self) -> PerceptionConfig:
        """With every encoder's settings complete: see :meth:`EncoderConfig.resolved`."""
        encoders = {key: encoder.resolved() for key, encoder in self.encoders.items()}
        return replace(self, encoders=encoders)

    def tokens(self, signature: Signature) -> tuple[int, int]:
        """``(k, d)`` of the latent.

        Raises:
            ForethoughtError: a key that the signature lacks, or encoders of different widths.
        """
        sizes = {}
        for key, encoder in self.encoders.items():
            if key not in signature.observation:
                raise ForethoughtError(
                    f"the recipe perceives {key!r}, which the data lacks; it has "
                    f"{sorted(signature.observation)}. Choose a recipe for these keys."
                )
            sizes[key] = encoder.tokens(signature.observation[key])
        if len({width for _, width in sizes.values()}) != 1:
            raise ForethoughtError(
                f"encoders must share one token width, found (tokens, width) {sizes}; set their "
                "`width` alike."
            )
        (first, width), *others = sizes.values()
        return (first if not others else max(k for k, _ in sizes.values())), width


class Perception(nn.Module):
    """Encodes each key and fuses them: observation to latent ``(n, k, d)``.

    One key: its tokens are the latent. Several keys: where the largest has one token, a residual
    MLP joins them into one; where it is a grid of tokens, every other key is added to each place.
    A key that is absent, or is left out in training (ModDrop; Neverova et al., 2016), is told by a
    learned token in its stead.

    Args:
        config: which encoders.
        signature: what the observations are.
        normalisers: per vector key, its standardisation.

    Attributes:
        shift: see :class:`PerceptionConfig`; may be set while acting.
    """

    def __init__(
        self,
        config: PerceptionConfig,
        signature: Signature,
        normalisers: Mapping[str, Normaliser],
    ) -> None:
        super().__init__()
        self.config = config
        self.shift = config.shift
        self.cameras = frozenset(signature.cameras)
        self.keys = tuple(config.encoders)
        self.num_tokens, self.width = config.tokens(signature)
        self.encoders = nn.ModuleDict(
            {
                _module_name(key): encoder.build(signature.observation[key], config.frame_stack)
                for key, encoder in config.encoders.items()
            }
        )
        self.normalisers = nn.ModuleDict({_module_name(k): normalisers[k] for k in normalisers})
        if len(self.keys) > 1:
            self.fusion = mlp(len(self.keys) * self.width, (config.fusion,), self.width)
        if config.missing:
            self.mask_tokens = nn.ParameterDict(
                {_module_name(key): torch.zeros(self.width) for key in self.keys}
            )

    def forward(self, observation: Mapping[str, Tensor | None]) -> Float[Tensor, "n k d"]:
        """Latents of observations.

        Args:
            observation: per key ``(n, f, ...)``; uint8 images and text, float vectors in world
                units. A key may be absent, or None, where the configuration's ``missing`` is above
                zero.

        Raises:
            ForethoughtError: a key is absent that the model cannot do without, or all are.
        """
        seen = self.present(observation)
        tokens = {key: self._encode(key, values) for key, values in seen.items()}
        if self.config.missing:
            tokens = self._masked(tokens)
        return tokens[self.keys[0]] if len(self.keys) == 1 else self._fuse(tokens)

    def present(self, observation: Mapping[str, Tensor | None]) -> dict[str, Tensor]:
        """The perceived keys that an observation has.

        Raises:
            ForethoughtError: a key is absent that the model cannot do without, or all are.
        """
        found = {key: observation.get(key) for key in self.keys}
        seen = {key: values for key, values in found.items() if values is not None}
        if len(seen) < (1 if self.config.missing else len(self.keys)):
            absent = [key for key in self.keys if key not in seen]
            raise ForethoughtError(
                f"the observation lacks {absent[0]!r}, which the model perceives; it has "
                f"{sorted(observation)}. A model trained with PerceptionConfig.missing above zero "
                "does without some of its keys, but never without all."
            )
        return seen

    def load_published(self) -> None:
        """Loads the published weights of pretrained encoders; training does so once, at its start.

        Raises:
            ForethoughtError: weights cannot be read.
        """
        for module in self.modules():
            if isinstance(module, Backbone):
                module.load_published()

    def by_key(self) -> Mapping[str, nn.Module]:
        """The encoder of each key."""
        return {key: self.encoders[_module_name(key)] for key in self.keys}

    def standardise(self, key: str, values: Tensor) -> Tensor:
        """Stacked frames ``(n, f, ...)`` of a key as its encoder is given them."""
        name = _module_name(key)
        if name not in self.normalisers:
            return values
        normaliser = self.normalisers[name]
        assert isinstance(normaliser, Normaliser)
        return normaliser.history(values)

    def in_world_units(self, key: str, values: Float[Tensor, "*batch w"]) -> Tensor:
        """One frame of a key in standard units, as its sensor would tell it."""
        name = _module_name(key)
        if name not in self.normalisers:
            return values
        normaliser = self.normalisers[name]
        assert isinstance(normaliser, Normaliser)
        return normaliser.inverse(values)

    def _encode(self, key: str, values: Tensor) -> Float[Tensor, "n k d"]:
        if key in self.cameras and self.shift != (0, 0):
            values = moved(values, self.shift)
        return self.encoders[_module_name(key)](self.standardise(key, values))

    def _masked(
        self, tokens: Mapping[str, Float[Tensor, "n k d"]]
    ) -> dict[str, Float[Tensor, "n k d"]]:
        """Learned tokens instead of absent keys, and of those left out in training."""
        some = next(iter(tokens.values()))
        left_out = self._left_out(some, len(tokens))
        masked = {}
        for key in self.keys:
            stand_in = self.mask_tokens[_module_name(key)].expand(len(some), 1, -1)
            if key in tokens and left_out is not None:
                gone = left_out[:, list(tokens).index(key), None, None]
                masked[key] = torch.where(gone, stand_in, tokens[key])
            else:
                masked[key] = tokens.get(key, stand_in)
        return masked

    def _left_out(self, some: Float[Tensor, "n k d"], count: int) -> Bool[Tensor, "n c"] | None:
        """Which of the present keys each training observation does without; None when acting."""
        if not self.training:
            return None
        # Like dropout from the global generator, which the training loop seeds at each step.
        drawn = torch.rand(len(some), count, device=some.device)
        # The largest number is below the share only where all are: its key stays.
        return (drawn < self.config.missing) & (drawn < drawn.amax(1, keepdim=True))

    def _fuse(self, tokens: Mapping[str, Float[Tensor, "n k d"]]) -> Float[Tensor, "n k d"]:
        spread = [tokens[key].expand(-1, self.num_tokens, -1) for key in self.keys]
        mean = torch.stack(spread).mean(0)
        return mean + self.fusion(torch.cat(spread, dim=-1))


def moved(images: Tensor, by: tuple[int, int]) -> Tensor:
    """Pictures ``(*batch, height, width, channels)`` moved by rows and columns of pixels; what was
    at the border fills what is bared."""
    rows, columns = (
        (torch.arange(size, device=images.device) - step).clamp(0, size - 1)
        for size, step in zip(images.shape[-3:-1], by, strict=True)
    )
    return images.index_select(-3, rows).index_select(-2, columns)


def _module_name(key: str) -> str:
    # PyTorch does not allow dots in the names of modules.
    return key.replace(".", "_")
