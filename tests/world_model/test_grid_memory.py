"""A memory at every place: the same whichever way it is asked, and it does remember."""

from __future__ import annotations

import pytest
import torch

from forethought.checkers import check_predictor
from forethought.types import ForethoughtError
from forethought.world_model import GridMemoryConfig, Predictor

SIDE, WIDTH = 4, 5


def memory(window: int = 6) -> Predictor:
    torch.manual_seed(0)
    built = GridMemoryConfig(channels=8, hidden=8, window=window).build(SIDE**2, WIDTH, 1)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.normal_(std=0.3)
    return built.eval()


def clips(length: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn(3, length, SIDE**2, WIDTH, generator=generator)
    return latents, torch.randn(3, length, 1, generator=generator)


def test_it_is_a_predictor_like_others() -> None:
    check_predictor(memory(), tokens=SIDE**2, width=WIDTH, action_width=1)


@pytest.mark.parametrize("length", [4, 6, 9])
@torch.no_grad()
def test_each_step_is_foreseen_from_what_came_before_it(length: int) -> None:
    """Within the window in one pass, beyond it window by window: the numbers are the same."""
    predictor, (latents, actions) = memory(), clips(length)
    each = predictor.each(latents, actions)
    for step in range(length):
        first = max(0, step + 1 - predictor.window)
        alone = predictor(latents[:, first : step + 1], actions[:, first : step + 1])
        assert torch.allclose(each[:, step], alone, atol=1e-5)


@pytest.mark.parametrize("length", [5, 9])
@torch.no_grad()
def test_a_rollout_is_step_by_step(length: int) -> None:
    predictor, (latents, actions) = memory(), clips(length)
    known = latents[:, :2]
    fast = predictor.unroll(known, actions)
    slow = Predictor.unroll(predictor, known, actions)
    assert torch.allclose(fast, slow, atol=1e-5)


def test_what_was_seen_long_ago_still_counts() -> None:
    """Credit reaches the first step through a window of many, and places begin with long memory."""
    torch.manual_seed(0)
    predictor = GridMemoryConfig(channels=16, hidden=8, window=20).build(SIDE**2, WIDTH, 1)
    latents, actions = clips(20)
    latents.requires_grad_()
    predictor(latents, actions).square().sum().backward()
    assert latents.grad is not None
    share = latents.grad[:, 0].norm() / latents.grad[:, -2].norm()
    assert share > 0.05


def test_a_window_of_nothing_is_refused() -> None:
    with pytest.raises(ForethoughtError, match="window=0"):
        GridMemoryConfig(window=0)
