"""Stories with questions: the twenty bAbI tasks, and stories like those of its third.

The archive is read as a stream, and nothing in it is unpacked or executed. Its files are numbered
lines; a line with tabs is a question, its answer and the numbers of the lines that support it, and
the number one begins a new story (Weston et al., 2015).
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import MappingProxyType

import torch

from forethought.types import ForethoughtError, words_of

TASKS: Mapping[int, str] = MappingProxyType(
    {
        1: "single-supporting-fact",
        2: "two-supporting-facts",
        3: "three-supporting-facts",
        4: "two-arg-relations",
        5: "three-arg-relations",
        6: "yes-no-questions",
        7: "counting",
        8: "lists-sets",
        9: "simple-negation",
        10: "indefinite-knowledge",
        11: "basic-coreference",
        12: "conjunction",
        13: "compound-coreference",
        14: "time-reasoning",
        15: "basic-deduction",
        16: "basic-induction",
        17: "positional-reasoning",
        18: "size-reasoning",
        19: "path-finding",
        20: "agents-motivations",
    }
)
"""The names of the bAbI tasks by their numbers."""

_LINE = re.compile(r"(\d+) (.+)")


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question about a story.

    Attributes:
        words: lower case, without punctuation.
        answer: as it stands in the file; several words where there are several, by commas.
        known: sentences of the story that come before it.
    """

    words: tuple[str, ...]
    answer: str
    known: int


@dataclass(frozen=True, kw_only=True)
class Story:
    """Sentences, and questions that are asked among them.

    Attributes:
        sentences: the words of each, lower case, without punctuation.
        questions: in the order they are asked.
    """

    sentences: tuple[tuple[str, ...], ...]
    questions: tuple[Question, ...]


# ---------------------------------------------------------------------------------- from files


def read_babi(archive: Path, task: int, *, test: bool) -> list[Story]:
    """The stories of a bAbI task, of its training or its test file.

    Args:
        archive: a tar that holds files such as ``qa1_single-supporting-fact_train.txt``, in any
            folder.
        task: its number, 1 to 20.
        test: whether the test file is read.

    Raises:
        ForethoughtError: no such task, no archive, the file is not in it, or a line in it is
            neither a sentence nor a question.
    """
    if task not in TASKS:
        raise ForethoughtError(f"bAbI task {task!r}: there are the tasks 1 to {len(TASKS)}.")
    name = f"qa{task}_{TASKS[task]}_{'test' if test else 'train'}.txt"
    try:
        with tarfile.open(archive) as files:
            for member in files:
                if PurePosixPath(member.name).name == name and member.isfile():
                    content = files.extractfile(member)
                    assert content is not None
                    return parse_stories(content.read().decode().splitlines(), name)
    except (OSError, tarfile.TarError, UnicodeDecodeError) as error:
        raise ForethoughtError(f"{archive}: cannot be read as a tar of text: {error}") from error
    raise ForethoughtError(
        f"{archive}: holds no {name}. Take the archive of the English tasks with 10k training "
        "stories; for the third task stories can be generated (`three_facts`)."
    )


def parse_stories(lines: Iterable[str], where: str) -> list[Story]:
    """Stories from numbered lines.

    Args:
        lines: of a file.
        where: how error messages call it.

    Raises:
        ForethoughtError: a line that is neither a sentence nor a question, or a question before
            any story began; names the line.
    """
    stories: list[Story] = []
    sentences: list[tuple[str, ...]] = []
    questions: list[Question] = []
    for number, line in enumerate(lines, start=1):
        found = _LINE.fullmatch(line.rstrip())
        parts = found[2].split("\t") if found else []
        if found is None or len(parts) not in (1, 2, 3) or (number == 1 and found[1] != "1"):
            raise ForethoughtError(
                f"{where}:{number}: found {line!r}; expected `<number> <sentence>` or `<number> "
                "<question><tab><answer><tab><supporting lines>`, and number 1 first."
            )
        if found[1] == "1" and sentences:
            stories.append(Story(sentences=tuple(sentences), questions=tuple(questions)))
            sentences, questions = [], []
        words = words_of(parts[0])
        if len(parts) == 1:
            sentences.append(words)
        else:
            asked = Question(words=words, answer=parts[1].strip(), known=len(sentences))
            questions.append(asked)
    return [*stories, Story(sentences=tuple(sentences), questions=tuple(questions))]


# ---------------------------------------------------------------------------------- generated

