"""Two rooms and a sign: what is out of sight decides, and nothing in sight gives it away."""

from __future__ import annotations

import numpy as np
import pytest

from forethought.types import ForethoughtError
from forethought.worlds.two_rooms_sign import (
    CAMERA,
    MIDDLE,
    UNSEEN,
    TwoRoomsSign,
    TwoRoomsSignConfig,
)

FIRST = 1_000_000
COUNT = 200
SIDES = {"up": -1.0, "down": 1.0}


def tasks() -> TwoRoomsSign:
    world = TwoRoomsSign(1)
    world.reset(range(FIRST, FIRST + COUNT))
    return world


def walk_through(world: TwoRoomsSign, side: np.ndarray, steps: int = 80) -> np.ndarray:
    """Success of walking to the goal through the door on a side, whatever the sign says."""
    ever = np.zeros(world.num_worlds, bool)
    for _ in range(steps):
        world.step(world.towards(side))
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
    np.testing.assert_array_equal(taken, expected)


@pytest.mark.parametrize("door", SIDES)
def test_who_always_takes_the_same_door_is_held_half_of_the_time(door: str) -> None:
    world = tasks()
    ever = walk_through(world, np.full(COUNT, SIDES[door]))
    np.testing.assert_array_equal(ever, world.safe == door)
    np.testing.assert_array_equal(world.held, ~ever)
    assert ever.mean() == 0.5


def test_who_takes_the_door_nearer_to_the_goal_is_held_half_of_the_time() -> None:
    world = tasks()
    ever = walk_through(world, np.sign(world.goal_truth()["position.y"] - MIDDLE))
    np.testing.assert_array_equal(ever, world.groups()["near door safe"])
    np.testing.assert_array_equal(~ever, world.groups()["near door a trap"])
    assert ever.mean() == 0.5


def test_who_is_held_stays_for_good() -> None:
    world = tasks()
    walk_through(world, np.full(COUNT, SIDES["up"]))
    held, before = world.held.copy(), world.position[world.held]
    for _ in range(20):
        world.step(np.random.default_rng(0).uniform(-1.2, 1.2, (COUNT, 2)))
    np.testing.assert_array_equal(world.position[held], before)


def test_the_sign_is_seen_at_the_start_and_nothing_tells_it_for_long_before_the_hall() -> None:
    one, other = tasks(), tasks()
    # The same tasks with the other door safe.
    other.safe = np.where(one.safe == "up", "down", "up")
    assert (one.observe()[CAMERA] != other.observe()[CAMERA]).any((1, 2, 3)).all()
    since = np.zeros(COUNT)
    while (outside := one.position[:, 0] < one.config.hall[0]).any():
        one.step(one.oracle() * outside[:, None])
        other.position = one.position.copy()
        same = (one.observe()[CAMERA] == other.observe()[CAMERA]).all((1, 2, 3))
        since = np.where(same, since + outside, 0)
    # Longer than a window of four model steps of four world steps goes back.
    assert since.min() > 12 and not one.held.any()


def test_the_corridor_is_too_narrow_to_note_the_sign_by_where_one_is() -> None:
    world, rng = tasks(), np.random.default_rng(0)
    for _ in range(20):
        world.step(rng.uniform(-1.2, 1.2, (COUNT, 2)) + np.array([0.4, 0.0]))
        in_corridor = world.position[:, 0] < world.config.hall[0]
        aside = np.abs(world.position[in_corridor, 1] - MIDDLE)
        assert aside.max() <= world.config.corridor_half_width


def test_no_wall_is_passed_and_the_right_room_is_entered_through_doors_alone() -> None:
    world, rng = tasks(), np.random.default_rng(1)
    c, entered = world.config, np.zeros(COUNT, bool)
    for _ in range(150):
        before = world.position
        world.step(rng.uniform(-1.2, 1.2, (COUNT, 2)) + np.array([0.6, 0.0]))
        assert not world._walls.of(0, COUNT).blocked(world.position).any()
        crossed = (before[:, 0] <= c.wall[0]) & (world.position[:, 0] > c.wall[0])
        aside = np.abs(world.position[crossed, 1] - MIDDLE)
        assert ((aside >= c.doors[0]) & (aside <= c.doors[1])).all()
        entered |= crossed
    assert entered.mean() > 0.2


def test_only_what_is_near_the_dot_is_shown() -> None:
    world = tasks()
    images, pixels = world.observe()[CAMERA], np.arange(64) + 0.5
    away = np.abs(pixels - world.position[:, :, None])
    sight = world.config.sight
    hidden = (away[:, 1, :, None] >= sight) | (away[:, 0, None, :] >= sight)
    assert (images[hidden] == UNSEEN).all()
    assert not (images[~hidden] == UNSEEN).all(-1).any()


def test_tasks_differ_but_for_their_sign() -> None:
    world = tasks()
    assert {name: int(mask.sum()) for name, mask in world.groups().items()} == {
        "near door safe": COUNT // 2,
        "near door a trap": COUNT // 2,
    }
    assert len(np.unique(world.position, axis=0)) == COUNT
    spread = 4 / np.sqrt(COUNT)
    for where in (*world.position.T, *world.goal_truth().values()):
        assert abs(np.corrcoef(world.safe == "up", where)[0, 1]) < spread


def test_recorded_episodes_go_through_both_doors() -> None:
    world = TwoRoomsSign(COUNT)
    act, crossed = world.explore(0), np.zeros(COUNT, bool)
    for _ in range(90):
        world.step(act({}))
        crossed |= world.position[:, 0] > world.config.wall[1]
    assert 0.25 < world.held.mean() < 0.6
    assert 0.2 < crossed.mean() < 0.6
    up = world.position[crossed, 1] < MIDDLE
    assert 0.2 < up.mean() < 0.8


def test_a_sight_that_makes_memory_needless_or_useless_is_refused() -> None:
    for sight in (3.0, 25.0):
        with pytest.raises(ForethoughtError, match=f"sight={sight}"):
            TwoRoomsSignConfig(sight=sight)


def test_walls_that_one_step_passes_are_refused() -> None:
    with pytest.raises(ForethoughtError, match=r"wall_thickness=1\.0"):
        TwoRoomsSignConfig(wall_thickness=1.0)
