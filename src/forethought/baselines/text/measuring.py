"""How surprised a model is by a text, in nats: every byte is predicted exactly once."""

from __future__ import annotations

from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from forethought.baselines.text.model import WINDOWS_AT_ONCE, TextModel
from forethought.baselines.text.tokens import MASK, stream_of, tokenise
from forethought.types import ForethoughtError


def windows(
    length: int, context: int, *, both_sides: bool
) -> tuple[Int[Tensor, " w"], Int[Tensor, " w_plus_1"]]:
    """Half-overlapping windows over a text, and which part of the text each one answers for.

    Args:
        length: of the text, in tokens.
        context: of the windows; a shorter text has one of its own length.
        both_sides: whether a token is judged by what surrounds it, or by what comes before.

    Returns:
        Where each window starts, and the borders of the parts: window ``w`` answers for the tokens
        from ``borders[w]`` up to ``borders[w + 1]``, for which it has the most to go by.

    Raises:
        ForethoughtError: the text is empty.
    """
    if not length:
        raise ForethoughtError("the text is empty; there is nothing to predict.")
    size = min(context, length)
    starts = [*range(0, length - size, max(1, size // 2)), length - size]
    inner = [
        (start + size + following) // 2 if both_sides else start + size
        for start, following in pairwise(starts)
    ]
    return torch.tensor(starts), torch.tensor([0, *inner, length])


def next_token_nats(model: TextModel, text: str) -> Float[Tensor, " n"]:
    """How surprised the model is by each byte of a text, given at least half a context before it.

    The first half context, which has less before it, begins at :data:`END`.

    Returns:
        Minus the logarithm of the probability of each byte.

    Raises:
        ForethoughtError: the text is empty, or the model is not causal.
    """
    model.check_causal(True)
    tokens = stream_of([text])[:-1]
    return _window_nats(model, tokens[:-1], tokens[1:])


def masked_nats(
    model: TextModel, text: str, *, share: float, generator: torch.Generator
) -> Float[Tensor, " n"]:
    """How surprised the model is by each byte when it and others, drawn at random, are masked.

    The bytes are dealt into ``1 / share`` rounds, and in each round those of one are masked. With
    other bytes masked too this is no likelihood of the text: pseudo-nats.

    Args:
        model: not causal.
        text: one byte or more.
        share: of the bytes that are masked at a time.
        generator: deals the bytes.

    Returns:
        Minus the logarithm of the probability of each byte.

    Raises:
        ForethoughtError: the text is empty, or the model is causal.
    """
    model.check_causal(False)
    tokens = tokenise(text)
    num_rounds = max(1, round(1 / share))
    turn = torch.randperm(len(tokens), generator=generator) % num_rounds
    nats = torch.full((len(tokens),), torch.nan)
    for number in range(num_rounds):
        masked = turn == number
        found = _window_nats(model, tokens.where(~masked, torch.tensor(MASK)), tokens)
        nats = torch.where(masked, found, nats)
    return nats


def per_character(nats: Float[Tensor, " n"], text: str) -> float:
    """Nats of all bytes of a text, divided among its characters."""
    return float(nats.double().sum()) / len(text)


@torch.no_grad()
def _window_nats(model: TextModel, inputs: Tensor, targets: Tensor) -> Float[Tensor, " n"]:
    """The loss of each target, from the window that answers for it."""
    context, causal = model.config.context, model.config.causal
    starts, borders = windows(len(inputs), context, both_sides=not causal)
    places = starts[:, None] + torch.arange(min(context, len(inputs)))
    found = []
    for some in places.split(WINDOWS_AT_ONCE):
        logits = model.transformer(inputs[some].to(model.transformer.device))
        found.append(
            nn.functional.cross_entropy(
                logits.flatten(0, 1), targets[some].flatten().to(logits.device), reduction="none"
            )
            .view(some.shape)
            .cpu()
        )
    place = torch.arange(len(inputs))
    window = torch.searchsorted(borders[1:], place, right=True)
    return torch.cat(found)[window, place - starts[window]]
