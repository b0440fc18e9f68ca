"""Two rooms and a sign: what is out of sight decides, and nothing in sight gives it away."""

from __future__ import annotations

import numpy as np
import pytest

from forethought.types import ForethoughtError
from forethought.worlds.two_rooms_sign import (
    CAMERA,
    DOORS,
    UNSEEN,
    TwoRoomsSign,
    TwoRoomsSignConfig,
)

FIRST = 1_000_000
COUNT = 200


def tasks() -> TwoRoomsSign:
    world = TwoRoomsSign(1)
    world.reset(range(FIRST, FIRST + COUNT))
    return world


def walk_through(world: TwoRoomsSign, door: np.ndarray, steps: int = 100) -> np.ndarray:
    """Success of walking the shortest path through a door, whatever the sign says."""
    layout, ever = world._layout(door), np.zeros(world.num_worlds, bool)
    goal = np.stack([world.goal_truth()[f"position.{axis}"] for axis in "xy"], axis=1)
    for _ in range(steps):
        gap = layout.shortest(world.position, goal)[1] - world.position
        world.step(gap * np.minimum(1, 1.2 / np.maximum(np.abs(gap).max(1, keepdims=True), 1e-9)))
        ever |= world.succeeded()
    return ever


def test_the_oracle_reaches_every_goal_in_the_steps_it_tells() -> None:
    world = tasks()
    assert not world.succeeded().any()
    expected, taken = world.path_length(), np.zeros(COUNT)
    for _ in range(int(expected.max())):
        taken += ~world.succeeded()
        world.step(world.oracle())
    assert world.succeeded().all() and not world.held.any()
    assert np.abs(taken - expected).max() <= 1


@pytest.mark.parametrize("door", DOORS)
def test_who_always_takes_the_same_door_is_held_half_of_the_time(door: str) -> None:
    world = tasks()
    ever = walk_through(world, np.full(COUNT, DOORS[door]))
    np.testing.assert_array_equal(ever, world.groups()[door])
    np.testing.assert_array_equal(world.held, ~ever)
    assert ever.mean() == 0.5


def test_who_is_held_stays_for_good() -> None:
    world = tasks()
    walk_through(world, np.full(COUNT, DOORS["up"]))
    held, before = world.held.copy(), world.position[world.held]
    for _ in range(20):
        world.step(np.random.default_rng(0).uniform(-1.2, 1.2, (COUNT, 2)))
    np.testing.assert_array_equal(world.position[held], before)


def test_the_sign_is_seen_at_the_start_and_nothing_tells_it_later() -> None:
    one, other = tasks(), tasks()
    # The same tasks with the other door safe.
    other.safe = np.where(one.safe == "up", "down", "up")
    assert (one.observe()[CAMERA] != other.observe()[CAMERA]).any((1, 2, 3)).all()
    near = 0
    for _ in range(24):
        one.step(one.oracle())
        other.position = one.position.copy()
        same = (one.observe()[CAMERA] == other.observe()[CAMERA]).all((1, 2, 3))
        far = np.abs(one.position - np.array(one.config.sign)).max(1) > 13
        assert same[far].all()
        near += int((one.position[:, 0] > 29).sum())
    assert near > 0 and not one.held.any()


def test_only_what_is_near_the_dot_is_shown() -> None:
    world = tasks()
    images, pixels = world.observe()[CAMERA], np.arange(64) + 0.5
    away = np.abs(pixels - world.position[:, :, None])
    hidden = (away[:, 1, :, None] >= 9) | (away[:, 0, None, :] >= 9)
    assert (images[hidden] == UNSEEN).all()
    assert not (images[~hidden] == UNSEEN).all(-1).any()


def test_tasks_differ_but_for_their_sign() -> None:
    world = tasks()
    assert {side: int(mask.sum()) for side, mask in world.groups().items()} == {
        "up": COUNT // 2,
        "down": COUNT // 2,
    }
    assert len(np.unique(world.position, axis=0)) == COUNT
    spread = 4 / np.sqrt(COUNT)
    assert abs(np.corrcoef(world.safe == "up", world.position[:, 1])[0, 1]) < spread


def test_recorded_episodes_go_through_both_doors() -> None:
    world = TwoRoomsSign(COUNT)
    act, crossed = world.explore(0), np.zeros(COUNT, bool)
    for _ in range(90):
        world.step(act({}))
        crossed |= world.position[:, 0] > 34
    assert 0.15 < world.held.mean() < 0.6
    assert 0.15 < crossed.mean() < 0.6
    assert not (crossed & world.held & (world.position[:, 0] > 34)).any()


def test_a_sight_that_makes_memory_needless_or_useless_is_refused() -> None:
    for sight in (3.0, 25.0):
        with pytest.raises(ForethoughtError, match=f"sight={sight}"):
            TwoRoomsSignConfig(sight=sight)
