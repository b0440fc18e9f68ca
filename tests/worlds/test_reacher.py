"""The arm: its pictures tell its pose and nothing else, and its poses are in reach."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

from forethought.types import STATE, World
from forethought.worlds.adapter import CAMERA, GymnasiumWorld
from forethought.worlds.reacher import ELBOW_LIMIT, JOINTS, Arm, fingertip


@pytest.fixture
def reacher(make_world: Callable[[str, int], World]) -> Callable[[int], GymnasiumWorld]:
    def make(num_worlds: int) -> GymnasiumWorld:
        world = make_world("reacher", num_worlds)
        assert isinstance(world, GymnasiumWorld)
        return world

    return make


def arms(world: GymnasiumWorld) -> list[Arm]:
    found = [env for env in world._envs if isinstance(env, Arm)]
    assert len(found) == world.num_worlds
    return found


def test_the_oracle_takes_the_pose_and_keeps_it(reacher) -> None:
    world = reacher(40)
    world.reset(range(1_000_000, 1_000_040))
    assert world.succeeded().mean() < 0.2
    kept = np.ones(40, bool)
    for step in range(60):
        world.step(world.oracle())
        kept &= world.succeeded() | (step < 40)
    assert kept.mean() >= 0.95


def test_success_is_the_fingertip_at_the_goal(reacher) -> None:
    world = reacher(12)
    seen = []
    for _ in range(30):
        now, goal = world.truth(), world.goal_truth()
        gap = np.hypot(*(now[f"fingertip.{axis}"] - goal[f"fingertip.{axis}"] for axis in "xy"))
        np.testing.assert_array_equal(world.succeeded(), gap < 0.03)
        seen.append(world.succeeded().mean())
        world.step(world.oracle())
    assert seen[0] < 0.3 and seen[-1] > 0.9


def test_the_fingertip_is_where_mujoco_has_it(reacher) -> None:
    world = reacher(1)
    (arm,) = arms(world)
    generator = np.random.default_rng(0)
    for _ in range(20):
        pose = generator.uniform(-ELBOW_LIMIT, ELBOW_LIMIT, 2)
        arm.put(pose, np.zeros(2))
        body = arm.unwrapped.get_body_com("fingertip")  # type: ignore[attr-defined]
        np.testing.assert_allclose(fingertip(pose), body[:2], atol=1e-12)


def test_the_picture_shows_the_pose_alone(reacher) -> None:
    world = reacher(3)
    one, same, other = arms(world)
    pose, still = np.array([0.7, -1.1]), np.zeros(2)
    one.goal, same.goal = np.array([2.0, 1.0]), np.array([-1.0, -0.5])
    one.put(pose, still)
    same.put(pose, np.array([3.0, -2.0]))
    other.put(pose + np.array([0.05, 0.0]), still)
    first, second, third = (world.task.picture(arm, 64).astype(int) for arm in (one, same, other))
    np.testing.assert_array_equal(first, second)
    # A turn by a twentieth of a radian, a pixel and a half at the fingertip.
    assert np.abs(first - third).max() > 20
    # Nothing red: the target's sphere is hidden. The root is pink, the arm blue, the tip green.
    assert not ((first[..., 0] > 150) & (first[..., 1:].max(-1) < 80)).any()


def test_the_goal_picture_is_what_the_camera_sees_there(reacher) -> None:
    world = reacher(4)
    for copy, arm in enumerate(arms(world)):
        arm.put(arm.goal, np.zeros(2))
        np.testing.assert_array_equal(world.task.picture(arm, 64), world.goal()[CAMERA][copy])


def test_a_backend_that_does_not_start_says_what_to_do() -> None:
    pytest.importorskip("mujoco")
    program = "from forethought import worlds; worlds.make('reacher')"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, "MUJOCO_GL": "nonsense"},
    )
    assert "ForethoughtError: reacher: MuJoCo cannot draw" in done.stderr
    assert "osmesa" in done.stderr


def test_joints_tell_the_pose_and_how_it_changes(make_world) -> None:
    """Angles as cosine and sine, without the target; the goal's are those of its pose, still."""
    world = make_world("reacher_joints", 6)
    for step in range(20):
        truth = world.truth()
        told = dict(zip(JOINTS, world.observe()[STATE].T, strict=True))
        for name, values in told.items():
            np.testing.assert_allclose(values, truth[name], rtol=1e-5, atol=1e-6)
        world.step(np.full((6, 2), 0.5 * (-1) ** (step // 5), np.float32))
    for copy, arm in enumerate(arms(world)):
        goal = world.goal()[STATE][copy]
        np.testing.assert_allclose(fingertip(arm.goal), _tip(goal), atol=1e-6)
        assert (goal[4:] == 0).all()


def test_pictures_and_joints_are_of_one_arm(make_world) -> None:
    seen, felt = make_world("reacher", 4), make_world("reacher_joints", 4)
    for world in (seen, felt):
        world.reset(range(40, 44))
    for name, values in seen.truth().items():
        np.testing.assert_array_equal(values, felt.truth()[name])
    np.testing.assert_array_equal(seen.oracle(), felt.oracle())


def _tip(joints: np.ndarray) -> np.ndarray:
    """Where the fingertip is, from what the joints tell."""
    shoulder, elbow = np.arctan2(joints[1], joints[0]), np.arctan2(joints[3], joints[2])
    return fingertip(np.array([shoulder, elbow], np.float64))
