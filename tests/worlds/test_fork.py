"""The fork: the turn cannot be foreseen, betting loses half of the time, waiting never."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from forethought.types import ForethoughtError
from forethought.worlds.fork import CAMERA, LANES, MIDDLE, Fork, ForkConfig

FIRST = 1_000_000


def positions(world: Fork) -> np.ndarray:
    truth = world.truth()
    return np.stack([truth["position.x"], truth["position.y"]], axis=1)


def obstacles(world: Fork) -> np.ndarray:
    truth = world.truth()
    return np.stack([truth["obstacle.x"], truth["obstacle.y"]], axis=1)


def run(world: Fork, steps: int, policy: Callable[[], np.ndarray]) -> np.ndarray:
    """The obstacle's side in the end: -1 up, 1 down."""
    for _ in range(steps):
        world.step(policy())
    return np.sign(obstacles(world)[:, 1] - MIDDLE)


def test_the_coin_is_fair_and_tells_nothing_beforehand() -> None:
    count = 2000
    world = Fork(1)
    world.reset(range(count))
    start, first = positions(world), obstacles(world)
    world.step(np.zeros((count, 2)))
    visible = {
        "start.x": start[:, 0],
        "start.y": start[:, 1],
        "goal.x": world.goal_truth()["position.x"],
        "goal.y": world.goal_truth()["position.y"],
        "obstacle.x": first[:, 0],
        "speed": first[:, 0] - obstacles(world)[:, 0],
        "seed": np.arange(count) % 2,
    }
    side = run(world, 45, lambda: np.zeros((count, 2)))
    assert set(side) == {-1.0, 1.0}
    spread = 4 / np.sqrt(count)
    assert abs(side.mean()) < spread
    assert abs(np.corrcoef(side[1:], side[:-1])[0, 1]) < spread
    for name, values in visible.items():
        assert abs(np.corrcoef(side, values)[0, 1]) < spread, name


def test_pictures_are_the_same_for_either_turn_until_it_happens() -> None:
    world, other = Fork(40), Fork(40)
    # The same tasks with other coins.
    other._coins = [np.random.default_rng((9, copy)) for copy in range(40)]
    generator, seen = np.random.default_rng(0), np.zeros(40, bool)
    for _ in range(45):
        action = generator.uniform(-1.2, 1.2, (40, 2))
        mine, theirs = world.step(action)[CAMERA], other.step(action)[CAMERA]
        turned = obstacles(world)[:, 1] != MIDDLE
        equal = (mine == theirs).all((1, 2, 3))
        assert equal[~turned].all()
        seen |= ~equal
    assert 8 < seen.sum() < 32


def test_the_obstacle_comes_evenly_and_leaves_along_its_lane() -> None:
    world = Fork(60)
    path = [obstacles(world)]
    for _ in range(60):
        world.step(np.zeros((60, 2)))
        path.append(obstacles(world))
    x, y = np.stack(path)[..., 0], np.stack(path)[..., 1]
    speed = -np.diff(x, axis=0)
    approach = (y[2:] == MIDDLE) & (x[2:] > 36)
    np.testing.assert_allclose((speed[1:] - speed[:-1])[approach], 0, atol=1e-9)
    assert (speed[0] >= 0.8).all() and (speed[0] <= 1.1).all() and speed[0].std() > 0.05
    np.testing.assert_allclose(x[(y != MIDDLE) & ~np.isin(y, [LANES["up"], LANES["down"]])], 36)
    assert np.isin(y[-1], [LANES["up"], LANES["down"]]).all() and (x[-1] < -9).all()


def test_the_oracle_waits_and_is_never_touched() -> None:
    world = Fork(1)
    world.reset(range(FIRST, FIRST + 300))
    assert not world.succeeded().any()
    ever = np.zeros(300, bool)
    for _ in range(120):
        world.step(world.oracle())
        ever |= world.succeeded()
    assert not world.truth()["collided"].any()
    assert ever.mean() >= 0.99 and world.succeeded().mean() >= 0.99


