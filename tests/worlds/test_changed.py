"""A changed world does what its change says, and is the same world where nothing has changed."""

from __future__ import annotations

import numpy as np
import pytest

from forethought import worlds
from forethought.types import ForethoughtError
from forethought.worlds.changed import ChangeConfig, Changed, changed

CAMERA = "observation.images.top"


def place(world: Changed) -> np.ndarray:
    return np.stack([world.truth()["position.x"], world.truth()["position.y"]], axis=1)


def pushed(action: tuple[float, float], steps: int = 1, **settings) -> np.ndarray:
    """How far pushes move a dot that stands free, at each world step."""
    world = changed(worlds.make("two_rooms", 1), **settings)
    world.reset([4])
    world.world.position[:] = (16.0, 40.0)
    before, moves = place(world), []
    for _ in range(steps):
        world.step(np.array([action], np.float32))
        moves.append(place(world) - before)
        before = place(world)
    return np.concatenate(moves)


def test_nothing_changes_by_default() -> None:
    plain, same = worlds.make("two_rooms", 3), Changed(worlds.make("two_rooms", 3), ChangeConfig())
    assert np.array_equal(plain.reset([1, 2, 3])[CAMERA], same.reset([1, 2, 3])[CAMERA])
    action = np.full((3, 2), 0.7, np.float32)
    for _ in range(5):
        assert np.array_equal(plain.step(action)[CAMERA], same.step(action)[CAMERA])
    assert np.array_equal(plain.goal()[CAMERA], same.goal()[CAMERA])


def test_actions_do_what_the_change_says() -> None:
    np.testing.assert_allclose(pushed((1.0, 0.5), flipped=(1,)), [[1.0, -0.5]], atol=1e-6)
    np.testing.assert_allclose(pushed((1.0, 0.0), turned=90.0), [[0.0, 1.0]], atol=1e-6)
    # Further than an action can: in parts.
    np.testing.assert_allclose(pushed((1.2, -1.0), gain=3.0), [[3.6, -3.0]], atol=1e-5)
    slid = pushed((0.4, 0.0), steps=3, sliding=0.5)[:, 0]
    np.testing.assert_allclose(slid, [0.4, 0.6, 0.7], atol=1e-6)


def test_the_camera_shows_goals_as_it_shows_the_world() -> None:
    plain, moved = worlds.make("two_rooms", 2), changed(worlds.make("two_rooms", 2), camera=(4, -6))
    for seen, there in (
        (plain.reset([5, 6])[CAMERA], moved.reset([5, 6])[CAMERA]),
        (plain.goal()[CAMERA], moved.goal()[CAMERA]),
    ):
        assert np.array_equal(there[:, 4:, :-6], seen[:, :-4, 6:])
        assert np.array_equal(there[:, 0], there[:, 3])


def test_what_cannot_be_is_refused() -> None:
    for settings in ({"gain": 0.0}, {"sliding": 1.0}):
        with pytest.raises(ForethoughtError, match="give a"):
            ChangeConfig(**settings)
    with pytest.raises(ForethoughtError, match="continuous"):
        changed(worlds.make("two_rooms", 1), flipped=(2,))
    with pytest.raises(ForethoughtError, match="continuous"):
        changed(worlds.make("two_rooms_compass", 1))
