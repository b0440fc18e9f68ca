"""Clips are changed as a whole, and steering is mirrored with the picture."""

from __future__ import annotations

import torch

from forethought.learning import AugmentationConfig
from forethought.types import Windows


def clips() -> Windows:
    ramp = torch.arange(32, dtype=torch.uint8).view(1, 1, 1, 1, 32, 1)
    return Windows(
        observation={"observation.images.a": ramp.expand(64, 3, 1, 32, 32, 3).contiguous()},
        actions=torch.tensor([1.0, 2.0, 3.0, 4.0]).expand(64, 2, 4),
        episode=torch.arange(64),
        step=torch.zeros(64, dtype=torch.long),
    )


def test_a_picture_is_mirrored_with_its_steering(generator) -> None:
    """Where the ramp runs backwards the first of each two actions has changed sign."""
    changed = AugmentationConfig(mirrored=(0,), action_dim=2)(clips(), generator)
    images = changed.observation["observation.images.a"]
    backwards = images[:, 0, 0, 0, 0, 0] == 31
    assert 16 < int(backwards.sum()) < 48
    expected = torch.where(
        backwards[:, None], torch.tensor([-1.0, 2.0, -3.0, 4.0]), torch.tensor([1.0, 2.0, 3.0, 4.0])
    )
    torch.testing.assert_close(changed.actions[:, 0], expected)


def test_a_clip_is_moved_and_lit_as_a_whole(generator) -> None:
    """All frames of a clip stay equal to each other; clips differ."""
    changed = AugmentationConfig(shift=4, brightness=0.3)(clips(), generator)
    images = changed.observation["observation.images.a"].float()
    assert (images == images[:, :1]).all()
    assert len({tuple(clip[0, 0, 0, :, 0].tolist()) for clip in images}) > 30
    assert torch.equal(changed.actions, clips().actions)


def test_nothing_asked_changes_nothing(generator) -> None:
    changed = AugmentationConfig()(clips(), generator)
    for key, value in clips().observation.items():
        assert torch.equal(changed.observation[key], value)
