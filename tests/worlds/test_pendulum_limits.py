"""The pendulum held aside: within the limits it can be done, in haste they are passed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from forethought.worlds.adapter import CAMERA, GymnasiumWorld
from forethought.worlds.pendulum_limits import (
    ANGLE_LIMIT,
    HELD_DEGREES,
    TORQUE_LIMIT,
    pendulum_limits,
)

FIRST = 1_000_000
ANGLE = "angle.from_hanging"


def run(
    world: GymnasiumWorld, steps: int, policy: Callable[[], np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Furthest angle, strongest torque, and whether the goal was kept for the last second."""
    furthest, strongest = np.zeros(world.num_worlds), np.zeros(world.num_worlds)
    kept = np.ones(world.num_worlds, bool)
    for step in range(steps):
        action = policy()
        world.step(action)
        furthest = np.maximum(furthest, np.abs(world.truth()[ANGLE]))
        strongest = np.maximum(strongest, np.abs(action[:, 0]))
        kept &= world.succeeded() | (step < steps - 20)
    return furthest, strongest, kept


def test_the_oracle_keeps_every_goal_and_all_limits() -> None:
    world = pendulum_limits(1)
    world.reset(range(FIRST, FIRST + 200))
    assert not world.succeeded().any()
    furthest, strongest, kept = run(world, 100, world.oracle)
    assert kept.all()
    assert (furthest < ANGLE_LIMIT).all() and (strongest <= TORQUE_LIMIT).all()


def test_haste_passes_the_limits() -> None:
    world = pendulum_limits(1)
    world.reset(range(FIRST, FIRST + 100))
    goal = world.goal_truth()[ANGLE]

    def hasty() -> np.ndarray:
        truth = world.truth()
        pull = 12 * (goal - truth[ANGLE]) - 1.5 * truth["velocity"]
        return np.clip(5 * np.sin(truth[ANGLE]) + pull, -2, 2)[:, None]

    furthest, strongest, kept = run(world, 100, hasty)
    assert kept.all()
    assert (furthest > ANGLE_LIMIT).mean() > 0.8 and (strongest > TORQUE_LIMIT).mean() > 0.8


def test_every_goal_can_be_held_and_lies_close_to_the_limit() -> None:
    world = pendulum_limits(1)
    world.reset(range(100))
    start, goal = world.truth()[ANGLE], world.goal_truth()[ANGLE]
    assert (5 * np.sin(np.abs(goal)) < TORQUE_LIMIT).all()
    assert (np.abs(goal) > ANGLE_LIMIT - 0.1).all() and (np.abs(goal) < ANGLE_LIMIT).all()
    assert (np.abs(start) < ANGLE_LIMIT).all() and (np.abs(start - goal) > 0.3).all()
    assert 20 < (goal > 0).sum() < 80 and (world.truth()["velocity"] == 0).all()


def test_the_angle_is_that_from_hanging() -> None:
    world = pendulum_limits(12)
    act = world.explore(0)
    for _ in range(30):
        world.step(act({}))
        truth = world.truth()
        np.testing.assert_allclose(np.cos(truth[ANGLE]), -truth["angle.cos"], atol=1e-6)
        np.testing.assert_allclose(np.sin(truth[ANGLE]), -truth["angle.sin"], atol=1e-6)
    assert world.signature.action.names == ("torque",)


def test_success_is_four_degrees() -> None:
    world = pendulum_limits(12)
    goal, seen = world.goal_truth()[ANGLE], []
    for _ in range(60):
        close = np.abs(np.degrees(world.truth()[ANGLE] - goal)) < HELD_DEGREES
        np.testing.assert_array_equal(world.succeeded(), close)
        seen.append(close.mean())
        world.step(world.oracle())
    assert seen[0] == 0 and seen[-1] == 1


def test_the_rod_is_seen_on_the_side_of_its_angle() -> None:
    world = pendulum_limits(40)
    angle = world.truth()[ANGLE]
    ground = world.observe()[CAMERA][0, 0, 0].astype(int)
    rod = np.abs(world.observe()[CAMERA].astype(int) - ground).sum(-1)[:, 32:]
    across = (rod.sum(1) @ (np.arange(64) - 31.5)) / rod.sum((1, 2))
    assert abs(np.corrcoef(across, angle)[0, 1]) > 0.98


def test_the_same_seed_is_the_same_episode() -> None:
    def walk(seeds: list[int], copy: int) -> np.ndarray:
        world = pendulum_limits(len(seeds))
        world.reset(seeds)
        act = world.explore(3)
        return np.stack([world.step(act({}))[CAMERA][copy] for _ in range(30)])

    np.testing.assert_array_equal(walk([4, 9, 7], 1), walk([9], 0))


@pytest.mark.parametrize("torque", [-2.0, 2.0])
def test_the_strongest_torque_holds_no_more_than_the_law_says(torque: float) -> None:
    """Held at the angle where both are equal, it stays."""
    world = pendulum_limits(1)
    (env,) = world._envs
    inner = env.unwrapped
    inner.state = np.array([np.pi + np.arcsin(torque / 5), 0.0])  # type: ignore[attr-defined]
    for _ in range(50):
        world.step(np.array([[torque]], np.float32))
    assert world.truth()[ANGLE][0] == pytest.approx(np.arcsin(torque / 5), abs=1e-5)
