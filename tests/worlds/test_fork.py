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
    np.testing.assert_allclose(x[(y != MIDDLE) & ~np.isin(y, [16.0, 48.0])], 36)
    assert np.isin(y[-1], [LANES["up"], LANES["down"]]).all() and (x[-1] < -6).all()


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


def bet(world: Fork, lane: str, strength: float) -> np.ndarray:
    """Through a lane without delay; back again as soon as the obstacle is seen to turn there."""
    at, y = positions(world), LANES[lane]
    coming = np.sign(obstacles(world)[:, 1] - MIDDLE) == np.sign(y - MIDDLE)
    ahead = np.where((at[:, 0] < 10) & (np.abs(at[:, 1] - y) > 6), 9.0, 52.0)
    to = np.stack([np.where(coming, 4.0, ahead), np.full(len(at), y)], axis=1)
    to[coming & (at[:, 0] < 9.5), 1] = MIDDLE
    return strength * np.clip(to - at, -1.2, 1.2)


@pytest.mark.parametrize("lane", ["up", "down"])
@pytest.mark.parametrize("strength", [1.0, 0.85])
def test_who_bets_on_an_outer_lane_is_touched_half_of_the_time(lane: str, strength: float) -> None:
    world = Fork(1)
    world.reset([seed for seed in range(FIRST, FIRST + 900) if seed % 3 == list(LANES).index(lane)])
    side = run(world, 60, lambda: bet(world, lane, strength))
    lost = side == np.sign(LANES[lane] - MIDDLE)
    np.testing.assert_array_equal(world.truth()["collided"] == 1, lost)
    assert 0.4 < lost.mean() < 0.6


def test_an_obstacle_that_stayed_in_the_middle_would_touch_no_one_in_an_outer_lane() -> None:
    world = Fork(1)
    c = world.config
    touching = c.obstacle_radius + c.dot_radius
    ticks = np.arange(2, 62, 0.25)
    points = np.stack(np.meshgrid(ticks, ticks), -1).reshape(-1, 2)
    free = points[~world.walls.of(0, len(points)).blocked(points)]
    lanes = free[(free[:, 0] > 12) & (free[:, 0] < 28)]
    outer = np.abs(lanes[:, 1] - MIDDLE) > 8
    assert (np.abs(lanes[outer, 1] - MIDDLE) > touching).all()
    # And a lane is too narrow for both.
    for y in LANES.values():
        inside = lanes[np.abs(lanes[:, 1] - y) < 8]
        assert len(inside) and np.abs(inside[:, 1] - y).max() < touching


@pytest.mark.parametrize("place", [[24.0, 32.0], [6.0, 32.0], [4.0, 30.0]])
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
        touched |= np.linalg.norm(positions(world) - obstacles(world), axis=1) < 7.0
        np.testing.assert_array_equal(world.truth()["collided"], touched)
        before = positions(world)
        world.step(act({}))
        assert np.abs(positions(world) - before).max() <= 1.2 + 1e-9
        assert not world.walls.blocked(positions(world)).any()
    assert 5 < touched.sum() < 55
    world.position = np.stack([world.goal_truth()[f"position.{axis}"] for axis in "xy"], axis=1)
    np.testing.assert_array_equal(world.succeeded(), ~touched)


def test_recorded_episodes_turn_towards_their_middle() -> None:
    world = Fork(200)
    act, turned = world.explore(0), []
    for _ in range(80):
        world.step(act({}))
        turned.append(obstacles(world)[:, 1] != MIDDLE)
    steps = np.argmax(turned, axis=0)
    assert np.stack(turned).any(0).all()
    assert np.mean((steps > 16) & (steps < 60)) > 0.95


def test_tasks_begin_in_turn_in_each_lane_and_differ() -> None:
    world = Fork(90)
    start = positions(world)
    for name, mask in world.groups().items():
        assert mask.sum() == 30
        assert (np.abs(start[mask, 1] - LANES[name]) <= 4).all()
    assert len(np.unique(start[:, 1])) == 90
    assert set(np.rint((world.goal_truth()["position.y"] - 32) / 16)) == {-1, 0, 1}


def test_the_goal_image_is_the_dot_at_the_goal_alone() -> None:
    world = Fork(4)
    world.position = np.stack([world.goal_truth()[f"position.{axis}"] for axis in "xy"], axis=1)
    world.obstacle = np.full((4, 2), -12.0)
    np.testing.assert_array_equal(world.observe()[CAMERA], world.goal()[CAMERA])


def test_a_step_that_passes_walls_is_refused() -> None:
    with pytest.raises(ForethoughtError, match="max_step"):
        ForkConfig(max_step=3.0)
