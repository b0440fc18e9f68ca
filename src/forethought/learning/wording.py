"""Words for goals: a reader learns from recordings that say what was done where they came to.

What is said of an episode goes with the states at its end, and with those of other episodes it does
not: sentences and frozen latents are brought together and apart until each can be told by the other
(InfoNCE, van den Oord et al., 2018; between words and pictures CLIP, Radford et al., 2021).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from forethought.config import register
from forethought.cost.goal_reader import GoalReader, GoalReaderConfig
from forethought.data.store import Dataset
from forethought.learning.calibrating import check_recorded
from forethought.learning.checkpoint import step_generator
from forethought.learning.folder import METRICS, SUMMARY, claim_folder
from forethought.learning.metrics import JSONLines
from forethought.learning.parts import digest, with_part
from forethought.learning.trainer import Loop, LoopConfig, OptimiserConfig, Stage
from forethought.model import CONFIG, Model, load_model, write_safely
from forethought.senses import encode_still
from forethought.types import TASK, ForethoughtError, words_of

CHUNK = 512
"""States that are encoded at once."""
SLACK = 1e-3
"""Of likeness, that is rounded away."""
FIRST = 5
"""Among so many states the right one is looked for, besides at the very first place."""


@register
@dataclass(frozen=True, kw_only=True)
class WordsTrainingConfig:
    """How goals in words are learned.

    Attributes:
        reader: its sizes; the words are those of the recordings.
        optimiser: steps, batch size (sentences), learning rate.
        last: states at the end of an episode that its words are said of.
        dropped: share of the words that are left out while learning, so that none is relied on.
        held_out: share of the episodes that is held out, where they are not those that the model
            learned from; of these it is the same that the model did not see.
        seed: of weights, batches and the states that are remembered.

    Raises:
        ForethoughtError: no state at the end, or a share that is none.
    """

    reader: GoalReaderConfig = field(default_factory=GoalReaderConfig)
    optimiser: OptimiserConfig = field(
        default_factory=lambda: OptimiserConfig(
            num_steps=300, batch_size=64, learning_rate=4e-3, weight_decay=0.01
        )
    )
    last: int = 1
    dropped: float = 0.2
    held_out: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.last < 1 or not 0 < self.held_out < 1 or not 0 <= self.dropped < 1:
            raise ForethoughtError(
                f"words are said of last={self.last} states, with held_out={self.held_out} and "
                f"dropped={self.dropped}; give a state or more, and shares between 0 and 1."
            )


@dataclass(frozen=True, kw_only=True)
class WordsReport:
    """How well held-out states are found by what is said of them.

    Attributes:
        sentences: learned from.
        words: known.
        held_out: sentences that were tried, each among the states of all of them; those with a word
            that no other recording says are left out.
        first: share of them whose state comes first.
        among_first: share of them whose state is among the first :data:`FIRST`.
        before: share of the other states that come before the right one, in the mean.
        least: how like a sentence a remembered state must be for it to be understood.
    """

    sentences: int
    words: int
    held_out: int
    first: float
    among_first: float
    before: float
    least: float

    @property
    def chance(self) -> dict[str, float]:
        """What guessing would come to."""
        return {
            "first": 1 / max(1, self.held_out),
            "among_first": min(1.0, FIRST / max(1, self.held_out)),
            "before": 0.5,
        }


@dataclass(frozen=True, kw_only=True)
class Heard:
    """Sentences, and the states that they are said of.

    Attributes:
        sentences: one of each episode.
        latents: ``(n, r, k, d)`` the last states of these episodes, shown as goals are.
    """

    sentences: tuple[str, ...]
    latents: Float[Tensor, "n r k d"]

    @classmethod
    def of(cls, model: Model, data: Dataset, episodes: Sequence[int], last: int) -> Heard:
        """Those of some episodes of which something is said."""
        tasks = data.tasks
        said = np.array([one for one in episodes if words_of(tasks[one])], np.int64)
        steps = np.maximum(data.lengths[said, None] - 1 - np.arange(last), 0)
        latents = shown_states(model, data, said.repeat(last), steps.reshape(-1))
        return cls(
            sentences=tuple(tasks[one] for one in said),
            latents=latents.unflatten(0, (len(said), last)),
        )

    def known_to(self, reader: GoalReaderConfig) -> Heard:
        """Those whose words a reader knows."""
        known = set(reader.words)
        kept = [
            place
            for place, text in enumerate(self.sentences)
            if len(words_of(text)) <= reader.longest and known.issuperset(words_of(text))
        ]
        return Heard(
            sentences=tuple(self.sentences[place] for place in kept), latents=self.latents[kept]
        )


@torch.no_grad()
def shown_states(
    model: Model, data: Dataset, episodes: np.ndarray, steps: np.ndarray
) -> Float[Tensor, "n k d"]:
    """Latents of single rows, ``steps[i]`` of ``episodes[i]``, shown as goals are: still."""
    keys, world_model = model.world_model.perception.keys, model.world_model
    parts = [world_model.low.new_zeros(0, world_model.num_tokens, world_model.width)]
    for first in range(0, len(episodes), CHUNK):
        some = slice(first, first + CHUNK)
        seen = {
            key: data.frames(
                key, episodes[some].tolist(), steps[some].tolist(), image_size=model.image_size
            )
            for key in keys
        }
        parts.append(encode_still(model, seen))
    return torch.cat(parts)


def contrast(likeness: Float[Tensor, "b b"], same: Bool[Tensor, "b b"]) -> Float[Tensor, ""]:
    """How badly sentences tell their states from those of others, and states their sentences.

    The cross entropy of both, in the mean. What is said in the same words is not told apart.

    Args:
        likeness: of each sentence to each state, sharpened; those on the diagonal belong together.
        same: which sentences are the same; symmetric, true on the diagonal.
    """
    right = same / same.sum(1, keepdim=True)
    by_words, by_states = likeness.log_softmax(1), likeness.T.log_softmax(1)
    return -(right * (by_words + by_states)).sum(1).mean() / 2


class WordsStage(Stage):
    """Learns which sentences go with which states.

    Args:
        config: how.
        reader: what learns.
        heard: what it learns from.
        held_out: what it is watched on.
    """

    name = label = "words"

    def __init__(
        self, config: WordsTrainingConfig, reader: GoalReader, heard: Heard, held_out: Heard
    ) -> None:
        self.optimiser, self.dropped, self.reader = config.optimiser, config.dropped, reader
        self.numbers = reader.numbers(heard.sentences)
        self.latents, self.held_out = heard.latents, held_out

    def parameters(self) -> Iterable[nn.Parameter]:
        """See :class:`Stage`."""
        return self.reader.parameters()

    def loss(self, generator: torch.Generator) -> tuple[Float[Tensor, ""], Mapping[str, Tensor]]:
        """See :class:`Stage`."""
        count, last = self.latents.shape[:2]
        rows = torch.randperm(count, generator=generator)[: self.optimiser.batch_size]
        moments = torch.randint(last, rows.shape, generator=generator)
        sentences = self.numbers[rows]
        same = (sentences[:, None] == sentences[None]).all(-1)
        heard = self._heard(sentences, generator)
        likeness = self.reader.likeness(heard, self.latents[rows, moments])
        loss = contrast(self.reader.sharpened(likeness), same)
        return loss, {"likeness": likeness.detach().diagonal().mean()}

    def _heard(
        self, sentences: Int[Tensor, "b s"], generator: torch.Generator
    ) -> Int[Tensor, "b s"]:
        """The sentences with some of their words left out, but never all."""
        kept = torch.rand(sentences.shape, generator=generator) >= self.dropped
        heard = sentences * kept.to(sentences.device)
        return torch.where((heard != 0).any(1, keepdim=True), heard, sentences)

    def monitor(self) -> Mapping[str, float]:
        """See :class:`Stage`."""
        before = places_before(self.reader, self.held_out)
        return {"held_out_before": float(before.mean()) if len(before) else float("nan")}


@torch.no_grad()
def places_before(reader: GoalReader, heard: Heard) -> Float[Tensor, " n"]:
    """Share of the others' last states that are more like a sentence than its own; a half of those
    that are as like."""
    if len(heard.sentences) < 2:
        return torch.zeros(0)
    found = reader.likeness(reader.numbers(heard.sentences), heard.latents[:, 0])
    own = found.diagonal()[:, None]
    ahead = (found > own).sum(1) + 0.5 * ((found == own).sum(1) - 1)
    return ahead.cpu() / (len(found) - 1)


def learn_words(
    model: Model,
    data: Dataset,
    out: Path | str,
    *,
    config: WordsTrainingConfig | None = None,
    resume: bool = False,
    visible: bool = True,
    checkpoint_s: float = 15.0,
) -> Model:
    """A model as it is, that also reads goals in the words of recordings.

    Killed at any moment and called again with ``resume``, it ends with the same weights.

    Args:
        model: a trained model.
        data: recordings of which some say in words (``task``) what was done: those that the model
            was trained on, or others.
        out: a folder of its own, for the model with its words.
        config: how.
        resume: continue in ``out``; start where there is nothing.
        visible: show progress.
        checkpoint_s: seconds between checkpoints.

    Raises:
        ForethoughtError: the recordings say nothing, or always the same, or lack what the model
            perceives; the model perceives the task itself; or the folder is in use.
    """
    out, config = Path(out), config or WordsTrainingConfig()
    train_ids, held_out_ids = _episodes(model, data, config)
    _check(model, data, train_ids)
    claim_folder(out, {"words": config, "model": digest(model)}, data, resume=resume)
    if (out / CONFIG).exists():
        return load_model(out)
    heard = Heard.of(model, data, train_ids, config.last)
    rows = int(data.lengths[train_ids].sum())
    whole = with_part(model, config.seed, words=_known(config.reader, heard, rows))
    reader = whole.words
    assert reader is not None
    held_out = Heard.of(model, data, held_out_ids, config.last).known_to(reader.config)
    loop = Loop(
        config=LoopConfig(seed=config.seed, visible=visible, checkpoint_s=checkpoint_s),
        learner=reader,
        folder=out / "checkpoints",
        metrics=JSONLines(out / METRICS),
    )
    progress = loop.run(WordsStage(config, reader, heard, held_out), loop.resume())
    _remember(model, reader, data, train_ids, config.seed)
    reader.least.copy_(least_like(reader, [*heard.sentences, *held_out.sentences]))
    report = report_of(reader, heard, held_out)
    summary = {**asdict(report), "chance": report.chance, "seconds": dict(progress.seconds)}
    write_safely(out / SUMMARY, json.dumps({"words": summary}, indent=2).encode())
    whole.eval().save_pretrained(out)
    return whole


def report_of(reader: GoalReader, heard: Heard, held_out: Heard) -> WordsReport:
    """How well a reader finds held-out states."""
    before = places_before(reader, held_out)
    places = before * (len(before) - 1)

    def share(most: int) -> float:
        return float((places < most).float().mean()) if len(before) else float("nan")

    return WordsReport(
        sentences=len(heard.sentences),
        words=len(reader.config.words),
        held_out=len(before),
        first=share(1),
        among_first=share(FIRST),
        before=float(before.mean()) if len(before) else float("nan"),
        least=float(reader.least),
    )


# ------------------------------------------------------------------------------- parts


def _episodes(
    model: Model, data: Dataset, config: WordsTrainingConfig
) -> tuple[list[int], list[int]]:
    """To learn from, and held out: as the model's own training held them out, where it did."""
    if data.path.name != model.notes.get("data"):
        return data.split(held_out=config.held_out, seed=config.seed)
    held_out = list(model.notes["held_out_episodes"])
    return [i for i in range(data.num_episodes) if i not in set(held_out)], held_out