_PEOPLE = ("mary", "john", "daniel", "sandra")
_PLACES = ("bedroom", "kitchen", "hallway", "garden", "office", "bathroom")
_THINGS = ("milk", "apple", "football")
_GOING = ("went", "went back", "journeyed", "travelled", "moved")
_TAKING = ("got the {}", "grabbed the {}", "took the {}", "picked up the {}")
_LEAVING = ("left the {}", "dropped the {}", "put down the {}", "discarded the {}")
_QUESTIONS = 5
_MOVES = 0.4
_THERE = 0.2
_ASKED_LYING = 0.4
_ASKED_HELD = 0.1
_LAST = 0.75


def three_facts(number: int, *, seed: int) -> list[Story]:
    """Stories in the form of bAbI's third task, whose training file is not always at hand.

    Four people walk among six places and take three things along; it is asked where a thing was
    before it came to a place. The words, the shares of the kinds of sentences, five questions a
    story after an even number of sentences, and which places are asked about are those of the
    task's test file.

    Args:
        number: of stories.
        seed: of all that is random.
    """
    generator = torch.Generator().manual_seed(seed)
    return [_Household(generator).story() for _ in range(number)]


@dataclass
class _Household:
    """Who is where, who has what, and where each thing is known to have been."""

    generator: torch.Generator
    places: dict[str, str] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    holders: dict[str, str] = field(default_factory=dict)
    been: dict[str, list[str]] = field(default_factory=lambda: {thing: [] for thing in _THINGS})

    def story(self) -> Story:
        """Goes on until enough questions were asked."""
        for one in (*_PEOPLE, *_THINGS):
            self.places[one] = self._one_of(_PLACES)
        sentences: list[tuple[str, ...]] = []
        questions: list[Question] = []
        while len(questions) < _QUESTIONS:
            sentences += [self._event(), self._event()]
            if (asked := self._question(len(sentences))) is not None:
                questions.append(asked)
        return Story(sentences=tuple(sentences), questions=tuple(questions))

    def _event(self) -> tuple[str, ...]:
        who = self._one_of(_PEOPLE)
        held = [thing for thing in _THINGS if self.holders.get(thing) == who]
        here = self.places[who]
        near = [t for t in _THINGS if t not in self.holders and self.places[t] == here]
        if not held + near or self._luck() < _MOVES:
            return self._go(who, held)
        thing = self._one_of(held + near)
        said = self._one_of(_LEAVING if thing in held else _TAKING).format(thing)
        if thing in held:
            del self.holders[thing]
        else:
            self.holders[thing] = who
        if who in self.told and not self.been[thing]:
            self.been[thing].append(here)
        there = ("there",) if self._luck() < _THERE else ()
        return (who, *said.split(), *there)

    def _go(self, who: str, held: Sequence[str]) -> tuple[str, ...]:
        place = self._one_of([one for one in _PLACES if one != self.places[who]])
        self.places[who] = place
        self.told.add(who)
        for thing in held:
            self.places[thing] = place
            self.been[thing].append(place)
        return (who, *self._one_of(_GOING).split(), "to", "the", place)

    def _question(self, known: int) -> Question | None:
        """About a thing that is known to have moved, rather about one that lies than one held."""
        moved = [thing for thing in _THINGS if len(self.been[thing]) > 1]
        lying = [thing for thing in moved if thing not in self.holders]
        if not moved or self._luck() > (_ASKED_LYING if lying else _ASKED_HELD):
            return None
        thing = self._one_of(lying or moved)
        been = self.been[thing]
        back = len(been) - 1
        while back > 1 and self._luck() > _LAST:
            back -= 1
        # A place that was come to again is asked about as it was come to last.
        back = max(index for index, place in enumerate(been) if place == been[back])
        words = ("where", "was", "the", thing, "before", "the", been[back])
        return Question(words=words, answer=been[back - 1], known=known)

    def _luck(self) -> float:
        return float(torch.rand((), generator=self.generator))

    def _one_of(self, choices: Sequence[str]) -> str:
        return choices[int(torch.randint(len(choices), (), generator=self.generator))]


def vocabulary(stories: Iterable[Story]) -> list[str]:
    """All words of stories and their questions, in alphabetical order."""
    return sorted(set(_words(stories)))


def answers(stories: Iterable[Story]) -> list[str]:
    """All answers to the questions of stories, in alphabetical order."""
    return sorted({question.answer for story in stories for question in story.questions})


def _words(stories: Iterable[Story]) -> Iterator[str]:
    for story in stories:
        for sentence in story.sentences:
            yield from sentence
        for question in story.questions:
            yield from question.words
