"""The recipes to prove guardrails with: their goals are places, whatever else a picture shows."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from forethought import data, recipes, worlds
from forethought.cost.roadmap import RoadmapGoal
from forethought.learning.train import CollapseWarning, train
from forethought.model import Model
from forethought.recipes.recipe import Acting
from forethought.types import Observation

NAMES = pytest.mark.parametrize("name", ["two_rooms_hazards", "pendulum_limits", "point_hazards"])
LENGTH = 48


def trained(name: str, folder: Path) -> Model:
    """Some steps of every stage."""
    recorded = data.record(
        worlds.make(name, 4), folder / "data", num_episodes=12, episode_length=LENGTH, visible=False
    )
    config = recipes.configure(name, recorded.signature, steps=4)
    assert config.probes is not None
    config = replace(config, probes=replace(config.probes, num_steps=20))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapseWarning)
        return train(recorded, config, folder / "run", visible=False)


def acting_on_a_small_map(name: str) -> Acting:
    acting = recipes.acting(recipes.get(name))

    def small(observation: Observation) -> object:
        seeking = acting.goal(observation=observation)
        return replace(seeking, num_nodes=30) if isinstance(seeking, RoadmapGoal) else seeking

    return replace(acting, goal=small)


@NAMES
def test_a_recipe_records_trains_reads_and_acts(name: str, tmp_path: Path) -> None:
    model = trained(name, tmp_path)
    assert model.config.probes == tuple(worlds.make(name, 1).truth())
    acting, world = acting_on_a_small_map(name), worlds.make(name, 3)
    first = world.reset([7, 8, 9])

    def actions(goals: Observation) -> np.ndarray:
        agent = acting.agent(model, goals, 3, seed=3)
        return agent.act_batch(first).action

    chosen = actions(world.goal())
    assert (np.abs(chosen) <= np.array(world.signature.action.high) + 1e-6).all()
    np.testing.assert_array_equal(chosen, actions(world.goal()))


@NAMES
def test_the_task_is_not_met_by_chance(name: str) -> None:
    """Who knows the truth meets every goal within the budget; random actions next to none."""
    protocol, world = recipes.get(name).planning, worlds.make(name, 30)
    spec, met = world.signature.action, {}
    for controller in ("oracle", "random"):
        world.reset(range(protocol.seed, protocol.seed + 30))
        generator, held = np.random.default_rng(0), []
        for _ in range(protocol.budget):
            drawn = generator.uniform(spec.low, spec.high, (30, spec.dim))
            world.step(world.oracle() if controller == "oracle" else drawn)
            held.append(world.succeeded())
        met[controller] = np.all(held[-protocol.hold :], axis=0).mean()
    assert met["oracle"] == 1 and met["random"] <= 0.1


def test_a_recording_is_long_enough_for_the_clips_that_are_learned_from() -> None:
    for name in ("two_rooms_hazards", "pendulum_limits", "point_hazards"):
        recipe = recipes.get(name)
        config = recipe.training(worlds.make(name, 1).signature)
        assert recipe.recording is not None
        rows = config.objective.horizon * config.world_model.action_block  # type: ignore[attr-defined]
        assert recipe.recording.episode_length > rows