def _check(model: Model, data: Dataset, episodes: Sequence[int]) -> None:
    """Refuses what no words can be learned from, before any work."""
    if TASK in model.world_model.perception.keys:
        raise ForethoughtError(
            "this model perceives the task itself, so that no state is free of words; give it its "
            "goal by goal(text=...), or train a model that does not perceive it."
        )
    check_recorded(model, data, None)
    tasks = data.tasks
    said = {words_of(tasks[one]) for one in episodes} - {()}
    if len(said) < 2:
        raise ForethoughtError(
            f"{data.path}: {len(episodes)} episodes to learn from say "
            f"{'nothing' if not said else 'all the same'} in words (`task`); expected different "
            "sentences of what was done. Record a world that tells it (two_rooms_told), or import "
            "recordings with tasks."
        )


def _known(reader: GoalReaderConfig, heard: Heard, rows: int) -> GoalReaderConfig:
    """A reader with the words of what was heard, that remembers as many states as there are."""
    every = [words_of(text) for text in heard.sentences]
    return replace(
        reader,
        words=tuple(sorted({word for words in every for word in words})),
        longest=max(map(len, every)),
        remembered=min(reader.remembered, rows),
    )


@torch.no_grad()
def least_like(reader: GoalReader, sentences: Sequence[str]) -> Float[Tensor, ""]:
    """How like a sentence the nearest remembered state is, of that of which it is the least, and a
    little less: one and the same sentence comes out otherwise among others, by rounding."""
    found = reader.likeness(reader.numbers(sentences), reader.states)
    return found.amax(1).min() - SLACK


@torch.no_grad()
def _remember(
    model: Model, reader: GoalReader, data: Dataset, episodes: Sequence[int], seed: int
) -> None:
    """States that words may stand for, drawn from all that was recorded."""
    generator = step_generator(seed, "states", 0)
    ends = data.lengths[list(episodes)].cumsum()
    drawn = torch.randperm(int(ends[-1]), generator=generator)[: len(reader.states)]
    rows = drawn.sort().values.numpy()
    which = np.searchsorted(ends, rows, side="right")
    steps = rows - (ends - data.lengths[list(episodes)])[which]
    reader.states.copy_(shown_states(model, data, np.asarray(episodes)[which], steps))
