"""The language-model path on tinyshakespeare: pretrain, retrieve, fine-tune on bAbI."""

import math
import tarfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from forethought.baselines import text as texts
from forethought.baselines.text import (
    MaskedTokenConfig,
    NextTokenConfig,
    TextModel,
    TextTraining,
    Whitening,
)
from forethought.baselines.transformer import TokenTransformerConfig
from forethought.learning import OptimiserConfig
from harness import Benchmark, figure, main, recordings

TRANSFORMER = TokenTransformerConfig(
    vocabulary=texts.VOCABULARY, width=128, depth=4, heads=4, context=128
)
OPTIMISER = OptimiserConfig(
    num_steps=3000,
    batch_size=8,
    learning_rate=3e-3,
    final_share=0.02,
    warmup_steps=100,
    weight_decay=0.1,
)
TUNING = NextTokenConfig(
    optimiser=replace(OPTIMISER, num_steps=150, learning_rate=1e-3, warmup_steps=20)
)
PASSAGES = 100
PASSAGE_LINES = 16
DRAWS = 5
FITTED_PASSAGES = 1000
TUNING_CHARACTERS = 4000
TUNING_HELD_OUT = 1000


def measure(benchmark: Benchmark) -> None:
    folder = recordings(benchmark)
    train, held_out = texts.split((folder / "tinyshakespeare" / "input.txt").read_text())
    tasks = babi(folder / "babi_en10k.tar.gz")
    for seed in benchmark.seeds:
        measure_seed(benchmark, seed, train, held_out, tasks)


def measure_seed(
    benchmark: Benchmark, seed: int, train: str, held_out: str, tasks: tuple[list[str], str]
) -> None:
    def pretrained(label: str, training: TextTraining, causal: bool) -> texts.TextRun:
        return texts.pretrain(
            replace(TRANSFORMER, causal=causal),
            training,
            train,
            benchmark.folder(f"{label}-{seed}"),
            held_out=held_out,
            seed=seed,
            visible=False,
        )

    after = pretrained("next", NextTokenConfig(optimiser=OPTIMISER), True)
    nats = texts.per_character(texts.next_token_nats(after.model, held_out), held_out)
    prefix = f"next byte, seed {seed}: "
    benchmark.add(
        figure(prefix + "held-out nats a character", nats, "<= 1.9", n=len(held_out)),
        figure(prefix + "training", after.seconds, "<= 300", unit="s"),
    )
    add_retrieval(benchmark, prefix, after.model, train, held_out, seed)
    add_tuning(benchmark, seed, after.model, tasks)

    masked = pretrained("masked", MaskedTokenConfig(optimiser=OPTIMISER), False)
    draw = torch.Generator().manual_seed(seed)
    losses = texts.masked_nats(masked.model, held_out, share=0.15, generator=draw)
    nats = texts.per_character(losses, held_out)
    prefix = f"masked bytes, seed {seed}: "
    benchmark.add(
        figure(prefix + "held-out pseudo-nats a character", nats, n=len(held_out)),
        figure(prefix + "training", masked.seconds, unit="s"),
    )
    add_retrieval(benchmark, prefix, masked.model, train, held_out, seed)


# --------------------------------------------------------------------------------- retrieval


def add_retrieval(
    benchmark: Benchmark, prefix: str, model: TextModel, train: str, held_out: str, seed: int
) -> None:
    """Second halves of passages found by their first: trained, untrained, by trigrams, by luck."""
    torch.manual_seed(seed)
    untrained = top1(TextModel(model.config).eval(), train, held_out, seed)
    prefix = f"{prefix}second half found among {PASSAGES}, "
    n = DRAWS * PASSAGES
    benchmark.add(
        figure(
            prefix + "pretrained", top1(model, train, held_out, seed), f"> {untrained:.4f}", n=n
        ),
        figure(prefix + "untrained weights", untrained, n=n),
        figure(prefix + "byte trigrams", trigram_top1(held_out, seed), n=n),
        figure(prefix + "chance", 1 / PASSAGES),
    )


def top1(model: TextModel, train: str, held_out: str, seed: int) -> float:
    """Mean over the draws, with embeddings whitened by passages of the training text."""
    generator = torch.Generator().manual_seed(seed)
    known = texts.passage_halves(
        train, FITTED_PASSAGES, num_lines=PASSAGE_LINES, generator=generator
    )
    whiten = Whitening.fit(torch.cat([model.embed(half) for half in known]))
    found = [
        texts.top1(*(whiten(model.embed(half)) for half in halves))
        for halves in draws(held_out, seed)
    ]
    return sum(found) / DRAWS


def trigram_top1(held_out: str, seed: int) -> float:
    """The same task by counting: tf-idf of byte trigrams."""
    found = []
    for first, second in draws(held_out, seed):
        weights = trigrams([*first, *second])
        found.append(texts.top1(weights[:PASSAGES], weights[PASSAGES:]))
    return sum(found) / DRAWS


def draws(held_out: str, seed: int) -> list[tuple[list[str], list[str]]]:
    generator = torch.Generator().manual_seed(1000 + seed)
    return [
        texts.passage_halves(held_out, PASSAGES, num_lines=PASSAGE_LINES, generator=generator)
        for _ in range(DRAWS)
    ]


def trigrams(passages: list[str]) -> Tensor:
    counts = [Counter(p[i : i + 3] for i in range(len(p) - 2)) for p in passages]
    seen = Counter(trigram for count in counts for trigram in count)
    column = {trigram: i for i, trigram in enumerate(seen)}
    weights = torch.zeros(len(passages), len(column))
    for row, count in enumerate(counts):
        for trigram, times in count.items():
            rarity = math.log(len(passages) / seen[trigram])
            weights[row, column[trigram]] = (1 + math.log(times)) * rarity
    return weights


# -------------------------------------------------------------------------------- fine-tuning


def add_tuning(
    benchmark: Benchmark, seed: int, model: TextModel, tasks: tuple[list[str], str]
) -> None:
    """The same few steps on bAbI, from pretrained and from untrained weights."""
    stories, held_out = tasks
    torch.manual_seed(seed)
    begun = {"pretrained": model, "untrained": TextModel(model.config).eval()}
    nats = {}
    for label, start in begun.items():
        run = texts.fine_tune(
            start,
            TUNING,
            stories,
            benchmark.folder(f"tuned-{label}-{seed}"),
            held_out=held_out,
            seed=seed,
            visible=False,
        )
        nats[label] = texts.per_character(texts.next_token_nats(run.model, held_out), held_out)
    before = texts.per_character(texts.next_token_nats(model, held_out), held_out)
    prefix = f"bAbI, seed {seed}: held-out nats a character, "
    benchmark.add(
        figure(prefix + "before fine-tuning", before, n=len(held_out)),
        figure(prefix + "fine-tuned", nats["pretrained"], f"< {nats['untrained']:.6f}"),
        figure(prefix + "same steps, untrained weights", nats["untrained"]),
    )


def babi(archive: Path) -> tuple[list[str], str]:
    """The beginning of each task's training file, and of all test files together."""
    with tarfile.open(archive) as files:
        content = {
            Path(name).name: text.read().decode()
            for name in sorted(files.getnames())
            if name.endswith(".txt") and (text := files.extractfile(name)) is not None
        }
    stories = [text[:TUNING_CHARACTERS] for n, text in content.items() if n.endswith("_train.txt")]
    tests = [text[:TUNING_HELD_OUT] for n, text in content.items() if n.endswith("_test.txt")]
    return stories, "".join(tests)


if __name__ == "__main__":
    main("text_model", measure, threads=2)
