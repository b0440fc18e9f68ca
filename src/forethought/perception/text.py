"""Text: the task in words, told as bytes of UTF-8, to one token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn

from forethought.config import register
from forethought.perception.attention import TransformerBlock
from forethought.perception.backbone import (
    Backbone,
    PretrainedEncoderConfig,
    build_tokenizer,
    read_architecture,
    read_tokenizer,
)
from forethought.perception.encoders import EncoderConfig
from forethought.types import ArraySpec, ForethoughtError, to_bytes

START = 256
"""Stands before the 256 bytes, so that empty text is also something to look at."""


def to_text(values: UInt8[Tensor, " l"]) -> str:
    """The inverse of :func:`forethought.types.to_bytes`; what is no UTF-8 is left out."""
    return bytes(values.tolist()).rstrip(b"\0").decode(errors="ignore")


@register
@dataclass(frozen=True, kw_only=True)
class ByteTextConfig(EncoderConfig):
    """A small transformer over bytes, trained from scratch, to one token: their mean.

    Attributes:
        width: width d of the token.
        hidden: width inside; a multiple of ``heads``.
        depth: transformer blocks.
        heads: of attention in each.
    """

    width: int = 16
    hidden: int = 64
    depth: int = 2
    heads: int = 4

    def build(self, spec: ArraySpec, frame_stack: int) -> nn.Module:
        """See :class:`EncoderConfig`."""
        _check_text(type(self).__name__, spec)
        return ByteText(self, spec.shape[0])

    def tokens(self, spec: ArraySpec) -> tuple[int, int]:
        """See :class:`EncoderConfig`."""
        return 1, self.width


class SymbolText(nn.Module):
    """Symbols and their places to vectors, transformer blocks, the mean over what is said.

    Args:
        symbols: how many there are; the first stands for nothing said.
        longest: symbols of the longest text.
        hidden: width inside; a multiple of ``heads``.
        depth: transformer blocks.
        heads: of attention in each.
        width: of what comes out.
    """

    def __init__(
        self, symbols: int, longest: int, *, hidden: int, depth: int, heads: int, width: int
    ) -> None:
        super().__init__()
        self.letters = nn.Embedding(symbols, hidden)
        self.places = nn.Embedding(longest, hidden)
        self.blocks = nn.ModuleList([TransformerBlock(hidden, heads) for _ in range(depth)])
        self.norm = nn.LayerNorm(hidden)
        self.head = nn.Linear(hidden, width)

    def read(self, symbols: Int[Tensor, "m s"]) -> Float[Tensor, "m w"]:
        """One vector for each text, zeros after its end; something must be said in each."""
        said = symbols != 0
        tokens = self.letters(symbols) + self.places.weight[: symbols.shape[1]]
        for block in self.blocks:
            tokens = block(tokens, said.unsqueeze(1))
        return self.head(_mean(self.norm(tokens), said))


class ByteText(SymbolText):
    """A text by its bytes, see :class:`ByteTextConfig`."""

    def __init__(self, config: ByteTextConfig, length: int) -> None:
        super().__init__(
            START + 1,
            length + 1,
            hidden=config.hidden,
            depth=config.depth,
            heads=config.heads,
            width=config.width,
        )

    def forward(self, values: UInt8[Tensor, "n f l"]) -> Float[Tensor, "n 1 d"]:
        """One token per observation, of the text in its latest frame."""
        texts, which = _distinct(values)
        letters = nn.functional.pad(texts.long(), (1, 0), value=START)
        return self.read(letters)[which].unsqueeze(1)


@register
@dataclass(frozen=True, kw_only=True)
class TextArchitecture:
    """A published network of text, enough to build it again without its files.

    Attributes:
        network: its configuration in `transformers`, in JSON types.
        tokenizer: its tokeniser, as the package `tokenizers` writes it.
    """

    network: Mapping[str, Any]
    tokenizer: str


@register
@dataclass(frozen=True, kw_only=True)
class PretrainedTextConfig(PretrainedEncoderConfig):
    """A published network of text, fine-tuned or as it is, to one token: the mean of its features,
    brought to the latent's width by a trained linear map.

    Attributes:
        source: folder of the network and its tokeniser, or its ``owner/name`` on the hub.
        trained: blocks that are fine-tuned, counted from the last; 0 for none, None for all of it.
        width: width d of the token.
        architecture: what was found at the source; None until it was read, see :meth:`resolved`.
    """

    architecture: TextArchitecture | None = None

    def read(self) -> TextArchitecture:
        """See :class:`PretrainedEncoderConfig`."""
        network = read_architecture(self.source, "text_config")
        if network.get("is_encoder_decoder") or "hidden_size" not in network:
            raise ForethoughtError(
                f"{self.source}: found a network of type {network['model_type']!r} that has a "
                "decoder or no hidden_size; expected an encoder of text, like BERT."
            )
        return TextArchitecture(network=network, tokenizer=read_tokenizer(self.source))

    def build(self, spec: ArraySpec, frame_stack: int) -> nn.Module:
        """See :class:`EncoderConfig`; weights are random until the published ones are loaded."""
        _check_text(type(self).__name__, spec)
        return PretrainedText(self, self.architecture or self.read())

    def tokens(self, spec: ArraySpec) -> tuple[int, int]:
        """See :class:`EncoderConfig`."""
        return 1, self.width


class PretrainedText(nn.Module):
    """See :class:`PretrainedTextConfig`."""

    def __init__(self, config: PretrainedTextConfig, architecture: TextArchitecture) -> None:
        super().__init__()
        self.tokenizer = build_tokenizer(architecture.tokenizer)
        self.tokenizer.no_padding()
        if positions := architecture.network.get("max_position_embeddings"):
            self.tokenizer.enable_truncation(positions)
        self.padding = architecture.network.get("pad_token_id") or 0
        self.backbone = Backbone(config, architecture.network)
        self.head = nn.Linear(architecture.network["hidden_size"], config.width)

    def forward(self, values: UInt8[Tensor, "n f l"]) -> Float[Tensor, "n 1 d"]:
        """One token per observation, of the text in its latest frame."""
        texts, which = _distinct(values)
        ids, said = (part.to(values.device) for part in self._ids(texts))
        features = self.backbone(input_ids=ids, attention_mask=said.long())
        return self.head(_mean(features, said))[which].unsqueeze(1)

    def _ids(self, texts: UInt8[Tensor, "m l"]) -> tuple[Int[Tensor, "m s"], Bool[Tensor, "m s"]]:
        """Numbers of the pieces of each text, and which of them are not padding."""
        found = self.tokenizer.encode_batch([to_text(text) for text in texts.cpu()])
        pieces = [torch.tensor(one.ids or [self.padding]) for one in found]
        said = [torch.ones(len(piece), dtype=torch.bool) for piece in pieces]
        pad = nn.utils.rnn.pad_sequence
        return pad(pieces, batch_first=True, padding_value=self.padding), pad(said, True)


def _distinct(
    values: UInt8[Tensor, "n f l"],
) -> tuple[UInt8[Tensor, "m l"], Int[Tensor, " n"]]:
    """The different texts of the latest frames, and which of them each is: a batch has few."""
    return torch.unique(values[:, -1], dim=0, return_inverse=True)


def _mean(features: Float[Tensor, "m s w"], said: Bool[Tensor, "m s"]) -> Float[Tensor, "m w"]:
    weights = said.unsqueeze(-1).to(features)
    return (features * weights).sum(1) / weights.sum(1)


def _check_text(name: str, spec: ArraySpec) -> None:
    if len(spec.shape) != 1 or spec.dtype != "uint8":
        raise ForethoughtError(
            f"{name} needs text as uint8 bytes of shape (length,), found {spec.dtype} "
            f"{spec.shape}; choose MLPEncoderConfig for vectors, CNNConfig for images."
        )


__all__ = [
    "ByteText",
    "ByteTextConfig",
    "PretrainedText",
    "PretrainedTextConfig",
    "SymbolText",
    "TextArchitecture",
    "to_bytes",
    "to_text",
]
