"""Driving: the road is where the picture shows it, and who drives well gets there."""

from __future__ import annotations

import numpy as np
import pytest

from forethought.checkers import check_world
from forethought.types import STATE
from forethought.worlds.adapter import CAMERA
from forethought.worlds.car_racing import (
    CRUISING,
    DIAL_ROWS,
    DIAL_SPEED,
    DISTANCE,
    CarRacing,
    Driving,
    car_racing,
)
from forethought.worlds.road import AHEAD, HALF_WIDTH, SIZE, VIEW_METRES, Road, wrapped

FIRST = 1_000_000
METRES = VIEW_METRES / SIZE
STEP_S = 0.08


@pytest.fixture(scope="module")
def car() -> Driving:
    """One car; tests put it where they need it."""
    return Driving()


def straight(car: Driving, track: int) -> float:
    """Metres along a road at which it goes straight for a while, before and after."""
    car.put(track, 0.0, 0.0, 0.0, 0.0)
    along = np.arange(0, car.road.length, 2.0)
    bends = [
        max(abs(car.road.bend(one - 40 + ahead, 20)) for ahead in range(0, 80, 5)) for one in along
    ]
    assert min(bends) < 0.05
    return float(along[int(np.argmin(bends))])


def road_seen(picture: np.ndarray, row: int) -> np.ndarray:
    """Metres to the right of the car of what is road in a row; other stretches are farther off."""
    across = (np.arange(SIZE) + 0.5 - SIZE / 2) * METRES
    grey = np.abs(picture[row].astype(int) - 104).max(-1) < 12
    return across[grey & (np.abs(across) < 14)]


def held(car: Driving, steering: float, pedal: float, steps: int) -> None:
    for _ in range(steps):
        car.step(np.array([steering, pedal], np.float32))


def test_it_keeps_the_contract_of_worlds() -> None:
    check_world(car_racing(3))


def test_the_oracle_drives_every_task_in_time_and_chance_drives_none() -> None:
    world = car_racing(1)
    tasks = range(FIRST, FIRST + 12)
    world.reset(tasks)
    assert not world.succeeded().any()
    left, driven, covered = world.path_length(), world.truth()["driven"], np.zeros(12)
    for _ in range(100):
        world.step(world.oracle())
        truth = world.truth()
        assert (truth["driven"] > driven).all() and (world.path_length() <= left).all()
        left, driven = world.path_length(), truth["driven"]
        covered += STEP_S * truth["speed"]
        assert (np.abs(truth["offset"]) < 0.6).all()
    assert world.succeeded().all() and (left == 0).all()
    # Corners are cut a little, on the one side or the other.
    np.testing.assert_allclose(driven, covered, rtol=0.06)
    draw = np.random.default_rng(0)
    world.reset(tasks)
    for _ in range(100):
        world.step(draw.uniform(-1, 1, (12, 2)).astype(np.float32))
    assert not world.succeeded().any() and world.truth()["left_road"].mean() > 0.7


def test_the_same_seed_is_the_same_episode() -> None:
    def walk(seeds: list[int], copy: int) -> tuple[np.ndarray, np.ndarray]:
        world = car_racing(1)
        world.reset([77] * len(seeds))
        world.reset(seeds)
        act = world.explore(3)
        seen = [world.step(act({})) for _ in range(25)]
        return np.stack([one[CAMERA][copy] for one in seen]), np.stack(
            [one[STATE][copy] for one in seen]
        )

    for beside, alone in zip(walk([4, 9, 7], 1), walk([9], 0), strict=True):
        np.testing.assert_array_equal(beside, alone)


def test_places_on_the_road_are_found_again(car: Driving) -> None:
    car.put(5, 0.0, 0.0, 0.0, 0.0)
    road: Road = car.road
    for along, offset in np.random.default_rng(0).uniform([0, -0.5], [road.length, 0.5], (50, 2)):
        middle, heading = road.at(along)
        point = middle + offset * HALF_WIDTH * np.array([-np.cos(heading), -np.sin(heading)])
        found = road.place(point)
        gap = (found.along - along + road.length / 2) % road.length - road.length / 2
        # At corners of the centre line, half a bend more or less.
        assert abs(gap) < 1.5 and abs(found.offset - offset) < 0.05
        assert abs(wrapped(found.heading - heading)) < 0.35


