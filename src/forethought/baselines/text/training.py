"""How a model learns from text: to predict the next byte, or masked ones.

What is predicted, and what of, is all that the two differ in; drawing, watching, resuming and
fine-tuning are the same.
"""

from __future__ import annotations

import copy
import json
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from forethought.baselines.text.measuring import masked_nats, next_token_nats, per_character
from forethought.baselines.text.model import TextModel
from forethought.baselines.text.tokens import MASK, PAD, stream_of
from forethought.baselines.transformer import TokenTransformerConfig
from forethought.config import register, to_json
from forethought.learning.folder import METRICS, RUN
from forethought.learning.metrics import JSONLines
from forethought.learning.trainer import Loop, LoopConfig, OptimiserConfig, Stage
from forethought.model import write_safely
from forethought.types import ForethoughtError

MONITORED = 4096
"""Bytes of held-out text that are looked at while training."""


# --------------------------------------------------------------------------------- objectives


class TextTraining(ABC):
    """A way to learn from text; a frozen dataclass.

    Attributes:
        label: what is learned, as progress is shown.
        causal: whether the model must see only what comes before.
        optimiser: steps, windows in a step, learning rate.
    """

    label: ClassVar[str]
    causal: ClassVar[bool]
    optimiser: OptimiserConfig

    @abstractmethod
    def loss(
        self, model: TextModel, tokens: Int[Tensor, "b t"], generator: torch.Generator
    ) -> Float[Tensor, ""]:
        """Mean surprise of a model at what it is to predict of some windows.

        Args:
            model: causal or not, as this needs it.
            tokens: windows; where causal they hold one token more than is read.
            generator: the only source of randomness.
        """

    @abstractmethod
    def nats(self, model: TextModel, text: str) -> Float[Tensor, " n"]:
        """Surprise at each byte of a text, always measured alike."""


@register
@dataclass(frozen=True, kw_only=True)
class NextTokenConfig(TextTraining):
    """Learning by predicting the next byte.

    Attributes:
        optimiser: steps, windows in a step, learning rate.
    """

    label: ClassVar[str] = "next bytes"
    causal: ClassVar[bool] = True
    optimiser: OptimiserConfig

    def loss(
        self, model: TextModel, tokens: Int[Tensor, "b t"], generator: torch.Generator
    ) -> Float[Tensor, ""]:
        """See :class:`TextTraining`."""
        logits = model.transformer(tokens[:, :-1])
        return nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())

    def nats(self, model: TextModel, text: str) -> Float[Tensor, " n"]:
        """See :class:`TextTraining`."""
        return next_token_nats(model, text)


@register
@dataclass(frozen=True, kw_only=True)
class MaskedTokenConfig(TextTraining):
    """Learning by predicting masked bytes.

    Attributes:
        optimiser: steps, windows in a step, learning rate.
        share: of each window's tokens that are to be predicted.
        masked: share of these that are masked.
        replaced: share of these that are replaced by any byte; the rest stay as they are, so that
            the model must judge unmasked text too.
    """

    label: ClassVar[str] = "masked bytes"
    causal: ClassVar[bool] = False
    optimiser: OptimiserConfig
    share: float = 0.15
    masked: float = 0.8
    replaced: float = 0.1

    def loss(
        self, model: TextModel, tokens: Int[Tensor, "b t"], generator: torch.Generator
    ) -> Float[Tensor, ""]:
        """See :class:`TextTraining`."""
        count = max(1, round(self.share * tokens.shape[1]))
        chosen = torch.rand(tokens.shape, generator=generator).topk(count).indices
        chosen = chosen.to(tokens.device)
        truth = tokens.gather(1, chosen)
        shown = self._shown(truth, generator)
        hidden = model.transformer.hidden(tokens.scatter(1, chosen, shown))
        # Logits are needed only where something is to be predicted.
        hidden = hidden.gather(1, chosen[..., None].expand(-1, -1, hidden.shape[-1]))
        logits = model.transformer.logits(hidden)
        return nn.functional.cross_entropy(logits.flatten(0, 1), truth.flatten())

    def _shown(self, truth: Int[Tensor, "b c"], generator: torch.Generator) -> Int[Tensor, "b c"]:
        """What is read in place of the tokens that are to be predicted."""
        fate = torch.rand(truth.shape, generator=generator).to(truth.device)
        anything = torch.randint(PAD, truth.shape, generator=generator).to(truth.device)
        shown = torch.where(fate < self.masked + self.replaced, anything, truth)
        return shown.where(fate >= self.masked, torch.tensor(MASK, device=truth.device))

    def nats(self, model: TextModel, text: str) -> Float[Tensor, " n"]:
        """See :class:`TextTraining`."""
        generator = torch.Generator().manual_seed(0)
        return masked_nats(model, text, share=self.share, generator=generator)


