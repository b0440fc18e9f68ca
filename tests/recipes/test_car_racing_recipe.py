"""The recipe for driving: what it wants, and that nobody has to tell it where the road is."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from forethought import data, recipes, worlds
from forethought.baselines import (
    CloningConfig,
    Following,
    GoalPolicyConfig,
    HindsightGoalConfig,
    train_policy,
)
from forethought.data import Dataset
from forethought.learning import OptimiserConfig, TrainConfig
from forethought.learning.train import CollapseWarning, train
from forethought.model import Model
from forethought.recipes.car_racing import CRUISING, keep_driving
from forethought.types import STATE
from forethought.worlds import car_racing


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A few seconds of straying."""
    return data.record(
        worlds.make("car_racing", 4),
        tmp_path_factory.mktemp("driving") / "straying",
        num_episodes=4,
        episode_length=30,
        visible=False,
    )


@pytest.fixture(scope="module")
def config(recorded: Dataset) -> TrainConfig:
    """The recipe, with few steps."""
    config = recipes.configure("car_racing", recorded.signature, steps=5)
    assert config.probes is not None
    return replace(config, probes=replace(config.probes, num_steps=5))


@pytest.fixture(scope="module")
def model(
    recorded: Dataset, config: TrainConfig, tmp_path_factory: pytest.TempPathFactory
) -> Model:
    """A short run."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapseWarning)
        return train(recorded, config, tmp_path_factory.mktemp("run") / "run", visible=False)


def test_it_sees_the_picture_and_is_told_the_cars_own_sensors_alone(model: Model) -> None:
    assert model.world_model.perception.keys == ("observation.images.render",)
    assert model.config.probes == ("speed", "grass")
    assert model.signature.observation.keys() == {"observation.images.render"}


def test_least_is_wanted_at_cruising_speed_off_the_grass() -> None:
    function = keep_driving({}).function
    speed, grass = torch.meshgrid(torch.arange(0.0, 31.0), torch.linspace(0, 1, 11), indexing="ij")
    cost = function({"speed": speed[None], "grass": grass[None]})[0]
    assert cost[int(CRUISING), 0] == 0 and (cost >= 0).all()
    assert (cost.diff(dim=1) > 0).all()
    assert (cost[: int(CRUISING) + 1, 0].diff() < 0).all()
    # Rather half the speed than half of the wheels on grass.
    assert cost[int(CRUISING) // 2, 0] < cost[int(CRUISING), 5]
    protocol = recipes.get("car_racing").planning
    assert protocol.budget / 12.5 > car_racing.DISTANCE / CRUISING


def test_agents_drive_without_looking_at_the_goal(model: Model) -> None:
    acting = recipes.acting(recipes.get("car_racing"))
    world = worlds.make("car_racing", 2)
    seen, goals = world.reset([7, 8]), world.goal()
    plans = [
        acting.agent(model, goal, 2, seed=3).act_batch(seen).action
        for goal in (goals, {key: value[::-1].copy() for key, value in goals.items()})
    ]
    np.testing.assert_array_equal(*plans)
    assert plans[0].shape == (2, 2) and (np.abs(plans[0]) <= 1).all()


def test_following_is_seeking_what_is_seen(
    recorded: Dataset, config: TrainConfig, tmp_path
) -> None:
    """At each step the goal is what is seen there, and no other."""
    policy = train_policy(
        recorded,
        CloningConfig(
            policy=GoalPolicyConfig(perception=config.world_model.perception, action_block=2),
            optimiser=OptimiserConfig(num_steps=3, batch_size=16, learning_rate=1e-3),
            goals=HindsightGoalConfig(current=1.0),
        ),
        tmp_path / "policy",
        visible=False,
    )
    world = worlds.make("car_racing", 2)
    seen = world.reset([7, 8])
    following, seeking = Following(policy, seen), policy.seeking(seen)
    fixed = policy.seeking(seen)
    for _ in range(4):
        seeking.seek(seen)
        action = following.act_batch(seen).action
        np.testing.assert_array_equal(action, seeking.act_batch(seen).action)
        other = fixed.act_batch(seen).action
        seen = world.step(action)
    assert not np.array_equal(action, other)
    following.reset()
    assert following.act_batch(seen).plan_step == 0


def test_recorded_sensors_are_those_of_the_car(recorded: Dataset) -> None:
    told = np.concatenate([recorded.episode(i).observation[STATE] for i in range(4)])
    assert (told[:, 1] >= 0).all() and (told[:, 1] <= 1).all() and np.ptp(told[:, 0]) > 3
