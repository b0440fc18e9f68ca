"""A reader learns where people are, and an interrupted run ends with the same weights."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from forethought.data.stories import Question, Story
from forethought.learning.stories import StoryTrainingConfig, train_on_stories, wrong_answers
from forethought.memory import SlotMemoryConfig
from forethought.memory.story_reader import story_batch
from forethought.types import ForethoughtError

PEOPLE, PLACES = ("ann", "bob", "carl"), ("hall", "park", "shed", "yard")
BASE = StoryTrainingConfig()
TRAINING = replace(
    BASE,
    optimiser=replace(BASE.optimiser, num_steps=120, warmup_steps=10),
    num_rounds=2,
    growth=1.0,
    memory=SlotMemoryConfig(slots=16, relations=4, width=16),
)


def stories(number: int) -> list[Story]:
    """People walk about; it is asked where one of them is."""
    generator = torch.Generator().manual_seed(0)
    told = []
    for _ in range(number):
        moves = torch.randint(12, (5,), generator=generator).tolist()
        where = {PEOPLE[move % 3]: PLACES[move // 3] for move in moves}
        sentences = tuple((PEOPLE[m % 3], "went", "to", PLACES[m // 3]) for m in moves)
        questions = tuple(
            Question(words=("where", "is", who), answer=place, known=5)
            for who, place in where.items()
        )
        told.append(Story(sentences=sentences, questions=questions))
    return told


def test_who_is_where_is_learned_and_the_order_counts(tmp_path: Path) -> None:
    run = train_on_stories(stories(400), TRAINING, tmp_path, visible=False)
    assert run.held_out_error < 0.05
    moved = Story(
        sentences=(("ann", "went", "to", "hall"), ("ann", "went", "to", "park")),
        questions=(Question(words=("where", "is", "ann"), answer="park", known=2),),
    )
    assert wrong_answers(run.reader, story_batch([moved], run.reader.config)) == 0
    back = replace(moved, sentences=moved.sentences[::-1])
    assert wrong_answers(run.reader, story_batch([back], run.reader.config)) == 1


def test_a_run_that_is_resumed_ends_as_if_never_interrupted(tmp_path: Path) -> None:
    short = replace(
        TRAINING, optimiser=replace(TRAINING.optimiser, num_steps=3), num_rounds=3, enough=-1.0
    )
    whole = train_on_stories(stories(40), short, tmp_path / "whole", visible=False)
    begun = tmp_path / "begun"
    train_on_stories(stories(40), replace(short, num_rounds=1), begun, visible=False)
    shutil.copy(tmp_path / "whole" / "run.json", begun / "run.json")
    resumed = train_on_stories(stories(40), short, begun, visible=False)
    for one, other in zip(whole.reader.parameters(), resumed.reader.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    assert resumed.num_steps == whole.num_steps == 9


def test_the_reader_of_the_best_round_is_what_is_left(tmp_path: Path) -> None:
    """Whichever round that was: with such steps held-out error goes up and down."""
    wild = replace(
        TRAINING,
        optimiser=replace(TRAINING.optimiser, num_steps=4, warmup_steps=0, learning_rate=0.3),
        num_rounds=6,
        enough=-1.0,
    )
    run = train_on_stories(stories(60), wild, tmp_path, visible=False)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    ends = {line["stage"]: line["held_out_error"] for line in lines if "held_out_error" in line}
    errors = list(ends.values())
    assert len(errors) == 6 and errors[-1] > min(errors)
    assert run.held_out_error == min(errors)
    held_out = story_batch(stories(60)[:6], run.reader.config)
    assert wrong_answers(run.reader, held_out) == run.held_out_error


def test_a_folder_of_another_run_and_too_few_stories_are_refused(tmp_path: Path) -> None:
    short = replace(TRAINING, optimiser=replace(TRAINING.optimiser, num_steps=1), num_rounds=1)
    train_on_stories(stories(20), short, tmp_path, visible=False)
    with pytest.raises(ForethoughtError, match="another seed"):
        train_on_stories(stories(20), short, tmp_path, seed=1, visible=False)
    with pytest.raises(ForethoughtError, match="give more"):
        train_on_stories(stories(1), short, tmp_path / "few", visible=False)
    with pytest.raises(ForethoughtError, match="held_out"):
        replace(TRAINING, held_out=0.0)
