"""Worlds as other people use them: checked by Gymnasium, explored in any batch."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from forethought import worlds
from forethought.worlds.environment import register


@pytest.mark.parametrize("name", ["TwoRooms", "TwoRoomsRandom"])
def test_the_environment_checker_finds_nothing(name: str) -> None:
    register()
    check_env(gymnasium.make(f"forethought/{name}-v0", render_mode="rgb_array").unwrapped)


@pytest.mark.parametrize("name", ["two_rooms", "two_rooms_random", "pendulum", "cartpole"])
def test_exploring_is_the_same_in_any_batch(name: str) -> None:
    many, one = worlds.make(name, 3), worlds.make(name, 1)
    many.reset([8, 3, 11])
    one.reset([3])
    walk, alone = many.explore(5), one.explore(5)
    for _ in range(40):
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
