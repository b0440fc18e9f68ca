"""The maze: nothing passes a wall, goals are in reach, recordings never show held-out mazes."""

from __future__ import annotations

import heapq
import itertools

import numpy as np
import pytest

from forethought.types import ForethoughtError
from forethought.worlds.maze_layout import held_out, layout_hash
from forethought.worlds.picture import FLOOR, WALL
from forethought.worlds.rooms_maze import (
    BANDS,
    CAMERA,
    HELD_OUT_SEEDS,
    ONE,
    RoomsMaze,
    RoomsMazeConfig,
)

HAIR = 1e-6


def positions(world: RoomsMaze) -> np.ndarray:
    truth = world.truth()
    return np.stack([truth["position.x"], truth["position.y"]], axis=1)


def goals(world: RoomsMaze) -> np.ndarray:
    truth = world.goal_truth()
    return np.stack([truth["position.x"], truth["position.y"]], axis=1)


def open_doors(world: RoomsMaze, copy: int) -> dict[frozenset[int], np.ndarray]:
    """Middles of open doors, by the two rooms that they join."""
    grid = world.config.grid
    return {
        frozenset(grid.door_rooms[door].tolist()): grid.door_middle[door]
        for door in np.flatnonzero(world.doors[copy])
    }


def doors_between(world: RoomsMaze, copy: int, start: int) -> dict[int, int]:
    """Doors to pass from a room to each other, counted by hand."""
    found, frontier = {start: 0}, [start]
    while frontier:
        room = frontier.pop(0)
        for pair in open_doors(world, copy):
            if room in pair:
                (other,) = pair - {room}
                if other not in found:
                    found[other] = found[room] + 1
                    frontier.append(other)
    return found


