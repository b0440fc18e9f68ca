"""Perception: a whole observation to one latent, whatever sensors it has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from forethought.config import register
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
    """

    encoders: Mapping[str, EncoderConfig]
    frame_stack: int = 1
    frame_gap: int = 1
    fusion: int = 128

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

    Args:
        config: which encoders.
        signature: what the observations are.
        normalisers: per vector key, its standardisation.
    """

    def __init__(
        self,
        config: PerceptionConfig,
        signature: Signature,
        normalisers: Mapping[str, Normaliser],
    ) -> None:
        super().__init__()
        self.config = config
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

    def forward(self, observation: Mapping[str, Tensor]) -> Float[Tensor, "n k d"]:
        """Latents of observations.

        Args:
            observation: per key ``(n, f, ...)``; uint8 images and float vectors, world units.
        """
        tokens = [self._encode(key, observation[key]) for key in self.keys]
        return tokens[0] if len(tokens) == 1 else self._fuse(tokens)

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

    def _encode(self, key: str, values: Tensor) -> Float[Tensor, "n k d"]:
        return self.encoders[_module_name(key)](self.standardise(key, values))

    def _fuse(self, tokens: list[Float[Tensor, "n k d"]]) -> Float[Tensor, "n k d"]:
        spread = [t.expand(-1, self.num_tokens, -1) for t in tokens]
        mean = torch.stack(spread).mean(0)
        return mean + self.fusion(torch.cat(spread, dim=-1))


def _module_name(key: str) -> str:
    # PyTorch does not allow dots in the names of modules.
    return key.replace(".", "_")