@pytest.mark.parametrize("offset", [-0.7, -0.2, 0.0, 0.4])
def test_the_picture_shows_the_road_where_it_is(car: Driving, offset: float) -> None:
    along = straight(car, 11)
    car.put(11, along, offset, 0.0, 0.0)
    picture, row = car.picture(), round(AHEAD * SIZE)
    for at in (row - 8, row + 6):
        across = road_seen(picture, at)
        assert across.mean() == pytest.approx(offset * HALF_WIDTH, abs=0.9)
        assert len(across) * METRES == pytest.approx(2 * HALF_WIDTH, abs=2.5)
    red = (picture[..., 0] > 180) & (picture[..., 1] < 30)
    assert red[row - 1 : row + 1, SIZE // 2 - 1 : SIZE // 2 + 1].all()


def test_turned_left_the_road_ahead_lies_to_the_right(car: Driving) -> None:
    along = straight(car, 11)
    for turned in (-0.3, 0.3):
        car.put(11, along, 0.0, turned, 0.0)
        ahead = road_seen(car.picture(), round(AHEAD * SIZE) - 12)
        assert ahead.mean() == pytest.approx(12 * METRES * np.tan(turned), abs=1.5)


@pytest.mark.parametrize("speed", [0.0, 7.0, 20.0, 60.0])
def test_the_bar_is_as_long_as_the_car_is_fast(car: Driving, speed: float) -> None:
    car.put(11, 0.0, 0.0, 0.0, speed)
    picture = car.picture()
    bar = picture[-DIAL_ROWS:] / 255
    share = min(float(car.sensed()[0]) / DIAL_SPEED, 1.0)
    assert bar.mean() == pytest.approx(share, abs=0.01)
    np.testing.assert_array_equal(bar, bar[:, ::-1])
    assert (picture[-DIAL_ROWS - 1] > 50).any(1).all()


def test_steering_right_turns_right_and_the_pedal_goes_both_ways(car: Driving) -> None:
    along = straight(car, 11)
    speeds = []
    for pedal in (-1.0, 0.0, 1.0):
        car.put(11, along, 0.0, 0.0, 15.0)
        held(car, 0.0, pedal, 20)
        speeds.append(float(car.sensed()[0]))
        assert abs(car.heading - car.place.heading) < 0.05
    slow, even, fast = speeds
    assert even == pytest.approx(15.0, abs=0.5)
    assert 3 < even - slow < 8 and 3 < fast - even < 8
    for steering in (-0.5, 0.5):
        car.put(11, along, 0.0, 0.0, 10.0)
        held(car, steering, 0.0, 10)
        assert np.sign(car.yaw_rate) == -np.sign(steering)


def test_grass_is_felt_where_it_is_and_leaving_the_road_is_remembered(car: Driving) -> None:
    along = straight(car, 11)
    for offset, felt in ((0.0, 0.0), (0.7, 0.0), (1.0, 0.5), (1.5, 1.0)):
        car.put(11, along, offset, 0.0, 0.0)
        assert car.sensed()[1] == felt
    world = car_racing(1)
    world.reset([FIRST])
    (inner,) = world._cars()
    inner.driven, inner.left_road = DISTANCE + 1, False
    assert world.succeeded().all() and world.path_length()[0] == 0
    inner.left_road = True
    assert not world.succeeded().any() and np.isnan(world.path_length()[0])


def test_driving_back_takes_progress_back(car: Driving) -> None:
    along = straight(car, 11)
    car.put(11, along, 0.0, np.pi, 10.0)
    held(car, 0.0, 0.0, 50)
    assert car.driven == pytest.approx(-10.0, abs=0.5)


def test_the_goal_shows_the_end_of_the_stretch_as_it_is_wished_for() -> None:
    world = car_racing(1)
    world.reset(range(6))
    truth = world.goal_truth()
    np.testing.assert_allclose(truth["offset"], 0, atol=1e-3)
    np.testing.assert_allclose(truth["speed"], CRUISING, atol=0.05)
    np.testing.assert_array_equal(world.goal()[STATE][:, 1], 0)


def test_exploring_begins_anywhere_and_nobody_drives() -> None:
    world: CarRacing = car_racing(1)
    world.reset(range(16))
    act = world.explore(0)
    begun = world.truth()
    assert np.ptp(begun["offset"]) > 1.0 and np.ptp(begun["speed"]) > 20
    assert not begun["left_road"].any()
    for _ in range(30):
        world.step(act({}))
    assert 0.3 < world.truth()["left_road"].mean() < 1
