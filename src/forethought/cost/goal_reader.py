"""Goals in words: sentences and what is seen, in one space, and the places that words stand for.

A small encoder reads a sentence, another looks at a latent, and both come to one sphere, where a
sentence lies near the states that it may be said of (CLIP, Radford et al., 2021). How it is learned
is :mod:`forethought.learning.wording`'s affair.

How like a sentence an imagined state is says little about how far it is from what is meant, so that
words are not sought in that space. They are looked up: the reader keeps states that were recorded.
How likely the words mean each of them is what learning has made of likeness, and the state of least
expected distance to what is meant is sought as a goal that is shown would be, by the agent's own
way of seeking. It lies within what the words may mean, not at its edge.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from forethought.config import register
from forethought.perception.encoders import mlp
from forethought.perception.text import SymbolText
from forethought.types import Distance, ForethoughtError, words_of

NEAREST = 3
"""Known words that are told beside an unknown one."""
ROWS = 16
"""States whose distances to all others are taken at once."""


@register
@dataclass(frozen=True, kw_only=True)
class GoalReaderConfig:
    """What reads goals in words.

    Attributes:
        words: its vocabulary, lower case; told by what it learns from.
        longest: words of the longest sentence; told likewise.
        shared: width of the space of sentences and states.
        hidden: width of a word; a multiple of ``heads``.
        depth: transformer blocks over the words.
        heads: of attention in each.
        looking: width of each hidden layer between a latent and that space.
        remembered: recorded states that it knows.
        likely: how many of them, at most, a sentence may mean.

    Raises:
        ForethoughtError: no places for words, or no states to know.
    """

    words: tuple[str, ...] = ()
    longest: int = 1
    shared: int = 32
    hidden: int = 32
    depth: int = 1
    heads: int = 4
    looking: tuple[int, ...] = (128, 128)
    remembered: int = 2000
    likely: int = 256

    def __post_init__(self) -> None:
        if min(self.longest, self.remembered, self.likely) < 1:
            raise ForethoughtError(
                f"a reader of goals needs a place for a word and a state to know; found "
                f"longest={self.longest}, remembered={self.remembered} and likely={self.likely}."
            )

    def build(self, tokens: int, width: int) -> GoalReader:
        """A reader of goals for latents ``(tokens, width)``."""
        return GoalReader(self, tokens, width)


class GoalReader(nn.Module):
    """Reads sentences, looks at latents, and knows recorded states.

    Args:
        config: its words and sizes.
        tokens: of a latent.
        width: of each.

    Attributes:
        states: ``(m, k, d)`` recorded states that words may stand for.
        least: how like a sentence the nearest of them must be for the sentence to be understood.
    """

    states: Tensor
    least: Tensor

    def __init__(self, config: GoalReaderConfig, tokens: int, width: int) -> None:
        super().__init__()
        self.config = config
        self.text = SymbolText(
            len(config.words) + 1,
            config.longest,
            hidden=config.hidden,
            depth=config.depth,
            heads=config.heads,
            width=config.shared,
        )
        self.look = mlp(tokens * width, config.looking, config.shared)
        self.sharpness = nn.Parameter(torch.tensor(10.0).log())
        self.register_buffer("states", torch.zeros(config.remembered, tokens, width))
        self.register_buffer("least", torch.tensor(-1.0))
        self._numbers = {word: number for number, word in enumerate(config.words, start=1)}

    def numbers(self, sentences: Sequence[str]) -> Int[Tensor, "n s"]:
        """Sentences by the numbers of their words, zeros behind.

        Raises:
            ForethoughtError: a sentence without words, with more than were ever read, or with words
                that are not known; names them, and known words that are like them.
        """
        rows = [self._numbers_of(sentence) for sentence in sentences]
        table = nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
        return table.to(self.states.device)

    def _numbers_of(self, sentence: str) -> list[int]:
        words = words_of(sentence)
        if unknown := [word for word in dict.fromkeys(words) if word not in self._numbers]:
            told = ", ".join(map(self._unknown, unknown))
            raise ForethoughtError(
                f"the goal {sentence!r} has words that no recording says: {told}. Say it in words "
                f"of the recordings ({len(self._numbers)} are known)."
            )
        if not 1 <= len(words) <= self.config.longest:
            raise ForethoughtError(
                f"found the goal {sentence!r} of {len(words)} words; say it in 1 to "
                f"{self.config.longest} words, as the recordings do."
            )
        return [self._numbers[word] for word in words]

    def _unknown(self, word: str) -> str:
        """A word that is not known, and those nearest to it."""
        near = difflib.get_close_matches(word, self.config.words, n=NEAREST, cutoff=0.4)
        return f"{word!r} (near it: {', '.join(map(repr, near))})" if near else repr(word)

    def of_sentences(self, sentences: Int[Tensor, "n s"]) -> Float[Tensor, "n e"]:
        """Where sentences lie, by :meth:`numbers`; of length one."""
        return functional.normalize(self.text.read(sentences), dim=-1)

    def of_states(self, latents: Float[Tensor, "*b k d"]) -> Float[Tensor, "*b e"]:
        """Where latents lie; of length one."""
        return functional.normalize(self.look(latents.flatten(-2)), dim=-1)

    def likeness(
        self, sentences: Int[Tensor, "n s"], latents: Float[Tensor, "m k d"]
    ) -> Float[Tensor, "n m"]:
        """How like each sentence each state is, from -1 to 1."""
        return self.of_sentences(sentences) @ self.of_states(latents).T

    def sharpened(self, likeness: Float[Tensor, "n m"]) -> Float[Tensor, "n m"]:
        """Likeness as it is compared while learning: by how many times it is multiplied is learned
        as well, a hundred at most."""
        return likeness * self.sharpness.exp().clamp(max=100.0)

    @torch.no_grad()
    def meant(self, sentences: Sequence[str], distance: Distance) -> Float[Tensor, "n k d"]:
        """The recorded state that each sentence stands for.

        Args:
            sentences: goals in words.
            distance: from a state to another; in it the state chosen has least way to go to
                whatever else the sentence may mean.

        Raises:
            ForethoughtError: see :meth:`numbers`; or no state is as like a sentence as is usual.
        """
        likeness = self.likeness(self.numbers(sentences), self.states)
        for sentence, found in zip(sentences, likeness.amax(1).tolist(), strict=True):
            if found < float(self.least):
                raise ForethoughtError(
                    f"no recorded state is like the goal {sentence!r}: the nearest has a likeness "
                    f"of {found:.2f}, of what is said in recordings at least "
                    f"{float(self.least):.2f}. Say it otherwise, or record such states with words "
                    "and learn again."
                )
        chances = self.sharpened(likeness).softmax(1)
        return torch.stack([self._middle(chance, distance) for chance in chances])

    def _middle(self, chances: Float[Tensor, " m"], distance: Distance) -> Float[Tensor, "k d"]:
        """Of the states that are most likely meant, that of least expected distance to the one."""
        chance, which = chances.topk(min(self.config.likely, len(chances)))
        states = self.states[which]
        ways = [distance(some[:, None], states[None]) @ chance for some in states.split(ROWS)]
        return states[torch.cat(ways).argmin()]
