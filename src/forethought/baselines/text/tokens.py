"""Text as tokens: its bytes, and three more."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from forethought.types import ForethoughtError

PAD = 256
"""Fills up batches; never predicted."""
MASK = 257
"""Stands where a byte is to be guessed."""
END = 258
"""Before, between and after texts."""
VOCABULARY = 259
"""The bytes and the three ids above."""


def tokenise(text: str) -> Int[Tensor, " n"]:
    """The UTF-8 bytes of a text.

    Raises:
        ForethoughtError: the text holds half of a character (a lone surrogate).
    """
    try:
        return torch.tensor(list(text.encode()), dtype=torch.long)
    except UnicodeEncodeError as error:
        raise ForethoughtError(
            f"the text holds no character at position {error.start} ({error.reason}); read it "
            "again with the encoding that it was written in."
        ) from error


def untokenise(tokens: Int[Tensor, " n"]) -> str:
    """The text of some tokens: special ids say nothing, broken characters become U+FFFD."""
    return bytes(token for token in tokens.tolist() if token < PAD).decode(errors="replace")


def stream_of(texts: Sequence[str]) -> Int[Tensor, " n"]:
    """Texts one after another, with :data:`END` before, between and after them."""
    end = torch.tensor([END])
    return torch.cat([end, *(part for text in texts for part in (tokenise(text), end))])


def split(text: str, *, held_out: float = 0.1) -> tuple[str, str]:
    """The beginning of a text, for training, and its last share, which training never sees."""
    border = round(len(text) * (1 - held_out))
    return text[:border], text[border:]
