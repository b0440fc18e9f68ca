"""Learning to read stories and to answer questions about them.

Beside the questions of the stories, words of their own sentences are asked for, which needs no
answers: it teaches what a sentence is about before a single question is understood. Training goes
in rounds, each longer than the one before and each with its learning rate brought down (Loshchilov
and Hutter, 2017), until held-out stories are answered well enough. The reader of the best round is
what training leaves, since a last one may know its stories by heart.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float, Int
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn import functional

from forethought.config import register, to_json
from forethought.data.stories import Story, answers, vocabulary
from forethought.learning.folder import METRICS, RUN
from forethought.learning.metrics import JSONLines
from forethought.learning.trainer import Loop, LoopConfig, OptimiserConfig, Stage
from forethought.memory.slots import SlotMemoryConfig
from forethought.memory.story_reader import (
    StoryBatch,
    StoryReader,
    StoryReaderConfig,
    masked_questions,
    story_batch,
)
from forethought.model import write_safely
from forethought.types import ForethoughtError

BEST = "best.safetensors"
_STORIES_AT_ONCE = 128
_FIRST_ROUND = OptimiserConfig(
    num_steps=250, batch_size=128, final_share=0.02, warmup_steps=50, weight_decay=0.01
)


@register
@dataclass(frozen=True, kw_only=True)
class StoryTrainingConfig:
    """How a reader of stories learns.

    Attributes:
        optimiser: of the first round; its batch size counts questions.
        num_rounds: rounds at most.
        growth: how many times longer each round is than the one before.
        enough: share of held-out questions answered wrongly at which training ends.
        held_out: share of the stories, the first ones, that are held out.
        num_masked: words asked for in a step, one of each story at least.
        masked_weight: what these weigh beside the questions.
        memory: size of the reader's memory.
        heads: what the reader reads side by side.
        hops: how often it reads before it answers.

    Raises:
        ForethoughtError: no round, no growth, or a share outside of 0 to 1.
    """

    optimiser: OptimiserConfig = _FIRST_ROUND
    num_rounds: int = 5
    growth: float = 2.0
    enough: float = 0.005
    held_out: float = 0.1
    num_masked: int = 128
    masked_weight: float = 0.5
    memory: SlotMemoryConfig = field(default_factory=SlotMemoryConfig)
    heads: int = 2
    hops: int = 3

    def __post_init__(self) -> None:
        if self.num_rounds < 1 or self.growth < 1 or not 0 < self.held_out < 1:
            raise ForethoughtError(
                f"training on stories needs a round, a growth of at least 1 and a share that is "
                f"held out between 0 and 1; found num_rounds={self.num_rounds}, "
                f"growth={self.growth}, held_out={self.held_out}."
            )


class StoryStage(Stage):
    """One round of training on stories.

    Args:
        training: how to learn.
        number: of the round, from 0.
        reader: what is trained.
        stories: to learn from.
        held_out: to watch it on.
    """

    label = "stories"

    def __init__(
        self,
        training: StoryTrainingConfig,
        number: int,
        reader: StoryReader,
        stories: StoryBatch,
        held_out: StoryBatch,
    ) -> None:
        self.name = f"round-{number}"
        self.training, self.reader = training, reader
        self.optimiser = training.optimiser.scaled(training.growth**number)
        self.stories, self.held_out = stories, held_out
        self.lengths = stories.said.sum(1)
        per_story = float((stories.answers >= 0).sum()) / len(self.lengths)
        size = max(8, round(self.optimiser.batch_size / max(1.0, per_story)))
        self.size = min(size, len(self.lengths))
        self.num_masked = max(1, round(training.num_masked / self.size))

    def parameters(self) -> Iterable[nn.Parameter]:
        """See :class:`Stage`."""
        return self.reader.parameters()

    def loss(self, generator: torch.Generator) -> tuple[Float[Tensor, ""], Mapping[str, Tensor]]:
        """See :class:`Stage`."""
        batch = self.stories.rows(self._draw(generator))
        asked, words = masked_questions(batch, self.num_masked, generator)
        found = self.reader(asked)
        num_questions, kinds = batch.answers.shape[1], len(self.reader.config.answers)
        known = batch.answers >= 0
        answered = functional.cross_entropy(
            found[:, :num_questions, :kinds][known], batch.answers[known]
        )
        told = found[:, num_questions:, kinds:].flatten(0, 1)
        masked = functional.cross_entropy(told, words.flatten())
        loss = answered + self.training.masked_weight * masked
        return loss, {"answers": answered.detach(), "words": masked.detach()}

    def monitor(self) -> Mapping[str, float]:
        """See :class:`Stage`."""
        return {"held_out_error": wrong_answers(self.reader, self.held_out)}

    def _draw(self, generator: torch.Generator) -> Int[Tensor, " c"]:
        """Stories of about the same length, any length as often as there are stories of it."""
        luck = torch.rand(len(self.lengths), generator=generator)
        order = (self.lengths + luck).argsort()
        block = torch.randint(max(1, len(order) // self.size), (), generator=generator)
        return order[int(block) * self.size :][: self.size]


@torch.no_grad()
def wrong_answers(reader: StoryReader, stories: StoryBatch) -> float:
    """Share of the questions that a reader answers wrongly; unknown answers are wrong."""
    kinds, wrong = len(reader.config.answers), 0
    for some in stories.said.sum(1).argsort().split(_STORIES_AT_ONCE):
        batch = stories.rows(some)
        found = reader(batch)[..., :kinds].argmax(-1)
        wrong += int(((found != batch.answers) & (batch.answers != -1)).sum())
    return wrong / int((stories.answers != -1).sum())


@dataclass(frozen=True, kw_only=True)
class StoryRun:
    """What training leaves.

    Attributes:
        reader: trained, ready to use.
        held_out_error: share of held-out questions that it answers wrongly.
        num_steps: steps of training in all rounds.
    """

    reader: StoryReader
    held_out_error: float
    num_steps: int


def train_on_stories(
    stories: Sequence[Story],
    training: StoryTrainingConfig,
    folder: Path,
    *,
    seed: int = 0,
    visible: bool = True,
) -> StoryRun:
    """Trains a reader on stories and their questions.

    Called again with the same arguments it continues, to the same weights as if never interrupted.

    Args:
        stories: to learn from; the first ones are held out.
        training: how.
        folder: of the run.
        seed: of weights and batches.
        visible: show progress.

    Raises:
        ForethoughtError: too few stories, or the folder holds another run.
    """
    num_held_out = max(1, round(training.held_out * len(stories)))
    if len(stories) <= num_held_out:
        raise ForethoughtError(f"found {len(stories)} stories; some are held out, give more.")
    config = reader_config(stories, training)
    _claim(folder, training, config, stories, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        reader = config.build()
    kept = story_batch(stories[num_held_out:], config)
    held_out = story_batch(stories[:num_held_out], config)
    loop = Loop(
        config=LoopConfig(seed=seed, visible=visible, monitor_times=2),
        learner=reader,
        folder=folder / "checkpoints",
        metrics=JSONLines(folder / METRICS),
    )
    return _rounds(loop, reader, training, kept, held_out, folder)


def reader_config(stories: Sequence[Story], training: StoryTrainingConfig) -> StoryReaderConfig:
    """A reader that knows all words and answers of some stories.

    Sentences may be half as long again as the longest of these.
    """
    every = [w for s in stories for w in (*s.sentences, *(q.words for q in s.questions))]
    return StoryReaderConfig(
        words=tuple(vocabulary(stories)),
        answers=tuple(answers(stories)),
        places=3 * max(map(len, every)) // 2,
        memory=training.memory,
        heads=training.heads,
        hops=training.hops,
    )


def _rounds(
    loop: Loop,
    reader: StoryReader,
    training: StoryTrainingConfig,
    stories: StoryBatch,
    held_out: StoryBatch,
    folder: Path,
) -> StoryRun:
    progress, num_steps, path = loop.resume(), 0, folder / BEST
    for number in range(training.num_rounds):
        stage = StoryStage(training, number, reader, stories, held_out)
        progress = loop.run(stage, progress)
        num_steps += stage.optimiser.num_steps
        # A run that is resumed has the weights of its last round, and of no earlier one.
        if not progress.stage and progress.done[-1] == stage.name:
            error = wrong_answers(reader.eval(), held_out)
            if error <= _best(path):
                state = {name: value.contiguous() for name, value in reader.state_dict().items()}
                write_safely(path, save(state, {"held_out_error": repr(error)}))
            if error <= training.enough:
                break
    reader.load_state_dict(load_file(path))
    return StoryRun(reader=reader.eval(), held_out_error=_best(path), num_steps=num_steps)


def _best(path: Path) -> float:
    """The held-out error of the best round so far; infinite before the first has ended."""
    if not path.exists():
        return float("inf")
    with safe_open(path, "pt") as kept:
        return float(kept.metadata()["held_out_error"])


def _claim(
    folder: Path,
    training: StoryTrainingConfig,
    config: StoryReaderConfig,
    stories: Sequence[Story],
    seed: int,
) -> None:
    """Makes the folder of a run, or checks that it holds this very run."""
    run = {
        "training": to_json(training),
        "reader": to_json(config),
        "stories": zlib.crc32(repr(stories).encode()),
        "seed": seed,
    }
    record = folder / RUN
    if not record.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_safely(record, json.dumps(run, indent=2).encode())
        return
    known = json.loads(record.read_text())
    if changed := [key for key in run if known.get(key) != run[key]]:
        raise ForethoughtError(
            f"{record}: the run in this folder has another {changed[0]}; continuing would mix two "
            "runs. Give what it was started with, or another folder."
        )
