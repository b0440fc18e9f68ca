"""Reading stories with a memory of slots: sentences are written, questions are answered by reading.

A small encoder takes the words of a sentence apart into roles: for each role it weighs the words by
what and where they are. What a word means is the same in every role, in sentences and in questions,
so that a question finds what a sentence wrote about the same words. A sentence makes three writes:
the content that its first entity has under a relation moves to another relation (where it was
before), then its value takes that place, and another value is written at its second entity. A
question is answered by reading several times, each time at the slots that were asked about or read
before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from forethought.config import register
from forethought.data.stories import Story
from forethought.memory.slots import SlotMemoryConfig, SlotState, Trace, Writes
from forethought.perception.encoders import mlp
from forethought.types import ForethoughtError

WRITES = 3
"""How often a sentence writes."""

PAD, UNKNOWN, MASK = 0, 1, 2
"""Words that stand for none, for one that is not known, and for one to be told."""

_SPECIAL = 3
_SENTENCE_ENTITIES = 2
_SENTENCE_VALUES = 2
_SENTENCE_RELATIONS = 3


@register
@dataclass(frozen=True, kw_only=True)
class StoryReaderConfig:
    """A network that reads stories and answers questions.

    Attributes:
        words: its vocabulary.
        answers: what it can answer.
        places: words of the longest sentence or question.
        memory: size of its memory.
        width: of a word.
        hidden: width of the layers between.
        heads: what is read side by side.
        hops: how often it reads before it answers.

    Raises:
        ForethoughtError: no answers, or no hop.
    """

    words: tuple[str, ...]
    answers: tuple[str, ...]
    places: int
    memory: SlotMemoryConfig = field(default_factory=SlotMemoryConfig)
    width: int = 64
    hidden: int = 128
    heads: int = 2
    hops: int = 3

    def __post_init__(self) -> None:
        if not self.answers or min(self.heads, self.hops) < 1:
            raise ForethoughtError(
                f"a reader of stories needs an answer, a head and a hop at least; found "
                f"{len(self.answers)} answers, heads={self.heads}, hops={self.hops}."
            )

    def build(self) -> StoryReader:
        """A reader with weights of its own."""
        return StoryReader(self)


@dataclass(frozen=True, kw_only=True)
class StoryBatch:
    """Stories as numbers, padded to the longest.

    Attributes:
        sentences: ``(b, t, w)`` words of each sentence.
        said: ``(b, t)`` which sentences there are.
        questions: ``(b, q, w)`` words of each question.
        known: ``(b, q)`` sentences that come before each question.
        answers: ``(b, q)`` which answer is right; -1 where there is no question, -2 where the right
            answer is none of the reader's.
    """

    sentences: Int[Tensor, "b t w"]
    said: Bool[Tensor, "b t"]
    questions: Int[Tensor, "b q w"]
    known: Int[Tensor, "b q"]
    answers: Int[Tensor, "b q"]

    def rows(self, chosen: Int[Tensor, " c"]) -> StoryBatch:
        """Some of the stories, padded to the longest of these."""
        parts = {one.name: getattr(self, one.name)[chosen] for one in fields(self)}
        length = max(1, int(parts["said"].sum(1).max()))
        parts["sentences"] = parts["sentences"][:, :length]
        parts["said"] = parts["said"][:, :length]
        return StoryBatch(**parts)


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """What sentences or questions say, taken apart.

    Attributes:
        entities: ``(..., e, d)`` what they are about; each addresses slots.
        values: ``(..., v, d)`` what they say of it.
        relations: ``(..., r, p)`` under which relation, of length one.
        whole: ``(..., u)`` all of it.
    """

    entities: Float[Tensor, "*n e d"]
    values: Float[Tensor, "*n v d"]
    relations: Float[Tensor, "*n r p"]
    whole: Float[Tensor, "*n u"]


class RoleEncoder(nn.Module):
    """Words to roles: softmax over the words for each role, then one meaning for all roles.

    Args:
        config: of the reader.
        roles: numbers of entities, values and relations, of sentences and then of questions.
    """

    def __init__(self, config: StoryReaderConfig, roles: Sequence[tuple[int, int, int]]) -> None:
        super().__init__()
        size, width = config.memory, config.width
        self.roles = tuple(roles)
        self.words = nn.Embedding(len(config.words) + _SPECIAL, width)
        self.places = nn.Embedding(config.places, width)
        scale = 1.5 / width**0.5
        self.seekers = nn.Parameter(scale * torch.randn(sum(map(sum, roles)), width))
        self.masks = nn.Parameter(1 + 0.5 * torch.randn(config.places, width))
        # What is common to all sentences says nothing, and would make all addresses alike.
        self.centred = nn.BatchNorm1d(width)
        self.centred_whole = nn.BatchNorm1d(width)
        self.content = mlp(width, (config.hidden,), size.width)
        self.relation = mlp(width, (config.hidden,), size.relations)
        self.content_of_role = _small(sum(e + v for e, v, _ in roles), size.width)
        self.relation_of_role = _small(sum(r for _, _, r in roles), size.relations)

    def forward(
        self, sentences: Int[Tensor, "n w"], questions: Int[Tensor, "m w"]
    ) -> tuple[Meaning, Meaning]:
        """What sentences and questions mean."""
        words = torch.cat([sentences, questions])
        shown = self.words(words)
        there = (words != PAD).unsqueeze(-1)
        scores = (shown + self.places.weight[: words.shape[1]]) @ self.seekers.T
        weights = scores.masked_fill(~there, -1e9).softmax(1)
        whole = self.centred_whole((shown * self.masks[: words.shape[1]] * there).sum(1))
        parts = (weights.transpose(1, 2) @ shown).split([len(sentences), len(questions)])
        first, second = map(sum, self.roles)
        mine = (parts[0][:, :first], parts[1][:, first : first + second])
        centred = self.centred(torch.cat([one.flatten(0, 1) for one in mine]))
        rows = centred.split([one.shape[0] * one.shape[1] for one in mine])
        wholes = whole.split([len(sentences), len(questions)])
        told, asked = (
            self._meaning(which, row.view_as(one), all_of_it)
            for which, (row, one, all_of_it) in enumerate(zip(rows, mine, wholes, strict=True))
        )
        return told, asked

    def _meaning(
        self, which: int, parts: Float[Tensor, "n o w"], whole: Float[Tensor, "n w"]
    ) -> Meaning:
        entities, values, _ = self.roles[which]
        contents = entities + values
        content_of_role = self.content_of_role.split([e + v for e, v, _ in self.roles])[which]
        relation_of_role = self.relation_of_role.split([r for _, _, r in self.roles])[which]
        content = self.content(parts[:, :contents]) + content_of_role
        relation = self.relation(parts[:, contents:]) + relation_of_role
        return Meaning(
            entities=content[:, :entities],
            values=content[:, entities:],
            relations=functional.normalize(relation, dim=-1),
            whole=whole,
        )


class StoryReader(nn.Module):
    """See the module.

    Args:
        config: vocabulary, answers and sizes.
    """

    def __init__(self, config: StoryReaderConfig) -> None:
        super().__init__()
        self.config = config
        size, hidden = config.memory, config.hidden
        reads = config.heads * config.hops
        self.encoder = RoleEncoder(
            config,
            [
                (_SENTENCE_ENTITIES, _SENTENCE_VALUES, _SENTENCE_RELATIONS),
                (reads, 0, reads),
            ],
        )
        self.memory = size.build()
        self.gates = nn.Linear(config.width, 2 * WRITES)
        self.question = nn.Linear(config.width, hidden)
        read_width = config.heads * size.width
        self.next_hop = nn.ModuleList(
            mlp(hidden + read_width, (hidden,), config.heads * (size.width + size.relations))
            for _ in range(config.hops - 1)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(size.width) for _ in range(config.hops))
        read = config.hops * read_width
        self.weighed = nn.Linear(hidden, read)
        kinds = len(config.answers) + len(config.words) + _SPECIAL
        self.answer = mlp(3 * read + hidden, (hidden,), kinds)
        self.answer_at_once = nn.Linear(2 * read, kinds)

    # ---------------------------------------------------------------------------- whole stories

    def forward(self, batch: StoryBatch) -> Float[Tensor, "b q o"]:
        """How much speaks for each answer to each question; then for each word of the vocabulary,
        where the question has a mask."""
        sentences, which_sentence = _distinct(batch.sentences)
        questions, which_question = _distinct(batch.questions)
        width = max(sentences.shape[1], questions.shape[1])
        told, asked = self.encoder(_padded(sentences, width), _padded(questions, width))
        writes = _taken(self.writes(told), which_sentence)
        said = batch.said.repeat_interleave(WRITES, dim=1)
        trace = self.memory.trace(writes.where(said))
        order = torch.arange(said.shape[1], device=said.device) // WRITES
        known = order < batch.known.unsqueeze(-1)
        return self._answer(trace, _gathered(asked, which_question), known)

    def writes(self, told: Meaning) -> Writes:
        """What each sentence writes: ``(n, 3, ...)``."""
        first, second = self.memory.address(told.entities).unbind(1)
        here, before, other = told.relations.unbind(1)
        none, nothing = torch.zeros_like(here), torch.zeros_like(told.values[:, 0])
        gates = torch.sigmoid(self.gates(told.whole) + 1).unflatten(-1, (WRITES, 2))
        return Writes(
            address=torch.stack([first, first, second], 1),
            relation=torch.stack([before, here, other], 1),
            source=torch.stack([here, none, none], 1),
            value=torch.stack([nothing, told.values[:, 0], told.values[:, 1]], 1),
            gate=gates[..., :1],
            erase=gates[..., 1:],
        )

    # ------------------------------------------------------------------------ sentence by sentence

    def hear(self, state: SlotState, sentences: Int[Tensor, "b w"]) -> SlotState:
        """The memory after one more sentence of each story; for readers that have learned."""
        told, _ = self.encoder(sentences, sentences)
        return self.memory.write(state, self.writes(told))

    # ------------------------------------------------------------------------------------ answering

    def _answer(
        self, trace: Trace, asked: Meaning, known: Bool[Tensor, "b q w"]
    ) -> Float[Tensor, "b q o"]:
        heads, hops = self.config.heads, self.config.hops
        known = known.repeat_interleave(heads, dim=1)
        about = asked.entities.unflatten(-2, (hops, heads))
        relations = asked.relations.unflatten(-2, (hops, heads))
        question = functional.gelu(self.question(asked.whole))
        plain: list[Tensor] = []
        normed: list[Tensor] = []
        for hop in range(hops):
            content, relation = about[:, :, hop], relations[:, :, hop]
            if hop:
                more = self._sought(hop, question, normed[-1])
                content = content + more[0] + normed[-1].unflatten(-1, (heads, -1))
                relation = functional.normalize(relation + more[1], dim=-1)
            address = self.memory.address(content).flatten(1, 2)
            found = self.memory.recall(trace, address, relation.flatten(1, 2), known)
            found = found.unflatten(1, (-1, heads))
            plain.append(found.flatten(2))
            normed.append(self.norms[hop](found).flatten(2))
        reads, scaled = torch.cat(plain, -1), torch.cat(normed, -1)
        seen = torch.cat([question, reads, scaled, reads * self.weighed(question)], -1)
        return self.answer(seen) + self.answer_at_once(torch.cat([reads, scaled], -1))

    def _sought(self, hop: int, question: Tensor, found: Tensor) -> tuple[Tensor, Tensor]:
        """What is asked next, besides what the question says and what was found."""
        size = self.config.memory
        more = self.next_hop[hop - 1](torch.cat([question, found], -1))
        parts = more.unflatten(-1, (self.config.heads, -1)).split([size.width, size.relations], -1)
        return parts[0], parts[1]


# ------------------------------------------------------------------------------------ to numbers


def story_batch(stories: Sequence[Story], config: StoryReaderConfig) -> StoryBatch:
    """Stories as numbers, for one reader.

    Raises:
        ForethoughtError: no stories, a story without questions or sentences, or one whose sentences
            are longer than the reader's places.
    """
    if not stories or not all(story.sentences and story.questions for story in stories):
        raise ForethoughtError(
            "expected stories that each have a sentence and a question; found "
            f"{len(stories)} stories, some of them without."
        )
    every = [w for s in stories for w in (*s.sentences, *(q.words for q in s.questions))]
    if (longest := max(map(len, every))) > config.places:
        raise ForethoughtError(
            f"found a sentence of {longest} words; this reader takes up to {config.places}. Build "
            "one with more places."
        )
    words = {word: number for number, word in enumerate(config.words, start=_SPECIAL)}
    told = [[_numbers(sentence, words) for sentence in story.sentences] for story in stories]
    asked = [[_numbers(q.words, words) for q in story.questions] for story in stories]
    answers = {answer: number for number, answer in enumerate(config.answers)}
    sentences = _stacked(told, longest)
    return StoryBatch(
        sentences=sentences,
        said=(sentences != PAD).any(-1),
        questions=_stacked(asked, longest),
        known=_flat([[q.known for q in story.questions] for story in stories], 0),
        answers=_flat([[answers.get(q.answer, -2) for q in s.questions] for s in stories], -1),
    )


def masked_questions(
    batch: StoryBatch, number: int, generator: torch.Generator
) -> tuple[StoryBatch, Int[Tensor, "b m"]]:
    """Asks for words of sentences that were said: reading is learned from stories alone.

    Args:
        batch: stories.
        number: of words asked for in each.
        generator: chooses sentence, word, and after which sentence it is asked.

    Returns:
        The stories with these questions behind the others, and the words that are right.
    """
    lengths = batch.said.sum(1, keepdim=True)
    luck = torch.rand(3, len(lengths), number, generator=generator).to(lengths.device)
    which = (luck[0] * lengths).long()
    sentences = batch.sentences.gather(
        1, which.unsqueeze(-1).expand(-1, -1, batch.sentences.shape[2])
    )
    place = (luck[1] * (sentences != PAD).sum(-1)).long().unsqueeze(-1)
    known = which + 1 + (luck[2] * (lengths - which)).long()
    width = max(sentences.shape[2], batch.questions.shape[2])
    asked = _padded(sentences.scatter(2, place, MASK), width)
    more = replace(
        batch,
        questions=torch.cat([_padded(batch.questions, width), asked], 1),
        known=torch.cat([batch.known, known], 1),
        answers=torch.cat([batch.answers, torch.full_like(known, -1)], 1),
    )
    return more, sentences.gather(2, place).squeeze(-1)


def _numbers(sentence: Sequence[str], words: Mapping[str, int]) -> Int[Tensor, " w"]:
    return torch.tensor([words.get(word, UNKNOWN) for word in sentence])


def _stacked(stories: Sequence[Sequence[Tensor]], width: int) -> Int[Tensor, "b t w"]:
    length = max(map(len, stories))
    table = torch.full((len(stories), length, width), PAD)
    for row, story in zip(table, stories, strict=True):
        for place, words in zip(row, story, strict=False):
            place[: len(words)] = words
    return table


def _flat(values: Sequence[Sequence[int]], padding: int) -> Int[Tensor, "b q"]:
    rows = [torch.tensor(row) for row in values]
    return nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=padding)


def _padded(words: Int[Tensor, "*b w"], width: int) -> Int[Tensor, "*b v"]:
    return functional.pad(words, (0, width - words.shape[-1]), value=PAD)


def _distinct(words: Int[Tensor, "b t w"]) -> tuple[Int[Tensor, "n w"], Int[Tensor, "b t"]]:
    """The different sentences, and which of them each is: stories repeat a few."""
    rows, which = torch.unique(words.flatten(0, 1), dim=0, return_inverse=True)
    return rows, which.view(words.shape[:2])


def _taken(writes: Writes, which: Int[Tensor, "b t"]) -> Writes:
    """Those of each story's sentences, one after another."""
    parts = {one.name: getattr(writes, one.name)[which].flatten(1, 2) for one in fields(writes)}
    return Writes(**parts)


def _gathered(meaning: Meaning, which: Int[Tensor, "b q"]) -> Meaning:
    return Meaning(**{one.name: getattr(meaning, one.name)[which] for one in fields(meaning)})


def _small(rows: int, width: int) -> nn.Parameter:
    return nn.Parameter(0.3 / width**0.5 * torch.randn(rows, width))