class TextStage(Stage):
    """Trains a model on windows drawn anywhere in a text.

    Args:
        training: what is predicted, and what of.
        model: what is trained.
        tokens: what it is trained on.
        held_out: text to watch it on.

    Raises:
        ForethoughtError: the model cannot learn in this way.
    """

    name = "text"

    def __init__(
        self, training: TextTraining, model: TextModel, tokens: Int[Tensor, " n"], held_out: str
    ) -> None:
        model.check_causal(training.causal)
        self.training = training
        self.optimiser, self.label = training.optimiser, training.label
        self.model = model
        self.tokens = tokens
        self.monitored = held_out[:MONITORED]
        # A causal model predicts the byte after the last that it reads, too.
        self.size = min(model.config.context + int(training.causal), len(tokens))

    def parameters(self) -> Iterable[nn.Parameter]:
        """See :class:`Stage`."""
        return self.model.parameters()

    def loss(self, generator: torch.Generator) -> tuple[Float[Tensor, ""], Mapping[str, Tensor]]:
        """See :class:`Stage`."""
        return self.training.loss(self.model, self._draw(generator), generator), {}

    def monitor(self) -> Mapping[str, float]:
        """See :class:`Stage`."""
        nats = self.training.nats(self.model, self.monitored)
        return {"held_out_nats": per_character(nats, self.monitored)}

    def _draw(self, generator: torch.Generator) -> Int[Tensor, "b t"]:
        last = len(self.tokens) - self.size
        starts = torch.randint(last + 1, (self.optimiser.batch_size, 1), generator=generator)
        return self.tokens[starts + torch.arange(self.size)].to(self.model.transformer.device)


# --------------------------------------------------------------------------------- whole runs


@dataclass(frozen=True, kw_only=True)
class TextRun:
    """What training leaves.

    Attributes:
        model: trained, ready to use.
        seconds: of training, over all interruptions.
    """

    model: TextModel
    seconds: float


def pretrain(
    config: TokenTransformerConfig,
    training: TextTraining,
    text: str,
    folder: Path,
    *,
    held_out: str,
    seed: int = 0,
    visible: bool = True,
    checkpoint_s: float = 15.0,
) -> TextRun:
    """Trains a new model on a text and leaves it in a folder.

    Called again with the same arguments it continues, to the same weights as if never interrupted.

    Args:
        config: of the transformer.
        training: :class:`NextTokenConfig` or :class:`MaskedTokenConfig`.
        text: to learn from.
        folder: of the run.
        held_out: text to watch it on.
        seed: of weights and batches.
        visible: show progress.
        checkpoint_s: seconds between checkpoints.

    Raises:
        ForethoughtError: the model cannot learn in this way, or the folder holds another run.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = TextModel(config)
    loop = LoopConfig(seed=seed, visible=visible, checkpoint_s=checkpoint_s)
    return _train(model, training, [text], folder, held_out=held_out, loop=loop)


def fine_tune(
    model: TextModel,
    training: TextTraining,
    texts: Sequence[str],
    folder: Path,
    *,
    held_out: str,
    seed: int = 0,
    visible: bool = True,
    checkpoint_s: float = 15.0,
) -> TextRun:
    """Trains a copy of a model on, with other texts; otherwise as :func:`pretrain`.

    Args:
        model: where to begin; it is not changed.
        training: :class:`NextTokenConfig` or :class:`MaskedTokenConfig`, as the model was trained.
        texts: to learn from, e.g. the task strings of a dataset.
        folder: of the run.
        held_out: text to watch it on.
        seed: of batches.
        visible: show progress.
        checkpoint_s: seconds between checkpoints.

    Raises:
        ForethoughtError: the model cannot learn in this way, or the folder holds another run.
    """
    loop = LoopConfig(seed=seed, visible=visible, checkpoint_s=checkpoint_s)
    return _train(copy.deepcopy(model), training, texts, folder, held_out=held_out, loop=loop)


def _train(
    model: TextModel,
    training: TextTraining,
    texts: Sequence[str],
    folder: Path,
    *,
    held_out: str,
    loop: LoopConfig,
) -> TextRun:
    tokens = stream_of(texts)
    stage = TextStage(training, model, tokens, held_out)
    _claim(folder, model, training, tokens, loop.seed)
    running = Loop(
        config=loop,
        learner=model,
        folder=folder / "checkpoints",
        metrics=JSONLines(folder / METRICS),
    )
    progress = running.run(stage, running.resume())
    model.eval().save(folder)
    return TextRun(model=model, seconds=progress.seconds[stage.name])


def _claim(
    folder: Path, model: TextModel, training: TextTraining, tokens: Tensor, seed: int
) -> None:
    """Makes the folder of a run, or checks that it holds this very run."""
    begun = torch.cat([value.flatten() for value in model.state_dict().values()])
    run = {
        "transformer": to_json(model.config),
        "training": to_json(training),
        "weights": zlib.crc32(begun.cpu().numpy().tobytes()),
        "text": zlib.crc32(tokens.numpy().tobytes()),
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
