"""Predictors as they act: laid out, unrolled at once or played back, with the same numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from forethought.types import ForethoughtError
from forethought.world_model import acting
from forethought.world_model.acting import ActingTransformer
from forethought.world_model.graphs import SHAPES, GraphedPredictor
from forethought.world_model.layout import UnitLinear, count_laid_out, laid_out
from forethought.world_model.native import NativeUnits
from forethought.world_model.predictors import (
    GRU,
    GRUConfig,
    Predictor,
    PredictorConfig,
    RecurrentLatent,
    RecurrentLatentConfig,
    ResidualMLP,
    ResidualMLPConfig,
)
from forethought.world_model.transformers import (
    Attention,
    CausalTransformer,
    CausalTransformerConfig,
    PatchTransformer,
    PatchTransformerConfig,
)
from forethought.world_model.units import PackedUnits, PlainUnits

TOKENS, WIDTH, ACTIONS = 2, 5, 3
SMALL = CausalTransformerConfig(
    hidden=12, depth=2, heads=2, head_width=32, mlp_width=16, action_hidden=8, head_hidden=16
)
UNITS = [PlainUnits, PackedUnits, NativeUnits]


@pytest.fixture(params=UNITS)
def make(request):
    """A kind of units; left out where the machine has none."""
    try:
        request.param(torch.float32)
    except ForethoughtError as reason:
        pytest.skip(str(reason))
    return request.param


def trained(predictor: Predictor) -> Predictor:
    """As if it had been trained: random weights, none of them zero."""
    generator = torch.Generator().manual_seed(0)
    for parameter in predictor.parameters():
        nn.init.normal_(parameter, std=0.3, generator=generator)
    return predictor.eval()


def built(config: PredictorConfig) -> Predictor:
    return trained(config.build(TOKENS, WIDTH, ACTIONS))


def asked(known: int, horizon: int, count: int = 7) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(known + 10 * horizon)
    latents = torch.randn(count, known, TOKENS, WIDTH, generator=generator)
    return latents, torch.randn(count, known - 1 + horizon, ACTIONS, generator=generator)


def step_by_step(predictor: Predictor, latents: Tensor, actions: Tensor) -> Tensor:
    """What the predictor's own step says, each from the latest it may look at."""
    states, known = list(latents.unbind(1)), latents.shape[1]
    for step in range(known, actions.shape[1] + 1):
        seen = slice(max(0, step - predictor.window), step)
        states.append(predictor(torch.stack(states[seen], 1), actions[:, seen]))
    return torch.stack(states[known - 1 :], 1)


# ------------------------------------------------------------------------------- transformers


@pytest.mark.parametrize("window", [1, 2, 3, 4])
@torch.no_grad()
def test_an_acting_transformer_is_the_transformer_asked_step_by_step(make, window) -> None:
    """After any history, to any horizon: while the window grows, and while it slides."""
    transformer = built(replace(SMALL, window=window))
    fast = ActingTransformer(transformer, make(torch.float32))
    for known in range(1, window + 1):
        for horizon in (0, 1, 2, 6):
            latents, actions = asked(known, horizon)
            found = fast.unroll(latents, actions)
            expected = step_by_step(transformer, latents, actions)
            assert found.shape == (7, horizon + 1, TOKENS, WIDTH)
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "config",
    [
        replace(SMALL, hidden=None),
        replace(SMALL, residual=False),
        replace(SMALL, depth=1, heads=1, head_width=7),
    ],
    ids=["no entrance", "not residual", "one block"],
)
@torch.no_grad()
def test_every_make_of_a_transformer_can_act(make, config) -> None:
    transformer = built(config)
    latents, actions = asked(2, 4)
    found = ActingTransformer(transformer, make(torch.float32)).unroll(latents, actions)
    expected = step_by_step(transformer, latents, actions)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_attention_may_have_biases(make) -> None:
    """Also where a state has only itself to look at."""
    transformer = built(SMALL)
    for block in transformer.blocks:
        block.attention = Attention(12, heads=2, head_width=32, step=1, bias=True)
    trained(transformer)
    latents, actions = asked(1, 4)
    found = ActingTransformer(transformer, make(torch.float32)).unroll(latents, actions)
    expected = step_by_step(transformer, latents, actions)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_step_of_it_is_a_step_of_the_transformer(make) -> None:
    """Of windows that are not full, full, and longer than it looks back."""
    transformer = built(SMALL)
    fast = ActingTransformer(transformer, make(torch.float32))
    for steps in (1, 3, 5):
        latents, actions = asked(steps, 1)
        found, expected = fast(latents, actions), transformer(latents, actions)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_in_bfloat16_it_is_as_good_as_bfloat16_is(make) -> None:
    """Changes within a twentieth, and latents keep their own precision."""
    try:
        units = make(torch.bfloat16)
    except ForethoughtError as reason:
        pytest.skip(str(reason))
    transformer = built(SMALL)
    latents, actions = asked(2, 5)
    found = ActingTransformer(transformer, units).unroll(latents, actions)
    expected = step_by_step(transformer, latents, actions)
    assert found.dtype == torch.float32
    assert torch.equal(found[:, 0], latents[:, -1])
    size = (expected - expected[:, :1]).square().mean().sqrt()
    assert 0 < (found - expected).square().mean().sqrt() < 0.05 * size


