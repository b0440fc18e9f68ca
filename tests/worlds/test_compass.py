"""A compass in place of two numbers."""

from __future__ import annotations

import numpy as np
import pytest

from forethought import worlds
from forethought.types import ForethoughtError
from forethought.worlds.compass import ACTIONS, Compass


def test_each_action_goes_where_it_says() -> None:
    world = worlds.make("two_rooms_compass", len(ACTIONS))
    world.reset([3] * len(ACTIONS))
    before = {name: value.copy() for name, value in world.truth().items()}
    world.step(np.arange(len(ACTIONS)))
    after = world.truth()
    moved = np.stack([after[f"position.{axis}"] - before[f"position.{axis}"] for axis in "xy"], 1)
    assert not moved[0].any()
    np.testing.assert_allclose(np.linalg.norm(moved[1:], axis=1), 1.2, rtol=1e-3)
    directions = dict(zip(ACTIONS, moved, strict=True))
    assert directions["east"][0] > 1 and abs(directions["east"][1]) < 1e-3
    np.testing.assert_allclose(directions["north"], -directions["south"], atol=1e-3)


def test_its_oracle_still_arrives() -> None:
    world = worlds.make("two_rooms_compass", 20)
    world.reset(range(20))
    met = np.zeros(20, bool)
    for _ in range(200):
        world.step(world.oracle())
        met |= world.succeeded()
    assert met.all()


def test_a_world_without_a_plane_is_refused() -> None:
    with pytest.raises(ForethoughtError, match="needs two continuous ones"):
        Compass(worlds.make("pendulum", 1))
