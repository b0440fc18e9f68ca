"""Hindsight: heads that agree where they have learned, and not elsewhere."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace

import pytest
import torch

from forethought import recipes
from forethought.learning import HindsightTrainingConfig, OptimiserConfig
from forethought.learning.train import CollapseWarning, train
from forethought.model import Model
from forethought.types import ForethoughtError
from forethought.world_model import HindsightConfig


def test_spread_equals_its_definition_and_is_each_transitions_own() -> None:
    """Deviation over heads, averaged over the action; the same alone as in a batch."""
    heads = HindsightConfig(num_heads=4, hidden=(16,)).build(2, 3, 5)
    before, after = torch.randn(6, 2, 3), torch.randn(6, 2, 3)
    told = heads(before, after)
    assert told.shape == (4, 6, 5)
    expected = (told - told.mean(0)).square().mean((0, 2)).sqrt()
    torch.testing.assert_close(heads.spread(before, after), expected)
    torch.testing.assert_close(heads.spread(before[2:3], after[2:3]), expected[2:3])


def test_one_head_is_refused() -> None:
    with pytest.raises(ForethoughtError, match="cannot disagree"):
        HindsightConfig(num_heads=1)


def test_heads_learn_what_was_done_and_disagree_where_nothing_was() -> None:
    """On states that move by the action, within and far beyond what was seen."""
    heads = HindsightConfig(num_heads=5, hidden=(64, 64)).build(1, 2, 2)
    optimiser = torch.optim.Adam(heads.parameters(), lr=3e-3)
    draw = torch.Generator().manual_seed(0)
    for _ in range(400):
        before = torch.rand(5, 64, 1, 2, generator=draw)
        done = 0.2 * torch.rand(5, 64, 2, generator=draw) - 0.1
        told = heads.told(before, before + done[:, :, None])
        loss = (told - 10 * done).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    before = torch.rand(200, 1, 2, generator=draw)
    step = 0.2 * torch.rand(200, 1, 2, generator=draw) - 0.1
    jump = step + 2 * torch.where(step > 0, 1.0, -1.0)
    with torch.no_grad():
        known, strange = (heads.spread(before, before + move) for move in (step, jump))
        assert float((heads(before, before + step) - 10 * step[:, 0]).abs().mean()) < 0.1
    assert float(strange.median()) > 5 * float(known.median())


def test_hindsight_is_trained_saved_and_loaded(recorded, tmp_path) -> None:
    """A stage of its own on frozen latents; what was learned is loaded again."""
    plain = recipes.configure("two_rooms", recorded.signature, steps=15)
    plain = replace(plain, critic=None, probes=None)
    optimiser = OptimiserConfig(num_steps=30, batch_size=32)
    told = replace(plain, hindsight=HindsightTrainingConfig(optimiser=optimiser))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapseWarning)
        trained = train(recorded, told, tmp_path / "run", visible=False)
    loaded = Model.from_pretrained(tmp_path / "run")
    latents = torch.randn(3, loaded.world_model.num_tokens, loaded.world_model.width)
    assert trained.hindsight is not None and loaded.hindsight is not None
    torch.testing.assert_close(
        loaded.hindsight(latents, latents.flip(0)), trained.hindsight(latents, latents.flip(0))
    )
    rows = map(json.loads, (tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
    errors = [row["error"] for row in rows if row["stage"] == "hindsight"]
    assert errors[-1] < errors[0]