@pytest.mark.parametrize("rows", [1, 3, 7])
@torch.no_grad()
def test_a_large_batch_is_unrolled_in_parts_that_may_be_uneven(make, monkeypatch, rows) -> None:
    """Seven by one, by three (the last of which is one alone), and all at once."""
    transformer = built(SMALL)
    fast = ActingTransformer(transformer, make(torch.float32))
    latents, actions = asked(2, 4)
    whole, parts, unroll = fast.unroll(latents, actions), [], fast._unroll
    monkeypatch.setattr(acting, "CHUNK_BYTES", rows * transformer.busiest * 4)
    monkeypatch.setattr(fast, "_unroll", lambda *part: parts.append(len(part[0])) or unroll(*part))
    torch.testing.assert_close(fast.unroll(latents, actions), whole, atol=1e-5, rtol=1e-5)
    assert parts == {1: [1] * 7, 3: [3, 3, 1], 7: [7]}[rows]


@torch.no_grad()
def test_one_unroll_does_not_remember_another(make) -> None:
    """Nor do steps behind each other in a batch."""
    fast = ActingTransformer(built(SMALL), make(torch.float32))
    latents, actions = asked(2, 4)
    first = fast.unroll(latents, actions)
    fast.unroll(*asked(1, 6))
    assert torch.equal(fast.unroll(latents, actions), first)
    alone = torch.cat([fast.unroll(latents[[i]], actions[[i]]) for i in range(7)])
    torch.testing.assert_close(alone, first, atol=1e-5, rtol=1e-5)


# ------------------------------------------------------------------------------- subclasses


class BoundedMLP(ResidualMLP):
    """Steps no further than a tenth."""

    def step(self, latents, actions):
        return latents + (super().step(latents, actions) - latents).clamp(-0.1, 0.1)


class BlindMLP(ResidualMLP):
    """Sees half of what it is told."""

    def seen(self, flat):
        return super().seen(flat) / 2


class BoundedGRU(GRU):
    """Steps no further than a tenth."""

    def forward(self, latents, actions):
        present = latents[:, -1]
        return present + (super().forward(latents, actions) - present).clamp(-0.1, 0.1)


class BoundedCausal(CausalTransformer):
    """Steps no further than a tenth."""

    def forward(self, latents, actions):
        present = latents[:, -1]
        return present + (super().forward(latents, actions) - present).clamp(-0.1, 0.1)


class BoundedPatches(PatchTransformer):
    """Steps no further than a tenth."""

    def forward(self, latents, actions):
        present = latents[:, -1]
        return present + (super().forward(latents, actions) - present).clamp(-0.1, 0.1)


class BoundedRecurrent(RecurrentLatent):
    """Steps no further than a tenth."""

    def step(self, latents, actions):
        return latents + (super().step(latents, actions) - latents).clamp(-0.1, 0.1)


PATCHES = PatchTransformerConfig(hidden=8, depth=1, heads=2, head_width=4, mlp_width=16)
OWN_STEPS = [
    pytest.param(lambda: BoundedMLP(ResidualMLPConfig(), TOKENS * WIDTH, ACTIONS), id="step"),
    pytest.param(lambda: BlindMLP(ResidualMLPConfig(), TOKENS * WIDTH, ACTIONS), id="seen"),
    pytest.param(lambda: BoundedGRU(GRUConfig(), TOKENS * WIDTH, ACTIONS), id="gru"),
    pytest.param(
        lambda: BoundedRecurrent(RecurrentLatentConfig(), TOKENS * WIDTH, ACTIONS), id="recurrent"
    ),
    pytest.param(lambda: BoundedCausal(SMALL, TOKENS * WIDTH, ACTIONS), id="causal"),
    pytest.param(lambda: BoundedPatches(PATCHES, TOKENS, WIDTH, ACTIONS), id="patches"),
]


@pytest.mark.parametrize("make_predictor", OWN_STEPS)
@torch.no_grad()
def test_a_subclass_unrolls_by_its_own_step(make_predictor) -> None:
    """What its parent shares between steps is not of its steps."""
    predictor = trained(make_predictor())
    latents, actions = asked(1, 4)
    found = predictor.unroll(latents, actions)
    expected = step_by_step(predictor, latents, actions)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    # Its steps are others than its parent's, so that these would have been noticed.
    parent = type(predictor).__mro__[1]
    predictor.__class__ = parent
    assert not torch.allclose(step_by_step(predictor, latents, actions), expected, atol=1e-2)


