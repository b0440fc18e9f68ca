"""The recipe for the arm: it asks what chance does not give, and seeks what the picture shows."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest

from forethought import data, recipes, worlds
from forethought.learning.train import CollapseWarning, train
from forethought.types import ForethoughtError, World


def arms(num_worlds: int) -> World:
    """The world; skips the test where MuJoCo is missing or cannot draw."""
    try:
        return worlds.make("reacher", num_worlds)
    except ForethoughtError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory):
    """A short training run by the recipe."""
    folder = tmp_path_factory.mktemp("reacher")
    recorded = data.record(
        arms(4), folder / "arm", num_episodes=12, episode_length=40, visible=False
    )
    config = recipes.configure("reacher", recorded.signature, steps=10)
    assert config.probes is not None
    config = replace(config, probes=replace(config.probes, num_steps=10))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapseWarning)
        return train(recorded, config, folder / "run", visible=False)


def test_a_pose_is_not_kept_by_chance() -> None:
    """Who knows the truth keeps every pose within the budget; random torques keep next to none."""
    protocol = recipes.get("reacher").planning
    world = arms(16)
    kept = {}
    for name in ("oracle", "random"):
        world.reset(range(protocol.seed, protocol.seed + 16))
        generator = np.random.default_rng(0)
        held = []
        for _ in range(protocol.budget):
            world.step(world.oracle() if name == "oracle" else generator.uniform(-1, 1, (16, 2)))
            held.append(world.succeeded())
        kept[name] = np.all(held[-protocol.hold :], axis=0).mean()
    assert kept["oracle"] >= 0.95
    assert kept["random"] <= 0.1


def test_the_goal_is_the_picture(model) -> None:
    """From the same start the plan depends on the goal's picture, and on nothing else."""
    acting = recipes.acting(recipes.get("reacher"))
    world = arms(2)
    start = world.reset([7, 8])
    same = {key: np.repeat(value[:1], 2, axis=0) for key, value in start.items()}
    goals = world.goal()

    def plan(goals) -> np.ndarray:
        return acting.agent(model, goals, 2, seed=3).act_batch(same).plan.actions.numpy()

    swapped = {key: value[::-1].copy() for key, value in goals.items()}
    first = plan(goals)
    np.testing.assert_array_equal(first, plan(goals))
    assert not np.array_equal(first[0], plan(swapped)[0])
