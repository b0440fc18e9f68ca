"""What is out of sight stays known to a predictor with slots."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from torch import Tensor

from forethought.checkers import check_predictor
from forethought.config import from_json, to_json
from forethought.memory import SlotMemoryConfig, SlotPredictor, SlotPredictorConfig
from forethought.types import ForethoughtError
from forethought.world_model import Predictor, PredictorConfig, ResidualMLPConfig

SMALL = SlotPredictorConfig(
    memory=SlotMemoryConfig(slots=8, relations=2, width=8), hidden=32, window=24
)


def signs(number: int, length: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """A sign is shown at the first step only; at the last, an action asks to be moved as it said.

    Latents are position, sign, and noise that says nothing.
    """
    generator = torch.Generator().manual_seed(seed)
    sign = torch.randint(2, (number,), generator=generator) * 2.0 - 1
    latents = torch.randn(number, length, 1, 3, generator=generator)
    latents[:, :, 0, 1] = 0
    latents[:, 0, 0, 1] = sign
    actions = torch.zeros(number, length, 1)
    actions[:, -1] = 1
    after = latents[:, -1].clone()
    after[:, 0, 0] += sign
    after[:, 0, 1:] = latents[:, -1, 0, 1:]
    return latents, actions, after


def trained(config: PredictorConfig, steps: int = 300) -> Predictor:
    torch.manual_seed(0)
    predictor = config.build(1, 3, 1)
    optimiser = torch.optim.AdamW(predictor.parameters(), lr=5e-3)
    for step in range(steps):
        latents, actions, after = signs(64, 2 + step % 7, seed=step)
        loss = (predictor(latents, actions) - after).square().sum(-1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return predictor.eval()


@torch.no_grad()
def error(predictor: Predictor, length: int) -> float:
    latents, actions, after = signs(256, length, seed=1_000_000)
    return float((predictor(latents, actions) - after).square().sum(-1).mean())


def test_a_sign_seen_once_is_known_long_after_and_else_is_not() -> None:
    remembering = trained(SMALL)
    assert error(remembering, 6) < 0.1
    # Longer than in any training window.
    assert error(remembering, 20) < 0.3
    assert error(trained(ResidualMLPConfig(hidden=(32,))), 6) > 0.8


def test_it_keeps_the_contract_of_predictors() -> None:
    torch.manual_seed(0)
    predictor = SlotPredictorConfig(window=3).build(2, 4, 2).eval()
    check_predictor(predictor, tokens=2, width=4, action_width=2)
    assert from_json(to_json(SMALL)) == SMALL


def test_whoever_reads_a_model_knows_a_predictor_with_slots() -> None:
    """In a new process, in which nothing but models was imported."""
    script = (
        "import sys, json, forethought.model; from forethought.config import from_json; "
        "print(from_json(json.loads(sys.argv[1])))"
    )
    command = [sys.executable, "-c", script, json.dumps(to_json(SMALL))]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == str(SMALL)


@torch.no_grad()
def test_unrolling_is_predicting_step_by_step() -> None:
    torch.manual_seed(0)
    predictor = SlotPredictorConfig(window=4).build(2, 4, 2).eval()
    for parameter in predictor.parameters():
        parameter.normal_(std=0.3)
    latents, actions = torch.randn(3, 3, 2, 4), torch.randn(3, 9, 2)
    torch.testing.assert_close(
        predictor.unroll(latents, actions),
        Predictor.unroll(predictor, latents, actions),
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize("window", [3, 9])
@torch.no_grad()
def test_each_step_at_once_is_predicting_it_from_what_came_before(window: int) -> None:
    torch.manual_seed(0)
    predictor = SlotPredictorConfig(window=window).build(2, 4, 2).eval()
    for parameter in predictor.parameters():
        parameter.normal_(std=0.3)
    latents, actions = torch.randn(3, 7, 2, 4), torch.randn(3, 7, 2)
    one_by_one = [
        predictor(latents[:, max(0, end - window) : end], actions[:, max(0, end - window) : end])
        for end in range(1, 8)
    ]
    torch.testing.assert_close(
        predictor.each(latents, actions), torch.stack(one_by_one, 1), rtol=1e-4, atol=1e-5
    )


@torch.no_grad()
def test_what_the_slots_hold_depends_on_all_that_was_seen_and_on_that_alone() -> None:
    torch.manual_seed(0)
    predictor = SMALL.build(1, 3, 1).eval()
    latents, actions, _ = signs(4, 6, seed=0)
    assert isinstance(predictor, SlotPredictor)
    slots = predictor.holds(latents, actions).slots
    assert slots.shape == (4, 8, 2, 8)
    other = latents.clone()
    other[:, 0] += 1
    changed = predictor.holds(other, actions).slots
    assert not torch.allclose(changed, slots, atol=1e-4)
    torch.testing.assert_close(predictor.holds(latents.flip(0), actions).slots, slots.flip(0))


def test_a_memory_that_never_reads_is_refused() -> None:
    with pytest.raises(ForethoughtError, match="hops=0"):
        SlotPredictorConfig(hops=0)
