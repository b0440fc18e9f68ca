"""What a rollout is computed with: the same numbers by every kind of units."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

from forethought.types import ForethoughtError
from forethought.world_model import native
from forethought.world_model.native import NativeUnits, compiler
from forethought.world_model.units import (
    Change,
    Look,
    Norm,
    PackedUnits,
    PlainUnits,
    Units,
    units_for,
)

KINDS = [PlainUnits, PackedUnits, NativeUnits]
DTYPES = [torch.float32, torch.bfloat16]
ROUNDING = {torch.float32: 1e-5, torch.bfloat16: 2**-7}
"""Relative error that may be: in bfloat16 of one or two roundings."""
LOOK_ROUNDING = {torch.float32: 1e-5, torch.bfloat16: 0.05}
"""Absolute error of what was normalised twice, which is around one; every step may be rounded."""

every_kind = pytest.mark.parametrize(
    "units",
    [
        pytest.param((kind, dtype), id=f"{kind.__name__}-{dtype}")
        for kind in KINDS
        for dtype in DTYPES
    ],
    indirect=True,
)


@pytest.fixture
def units(request) -> Units:
    kind, dtype = request.param
    if kind is NativeUnits and compiler() is None:
        pytest.skip("there is no C compiler")
    bfloat16 = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    if kind is not PlainUnits and dtype == torch.bfloat16 and not bfloat16:
        pytest.skip("the processor has no units for bfloat16")
    return kind(dtype)


@pytest.fixture
def draw(units):
    """Random numbers in the precision of the units."""
    generator = torch.Generator().manual_seed(0)
    return lambda *shape: torch.randn(shape, generator=generator).to(units.dtype)


def agree(found: Tensor, expected: Tensor, *, rtol: float, atol: float | None = None) -> None:
    assert found.shape == expected.shape
    atol = rtol if atol is None else atol
    torch.testing.assert_close(found.double(), expected, rtol=rtol, atol=atol)


# ------------------------------------------------------------------------------- products


def by_hand(values: Tensor, weight: Tensor, bias: Tensor | None, gelu: bool) -> Tensor:
    made = torch.einsum("...i,oi->...o", values.double(), weight.double())
    made = made if bias is None else made + bias.double()
    return made * (1 + torch.erf(made / math.sqrt(2))) / 2 if gelu else made


@every_kind
@pytest.mark.parametrize("gelu", [False, True])
@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize("shape", [(24,), (3, 24), (2, 70, 24), (0, 24)])
def test_a_product_is_what_mathematics_says(units, draw, shape, has_bias, gelu) -> None:
    """Of one value or many, with leading dimensions; weights may be in another precision."""
    weight, bias = draw(40, 24) / 5, draw(40) if has_bias else None
    product = units.linear(weight.float(), None if bias is None else bias.float(), gelu=gelu)
    values = draw(*shape)
    agree(product(values), by_hand(values, weight, bias, gelu), rtol=ROUNDING[units.dtype])
    assert product(values).dtype == units.dtype


@every_kind
@pytest.mark.parametrize("gelu", [False, True])
def test_what_is_no_number_stays_none_in_a_product(units, draw, gelu) -> None:
    """In the row that it is in, and in no other."""
    product, values = units.linear(draw(40, 24), draw(40), gelu=gelu), draw(5, 24)
    before = product(values)
    values[2, 7] = math.nan
    after = product(values)
    assert after[2].isnan().all()
    others = [0, 1, 3, 4]
    torch.testing.assert_close(after[others], before[others])


# ------------------------------------------------------------------------------- states


def normalised(values: Tensor, eps: float) -> Tensor:
    centred = values - values.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + eps).sqrt()


def told(draw, steps: int, count: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Shift, scale and gate, side by side in memory as a block makes them."""
    shift, scale, gate, *_ = draw(steps, count, 6 * width).chunk(6, -1)
    return shift, scale, gate


def look(draw, width: int) -> Look:
    # Large enough to be noticed where one stands for the other.
    return Look(outer_eps=0.3, eps=0.1, gain=draw(width), bias=draw(width))


@every_kind
@pytest.mark.parametrize("changes", [False, True])
@pytest.mark.parametrize(("steps", "count", "width"), [(1, 7, 48), (3, 5, 33)])
def test_states_advance_by_their_change_and_are_seen_normalised(
    units, draw, steps, count, width, changes
) -> None:
    """Normalised, scaled and shifted, normalised once more; nothing that was given is changed."""
    states, (shift, scale, gate) = draw(steps, count, width), told(draw, steps, count, width)
    seen_by = look(draw, width)
    change = Change(gate=gate, value=draw(steps, count, width)) if changes else None
    given = [states, shift, scale, *((change.gate, change.value) if change else ())]
    kept = [one.clone() for one in given]
    moved, seen = units.advance(states, change, shift, scale, seen_by)
    assert all(torch.equal(one, other) for one, other in zip(given, kept, strict=True))
    expected = states.double()
    if change is not None:
        expected = expected + change.gate.double() * change.value.double()
    agree(moved, expected, rtol=ROUNDING[units.dtype])
    # From here on of the states as they were rounded.
    pushed = shift.double() + normalised(moved.double(), seen_by.outer_eps) * scale.double()
    expected = normalised(pushed, seen_by.eps) * seen_by.gain.double() + seen_by.bias.double()
    rounding = LOOK_ROUNDING[units.dtype]
    agree(seen, expected, rtol=ROUNDING[units.dtype], atol=rounding)


