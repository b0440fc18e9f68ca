"""A reader of stories knows what was said by the time it is asked, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from forethought.data.stories import Question, Story
from forethought.memory import SlotMemoryConfig
from forethought.memory.story_reader import (
    MASK,
    PAD,
    WRITES,
    StoryBatch,
    StoryReader,
    StoryReaderConfig,
    masked_questions,
    story_batch,
)
from forethought.types import ForethoughtError

PEOPLE, PLACES = ("ann", "bob"), ("hall", "park", "shed")
CONFIG = StoryReaderConfig(
    words=(*PEOPLE, *PLACES, "to", "where"),
    answers=PLACES,
    places=4,
    memory=SlotMemoryConfig(slots=8, relations=4, width=8),
    width=8,
    hidden=16,
)


def story(*moves: str, asked: int = 1) -> Story:
    sentences = tuple((*move.split()[:1], "to", move.split()[1]) for move in moves)
    questions = tuple(
        Question(words=("where", "ann"), answer="hall", known=len(moves)) for _ in range(asked)
    )
    return Story(sentences=sentences, questions=questions)


def reader() -> StoryReader:
    torch.manual_seed(0)
    return CONFIG.build().eval()


STORIES = [
    story("ann hall"),
    story("ann park", "bob hall", "ann shed", asked=3),
    story("bob park", "ann hall", asked=2),
]


@torch.no_grad()
def test_stories_of_a_batch_are_answered_as_one_by_one() -> None:
    network, batch = reader(), story_batch(STORIES, CONFIG)
    together = network(batch)
    for row, one in enumerate(STORIES):
        alone = network(story_batch([one], CONFIG))[0]
        torch.testing.assert_close(together[row, : len(alone)], alone, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_what_is_said_later_does_not_matter() -> None:
    network, batch = reader(), story_batch(STORIES[1:2], CONFIG)
    early = replace(batch, known=torch.ones_like(batch.known))
    told_less = batch.rows(torch.tensor([0]))
    other = told_less.sentences.clone()
    other[:, 1:] = other[:, :1]
    torch.testing.assert_close(network(early), network(replace(early, sentences=other)))
    assert not torch.allclose(network(batch), network(early))


@torch.no_grad()
def test_hearing_in_turn_leaves_what_reading_at_once_does() -> None:
    network, batch = reader(), story_batch(STORIES[1:2], CONFIG)
    state = network.memory.empty(1)
    for sentence in batch.sentences.unbind(1):
        state = network.hear(state, sentence)
    told, _ = network.encoder(batch.sentences[0], batch.sentences[0])
    writes = network.writes(told)
    whole = {name: part.flatten(0, 1).unsqueeze(0) for name, part in vars(writes).items()}
    trace = network.memory.trace(type(writes)(**whole))
    done = WRITES * batch.sentences.shape[1]
    torch.testing.assert_close(trace.until(done).slots, state.slots, rtol=1e-4, atol=1e-5)


def test_masked_words_are_of_sentences_that_were_said() -> None:
    batch = story_batch(STORIES, CONFIG)
    generator = torch.Generator().manual_seed(0)
    asked, words = masked_questions(batch, 50, generator)
    new = asked.questions[:, batch.questions.shape[1] :]
    assert bool(((new == MASK).sum(-1) == 1).all())
    assert bool((words != PAD).all()) and bool((words != MASK).all())
    filled = torch.where(new == MASK, words.unsqueeze(-1), new)
    for row, one in enumerate(STORIES):
        for question in range(50):
            said = int(asked.known[row, batch.known.shape[1] + question])
            assert 1 <= said <= len(one.sentences)
            sentence = filled[row, question]
            assert any(torch.equal(sentence, s) for s in batch.sentences[row, :said])


def test_questions_without_a_known_answer_are_marked() -> None:
    odd = replace(STORIES[0], questions=(replace(STORIES[0].questions[0], answer="moon"),))
    batch: StoryBatch = story_batch([odd, STORIES[1]], CONFIG)
    assert batch.answers.tolist() == [[-2, -1, -1], [0, 0, 0]]


def test_stories_that_do_not_fit_are_refused() -> None:
    long = replace(STORIES[0], sentences=(("to",) * 5,))
    with pytest.raises(ForethoughtError, match="5 words; this reader takes up to 4"):
        story_batch([long], CONFIG)
    with pytest.raises(ForethoughtError, match="a sentence and a question"):
        story_batch([replace(STORIES[0], questions=())], CONFIG)
    with pytest.raises(ForethoughtError, match="hops=0"):
        replace(CONFIG, hops=0)
