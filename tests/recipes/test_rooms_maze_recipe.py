"""The recipe for the maze: what it trains, what it plans with, and on what map."""

from __future__ import annotations

import warnings
from dataclasses import replace

import pytest
import torch

from forethought import data, recipes, worlds
from forethought.cost.roadmap import RoadmapGoal
from forethought.data import Dataset
from forethought.evaluation.planning import evaluate
from forethought.learning.train import CollapseWarning, train
from forethought.model import Model
from forethought.recipes.recipe import Acting
from forethought.types import Observation


@pytest.fixture(scope="module")
def mazes(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A few episodes."""
    folder = tmp_path_factory.mktemp("mazes") / "episodes"
    world = worlds.make("rooms_maze", 4)
    return data.record(world, folder, num_episodes=8, episode_length=60, visible=False)


@pytest.fixture(scope="module")
def model(mazes: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Some steps of every stage."""
    config = replace(recipes.configure("rooms_maze", mazes.signature, steps=4), probes=None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapseWarning)
        return train(mazes, config, tmp_path_factory.mktemp("maze") / "run", visible=False)


@pytest.fixture(scope="module")
def acting() -> Acting:
    """As the recipe acts, on maps of a few nodes."""
    acting = recipes.acting(recipes.get("rooms_maze"))

    def small(observation: Observation) -> RoadmapGoal:
        seeking = acting.goal(observation=observation)
        assert isinstance(seeking, RoadmapGoal)
        return replace(seeking, num_nodes=30, pushes=6)

    return replace(acting, goal=small)


def test_all_stages_are_shortened_in_proportion(mazes) -> None:
    """A tenth of the recipe's steps for the world model is a tenth for critic and level."""
    whole = recipes.configure("rooms_maze", mazes.signature)
    short = recipes.configure(
        "rooms_maze", mazes.signature, steps=whole.objective.optimiser.num_steps // 10
    )
    for stage in ("critic", "hierarchy"):
        full = getattr(whole, stage).optimiser.num_steps
        assert getattr(short, stage).optimiser.num_steps == full // 10


def test_the_lower_level_seeks_what_the_upper_comes_to_first(model, acting) -> None:
    """Which goes by the map, and the lower one by the distance to come to that state."""
    world = worlds.make("rooms_maze", 2)
    observation = world.reset([5, 6])
    agent = acting.agent(model, world.goal(), 2)
    plan = agent.act_batch(observation).plan
    assert plan is not None and plan.above is not None
    assert list(plan.terms) == ["sub-goal"] and list(plan.above.terms) == ["goal"]
    aim = plan.above.imagination.latents[:, :, 1]
    come_to = plan.imagination.latents[:, :, 1:]
    distance = model.distance(come_to, aim.unsqueeze(2).expand_as(come_to))
    torch.testing.assert_close(
        distance.sum(-1).flatten(), plan.terms["sub-goal"].flatten(), rtol=1e-3, atol=1e-3
    )


def test_it_is_measured_at_every_distance(model, acting) -> None:
    """Between a floor and a ceiling."""
    protocol = recipes.get("rooms_maze").planning
    protocol = replace(protocol, episodes=3, budget=6, latency_decisions=1)
    results = evaluate(
        lambda goals, count: acting.agent(model, goals, count),
        lambda count: worlds.make("rooms_maze", count),
        protocol,
        visible=False,
    )
    assert set(results.agent.groups) == {"near", "middle", "far"}
    assert results.headline()["agent"]["episodes"] == 3
