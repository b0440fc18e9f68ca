"""Encoders trained from scratch, and the attention that they share."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from forethought.checkers import check_encoder
from forethought.perception import IMPALAConfig, TransformerBlock, ViTConfig
from forethought.perception.encoders import Patches, stacked_pixels
from forethought.perception.vit import grid_waves
from forethought.types import ArraySpec, ForethoughtError

IMAGE = ArraySpec(shape=(32, 48, 3), dtype="uint8")


def pictures(count: int, frames: int) -> torch.Tensor:
    drawn = np.random.default_rng(0).integers(0, 256, (count, frames, *IMAGE.shape))
    return torch.tensor(drawn, dtype=torch.uint8)


@pytest.mark.parametrize(
    "config", [IMPALAConfig(), IMPALAConfig(normalise=True), ViTConfig(), ViTConfig(pooled=False)]
)
def test_they_conform_and_say_their_tokens(config) -> None:
    encoder = config.build(IMAGE, 2)
    check_encoder(encoder, IMAGE, frame_stack=2)
    assert encoder(pictures(3, 2)).shape == (3, *config.tokens(IMAGE))


@pytest.mark.parametrize("config", [IMPALAConfig(), ViTConfig()])
def test_they_refuse_sizes_that_they_cannot_reduce(config) -> None:
    with pytest.raises(ForethoughtError, match="multiples of 8"):
        config.build(ArraySpec(shape=(30, 32, 3), dtype="uint8"), 1)


def test_frames_are_told_as_the_latest_and_the_changes_before_it() -> None:
    frames = pictures(2, 3)
    told = stacked_pixels(frames).unflatten(1, (3, 3))
    pixels = frames.float().permute(0, 1, 4, 2, 3) / 255 - 0.5
    torch.testing.assert_close(told[:, 2], pixels[:, 2])
    torch.testing.assert_close(told[:, 1], 3 * (pixels[:, 2] - pixels[:, 1]))
    still = stacked_pixels(frames[:, :1].expand(-1, 3, -1, -1, -1)).unflatten(1, (3, 3))
    assert not still[:, :2].any()


@torch.no_grad()
def test_a_single_picture_meets_the_same_convolution_as_many() -> None:
    torch.manual_seed(0)
    convolution, pixels = Patches(3, 8, 4, stride=4), torch.randn(2, 3, 16, 24)
    alone = torch.cat([convolution(one[None]) for one in pixels])
    torch.testing.assert_close(alone, convolution(pixels), atol=1e-6, rtol=1e-5)


def test_attention_without_a_mask_does_not_know_the_order() -> None:
    torch.manual_seed(0)
    block, tokens = TransformerBlock(16, 4), torch.randn(2, 5, 16)
    order = torch.tensor([3, 1, 4, 0, 2])
    torch.testing.assert_close(block(tokens)[:, order], block(tokens[:, order]))


def test_what_the_mask_hides_does_not_matter() -> None:
    """With a causal mask the past does not see the future, and the future sees the past."""
    torch.manual_seed(0)
    block, tokens = TransformerBlock(16, 4), torch.randn(2, 5, 16)
    causal = torch.ones(1, 5, 5, dtype=torch.bool).tril()
    before = block(tokens, causal)
    tokens[:, 3] = torch.randn(2, 16)
    after = block(tokens, causal)
    assert torch.equal(before[:, :3], after[:, :3])
    assert ((before - after)[:, 3:].abs().amax((0, 2)) > 1e-4).all()


def test_a_masked_batch_is_what_each_is_alone() -> None:
    torch.manual_seed(0)
    block, tokens = TransformerBlock(8, 2), torch.randn(2, 6, 8)
    lengths = torch.tensor([4, 6])
    mask = (torch.arange(6) < lengths[:, None])[:, None]
    together = block(tokens, mask)
    for row, length in enumerate(lengths):
        alone = block(tokens[row : row + 1, :length])
        torch.testing.assert_close(together[row : row + 1, :length], alone)


def test_heads_must_share_the_width() -> None:
    with pytest.raises(ForethoughtError, match="width 10 for 4 heads"):
        TransformerBlock(10, 4)
    with pytest.raises(ForethoughtError, match="hidden is 30"):
        ViTConfig(hidden=30)


def test_each_place_has_waves_of_its_own_and_neighbours_are_alike() -> None:
    """A product of waves depends on the distance of two places only."""
    waves = grid_waves(6, 9, 32)
    near = waves @ waves.T
    assert near.argmax(1).tolist() == list(range(54))
    torch.testing.assert_close(near[0, 10], near[13, 23])


def test_a_pooled_transformer_sees_where_things_are() -> None:
    """The mean over patches is not the mean over a bag of patches."""
    torch.manual_seed(0)
    encoder = ViTConfig().build(IMAGE, 1)
    here = torch.zeros(1, 1, *IMAGE.shape, dtype=torch.uint8)
    here[:, :, :8, :8] = 255
    there = here.roll((16, 24), (2, 3))
    assert (encoder(here) - encoder(there)).abs().max() > 1e-3
