"""Gymnasium environments as worlds, and worlds by name."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from gymnasium.envs.classic_control.pendulum import PendulumEnv

from forethought import worlds
from forethought.types import ForethoughtError, World
from forethought.worlds.adapter import CAMERA, GymnasiumConfig, gymnasium_world, reduced
from forethought.worlds.classic import cartpole, pendulum

NAMES = [*(entry.name for entry in worlds.entries()), "gymnasium:Acrobot-v1"]


@pytest.mark.parametrize("name", NAMES)
def test_a_world_gives_what_its_signature_says(
    name: str, make_world: Callable[[str, int], World]
) -> None:
    world = make_world(name, 3)
    assert isinstance(world, World)
    spec = world.signature.action
    action = np.zeros(3, np.int64) if spec.discrete else np.zeros((3, spec.dim), np.float32)
    for observation in (world.reset([5, 6, 7]), world.step(action), world.observe(), world.goal()):
        assert set(observation) == set(world.signature.observation)
        for key, value in observation.items():
            assert value.shape == (3, *world.signature.observation[key].shape)
            assert value.dtype == world.signature.observation[key].dtype
    assert world.succeeded().shape == (3,) and world.succeeded().dtype == bool
    assert world.path_length().shape == (3,)
    assert set(world.goal_truth()) <= set(world.truth())
    for values in (*world.truth().values(), *world.groups().values()):
        assert values.shape == (3,)


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_is_the_same_task_in_any_batch(
    name: str, make_world: Callable[[str, int], World]
) -> None:
    many, one = make_world(name, 3), make_world(name, 1)
    seen, alone = many.reset([8, 3, 11]), one.reset([3])
    for key in seen:
        np.testing.assert_array_equal(seen[key][1], alone[key][0])
        np.testing.assert_array_equal(many.goal()[key][1], one.goal()[key][0])


def test_repeating_an_action_is_taking_it_so_often() -> None:
    config = {"include_state": True}
    twice = gymnasium_world(
        "Pendulum-v1", num_worlds=2, config=GymnasiumConfig(action_repeat=2, **config)
    )
    once = gymnasium_world("Pendulum-v1", num_worlds=2, config=GymnasiumConfig(**config))
    twice.reset([1, 2])
    once.reset([1, 2])
    generator = np.random.default_rng(0)
    for _ in range(5):
        action = generator.uniform(-2, 2, (2, 1)).astype(np.float32)
        once.step(action)
        expected, found = once.step(action), twice.step(action)
        for key in expected:
            np.testing.assert_array_equal(expected[key], found[key])
    assert once.signature.rate_hz == 2 * twice.signature.rate_hz


def test_an_episode_that_ended_holds_its_last_observation() -> None:
    world = cartpole(1)
    world.reset([0])
    push = np.ones(1, np.int64)
    for _ in range(200):
        world.step(push)
    held = world.observe()[CAMERA].copy()
    np.testing.assert_array_equal(world.step(1 - push)[CAMERA], held)
    world.reset([1])
    assert (world.step(push)[CAMERA] != held).any()


def test_the_pendulum_picture_does_not_show_the_torque() -> None:
    left, right = pendulum(1), pendulum(1)
    left.reset([3])
    right.reset([3])
    for world, torque in ((left, -2.0), (right, 2.0)):
        world.step(np.array([[torque]], np.float32))
        angle = world.truth()
        assert angle["angle.cos"] ** 2 + angle["angle.sin"] ** 2 == pytest.approx(1, abs=1e-5)
        bare = PendulumEnv(render_mode="rgb_array")
        bare.reset()
        bare.screen_dim = 512
        bare.state = np.array([np.arctan2(angle["angle.sin"][0], angle["angle.cos"][0]), 0.0])
        plain = reduced(np.asarray(bare.render()), 64)
        difference = np.abs(world.observe()[CAMERA][0].astype(int) - plain.astype(int))
        assert difference.mean() < 0.1


def test_the_pendulum_oracle_swings_up_and_holds() -> None:
    world = pendulum(30)
    held = np.ones(30, bool)
    for step in range(200):
        world.step(world.oracle())
        held &= world.succeeded() | (step < 180)
    assert held.all()
    groups = world.groups()
    assert (groups["hanging"] ^ groups["anywhere"]).all()


def test_success_in_the_pendulum_is_twenty_degrees() -> None:
    world = pendulum(8)
    for _ in range(60):
        truth = world.truth()
        angle = np.degrees(np.arctan2(truth["angle.sin"], truth["angle.cos"]))
        np.testing.assert_array_equal(world.succeeded(), np.abs(angle) < 20)
        world.step(world.oracle())


def test_the_cartpole_oracle_reaches_the_middle() -> None:
    world = cartpole(10)
    assert not world.succeeded().any()
    ever = np.zeros(10, bool)
    for _ in range(200):
        world.step(world.oracle())
        ever |= world.succeeded()
    assert ever.mean() >= 0.9


def test_reducing_a_picture_keeps_its_mean() -> None:
    generator = np.random.default_rng(0)
    for shape in ((128, 128, 3), (500, 500, 3), (400, 600, 3)):
        picture = generator.integers(0, 256, shape, dtype=np.uint8)
        small = reduced(picture, 64)
        assert small.shape == (64, 64, 3) and small.dtype == np.uint8
        assert small.mean() == pytest.approx(picture.mean(), abs=0.6)


def test_an_unknown_world_names_the_closest() -> None:
    with pytest.raises(ForethoughtError, match="Did you mean 'pendulum'"):
        worlds.make("pendulm")
    with pytest.raises(ForethoughtError, match="Nope-v0"):
        worlds.make("gymnasium:Nope-v0")


def test_state_that_is_no_vector_is_refused() -> None:
    with pytest.raises(ForethoughtError, match="include_state"):
        gymnasium_world("FrozenLake-v1", config=GymnasiumConfig(include_state=True))
