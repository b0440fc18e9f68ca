"""Small episodes for the tests of data."""

from __future__ import annotations

import numpy as np

from forethought.types import IMAGES, STATE, ActionSpec, ArraySpec, Episode, Signature

CAMERA = IMAGES + "front"
SIZE = 16


def signature(*, discrete: bool = False) -> Signature:
    action = (
        ActionSpec(dim=1, num_choices=3)
        if discrete
        else ActionSpec(dim=2, low=(-1.0, -1.0), high=(1.0, 1.0), names=("left", "right"))
    )
    return Signature(
        observation={
            CAMERA: ArraySpec(shape=(SIZE, SIZE, 3), dtype="uint8"),
            STATE: ArraySpec(shape=(3,), dtype="float32", names=("x", "y", "z")),
        },
        action=action,
        rate_hz=10.0,
    )


def episode(length: int, seed: int = 0, *, discrete: bool = False, task: str = "go") -> Episode:
    generator = np.random.default_rng(seed)
    action = (
        generator.integers(3, size=length)
        if discrete
        else generator.uniform(-1, 1, (length, 2)).astype(np.float32)
    )
    return Episode(
        observation={
            CAMERA: generator.integers(0, 256, (length, SIZE, SIZE, 3), dtype=np.uint8),
            STATE: generator.normal(size=(length, 3)).astype(np.float32),
        },
        action=action,
        task=task,
    )


def assert_same(found: Episode, expected: Episode) -> None:
    assert found.task == expected.task
    np.testing.assert_array_equal(found.action, expected.action)
    assert found.action.dtype == expected.action.dtype
    assert set(found.observation) == set(expected.observation)
    for key, values in expected.observation.items():
        np.testing.assert_array_equal(found.observation[key], values)
        assert found.observation[key].dtype == values.dtype
