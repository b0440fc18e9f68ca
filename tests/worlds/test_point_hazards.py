"""The point among hazards: it has inertia, and every task can be solved at a moderate speed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from forethought.types import STATE, World
from forethought.worlds.adapter import GymnasiumWorld
from forethought.worlds.point_hazards import (
    HAZARD_RADIUS,
    HAZARDS,
    REACH_RADIUS,
    SPEED_LIMIT,
    STATE_NAMES,
    Point,
)

FIRST = 1_000_000


@pytest.fixture
def points(make_world: Callable[[str, int], World]) -> Callable[[int], GymnasiumWorld]:
    def make(num_worlds: int) -> GymnasiumWorld:
        world = make_world("point_hazards", num_worlds)
        assert isinstance(world, GymnasiumWorld)
        return world

    return make


def places(truth) -> np.ndarray:
    return np.stack([truth["position.x"], truth["position.y"]], axis=1)


def run(
    world: GymnasiumWorld, steps: int, policy: Callable[[], np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nearest hazard, highest speed, and whether the goal was ever met."""
    nearest, fastest = np.full(world.num_worlds, np.inf), np.zeros(world.num_worlds)
    ever = np.zeros(world.num_worlds, bool)
    for _ in range(steps):
        world.step(policy())
        gaps = np.linalg.norm(places(world.truth())[:, None] - HAZARDS, axis=2)
        nearest = np.minimum(nearest, gaps.min(1))
        fastest = np.maximum(fastest, world.truth()["speed"])
        ever |= world.succeeded()
    return nearest, fastest, ever


def test_the_oracle_reaches_every_goal_and_keeps_all_limits(points) -> None:
    world = points(1)
    world.reset(range(FIRST, FIRST + 200))
    assert not world.succeeded().any()
    nearest, fastest, ever = run(world, 140, world.oracle)
    assert ever.all() and world.succeeded().all()
    assert (nearest > HAZARD_RADIUS).all() and (fastest < SPEED_LIMIT).all()


def test_straight_on_is_through_hazards_and_too_fast(points) -> None:
    world = points(1)
    world.reset(range(FIRST, FIRST + 100))
    goals = places(world.goal_truth())

    def straight() -> np.ndarray:
        truth = world.truth()
        velocity = np.stack([truth["velocity.x"], truth["velocity.y"]], axis=1)
        return np.clip(3 * (goals - places(truth)) - 2.5 * velocity, -1, 1)

    nearest, fastest, ever = run(world, 140, straight)
    assert ever.all()
    assert (nearest < HAZARD_RADIUS).mean() > 0.8 and (fastest > SPEED_LIMIT).mean() > 0.95


def test_the_truth_and_the_state_are_what_is_measured(points) -> None:
    world = points(6)
    spec = world.signature.observation[STATE]
    assert spec.names == STATE_NAMES and world.signature.action.names == ("force.x", "force.y")
    act = world.explore(0)
    for _ in range(20):
        before = places(world.truth())
        state = world.step(act({}))[STATE]
        truth = world.truth()
        np.testing.assert_allclose(state, np.stack([truth[n] for n in STATE_NAMES], 1), rtol=1e-6)
        velocity = np.stack([truth["velocity.x"], truth["velocity.y"]], axis=1)
        np.testing.assert_allclose(truth["speed"], np.linalg.norm(velocity, axis=1))
        # A twentieth of a second at a speed that a newton changes by a twentieth at the most.
        moved = places(truth) - before
        np.testing.assert_allclose(moved, velocity / 20, atol=0.005)
    for number, place in enumerate(HAZARDS):
        for axis, value in zip("xy", place, strict=True):
            assert (truth[f"hazard{number}.{axis}"] == value).all()


def test_a_kilogram_with_drag(points) -> None:
    """One newton gives one metre per second squared, less half of the speed."""
    world = points(1)
    (env,) = world._envs
    assert isinstance(env, Point)
    env.put(np.zeros(2), np.array([0.0, 1.0]))
    for _ in range(20):
        state, *_ = env.step(np.array([1.0, 0.0]))
    np.testing.assert_allclose(state[2:4], [2 * (1 - np.exp(-0.5)), np.exp(-0.5)], atol=0.01)


def test_start_and_goal_lie_on_either_side_of_all_hazards(points) -> None:
    world = points(1)
    world.reset(range(100))
    start, goal = places(world.truth()), places(world.goal_truth())
    for place in (start, goal):
        assert (np.abs(place[:, 0]) > np.abs(HAZARDS[:, 0]).max() + HAZARD_RADIUS).all()
    np.testing.assert_array_equal(np.sign(start[:, 0]), -np.sign(goal[:, 0]))
    assert 20 < (start[:, 0] < 0).sum() < 80
    gap = np.linalg.norm(start - goal, axis=1)
    np.testing.assert_array_equal(world.succeeded(), gap < REACH_RADIUS)


def test_the_same_seed_is_the_same_episode(points) -> None:
    def walk(seeds: list[int], copy: int) -> np.ndarray:
        world = points(len(seeds))
        world.reset(seeds)
        act = world.explore(3)
        return np.stack([world.step(act({}))[STATE][copy] for _ in range(30)])

    np.testing.assert_array_equal(walk([4, 9, 7], 1), walk([9], 0))