def bet(world: Fork, lane: str) -> np.ndarray:
    """Through a lane without delay; to the middle as soon as the obstacle is seen to turn there."""
    at, y = positions(world), LANES[lane]
    coming = np.sign(obstacles(world)[:, 1] - MIDDLE) == np.sign(y - MIDDLE)
    to = np.stack([np.where(coming, at[:, 0], 54.0), np.where(coming, MIDDLE, y)], axis=1)
    return np.clip(to - at, -1.2, 1.2)


@pytest.mark.parametrize("lane", ["up", "down"])
def test_who_bets_on_an_outer_lane_often_cannot_take_it_back(lane: str) -> None:
    world = Fork(1)
    world.reset([seed for seed in range(FIRST, FIRST + 900) if seed % 3 == list(LANES).index(lane)])
    side = run(world, 60, lambda: bet(world, lane))
    lost = side == np.sign(LANES[lane] - MIDDLE)
    touched = world.truth()["collided"] == 1
    assert not touched[~lost].any() and 0.4 < lost.mean() < 0.6
    assert touched[lost].mean() > 0.4


def test_an_obstacle_that_stayed_in_the_middle_would_touch_no_one_in_an_outer_lane() -> None:
    """And an outer lane is too narrow for both, up to the border."""
    c = Fork(1).config
    for y in (LANES["up"], LANES["down"]):
        assert abs(y - MIDDLE) > c.touch + 2
        assert min(y, 64 - y) - c.margin < c.touch
    with pytest.raises(ForethoughtError, match="obstacle_radius"):
        ForkConfig(obstacle_radius=4.0)


@pytest.mark.parametrize("place", [[22.0, 32.0], [6.0, 32.0], [4.0, 30.0]])
def test_waiting_where_neither_branch_leads_is_safe(place: list[float]) -> None:
    world = Fork(1)
    world.reset(range(100))
    world.position = np.tile(place, (100, 1))
    run(world, 60, lambda: np.zeros((100, 2)))
    assert not world.truth()["collided"].any()


def test_collisions_are_remembered_and_spoil_success() -> None:
    world = Fork(60)
    act, touched = world.explore(0), np.zeros(60, bool)
    for _ in range(80):
        touched |= np.linalg.norm(positions(world) - obstacles(world), axis=1) < 11.0
        np.testing.assert_array_equal(world.truth()["collided"], touched)
        before = positions(world)
        world.step(act({}))
        assert np.abs(positions(world) - before).max() <= 1.2 + 1e-9
    assert 5 < touched.sum() < 55
    world.position = np.stack([world.goal_truth()[f"position.{axis}"] for axis in "xy"], axis=1)
    np.testing.assert_array_equal(world.succeeded(), ~touched)


def test_recorded_episodes_dwell_on_the_turn() -> None:
    """Within 45 rows nearly all show it, and a fair share of all rows what comes after."""
    world = Fork(200)
    act, turned, visible = world.explore(0), [], []
    for _ in range(44):
        world.step(act({}))
        turned.append(obstacles(world)[:, 1] != MIDDLE)
        visible.append(turned[-1] & (obstacles(world)[:, 0] > 0))
    assert turned[-1].mean() > 0.98 and not turned[0].any()
    assert np.mean(visible) > 0.2


def test_tasks_begin_in_turn_in_each_lane_and_differ() -> None:
    world = Fork(90)
    start = positions(world)
    for name, mask in world.groups().items():
        assert mask.sum() == 30
        assert (np.abs(start[mask, 1] - LANES[name]) <= 4).all()
    assert len(np.unique(start[:, 1])) == 90
    assert set(np.rint((world.goal_truth()["position.y"] - 32) / 22)) == {-1, 0, 1}


def test_the_goal_image_is_the_dot_at_the_goal_alone() -> None:
    world = Fork(4)
    world.position = np.stack([world.goal_truth()[f"position.{axis}"] for axis in "xy"], axis=1)
    world.obstacle = np.full((4, 2), -16.0)
    np.testing.assert_array_equal(world.observe()[CAMERA], world.goal()[CAMERA])
