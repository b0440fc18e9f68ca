"""The language model: what it may see, what it says, and that nothing is counted twice."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from forethought.baselines import text as texts
from forethought.baselines.text import (
    MaskedTokenConfig,
    NextTokenConfig,
    TextModel,
    TextStage,
    TextTraining,
    Whitening,
)
from forethought.baselines.transformer import TokenTransformer, TokenTransformerConfig
from forethought.learning import OptimiserConfig
from forethought.types import ForethoughtError

SMALL = TokenTransformerConfig(
    vocabulary=texts.VOCABULARY, width=32, depth=2, heads=2, context=16, causal=True
)
STEPS = OptimiserConfig(num_steps=100, batch_size=16, learning_rate=3e-3, warmup_steps=10)


def lively(config: TokenTransformerConfig) -> TokenTransformer:
    """A transformer whose blocks do something, as they do after training."""
    torch.manual_seed(0)
    model = config.build().eval()
    for parameter in model.parameters():
        if parameter.ndim == 2:
            nn.init.normal_(parameter, std=0.3)
    return model


def lively_text(config: TokenTransformerConfig) -> TextModel:
    model = TextModel(config).eval()
    model.transformer.load_state_dict(lively(config).state_dict())
    return model


def tokens(length: int, seed: int = 0) -> Tensor:
    return torch.randint(256, (3, length), generator=torch.Generator().manual_seed(seed))


def sentences(count: int) -> str:
    """A small language: its words are certain after their first letters."""
    draw = torch.Generator().manual_seed(0)
    words = [
        ("the robot", "a worker", "one arm"),
        ("lifts", "holds", "turns"),
        ("the box.\n", "a bottle.\n"),
    ]
    return "".join(
        " ".join(kind[int(torch.randint(len(kind), (), generator=draw))] for kind in words)
        for _ in range(count)
    )


# ------------------------------------------------------------------------------ transformer


def test_what_comes_later_changes_nothing_earlier() -> None:
    """Causal: only the changed token and those after it."""
    model, before = lively(SMALL), tokens(16)
    after = before.clone()
    after[:, 9] = (after[:, 9] + 1) % 256
    changed = (model(before) - model(after)).abs().amax(-1)
    assert changed[:, :9].max() < 1e-5
    assert changed[:, 9:].min() > 1e-4


def test_without_causality_every_token_sees_all() -> None:
    """A change at either end reaches the other."""
    model, before = lively(replace(SMALL, causal=False)), tokens(16)
    for place in (0, 15):
        after = before.clone()
        after[:, place] = (after[:, place] + 1) % 256
        assert (model(before) - model(after)).abs().amax(-1).min() > 1e-4


@pytest.mark.parametrize("causal", [True, False])
def test_padding_changes_nothing(causal: bool) -> None:
    """What stands in the padding is not seen."""
    model, short = lively(replace(SMALL, causal=causal)), tokens(10)
    padded = nn.functional.pad(short, (0, 6), value=texts.PAD)
    found = model(padded, padded != texts.PAD)[:, :10]
    torch.testing.assert_close(found, model(short), atol=1e-4, rtol=1e-4)


def test_reading_on_is_reading_at_once() -> None:
    """Pieces of one and of several tokens give the logits of the whole."""
    model, whole, past, found = lively(SMALL), tokens(16), None, []
    for piece in whole.split([5, 1, 7, 3], dim=1):
        logits, past = model.advance(piece, past)
        found.append(logits)
    torch.testing.assert_close(torch.cat(found, 1), model(whole), atol=1e-4, rtol=1e-4)


def test_only_distance_matters() -> None:
    """Rotary positions: in one layer, attention knows how far back, not where."""
    model = lively(replace(SMALL, depth=1))
    repeated = torch.full((1, 16), 7)
    logits = model(repeated)
    torch.testing.assert_close(logits, logits[:, :1].expand_as(logits), atol=1e-4, rtol=1e-4)


def test_greedy_writing_is_the_argmax_of_reading() -> None:
    """Also past the context, where reading begins again with the later half."""
    model, text = lively(SMALL), tokens(5)
    written = model.generate(text, 30, generator=None)
    start = 0
    for token in written.T:
        if text.shape[1] - start > 16:
            start = text.shape[1] - 8
        assert torch.equal(token, model(text[:, start:])[:, -1].argmax(-1))
        text = torch.cat([text, token[:, None]], 1)


def test_drawn_tokens_belong_to_their_generator() -> None:
    """The same one gives the same; another, others; a cold one the likeliest."""
    model, prompt = lively(SMALL), tokens(5)

    def drawn(seed: int, temperature: float = 1.0) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return model.generate(prompt, 12, generator=generator, temperature=temperature)

    assert torch.equal(drawn(0), drawn(0)) and not torch.equal(drawn(0), drawn(1))
    assert torch.equal(drawn(0, 1e-4), model.generate(prompt, 12, generator=None))


def test_misuse_is_refused() -> None:
    """By what is wrong, before anything is computed."""
    with pytest.raises(ForethoughtError, match="context of 16"):
        lively(SMALL)(tokens(17))
    with pytest.raises(ForethoughtError, match="causal=False"):
        lively(replace(SMALL, causal=False)).generate(tokens(4), 1, generator=None)
    with pytest.raises(ForethoughtError, match="5 heads"):
        replace(SMALL, heads=5)
    with pytest.raises(ForethoughtError, match="at least one token"):
        lively(SMALL).generate(tokens(0), 1, generator=None)


# ------------------------------------------------------------------------------------ tokens


@given(st.lists(st.text(), max_size=4))
def test_any_text_survives(several: list[str]) -> None:
    """UTF-8 to bytes and back; between texts stands an end."""
    for text in several:
        assert texts.untokenise(texts.tokenise(text)) == text
    stream = texts.stream_of(several)
    assert texts.untokenise(stream) == "".join(several)
    assert int((stream == texts.END).sum()) == len(several) + 1


def test_half_a_character_is_refused() -> None:
    with pytest.raises(ForethoughtError, match="position 2"):
        texts.tokenise("ab\ud800")


# --------------------------------------------------------------------------------- measuring


@settings(deadline=None)
@given(st.integers(1, 200), st.integers(1, 40), st.booleans())
def test_every_token_is_answered_for_once(length: int, context: int, both_sides: bool) -> None:
    """By one window that holds it, with all the context that half-overlap can give."""
    starts, borders = texts.windows(length, context, both_sides=both_sides)
    size = min(context, length)
    assert borders[0] == 0 and borders[-1] == length and (borders.diff() >= 0).all()
    for start, first, end in zip(starts, borders, borders[1:], strict=False):
        assert 0 <= start <= first and end <= start + size <= length
        least = size // 4 if both_sides else size - max(1, size // 2)
        assert start == 0 or first - start >= least or first == end
        assert not both_sides or start + size == length or start + size - end >= least


@pytest.mark.parametrize("length", [1, 15, 16, 17, 100])
def test_a_model_that_knows_nothing_needs_the_logarithm_of_the_vocabulary(length: int) -> None:
    """Exactly, for each byte, in both measures; untrained weights come close."""
    text = "abcdefghij" * 10
    text = text[:length]
    for causal in (True, False):
        torch.manual_seed(0)
        model = TextModel(replace(SMALL, causal=causal)).eval()
        for tolerance, scale in ((0.2, 1.0), (1e-5, 0.0)):
            model.transformer.embedding.weight.data.mul_(scale)
            nats = measured(model, text)
            assert nats.shape == (length,)
            expected = math.log(texts.VOCABULARY)
            assert float(nats.mean()) == pytest.approx(expected, abs=tolerance)
    assert nats.sub(expected).abs().max() < 1e-5


def measured(model: TextModel, text: str) -> Tensor:
    if model.config.causal:
        return texts.next_token_nats(model, text)
    generator = torch.Generator().manual_seed(0)
    return texts.masked_nats(model, text, share=0.15, generator=generator)


def test_a_short_text_is_judged_by_one_reading() -> None:
    """Within the context the nats are those of the plain forward pass."""
    model = lively_text(SMALL)
    stream = texts.stream_of(["to be, or not"])[:-1]
    logits = model.transformer(stream[None, :-1])[0].detach()
    expected = nn.functional.cross_entropy(logits, stream[1:], reduction="none")
    torch.testing.assert_close(texts.next_token_nats(model, "to be, or not"), expected)


def test_a_masked_byte_is_not_seen() -> None:
    """All masked at once: what is expected at one place cannot depend on any other."""
    model = lively_text(replace(SMALL, causal=False))
    generator = torch.Generator()
    one, two = (
        texts.masked_nats(model, text, share=1.0, generator=generator) for text in ("abcb", "adcd")
    )
    torch.testing.assert_close(one[::2], two[::2])
    assert (one[1::2] - two[1::2]).abs().min() > 1e-4


def test_characters_of_several_bytes_are_counted_as_characters() -> None:
    """Two bytes of one nat each are one character of two nats."""
    assert texts.per_character(torch.ones(4), "äö") == 2


def test_the_held_out_text_is_the_last_tenth() -> None:
    assert texts.split("0123456789" * 2) == ("0123456789" + "01234567", "89")


# ---------------------------------------------------------------------------------- learning


@pytest.mark.parametrize(
    "training",
    [
        NextTokenConfig(optimiser=STEPS),
        # Fewer bytes to learn from in each window.
        MaskedTokenConfig(optimiser=replace(STEPS, num_steps=300)),
    ],
)
def test_a_few_steps_learn_more_than_frequencies(training: TextTraining, tmp_path) -> None:
    """Held-out nats fall below the entropy of single bytes, which knows no context."""
    train, held_out = texts.split(sentences(400))
    counts = Counter(held_out)
    shares = [count / len(held_out) for count in counts.values()]
    entropy = -sum(share * math.log(share) for share in shares)
    config = replace(SMALL, width=64, causal=isinstance(training, NextTokenConfig))
    run = texts.pretrain(config, training, train, tmp_path, held_out=held_out, visible=False)
    assert texts.per_character(measured(run.model, held_out), held_out) < 0.6 * entropy
    assert run.seconds > 0


def test_an_interrupted_run_ends_the_same(tmp_path, broken_off) -> None:
    """To the bit; and its folder takes no other run."""

    def run(folder: Path, steps: int = 30) -> TextModel:
        training = NextTokenConfig(optimiser=replace(STEPS, num_steps=steps))
        text = sentences(20)
        return texts.pretrain(
            SMALL, training, text, folder, held_out=text, visible=False, checkpoint_s=0.0
        ).model

    unbroken = run(tmp_path / "unbroken")
    with broken_off("text", 12):
        run(tmp_path / "broken")
    continued = run(tmp_path / "broken")
    for one, two in zip(unbroken.parameters(), continued.parameters(), strict=True):
        assert torch.equal(one, two)
    with pytest.raises(ForethoughtError, match="another training"):
        run(tmp_path / "broken", steps=31)


def test_fine_tuning_begins_where_pretraining_ended(tmp_path) -> None:
    """A few steps on task strings help with them; the pretrained model stays as it was."""
    model = TextModel(SMALL)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    tasks = ["Pick up the yellow bottle.", "Put the bottle down."] * 4
    training = NextTokenConfig(optimiser=replace(STEPS, num_steps=20))
    tuned = texts.fine_tune(
        model, training, tasks, tmp_path, held_out=tasks[0], visible=False
    ).model
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert measured(tuned, tasks[0]).mean() < measured(model, tasks[0]).mean() - 1


def test_a_stage_needs_its_kind_of_model() -> None:
    stream = texts.stream_of(["abc"])
    with pytest.raises(ForethoughtError, match="causal=True"):
        TextStage(
            NextTokenConfig(optimiser=STEPS), TextModel(replace(SMALL, causal=False)), stream, "abc"
        )
    with pytest.raises(ForethoughtError, match="causal=False"):
        TextStage(MaskedTokenConfig(optimiser=STEPS), TextModel(SMALL), stream, "abc")


def test_a_saved_model_is_the_same(tmp_path) -> None:
    """Identical logits; a damaged folder is refused."""
    model = lively_text(SMALL)
    model.save(tmp_path)
    loaded = TextModel.load(tmp_path)
    assert loaded.config == model.config
    assert torch.equal(loaded.transformer(tokens(16)), model.transformer(tokens(16)))
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(ForethoughtError, match="no whole text model"):
        TextModel.load(tmp_path)


def test_completion_ends_where_the_text_ends(generator) -> None:
    """Text continues as text; the end mark is not shown."""
    model = lively_text(SMALL)
    written = model.complete("to be", 12, generator=None)
    assert written == model.complete("to be", 12, generator=None)
    model.transformer.embedding.weight.data[: texts.END] = 0
    model.transformer.embedding.weight.data[texts.END] *= 1e3
    assert texts.END not in texts.tokenise(model.complete("", 12, generator=generator)).tolist()


# --------------------------------------------------------------------------------- retrieval


def test_embeddings_are_means_over_bytes() -> None:
    """Whatever else is in the batch, and over the pieces of a long text by their lengths."""
    model = lively_text(replace(SMALL, causal=False))
    long = "a passage longer than one context is."
    several = model.embed(["short", long, "x"])
    torch.testing.assert_close(several[1], model.embed([long])[0], atol=1e-5, rtol=1e-4)
    pieces = [long[start : start + 16] for start in range(0, len(long), 16)]
    weights = torch.tensor([float(len(piece)) for piece in pieces]) / len(long)
    torch.testing.assert_close(several[1], weights @ model.embed(pieces), atol=1e-5, rtol=1e-4)
    with pytest.raises(ForethoughtError, match="text 1 is empty"):
        model.embed(["a", ""])


def test_whitened_embeddings_vary_alike(generator) -> None:
    """Their covariance is the identity, and each is nearest to itself."""
    mixing = torch.randn(6, 6, generator=generator)
    drawn = torch.randn(500, 6, generator=generator) @ mixing + 3
    white = Whitening.fit(drawn, floor=0.0)(drawn)
    torch.testing.assert_close(white.T @ white / 500, torch.eye(6), atol=1e-3, rtol=0)
    assert texts.top1(white, white) == 1
    assert texts.top1(white, white.roll(1, 0)) == 0


def test_halves_of_passages(generator) -> None:
    """No line is in two passages, and each second half follows its first."""
    lines = [f"line {number}\n" for number in range(40)]
    first, second = texts.passage_halves("".join(lines), 10, num_lines=4, generator=generator)
    whole = "".join(lines)
    assert all(a + b in whole for a, b in zip(first, second, strict=True))
    assert sorted("".join(first + second).splitlines()) == sorted(whole.splitlines())
    with pytest.raises(ForethoughtError, match="10 passages"):
        texts.passage_halves(whole, 11, num_lines=4, generator=generator)
