"""Stories are read as they stand in the archive, and generated ones keep the facts straight."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from forethought.data.stories import (
    Question,
    Story,
    answers,
    parse_stories,
    read_babi,
    three_facts,
    vocabulary,
)
from forethought.types import ForethoughtError

LINES = """\
1 Mary moved to the bathroom.
2 Where is Mary? \tbathroom\t1
3 John went to the hallway.
4 What is John carrying?\tmilk,apple\t3 1
1 The pink rectangle is above.
2 Is it?\tno\t1
"""


def archive(folder: Path, **files: str) -> Path:
    path = folder / "tasks.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(f"some/{name}.txt")
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    return path


def test_sentences_questions_and_what_is_known_by_then(tmp_path: Path) -> None:
    path = archive(tmp_path, **{"qa1_single-supporting-fact_train": LINES})
    first, second = read_babi(path, 1, test=False)
    assert first.sentences == (
        ("mary", "moved", "to", "the", "bathroom"),
        ("john", "went", "to", "the", "hallway"),
    )
    assert first.questions == (
        Question(words=("where", "is", "mary"), answer="bathroom", known=1),
        Question(words=("what", "is", "john", "carrying"), answer="milk,apple", known=2),
    )
    assert [q.answer for q in second.questions] == ["no"]
    assert answers([first, second]) == ["bathroom", "milk,apple", "no"]
    assert "pink" in vocabulary([first, second]) and "carrying" in vocabulary([first, second])


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    path = archive(tmp_path, **{"qa1_single-supporting-fact_train": LINES})
    with pytest.raises(ForethoughtError, match="holds no qa1_single-supporting-fact_test"):
        read_babi(path, 1, test=True)
    with pytest.raises(ForethoughtError, match="tasks 1 to 20"):
        read_babi(path, 21, test=True)
    with pytest.raises(ForethoughtError, match="cannot be read"):
        read_babi(tmp_path / "missing.tar", 1, test=True)
    with pytest.raises(ForethoughtError, match="file:2"):
        parse_stories(["1 Mary moved.", "no number"], "file")
    with pytest.raises(ForethoughtError, match="file:1"):
        parse_stories(["2 Mary moved."], "file")


def before(story: Story, question: Question) -> str:
    """Where a thing was before it came to a place, by the book."""
    thing, place = question.words[3], question.words[-1]
    where: dict[str, str] = {}
    holder = ""
    been: list[str] = []
    for words in story.sentences[: question.known]:
        who = words[0]
        if "to" in words:
            where[who] = words[-1]
            if holder == who:
                been.append(words[-1])
        elif thing in words:
            holder = who if words[1] in {"got", "grabbed", "took", "picked"} else ""
            if who in where and not been:
                been.append(where[who])
    return been[max(i for i in range(1, len(been)) if been[i] == place) - 1]


def test_generated_stories_are_answered_by_following_them() -> None:
    stories = three_facts(100, seed=0)
    assert len(set(stories)) == 100
    for story in stories:
        assert len(story.questions) == 5
        assert all(q.known % 2 == 0 for q in story.questions)
        assert [before(story, q) for q in story.questions] == [q.answer for q in story.questions]


def test_a_seed_tells_the_same_stories_again() -> None:
    assert three_facts(3, seed=1) == three_facts(3, seed=1)
    assert three_facts(3, seed=1) != three_facts(3, seed=2)