@every_kind
@pytest.mark.parametrize("where", ["state", "value", "gate", "shift", "scale"])
def test_what_is_no_number_stays_none_in_states(units, draw, where) -> None:
    """One entry spoils its own row, whose norms it is part of, and no other row."""
    states, (shift, scale, gate), value = draw(2, 4, 48), told(draw, 2, 4, 48), draw(2, 4, 48)
    seen_by, change = look(draw, 48), Change(gate=gate, value=value)
    _, before = units.advance(states, change, shift, scale, seen_by)
    parts = {"state": states, "value": value, "gate": gate, "shift": shift, "scale": scale}
    parts[where][1, 2, 9] = math.nan
    moved, after = units.advance(states, change, shift, scale, seen_by)
    spoiled = torch.zeros(2, 4, dtype=torch.bool)
    spoiled[1, 2] = True
    assert after[spoiled].isnan().all()
    assert bool(moved[1, 2, 9].isnan()) == (where in ("state", "value", "gate"))
    torch.testing.assert_close(after[~spoiled], before[~spoiled])


# ------------------------------------------------------------------------------- attention


def attended(query: Tensor, kept: list[Tensor], heads: int) -> Tensor:
    """Softmax of the scores, head by head."""
    out, width = torch.zeros_like(query, dtype=torch.float64), query.shape[-1] // heads
    for head in range(heads):
        of_key = slice(head * width, (head + 1) * width)
        of_value = slice(query.shape[-1] + of_key.start, query.shape[-1] + of_key.stop)
        asked = query[:, of_key].double()
        scores = torch.stack([(asked * pair[:, of_key].double()).sum(-1) for pair in kept])
        powers = (scores - scores.amax(0)).exp()
        for power, pair in zip(powers, kept, strict=True):
            out[:, of_key] += (power / powers.sum(0))[:, None] * pair[:, of_value].double()
    return out


@every_kind
@pytest.mark.parametrize("width", [32, 64, 24])
@pytest.mark.parametrize("states", [2, 3, 4, 5])
def test_a_token_attends_to_a_few(units, draw, states, width) -> None:
    """To any number of them, at any width of a head, whether compiled for it or not."""
    query = draw(6, 3 * width) / math.sqrt(width)
    kept, out = [draw(6, 6 * width) for _ in range(states)], torch.full_like(query, math.nan)
    units.attend(query, kept, 3, out)
    # In bfloat16 scores, shares and each sum may be rounded.
    atol = {torch.float32: 1e-5, torch.bfloat16: 0.04}[units.dtype]
    agree(out, attended(query, kept, 3), rtol=ROUNDING[units.dtype], atol=atol)


@every_kind
@pytest.mark.parametrize("width", [32, 24])
@pytest.mark.parametrize("sought", [0, 2])
def test_sharp_attention_finds_the_one_that_is_meant(units, draw, sought, width) -> None:
    """Scores that lie thousands apart are no trouble, whichever comes first."""
    query, kept = draw(6, width), [draw(6, 2 * width) for _ in range(3)]
    kept[sought][:, :width] = 2 * query
    out = torch.empty_like(query)
    units.attend(100 * query, kept, 1, out)
    agree(out, kept[sought][:, width:].double(), rtol=ROUNDING[units.dtype])


@every_kind
@pytest.mark.parametrize("width", [32, 24])
@pytest.mark.parametrize("where", ["query", "key", "value"])
def test_what_is_no_number_stays_none_in_attention(units, draw, where, width) -> None:
    """In the head of the row that it is in; of a value, in the one entry."""
    query, kept = draw(4, 2 * width), [draw(4, 4 * width) for _ in range(3)]
    before, after = torch.empty_like(query), torch.empty_like(query)
    units.attend(query, kept, 2, before)
    if where == "query":
        query[1, 5] = math.nan
    else:
        kept[2][1, 5 + (0 if where == "key" else 2 * width)] = math.nan
    units.attend(query, kept, 2, after)
    spoiled = torch.zeros(query.shape, dtype=torch.bool)
    spoiled[1, 5 if where == "value" else slice(0, width)] = True
    assert after[spoiled].isnan().all()
    torch.testing.assert_close(after[~spoiled], before[~spoiled])


