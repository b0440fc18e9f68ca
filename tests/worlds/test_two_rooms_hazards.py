"""The two rooms with hazards: they stop nobody, and no task needs one to be entered."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from forethought.types import ForethoughtError
from forethought.worlds.picture import CAMERA, OBSTACLE
from forethought.worlds.two_rooms_hazards import ZONE, TwoRoomsHazards, TwoRoomsHazardsConfig

FIRST = 1_000_000


def places(world: TwoRoomsHazards, name: str) -> np.ndarray:
    truth = world.truth()
    return np.stack([truth[f"{name}.x"], truth[f"{name}.y"]], axis=1)


def entered(world: TwoRoomsHazards) -> dict[str, np.ndarray]:
    """Which copies are in which hazard, by the truth alone."""
    radii = {"zone": world.config.zone_radius, "hazard": world.config.patrol_radius}
    at = places(world, "position")
    return {
        name: np.linalg.norm(at - places(world, name), axis=1) < radius
        for name, radius in radii.items()
    }


def ever_entered(
    world: TwoRoomsHazards, steps: int, policy: Callable[[], np.ndarray]
) -> dict[str, np.ndarray]:
    ever = entered(world)
    for _ in range(steps):
        world.step(policy())
        ever = {name: ever[name] | now for name, now in entered(world).items()}
    return ever


def test_the_oracle_reaches_every_goal_and_enters_no_hazard() -> None:
    world = TwoRoomsHazards(1)
    world.reset(range(FIRST, FIRST + 200))
    assert not world.succeeded().any()
    ever = ever_entered(world, 200, world.oracle)
    assert world.succeeded().all()
    assert not ever["zone"].any() and not ever["hazard"].any()


def test_the_straight_way_enters_a_hazard_in_two_tasks_of_five() -> None:
    world = TwoRoomsHazards(1)
    world.reset(range(FIRST, FIRST + 400))

    def straight() -> np.ndarray:
        _, waypoint = world.layout.shortest(world.position, places_of_goals(world))
        return np.clip(waypoint - world.position, -1.2, 1.2)

    ever = ever_entered(world, 100, straight)
    assert world.succeeded().mean() > 0.95
    assert 0.3 < (ever["zone"] | ever["hazard"]).mean() < 0.5
    assert ever["zone"].mean() > 0.15 and ever["hazard"].mean() > 0.12


def places_of_goals(world: TwoRoomsHazards) -> np.ndarray:
    return np.stack([world.goal_truth()[f"position.{axis}"] for axis in "xy"], axis=1)


def test_the_disc_patrols_evenly_and_turns_at_its_ends() -> None:
    world = TwoRoomsHazards(50)
    path = [places(world, "hazard")]
    for _ in range(240):
        world.step(np.zeros((50, 2)))
        path.append(places(world, "hazard"))
    x, y = np.moveaxis(np.stack(path), -1, 0)
    top, bottom = world.config.patrol_range
    assert (x == world.config.patrol_x).all()
    assert y.min() >= top - 1e-9 and y.max() <= bottom + 1e-9
    speed = np.abs(np.diff(y, axis=0))
    assert speed.max() <= 0.6 + 1e-9
    inside = np.minimum(y[:-1] - top, bottom - y[:-1]) > 0.6
    np.testing.assert_allclose(speed[inside], 0.6)
    # The same place and direction once every two ranges: 120 steps.
    np.testing.assert_allclose(y[120:], y[:-120], atol=1e-9)
    first = np.diff(y, axis=0)[0]
    assert y[0].std() > 8 and 10 < (first > 0).sum() < 40


def test_hazards_stop_nobody() -> None:
    world = TwoRoomsHazards(2)
    world.position = np.array([[9.0, 27.0], [9.0, 27.0]])
    for _ in range(10):
        before = world.position
        world.step(np.tile([1.2, 0.0], (2, 1)))
        np.testing.assert_allclose(world.position - before, [[1.2, 0.0]] * 2)
    assert entered(world)["zone"].all()


def test_starts_and_goals_are_never_in_reach_of_a_hazard() -> None:
    world = TwoRoomsHazards(1)
    world.reset(range(300))
    c = world.config
    assert sum(mask.sum() for mask in world.groups().values()) == 300
    assert world.groups()["across"].sum() == 150
    goals = places_of_goals(world)
    assert (np.linalg.norm(places(world, "position") - goals, axis=1) > c.apart).all()
    still = goals.copy(), places(world, "position")
    for _ in range(120):
        world.step(np.zeros((300, 2)))
        for place in still:
            gap = np.linalg.norm(place - places(world, "hazard"), axis=1)
            assert (gap > c.patrol_radius + c.clear - 1e-9).all()
    assert (np.linalg.norm(goals - places(world, "zone"), axis=1) > c.zone_radius + c.clear).all()


def test_pictures_show_the_hazards_where_the_truth_has_them() -> None:
    world = TwoRoomsHazards(20)
    for _ in range(30):
        world.step(world.oracle())
    seen, centres = world.observe()[CAMERA].astype(int), np.arange(64) + 0.5
    radii = {"hazard": world.config.patrol_radius, "zone": world.config.zone_radius}
    for name, colour in (("hazard", OBSTACLE), ("zone", ZONE)):
        for copy, place in enumerate(places(world, name)):
            if np.linalg.norm(places(world, "position")[copy] - place) < 15:
                continue
            like = (np.abs(seen[copy] - colour) <= 1).all(-1)
            found = np.array([like.sum(0) @ centres, like.sum(1) @ centres]) / like.sum()
            np.testing.assert_allclose(found, place, atol=0.3)
            assert like.sum() == pytest.approx(np.pi * radii[name] ** 2, rel=0.2)


def test_the_goal_image_is_what_the_camera_sees_there_at_first() -> None:
    world = TwoRoomsHazards(5)
    first, goals = world.goal()[CAMERA], places_of_goals(world)
    for copy in range(5):
        there = world.images_at(copy, goals[copy : copy + 1])
        np.testing.assert_array_equal(there[0], first[copy])
    world.step(np.zeros((5, 2)))
    np.testing.assert_array_equal(world.goal()[CAMERA], first)


def test_the_same_seed_is_the_same_episode() -> None:
    def walk(seeds: list[int], copy: int) -> tuple[np.ndarray, np.ndarray]:
        world = TwoRoomsHazards(1)
        world.reset(seeds)
        act, seen = world.explore(3), []
        for _ in range(30):
            seen.append(world.step(act({}))[CAMERA][copy])
        return np.stack(seen), places(world, "hazard")[copy]

    for one, other in zip(walk([4, 9, 7], 1), walk([9], 0), strict=True):
        np.testing.assert_array_equal(one, other)


def test_exploring_enters_hazards() -> None:
    world = TwoRoomsHazards(1)
    world.reset(range(200))
    act = world.explore(0)
    ever = ever_entered(world, 100, lambda: act({}))
    assert ever["zone"].mean() > 0.15 and ever["hazard"].mean() > 0.15


def test_path_lengths_are_the_oracles_and_leave_the_world_as_it_was() -> None:
    world = TwoRoomsHazards(60)
    before = world.observe()[CAMERA]
    expected = world.path_length()
    np.testing.assert_array_equal(before, world.observe()[CAMERA])
    steps, open_tasks = np.zeros(60), ~world.succeeded()
    for _ in range(int(expected.max())):
        steps += open_tasks
        world.step(world.oracle())
        open_tasks &= ~world.succeeded()
    np.testing.assert_array_equal(steps, expected)


@pytest.mark.parametrize("speed", [0.0, 1.5])
def test_a_disc_that_stands_or_is_faster_than_the_dot_is_refused(speed: float) -> None:
    with pytest.raises(ForethoughtError, match="patrol_speed"):
        TwoRoomsHazardsConfig(patrol_speed=speed)