def in_wall(world: RoomsMaze, copies: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Whether points lie deeper than a hair in a wall, told from the doors alone."""
    c, grid = world.config, world.config.grid
    line = np.rint((points - c.wall_thickness / 2) / grid.pitch)
    depth = c.wall_thickness / 2 - np.abs(points - c.wall_thickness / 2 - line * grid.pitch)
    gap = np.abs(points[:, None] - grid.door_middle)
    along = np.take_along_axis(gap, grid.door_axis[None, :, None], 2)[..., 0]
    beside = np.take_along_axis(gap, 1 - grid.door_axis[None, :, None], 2)[..., 0]
    in_door = (along < grid.pitch / 2) & (beside <= c.door_width / 2 + HAIR)
    return (depth > HAIR).any(1) & ~(in_door & world.doors[copies]).any(1)


def pushes(copies: int, steps: int) -> np.ndarray:
    """Long straight pushes, some along an axis and some too strong, then aimless ones."""
    generator = np.random.default_rng(0)
    headings = generator.uniform(0, 2 * np.pi, (steps // 20 + 1, copies)).repeat(20, 0)[:steps]
    quarter = np.rint(headings / (np.pi / 2)) * (np.pi / 2)
    headings = np.where(np.arange(copies) % 3 == 0, quarter, headings)
    headings += generator.normal(size=headings.shape) * (np.arange(steps) % 20 > 15)[:, None]
    strength = np.where(np.arange(copies) % 2, 0.7, 30.0)[:, None]
    return strength * np.stack([np.cos(headings), np.sin(headings)], -1)


@pytest.mark.parametrize("rooms", [4, 5, 7])
def test_a_hundred_thousand_pushes_never_cross_a_wall(rooms: int) -> None:
    narrow = {"door_width": 4.0, "wall_thickness": 2.5} if rooms > 5 else {}
    config = RoomsMazeConfig(rooms_per_side=rooms, **narrow)
    world = RoomsMaze(400, config=config)
    copies, crossed, rested = np.arange(400), 0, 0
    doors = [open_doors(world, copy) for copy in copies]
    for push in pushes(400, 250):
        before = positions(world)
        world.step(push)
        after = positions(world)
        assert np.abs(after - before).max() <= config.max_step + HAIR
        # It moves along x, then along y: no point of either leg is in a wall.
        corner = np.stack([after[:, 0], before[:, 1]], axis=1)
        for share in (0.25, 0.5, 0.75, 1.0):
            for start, end in ((before, corner), (corner, after)):
                assert not in_wall(world, copies, start + share * (end - start)).any()
        # Rooms change by open doors only: where a leg crosses the middle of a wall, there is one.
        rooms_then, rooms_now = config.grid.room_of(before), config.grid.room_of(after)
        sideways = np.abs(rooms_now - rooms_then) == 1
        for copy in np.flatnonzero(rooms_then != rooms_now):
            middle = doors[copy][frozenset((int(rooms_then[copy]), int(rooms_now[copy])))]
            beside = np.abs(corner[copy] - middle)[int(sideways[copy])]
            assert beside <= config.door_width / 2 + HAIR
            crossed += 1
        rested += int((np.abs(after - before) < HAIR).any(1).sum())
    assert crossed > 1000 and rested > 10000


def test_a_push_into_a_wall_slides_along_it() -> None:
    world = RoomsMaze(1)
    face = world.config.wall_thickness
    world.position = np.array([[face + 0.5, 7.0]])
    for _ in range(3):
        world.step(np.array([[-1.0, 0.5]]))
    np.testing.assert_allclose(positions(world), [[face, 8.5]])


def test_layouts_connect_all_rooms_with_a_share_of_extra_doors() -> None:
    world = RoomsMaze(60)
    tree, walls_left = 24, 40 - 24
    assert (world.doors.sum(1) == tree + round(0.15 * walls_left)).all()
    for copy in range(60):
        assert len(doors_between(world, copy, 0)) == 25
    assert len({layout_hash(doors) for doors in world.doors}) == 60


def test_recordings_and_evaluation_share_no_layout() -> None:
    learned = RoomsMaze(1)
    learned.reset([*range(150), *range(HELD_OUT_SEEDS - 50, HELD_OUT_SEEDS)])
    recorded = {layout_hash(doors) for doors in learned.doors}
    # Recordings number their episodes from a multiple of 2**20 on: past the first held-out seed.
    learned.reset(range(3 << 20, (3 << 20) + 200))
    learned.explore(0)
    recorded |= {layout_hash(doors) for doors in learned.doors}
    assert not any(held_out(doors) for doors in learned.doors)
    tasks = RoomsMaze(1)
    tasks.reset([*range(HELD_OUT_SEEDS, HELD_OUT_SEEDS + 150), *range(2**31, 2**31 + 50)])
    assert all(held_out(doors) for doors in tasks.doors)
    assert recorded.isdisjoint(layout_hash(doors) for doors in tasks.doors)


@pytest.mark.parametrize("first", [0, HELD_OUT_SEEDS])
def test_tasks_lie_as_far_apart_as_their_group_says(first: int) -> None:
    world = RoomsMaze(1)
    world.reset(range(first, first + 90))
    groups, grid = world.groups(), world.config.grid
    assert [int(mask.sum()) for mask in groups.values()] == [30, 30, 30]
    start, goal = grid.room_of(positions(world)), grid.room_of(goals(world))
    for copy in range(90):
        (band,) = (name for name in BANDS if groups[name][copy])
        least, most = BANDS[band]
        assert least <= doors_between(world, copy, int(start[copy]))[int(goal[copy])] <= most
    assert not world.succeeded().any()
    assert not in_wall(world, np.arange(90), positions(world)).any()
    assert not in_wall(world, np.arange(90), goals(world)).any()


def test_the_oracle_solves_every_task_in_its_path_length() -> None:
    world = RoomsMaze(1)
    world.reset(range(HELD_OUT_SEEDS, HELD_OUT_SEEDS + 300))
    before, expected = positions(world), world.path_length()
    np.testing.assert_array_equal(before, positions(world))
    steps, open_tasks = np.zeros(300), ~world.succeeded()
    for _ in range(int(expected.max()) + 5):
        steps += open_tasks
        world.step(world.oracle())
        open_tasks &= ~world.succeeded()
    assert not open_tasks.any()
    np.testing.assert_array_equal(steps, expected)


def grid_lengths(world: RoomsMaze, copy: int, goal: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Shortest ways over a fine grid of eight neighbours (Dijkstra)."""
    spacing = 0.5
    ticks = np.arange(0, 64 + spacing / 2, spacing)
    nodes = np.stack(np.meshgrid(ticks, ticks, indexing="ij"), -1)
    copies = np.full(nodes[..., 0].size, copy)
    free = ~in_wall(world, copies, nodes.reshape(-1, 2)).reshape(nodes.shape[:2])
    length = np.full(free.shape, np.inf)
    begin = tuple(np.rint(goal / spacing).astype(int))
    length[begin], queue = 0.0, [(0.0, begin)]
    moves = [(i, j) for i, j in itertools.product((-1, 0, 1), repeat=2) if i or j]
    while queue:
        so_far, (i, j) = heapq.heappop(queue)
        if so_far > length[i, j]:
            continue
        for di, dj in moves:
            there, longer = (i + di, j + dj), so_far + spacing * np.hypot(di, dj)
            # A diagonal must not cut a corner.
            if free[there] and free[i + di, j] and free[i, j + dj] and longer < length[there]:
                length[there] = longer
                heapq.heappush(queue, (longer, there))
    return length[tuple(np.rint(points / spacing).astype(int).T)]


def test_path_lengths_are_those_of_a_search_on_a_grid() -> None:
    world = RoomsMaze(1)
    world.reset([5])
    points = world.free_grid(0, spacing=3.0)
    found = world.lengths_from(0, points, goals(world)[0])
    expected = grid_lengths(world, 0, goals(world)[0], points)
    # On the grid ways are up to 8 % longer; a path keeps 0.75 from door posts, which the grid's
    # need not.
    assert (found >= expected / 1.083 - 2).all()
    assert np.mean(found <= expected + 2) > 0.95 and (found <= 1.15 * expected + 5).all()


def test_pictures_show_walls_doors_and_the_dot() -> None:
    # Small enough to lie on the floor alone.
    world = RoomsMaze(3, config=RoomsMazeConfig(dot_sigma=0.8))
    empty = world.images_at(1, np.array([[-50.0, -50.0]]))[0].astype(float)
    corners = np.stack(np.meshgrid(*2 * [np.arange(65.0)]), -1).reshape(-1, 2)
    corners = np.clip(corners, 0.01, 63.99)
    solid = in_wall(world, np.full(len(corners), 1), corners).reshape(65, 65)
    around = np.stack([solid[i : 64 + i, j : 64 + j] for i in (0, 1) for j in (0, 1)])
    within, outside = around.all(0), ~around.any(0)
    assert within.sum() > 300 and outside.sum() > 1500
    assert np.abs(empty[within] - WALL).max() <= 1
    assert np.abs(empty[outside] - FLOOR).max() <= 1
    # Green alone: the dot darkens it on the floor.
    place = world.config.grid.room_middle(np.array([12])) + np.array([[0.3, -0.4]])
    weight = empty[..., 1] - world.images_at(1, place)[0, ..., 1]
    centre = [weight.sum(0) @ (np.arange(64) + 0.5), weight.sum(1) @ (np.arange(64) + 0.5)]
    np.testing.assert_allclose(np.array(centre) / weight.sum(), place[0], atol=0.05)
    there = world.images_at(1, goals(world)[1:2])
    np.testing.assert_array_equal(there[0], world.goal()[CAMERA][1])


def test_exploring_seeks_doors() -> None:
    def rooms_seen(share: float) -> float:
        world = RoomsMaze(100, config=RoomsMazeConfig(door_share=share))
        act, seen = world.explore(0), []
        for _ in range(100):
            seen.append(world.config.grid.room_of(positions(world)))
            action = act({})
            assert np.abs(action).max() <= world.config.max_step and action.dtype == np.float32
            world.step(action)
        return float(np.mean([len(set(rooms)) for rooms in np.stack(seen).T]))

    assert rooms_seen(0.75) > max(4.0, 1.5 * rooms_seen(0.0))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"max_step": 4.0}, "wall_thickness"),
        ({"goal_radius": 5.5}, "goal_radius"),
        ({"rooms_per_side": 3}, "two_rooms"),
        ({"rooms_per_side": 8}, "fewer rooms"),
    ],
)
def test_a_geometry_that_cannot_work_is_refused(setting: dict, message: str) -> None:
    with pytest.raises(ForethoughtError, match=message):
        RoomsMaze(1, config=RoomsMazeConfig(**setting))


def test_one_maze_is_always_begun_in_its_corner() -> None:
    """Recorded and not; goals of all bands lie in it."""
    world = RoomsMaze(60, config=ONE)
    for seeds in (range(60), range(HELD_OUT_SEEDS, HELD_OUT_SEEDS + 60)):
        world.reset(seeds)
        assert (world.doors == world.doors[0]).all()
        assert (world.config.grid.room_of(positions(world)) == 0).all()
        away = doors_between(world, 0, 0)
        for band, own in world.groups().items():
            far = [away[int(room)] for room in world.config.grid.room_of(goals(world)[own])]
            assert len(set(far)) > 1 and BANDS[band][0] <= min(far) <= max(far) <= BANDS[band][1]
        world.explore(3)
        assert (world.config.grid.room_of(positions(world)) == 0).all()
        assert (world.doors == world.doors[0]).all()


def test_a_maze_that_cannot_be_begun_there() -> None:
    with pytest.raises(ForethoughtError, match="rooms 0 to 24"):
        RoomsMazeConfig(start_room=25)
    with pytest.raises(ForethoughtError, match="goals that are far of start_room"):
        # The middle of this one is too central.
        RoomsMazeConfig(layout=2, start_room=12)