@pytest.mark.skipif(compiler() is None, reason="there is no C compiler")
@pytest.mark.parametrize(("states", "width"), [(2, 32), (4, 64), (5, 32), (3, 24)])
def test_compiled_code_serves_what_it_was_compiled_for(monkeypatch, states, width) -> None:
    """Two to four states and heads of width 32 and 64; PyTorch does the rest."""
    asked, plain = [], PlainUnits.attend
    monkeypatch.setattr(PlainUnits, "attend", lambda *args: asked.append(1) or plain(*args))
    query, kept = torch.randn(2, width), [torch.randn(2, 2 * width) for _ in range(states)]
    NativeUnits(torch.float32).attend(query, kept, 1, torch.empty_like(query))
    assert bool(asked) == (states == 5 or width == 24)


# ------------------------------------------------------------------------------- gates


def gated(products: Tensor, told: Tensor, before: Tensor, norm: Norm | None) -> Tensor:
    """Equations 5 to 8 of Cho et al. (2014), and layer normalisation."""
    reset, keep, by = products.double().chunk(3, 1)
    new = torch.tanh((told.double() + reset.sigmoid() * by) / 2)
    after = keep.sigmoid() * before.double() + (1 - keep.sigmoid()) * new
    if norm is None:
        return after
    return normalised(after, norm.eps) * norm.gain.double() + norm.bias.double()


GATE_ROUNDING = {torch.float32: 2e-6, torch.bfloat16: 0.02}
"""Absolute error of states between minus one and one; normalised ones may have twice that."""


@every_kind
@pytest.mark.parametrize("has_norm", [False, True])
@pytest.mark.parametrize("count", [1, 7])
def test_a_gated_step_is_what_mathematics_says(units, draw, count, has_norm) -> None:
    """It is written where it is asked for, and into the first entries of what is seen next."""
    width, actions = 40, 3
    products, told = 3 * draw(count, 3 * width), 3 * draw(count, width)
    before = draw(count, width).float().tanh()
    norm = Norm(gain=draw(width).float(), bias=draw(width).float(), eps=0.01) if has_norm else None
    after, seen = torch.empty(count, width), draw(count, width + actions)
    beside = seen[:, width:].clone()
    units.gate(products, told, before, norm, after, seen)
    atol = GATE_ROUNDING[units.dtype] * (6 if has_norm else 1)
    agree(after, gated(products, told, before, norm), rtol=0, atol=atol)
    torch.testing.assert_close(seen[:, :width], after.to(units.dtype), rtol=0, atol=0)
    torch.testing.assert_close(seen[:, width:], beside, rtol=0, atol=0)


@every_kind
def test_what_is_no_number_stays_none_in_a_gated_step(units, draw) -> None:
    """In the entry that it is in; large numbers do not make any."""
    products, told, before = 200 * draw(5, 120), 200 * draw(5, 40), draw(5, 40).float()
    products[2, 47] = math.nan  # of what is kept
    after, seen = torch.empty(5, 40), draw(5, 42)
    units.gate(products, told, before, None, after, seen)
    expected = torch.zeros(5, 40, dtype=torch.bool)
    expected[2, 7] = True
    assert after.isnan().equal(expected)


# ------------------------------------------------------------------------------- what there is


def test_units_compute_in_the_precision_of_what_is_asked() -> None:
    """Nothing is rounded more than it was."""
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        assert units_for(torch.zeros(1, dtype=dtype)).dtype == dtype


def test_without_onednn_nothing_can_be_packed(monkeypatch) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    with pytest.raises(ForethoughtError, match="no oneDNN; plan without FastConfig"):
        PackedUnits(torch.float32)
    assert type(units_for(torch.zeros(1))) is PlainUnits


def test_a_processor_without_bfloat16_is_told(monkeypatch) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    with pytest.raises(ForethoughtError, match=r"FastConfig\(exact=True\)"):
        PackedUnits(torch.bfloat16)


@pytest.fixture
def forgotten(monkeypatch) -> None:
    """As if nothing had been compiled yet."""
    monkeypatch.setattr(native, "compiled", cache(native.compiled.__wrapped__))


def script(path: Path, text: str) -> str:
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def test_without_a_compiler_the_remedy_is_told(forgotten, monkeypatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(ForethoughtError, match=r"no C compiler.*FastConfig\(compiled=False\)"):
        NativeUnits(torch.float32)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("#!/bin/sh\necho out of luck >&2\nexit 1\n", "out of luck"),
        ("#!/bin/sh\nexec sleep 30\n", "timed out"),
        ("#!/bin/sh\n", "native.so"),
        ("neither a program nor a script", "Exec format"),
    ],
    ids=["fails", "hangs", "makes nothing", "no program"],
)
def test_a_compiler_that_fails_is_quoted(forgotten, monkeypatch, tmp_path, text, told) -> None:
    """However it fails, with what to do instead."""
    monkeypatch.setenv("CC", script(tmp_path / "cc", text))
    monkeypatch.setattr(native, "SECONDS", 1)
    with pytest.raises(ForethoughtError, match=rf"(?s)cc could not.*{told}.*compiled=False"):
        NativeUnits(torch.float32)
