"""A language model on bytes: tokenise, pretrain, fine-tune, retrieve.

Two ways to learn from the same text with the same transformer: to predict the next byte (GPT,
Radford et al., 2019), or the bytes that were masked (BERT, Devlin et al., 2019). Both are measured
on held-out text in nats, every byte predicted exactly once.
"""

from __future__ import annotations

import copy
import json
import os
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from forethought.baselines.transformer import TokenTransformerConfig
from forethought.config import from_json, register, to_json
from forethought.learning.metrics import JSONLines
from forethought.learning.trainer import Loop, LoopConfig, OptimiserConfig, Stage
from forethought.model import CONFIG, WEIGHTS, write_safely
from forethought.types import ForethoughtError

PAD = 256
"""Fills up batches; never predicted."""
MASK = 257
"""Stands where a byte is to be guessed."""
END = 258
"""Before, between and after texts."""
VOCABULARY = 259
"""The bytes and the three ids above."""

FORMAT = 1
RUN = "run.json"
METRICS = "metrics.jsonl"
MONITORED = 4096
"""Bytes of held-out text that are looked at while training."""
WINDOWS_AT_ONCE = 32

# ------------------------------------------------------------------------------------ tokens


def tokenise(text: str) -> Int[Tensor, " n"]:
    """The UTF-8 bytes of a text.

    Raises:
        ForethoughtError: the text holds half of a character (a lone surrogate).
    """
    try:
        return torch.tensor(list(text.encode()), dtype=torch.long)
    except UnicodeEncodeError as error:
        raise ForethoughtError(
            f"the text holds no character at position {error.start} ({error.reason}); read it "
            "again with the encoding that it was written in."
        ) from error


def untokenise(tokens: Int[Tensor, " n"]) -> str:
    """The text of some tokens: special ids say nothing, broken characters become U+FFFD."""
    return bytes(token for token in tokens.tolist() if token < PAD).decode(errors="replace")


def stream_of(texts: Sequence[str]) -> Int[Tensor, " n"]:
    """Texts one after another, with :data:`END` before, between and after them."""
    end = torch.tensor([END])
    return torch.cat([end, *(part for text in texts for part in (tokenise(text), end))])


def split(text: str, *, held_out: float = 0.1) -> tuple[str, str]:
    """The beginning of a text, for training, and its last share, which training never sees."""
    border = round(len(text) * (1 - held_out))
    return text[:border], text[border:]


# ------------------------------------------------------------------------------------- model


