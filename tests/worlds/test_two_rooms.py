"""The two rooms: nothing passes the wall but by the door, and the goal is always in reach."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forethought.worlds.two_rooms import CAMERA, FIXED, RANDOM, TwoRooms, TwoRoomsConfig, draw

CONFIGS = pytest.mark.parametrize("config", [FIXED, RANDOM], ids=["fixed", "random"])
HAIR = 1e-9


def positions(world: TwoRooms) -> np.ndarray:
    truth = world.truth()
    return np.stack([truth["position.x"], truth["position.y"]], axis=1)


def depth_in_wall(world: TwoRooms, points: np.ndarray) -> np.ndarray:
    """How far points lie inside the wall; negative outside."""
    truth, c = world.truth(), world.config
    beside = c.wall_half_thickness - np.abs(points[:, 0] - truth["wall.x"])
    beyond = np.abs(points[:, 1] - truth["door.y"]) - c.door_half_width
    return np.minimum(beside, beyond)


@CONFIGS
def test_a_seed_is_the_same_task_in_any_batch(config: TwoRoomsConfig) -> None:
    many, one = TwoRooms(6, config=config), TwoRooms(1, config=config)
    seen, goals = many.reset([9, 4, 7, 1, 30, 2]), many.goal()
    alone = one.reset([7])
    np.testing.assert_array_equal(seen[CAMERA][2], alone[CAMERA][0])
    np.testing.assert_array_equal(goals[CAMERA][2], one.goal()[CAMERA][0])


@CONFIGS
def test_tasks_are_balanced_open_and_in_free_space(config: TwoRoomsConfig) -> None:
    world = TwoRooms(400, config=config)
    groups = world.groups()
    goal = np.stack(list(world.goal_truth().values()), axis=1)
    assert groups["across"].sum() == groups["same"].sum() == 200
    crosses = np.sign(positions(world)[:, 0] - world.layout.wall) != np.sign(
        goal[:, 0] - world.layout.wall
    )
    np.testing.assert_array_equal(crosses, groups["across"])
    assert not world.succeeded().any()
    assert (depth_in_wall(world, positions(world)) < 0).all()
    assert (depth_in_wall(world, goal) < 0).all()


@CONFIGS
def test_the_oracle_solves_every_task_in_its_path_length(config: TwoRoomsConfig) -> None:
    world = TwoRooms(300, config=config)
    expected = world.path_length()
    steps, open_tasks = np.zeros(300), ~world.succeeded()
    for _ in range(200):
        steps += open_tasks
        world.step(world.oracle())
        open_tasks &= ~world.succeeded()
    assert not open_tasks.any()
    np.testing.assert_allclose(steps, expected, rtol=0.05, atol=1.0)


def test_path_length_leaves_the_world_as_it_was() -> None:
    world = TwoRooms(20)
    before = positions(world)
    world.path_length()
    np.testing.assert_array_equal(before, positions(world))


@CONFIGS
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), heading=st.floats(0, 6.28), gain=st.floats(0.1, 50))
def test_no_push_leads_into_the_wall_or_further_than_a_step(
    config: TwoRoomsConfig, seed: int, heading: float, gain: float
) -> None:
    world = TwoRooms(8, config=config)
    world.reset(range(seed, seed + 8))
    generator = np.random.default_rng(seed)
    for step in range(60):
        # Straight on for a while, so that dots press against what is there, then about.
        spread = 0.1 if step % 20 < 15 else 3.0
        angle = heading + spread * generator.normal(size=8)
        before, side = positions(world), world.layout.side(positions(world))
        world.step(gain * np.stack([np.cos(angle), np.sin(angle)], axis=1))
        after = positions(world)
        assert np.abs(after - before).max() <= config.max_step + HAIR
        assert depth_in_wall(world, after).max() <= HAIR
        changed = world.layout.side(after) != side
        off_door = np.abs(after[:, 1] - world.layout.door) > config.door_half_width + HAIR
        assert not (changed & off_door).any()


@CONFIGS
def test_a_push_along_the_wall_slides(config: TwoRoomsConfig) -> None:
    world = TwoRooms(40, config=config)
    far_from_door = world.layout.door + np.where(world.layout.door < 32, 20.0, -20.0)
    face = world.layout.wall - config.wall_half_thickness - 0.2
    start = np.stack([face, far_from_door], axis=1)
    moved = world.layout.move(start, np.full((40, 2), 1.0))
    np.testing.assert_allclose(moved[:, 1], far_from_door + 1.0)
    np.testing.assert_allclose(moved[:, 0], world.layout.wall - config.wall_half_thickness)


@CONFIGS
@settings(max_examples=30, deadline=None)
@given(x=st.floats(10, 24), y=st.floats(10, 54))
def test_the_dot_is_drawn_where_it_is(config: TwoRoomsConfig, x: float, y: float) -> None:
    world = TwoRooms(1, config=config)
    place = np.array([[x if config is FIXED else x * 0.4 + 4.5, y]])
    empty = draw(world.layout, np.array([[-1e3, -1e3]]))[0].astype(float)
    # Green alone: the dot darkens it everywhere, on floor and on wall.
    weight = empty[..., 1] - draw(world.layout, place)[0, ..., 1].astype(float)
    centres = np.arange(64) + 0.5
    centroid = [weight.sum(0) @ centres, weight.sum(1) @ centres] / weight.sum()
    np.testing.assert_allclose(centroid, place[0], atol=0.05)


@CONFIGS
def test_success_is_distance_to_the_goal(config: TwoRoomsConfig) -> None:
    world = TwoRooms(50, config=config)
    seen = []
    for _ in range(80):
        goal = np.stack(list(world.goal_truth().values()), axis=1)
        close = np.linalg.norm(positions(world) - goal, axis=1) < config.goal_radius
        np.testing.assert_array_equal(world.succeeded(), close)
        seen.append(close.mean())
        world.step(world.oracle())
    assert seen[0] == 0 and seen[-1] > 0.9


@CONFIGS
def test_the_goal_image_is_what_the_camera_sees_there(config: TwoRoomsConfig) -> None:
    world = TwoRooms(5, config=config)
    goal = np.stack(list(world.goal_truth().values()), axis=1)
    for index in range(5):
        there = world.images_at(index, goal[index : index + 1])
        np.testing.assert_array_equal(there[0], world.goal()[CAMERA][index])


@CONFIGS
def test_exploring_stays_free_and_repeats_by_seed(config: TwoRoomsConfig) -> None:
    def walk() -> np.ndarray:
        world = TwoRooms(30, config=config)
        act = world.explore(5)
        observation, path = world.observe(), []
        for _ in range(60):
            action = act(observation)
            assert np.abs(action).max() <= config.max_step and action.dtype == np.float32
            observation = world.step(action)
            assert depth_in_wall(world, positions(world)).max() <= HAIR
            path.append(positions(world))
        return np.stack(path)

    np.testing.assert_array_equal(walk(), walk())


def test_exploring_crosses_more_where_the_door_is_sought() -> None:
    def share(config: TwoRoomsConfig) -> float:
        world = TwoRooms(200, config=config)
        act, sides = world.explore(0), []
        for _ in range(100):
            sides.append(positions(world)[:, 0] < world.layout.wall)
            world.step(act({}))
        left = np.stack(sides)
        return float((left.any(0) & ~left.all(0)).mean())

    assert share(RANDOM) > 1.5 * share(FIXED) > 0
