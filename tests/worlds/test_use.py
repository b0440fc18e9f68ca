"""Worlds as other people use them: checked by Gymnasium, explored in any batch."""

from __future__ import annotations

from collections.abc import Callable

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from forethought import worlds
from forethought.checkers import check_world
from forethought.types import World
from forethought.worlds.environment import CAMERA, GOAL, register


@pytest.mark.parametrize(
    "name",
    ["TwoRooms", "TwoRoomsRandom", "TwoRoomsHazards", "TwoRoomsSign", "RoomsMaze", "Fork"],
)
def test_the_environment_checker_finds_nothing(name: str) -> None:
    register()
    check_env(gymnasium.make(f"forethought/{name}-v0", render_mode="rgb_array").unwrapped)


def test_a_task_of_an_environment_can_be_chosen() -> None:
    register()
    env = gymnasium.make("forethought/RoomsMaze-v0")
    world = worlds.make("rooms_maze", 1)
    for task in (7, 1_000_003):
        seen, _ = env.reset(options={"task": task})
        np.testing.assert_array_equal(seen[CAMERA], world.reset([task])[CAMERA][0])
        np.testing.assert_array_equal(seen[GOAL], world.goal()[CAMERA][0])


@pytest.mark.parametrize("name", [entry.name for entry in worlds.entries()])
def test_our_worlds_conform(name: str, make_world: Callable[[str, int], World]) -> None:
    check_world(make_world(name, 3))


@pytest.mark.parametrize("name", [entry.name for entry in worlds.entries()])
def test_exploring_is_the_same_in_any_batch(
    name: str, make_world: Callable[[str, int], World]
) -> None:
    many, one = make_world(name, 3), make_world(name, 1)
    many.reset([8, 3, 11])
    one.reset([3])
    walk, alone = many.explore(5), one.explore(5)
    for _ in range(20):
        action = walk(many.observe())
        np.testing.assert_array_equal(action[1], alone(one.observe())[0])
        many.step(action)
        one.step(action[1:2])


def test_a_dot_at_the_wall_is_never_flung_to_the_door() -> None:
    world = worlds.make("two_rooms_random", 1000)
    act = world.explore(0)
    for _ in range(100):
        before = world.truth()
        world.step(act({}))
        after = world.truth()
        for axis in ("position.x", "position.y"):
            assert np.abs(after[axis] - before[axis]).max() <= 1.2 + 1e-9