@pytest.mark.parametrize("name", ["step", "forward"])
@torch.no_grad()
def test_a_step_that_was_given_to_one_predictor_is_its_step(monkeypatch, name) -> None:
    """As tests and experiments do."""
    predictor = built(ResidualMLPConfig(hidden=(8,)))
    monkeypatch.setattr(predictor, name, lambda latents, actions: torch.ones(7, TOKENS, WIDTH))
    latents, actions = asked(1, 3)
    assert (predictor.unroll(latents, actions)[:, 1:] == 1).all()


@torch.no_grad()
def test_a_subclass_that_adds_to_its_parent_still_shares(monkeypatch) -> None:
    """Only those whose steps are others go step by step."""

    class Named(ResidualMLP):
        name = "one of mine"

    predictor = trained(Named(ResidualMLPConfig(hidden=(8,)), TOKENS * WIDTH, ACTIONS))
    latents, actions = asked(1, 3)
    expected = step_by_step(predictor, latents, actions)
    shared = []
    monkeypatch.setattr(
        predictor, "_joined", lambda: shared.append(1) or ResidualMLP._joined(predictor)
    )
    torch.testing.assert_close(predictor.unroll(latents, actions), expected, atol=1e-5, rtol=1e-5)
    assert shared == [1]


# ------------------------------------------------------------------------------- layout


class Doubled(nn.Linear):
    """What inherits from a linear layer to be something else."""

    def forward(self, input):
        return 2 * super().forward(input)


def mixed() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(6, 8),
        nn.GELU(),
        nn.Dropout(0.5),
        nn.Linear(8, 8),
        nn.GELU(approximate="tanh"),
        Doubled(8, 8),
        nn.GELU(),
        nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 4)),
    ).eval()


@torch.no_grad()
def test_what_is_laid_out_computes_the_same(make) -> None:
    """With every linear layer gone over, and no other, and the module as it was."""
    module, values = mixed(), torch.randn(5, 6)
    expected = module(values)
    fast = laid_out(module, make(torch.float32))
    torch.testing.assert_close(fast(values), expected, atol=1e-6, rtol=1e-5)
    assert count_laid_out(fast) == 3 and count_laid_out(module) == 0
    assert [type(part) for part in module] == [type(part) for part in mixed()]
    assert torch.equal(module(values), expected)


@torch.no_grad()
def test_dropout_is_left_out_and_a_gelu_joined() -> None:
    """Even of a module that is in training: what is laid out acts."""
    module = mixed().train()
    fast = laid_out(module, PlainUnits(torch.float32))
    assert [type(part) for part in fast] == [
        UnitLinear,
        UnitLinear,
        nn.GELU,
        Doubled,
        nn.GELU,
        nn.Sequential,
    ]
    values = torch.randn(5, 6)
    torch.testing.assert_close(fast(values), module.eval()(values), atol=1e-6, rtol=1e-5)


# ------------------------------------------------------------------------------- played back


@pytest.fixture
def played():
    """A recurrent predictor, the same one played back, and what was recorded of it."""
    recorded = []

    def capture(function, latents, actions):
        recorded.append(tuple(latents.shape))
        answer = function(latents, actions)
        # As a graph does, into the same memory each time.
        return lambda: answer.copy_(function(latents, actions))

    predictor = built(GRUConfig(hidden=8, window=3))
    return predictor, GraphedPredictor(predictor, capture), recorded


@torch.no_grad()
def test_what_is_played_back_heeds_what_it_is_told(played) -> None:
    """One recording for each shape, whose answers are not overwritten by later ones."""
    predictor, fast, recorded = played
    assert fast.window == predictor.window
    answers = []
    for known, horizon, shift in ((1, 3, 0), (1, 3, 1), (2, 3, 0), (1, 3, 2)):
        latents, actions = asked(known, horizon)
        expected = predictor.unroll(latents + shift, actions - shift)
        answers.append((fast.unroll(latents + shift, actions - shift), expected))
    for found, expected in answers:
        torch.testing.assert_close(found, expected)
    assert len(recorded) == 2
    latents, actions = asked(2, 1)
    torch.testing.assert_close(fast(latents, actions), predictor(latents, actions))
    assert len(recorded) == 3


@torch.no_grad()
def test_only_so_many_shapes_are_recorded(played) -> None:
    """Those beyond are answered without."""
    predictor, fast, recorded = played
    for horizon in range(1, SHAPES + 3):
        latents, actions = asked(1, horizon)
        expected = predictor.unroll(latents, actions)
        torch.testing.assert_close(fast.unroll(latents, actions), expected)
    assert len(recorded) == SHAPES