class TextModel(nn.Module):
    """A transformer that reads and, where it is causal, writes text.

    Args:
        config: of the transformer; its vocabulary is :data:`VOCABULARY`.
    """

    def __init__(self, config: TokenTransformerConfig) -> None:
        super().__init__()
        if config.vocabulary != VOCABULARY:
            raise ForethoughtError(
                f"text has a vocabulary of {VOCABULARY} tokens, the transformer one of "
                f"{config.vocabulary}; build it with vocabulary=text.VOCABULARY."
            )
        self.config = config
        self.transformer = config.build()

    @torch.no_grad()
    def complete(
        self,
        prompt: str,
        num_bytes: int,
        *,
        generator: torch.Generator | None,
        temperature: float = 1.0,
    ) -> str:
        """How a text goes on, until it ends or ``num_bytes`` are written.

        Args:
            prompt: how it begins; may be empty.
            num_bytes: most to write.
            generator: draws each byte; None takes the likeliest.
            temperature: below one, likelier bytes are drawn more often than predicted.

        Raises:
            ForethoughtError: the model is not causal.
        """
        start = stream_of([prompt])[None, :-1].to(self.transformer.device)
        written = self.transformer.generate(
            start, num_bytes, generator=generator, temperature=temperature
        )[0]
        ends = (written == END).nonzero().flatten().tolist()
        return untokenise(written[: ends[0]] if ends else written)

    @torch.no_grad()
    def embed(self, texts: Sequence[str]) -> Float[Tensor, "n depth_times_d"]:
        """One vector per text: the streams after all blocks, side by side, as means over its bytes.

        A text longer than the context is read in pieces. Several layers describe a text better
        than the last one alone (Devlin et al., 2019, section 5.3).

        Raises:
            ForethoughtError: a text is empty.
        """
        pieces, owners = [], []
        for number, text in enumerate(texts):
            if not text:
                raise ForethoughtError(f"text {number} is empty; only bytes can be embedded.")
            cut = tokenise(text).split(self.config.context)
            pieces.extend(cut)
            owners.extend([number] * len(cut))
        vectors = torch.zeros(len(texts), self.config.depth * self.config.width)
        lengths = torch.zeros(len(texts))
        for some in torch.arange(len(pieces)).split(WINDOWS_AT_ONCE):
            owner = torch.tensor([owners[i] for i in some])
            sums, counts = self._sums([pieces[i] for i in some])
            vectors.index_add_(0, owner, sums)
            lengths.index_add_(0, owner, counts)
        return vectors / lengths[:, None]

    def _sums(self, pieces: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Streams added up over each piece, and its length."""
        tokens = nn.utils.rnn.pad_sequence(list(pieces), batch_first=True, padding_value=PAD)
        present = (tokens != PAD).to(self.transformer.device)
        streams = self.transformer.streams(tokens.to(present.device), present).flatten(2)
        return (streams * present[..., None]).sum(1).cpu(), present.sum(1).float().cpu()

    def save(self, folder: Path) -> None:
        """Leaves weights and configuration in a folder; the configuration last."""
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / (WEIGHTS + ".partial")
        save_file({name: value.contiguous() for name, value in self.state_dict().items()}, partial)
        os.replace(partial, folder / WEIGHTS)
        content = {"format": FORMAT, "text_model": to_json(self.config)}
        write_safely(folder / CONFIG, json.dumps(content, indent=2).encode())

    @classmethod
    def load(cls, folder: Path) -> TextModel:
        """The model that was saved to a folder.

        Raises:
            ForethoughtError: there is none, or it is damaged or of another version.
        """
        try:
            content = json.loads((folder / CONFIG).read_text())
            if content.get("format") != FORMAT or "text_model" not in content:
                raise ForethoughtError(
                    f"{folder / CONFIG}: no text model of format {FORMAT}. Give the folder that a "
                    "text model was saved to, or train again."
                )
            model = cls(from_json(content["text_model"], where=str(folder / CONFIG)))
            model.load_state_dict(load_file(folder / WEIGHTS))
        except (OSError, json.JSONDecodeError, SafetensorError, RuntimeError) as error:
            raise ForethoughtError(
                f"{folder}: no whole text model here ({error}). Give the folder that one was saved "
                "to, or train again."
            ) from error
        return model.eval()


# ---------------------------------------------------------------------------------- measuring


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
    _check_causal(model, True)
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
    _check_causal(model, False)
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


def _check_causal(model: TextModel, causal: bool) -> None:
    if model.config.causal != causal:
        raise ForethoughtError(
            f"predicting {'the next byte' if causal else 'masked bytes'} needs a transformer built "
            f"with causal={causal}; this one has causal={not causal}."
        )


# ----------------------------------------------------------------------------------- learning


class TextTraining(ABC):
    """A way to learn from text; a frozen dataclass.

    Attributes:
        optimiser: steps, windows in a step, learning rate.
    """

    optimiser: OptimiserConfig

    @abstractmethod
    def stage(self, model: TextModel, tokens: Int[Tensor, " n"], held_out: str) -> Stage:
        """The stage that trains ``model`` on ``tokens`` and watches ``held_out``.

        Raises:
            ForethoughtError: the model cannot learn in this way.
        """


@register
@dataclass(frozen=True, kw_only=True)
class NextTokenConfig(TextTraining):
    """Learning by predicting the next byte.

    Attributes:
        optimiser: steps, windows in a step, learning rate.
    """

    optimiser: OptimiserConfig

    def stage(self, model: TextModel, tokens: Int[Tensor, " n"], held_out: str) -> NextToken:
        """See :class:`TextTraining`."""
        return NextToken(self, model, tokens, held_out)


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

    optimiser: OptimiserConfig
    share: float = 0.15
    masked: float = 0.8
    replaced: float = 0.1

    def stage(self, model: TextModel, tokens: Int[Tensor, " n"], held_out: str) -> MaskedToken:
        """See :class:`TextTraining`."""
        return MaskedToken(self, model, tokens, held_out)


class _TextStage(Stage):
    """What both stages share: windows drawn anywhere in the text."""

    name = "text"

    def __init__(
        self,
        optimiser: OptimiserConfig,
        model: TextModel,
        tokens: Tensor,
        held_out: str,
        extra: int,
    ) -> None:
        self.optimiser = optimiser
        self.model = model
        self.tokens = tokens
        self.monitored = held_out[:MONITORED]
        self.size = min(model.config.context + extra, len(tokens))

    def parameters(self) -> Iterable[nn.Parameter]:
        """See :class:`Stage`."""
        return self.model.parameters()

    def _draw(self, generator: torch.Generator) -> Int[Tensor, "b t"]:
        last = len(self.tokens) - self.size
        starts = torch.randint(last + 1, (self.optimiser.batch_size, 1), generator=generator)
        return self.tokens[starts + torch.arange(self.size)].to(self.model.transformer.device)


class NextToken(_TextStage):
    """Trains a causal model to predict each token from those before it.

    Args:
        config: how.
        model: what is trained.
        tokens: what it is trained on.
        held_out: text to watch it on.
    """

    label = "next bytes"

    def __init__(
        self,
        config: NextTokenConfig,
        model: TextModel,
        tokens: Int[Tensor, " n"],
        held_out: str,
    ) -> None:
        _check_causal(model, True)
        super().__init__(config.optimiser, model, tokens, held_out, extra=1)

    def loss(self, generator: torch.Generator) -> tuple[Float[Tensor, ""], Mapping[str, Tensor]]:
        """See :class:`Stage`."""
        tokens = self._draw(generator)
        logits = self.model.transformer(tokens[:, :-1])
        return nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten()), {}

    def monitor(self) -> Mapping[str, float]:
        """See :class:`Stage`."""
        nats = next_token_nats(self.model, self.monitored)
        return {"held_out_nats": per_character(nats, self.monitored)}


class MaskedToken(_TextStage):
    """Trains a model that sees both sides to predict what was masked.

    Args:
        config: how.
        model: what is trained.
        tokens: what it is trained on.
        held_out: text to watch it on.
    """

    label = "masked bytes"

    def __init__(
        self,
        config: MaskedTokenConfig,
        model: TextModel,
        tokens: Int[Tensor, " n"],
        held_out: str,
    ) -> None:
        _check_causal(model, False)
        super().__init__(config.optimiser, model, tokens, held_out, extra=0)
        self.config = config

    def loss(self, generator: torch.Generator) -> tuple[Float[Tensor, ""], Mapping[str, Tensor]]:
        """See :class:`Stage`."""
        tokens = self._draw(generator)
        count = max(1, round(self.config.share * self.size))
        chosen = torch.rand(tokens.shape, generator=generator).topk(count).indices
        fate = torch.rand(chosen.shape, generator=generator).to(tokens.device)
        anything = torch.randint(PAD, chosen.shape, generator=generator).to(tokens.device)
        chosen = chosen.to(tokens.device)
        truth = tokens.gather(1, chosen)
        shown = torch.where(fate < self.config.masked + self.config.replaced, anything, truth)
        shown = shown.where(fate >= self.config.masked, torch.tensor(MASK, device=tokens.device))
        hidden = self.model.transformer.hidden(tokens.scatter(1, chosen, shown))
        # Logits are needed only where something is to be predicted.
        hidden = hidden.gather(1, chosen[..., None].expand(-1, -1, hidden.shape[-1]))
        logits = self.model.transformer.logits(hidden)
        return nn.functional.cross_entropy(logits.flatten(0, 1), truth.flatten()), {}

    def monitor(self) -> Mapping[str, float]:
        """See :class:`Stage`."""
        generator = torch.Generator().manual_seed(0)
        nats = masked_nats(self.model, self.monitored, share=self.config.share, generator=generator)
        return {"held_out_nats": per_character(nats, self.monitored)}


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
    stage = training.stage(model, tokens, held_out)
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


# ---------------------------------------------------------------------------------- retrieval


@dataclass(frozen=True, kw_only=True)
class Whitening:
    """Makes every direction of some embeddings vary alike, so that cosines tell texts apart.

    As they come, embeddings differ most in a few directions that say little about their texts
    (Mu and Viswanath, 2018; Su et al., 2021).

    Attributes:
        mean: of the embeddings that it was fitted to.
        map: from embeddings to whitened ones.
    """

    mean: Float[Tensor, " d"]
    map: Float[Tensor, "d d"]

    @classmethod
    def fit(cls, embeddings: Float[Tensor, "n d"], *, floor: float = 1e-2) -> Whitening:
        """The whitening of some embeddings.

        Args:
            embeddings: of many texts.
            floor: added to all variances, in mean variances, so that noise is not blown up.
        """
        mean = embeddings.mean(0)
        around = (embeddings - mean).double()
        variances, directions = torch.linalg.eigh(around.T @ around / len(around))
        scale = (variances.clamp_min(0) + floor * variances.mean()).rsqrt()
        return cls(mean=mean, map=(directions * scale).float())

    def __call__(self, embeddings: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Embeddings, whitened."""
        return (embeddings - self.mean) @ self.map


def nearest(queries: Float[Tensor, "q d"], keys: Float[Tensor, "n d"]) -> Int[Tensor, " q"]:
    """The key of the largest cosine similarity to each query."""
    queries, keys = (nn.functional.normalize(part, dim=-1) for part in (queries, keys))
    return (queries @ keys.T).argmax(-1)


def passage_halves(
    text: str, count: int, *, num_lines: int, generator: torch.Generator
) -> tuple[list[str], list[str]]:
    """First and second halves of passages drawn from a text, none of which overlap.

    Args:
        text: at least ``count * num_lines`` lines.
        count: how many passages.
        num_lines: lines in a passage; each half has half of them.
        generator: draws the passages.

    Raises:
        ForethoughtError: the text has too few lines.
    """
    lines = [line for line in text.splitlines(keepends=True) if line.strip()]
    available = len(lines) // num_lines
    if available < count:
        raise ForethoughtError(
            f"the text holds {available} passages of {num_lines} lines, {count} were asked for; "
            "ask for fewer or shorter ones, or give more text."
        )
    starts = [int(i) * num_lines for i in torch.randperm(available, generator=generator)[:count]]
    half = num_lines // 2
    first = ["".join(lines[start : start + half]) for start in starts]
    second = ["".join(lines[start + half : start + num_lines]) for start in starts]
    return first, second


def top1(queries: Float[Tensor, "n d"], keys: Float[Tensor, "n d"]) -> float:
    """How often the nearest key is the query's own; chance is ``1 / n``."""
    return float((nearest(queries, keys) == torch.arange(len(queries))).float().mean())
