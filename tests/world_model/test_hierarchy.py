"""Levels above: a slower clock, macro-actions that stay where stretches of actions are."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from forethought import recipes, worlds
from forethought.actor import CEM, Hierarchical
from forethought.agent import Agent
from forethought.checkers import check_planner
from forethought.cost import Worst, effort, goal, term
from forethought.cost.goal import SubGoal
from forethought.cost.terms import CostTerm
from forethought.learning import HierarchyTrainingConfig, OptimiserConfig
from forethought.learning.hierarchy import LevelStage
from forethought.learning.latents import LatentEpisodes
from forethought.learning.train import CollapseWarning, train
from forethought.model import Model
from forethought.types import ActionSpace, ForethoughtError, Imagination, PlanningProblem, Scores
from forethought.world_model import GridPriorConfig, HierarchyConfig, LevelConfig

LOWER = CEM(horizon=4, num_samples=96, num_iterations=6, num_elites=8)
UPPER = CEM(horizon=3, num_samples=48, num_iterations=4, num_elites=6)
TWO_LEVELS = HierarchyConfig(levels=(LevelConfig(stride=2), LevelConfig(stride=3)))


def level(**changes):
    torch.manual_seed(0)
    return HierarchyConfig(levels=(LevelConfig(stride=3, **changes),)).build(1, 4, 2).levels[0]


def test_each_level_counts_the_steps_of_those_below() -> None:
    built = TWO_LEVELS.build(1, 4, 2)
    assert [one.steps for one in built.levels] == [2, 6]
    assert built.levels[1].infer(torch.randn(5, 6, 2)).shape == (5, 4)
    with pytest.raises(ForethoughtError, match="no slower clock"):
        LevelConfig(stride=1)
    with pytest.raises(ForethoughtError, match="needs a level"):
        HierarchyConfig(levels=())


def test_the_search_goes_no_further_than_the_prior_reaches() -> None:
    """Units of one are macro-actions ``reach`` deviations from what is expected where one is."""
    one = level(reach=1.5)
    with torch.no_grad():
        for parameter in one.predictor.parameters():
            parameter.normal_(std=0.3)
    latents = torch.randn(2, 1, 4)
    units = torch.rand(2, 3, 2, 4) * 2 - 1
    imagined = one.imagine(latents, units)
    state = latents.repeat_interleave(3, 0)
    macros = []
    for step in range(2):
        mean, std = one.expected(state)
        macros.append(mean + 1.5 * std * units.flatten(0, 1)[:, step])
        assert bool(((macros[-1] - mean).abs() <= 1.5 * std + 1e-6).all())
        state = one.predictor(state[:, None], macros[-1][:, None])
    by_hand = one.rollout(latents.repeat_interleave(3, 0), torch.stack(macros, 1))
    torch.testing.assert_close(imagined.latents.flatten(0, 1), by_hand)


def lattice(*, above: bool) -> PlanningProblem:
    """A point that moves by its actions; the level above moves four steps at once, and further."""

    def imagine_by(scale: float):
        def imagine(actions):
            path = (scale * actions).cumsum(2)
            start = torch.zeros_like(path[:, :, :1])
            return Imagination(latents=torch.cat([start, path], 2).unsqueeze(3), actions=actions)

        return imagine

    def to(target):
        def score(imagination):
            gap = imagination.latents[:, :, 1:, 0] - target
            energy = gap.square().sum((-1, -2))
            feasible = torch.ones_like(energy, dtype=torch.bool)
            return Scores(energy=energy, terms={"far": energy}, feasible=feasible)

        return score

    space = ActionSpace(low=-torch.ones(2), high=torch.ones(2))
    settings = {
        "score": to(torch.tensor([6.0, -6.0])),
        "space": space,
        "num_worlds": 1,
        "toward": lambda latents: to(latents[:, None]),
    }
    upper = PlanningProblem(imagine=imagine_by(4.0), **settings) if above else None
    return PlanningProblem(imagine=imagine_by(1.0), above=upper, **settings)


def test_the_plan_below_seeks_the_first_state_of_the_plan_above(generator) -> None:
    """Which is the goal's direction at full strength; all candidates are counted."""
    planner = Hierarchical(upper=UPPER, lower=LOWER)
    plan = planner.plan(lattice(above=True), generator=generator)
    assert plan.above is not None and plan.above.above is None
    assert plan.num_candidates == 48 * 4 + 96 * 6
    first = plan.above.imagination.latents[0, 0, 1, 0]
    reached = plan.imagination.latents[0, 0, -1, 0]
    torch.testing.assert_close(first, torch.tensor([4.0, -4.0]), atol=0.7, rtol=0)
    torch.testing.assert_close(reached, first, atol=0.7, rtol=0)


def test_a_flat_model_is_refused_and_the_deadline_is_kept(generator) -> None:
    planner = Hierarchical(upper=UPPER, lower=LOWER)
    with pytest.raises(ForethoughtError, match="level above"):
        planner.plan(lattice(above=False), generator=generator)
    check_planner(LOWER)
    plan = planner.plan(lattice(above=True), generator=generator, deadline_s=1e-6)
    assert plan.num_iterations == 2  # one round on each level, never none


def test_a_level_learns_where_stretches_lead_and_what_to_expect(recorded, tmp_path) -> None:
    """On latents that are sums of actions: prediction far below copying, a prior that fits."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapseWarning)
        config = recipes.configure("two_rooms", recorded.signature, steps=5)
        config = replace(config, critic=None, probes=None)
        world_model = train(recorded, config, tmp_path / "run", visible=False).world_model
    draw = torch.Generator().manual_seed(0)
    actions = torch.randn(600, 2, generator=draw)
    sums = torch.cat([torch.zeros(1, 2), actions.cumsum(0)[:-1]]) / 10
    episodes = LatentEpisodes(
        latents=sums.unsqueeze(1), offsets=torch.tensor([0, 300, 600]), block=5
    )
    training = HierarchyTrainingConfig(
        optimiser=OptimiserConfig(num_steps=300, batch_size=64), horizon=2
    )
    one = HierarchyConfig(levels=(LevelConfig(stride=2),)).build(1, 2, 10).levels[0]
    stage = LevelStage(training, 1, one, world_model, episodes, actions)
    optimiser = torch.optim.Adam(stage.parameters(), lr=3e-3)
    for step in range(300):
        loss, parts = stage.loss(torch.Generator().manual_seed(step))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert float(parts["vs_copy"]) < 0.1
    assert float(parts["prior"]) < 0.9  # a normal distribution of deviation one costs 0.5


def test_two_levels_are_trained_saved_and_planned_with(recorded, tmp_path) -> None:
    """From a dataset to decisions on three clocks; effort is asked of the lowest alone."""
    config = recipes.configure("two_rooms", recorded.signature, steps=8)
    training = HierarchyTrainingConfig(
        hierarchy=TWO_LEVELS, optimiser=OptimiserConfig(num_steps=10, batch_size=16), horizon=2
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapseWarning)
        train(
            recorded,
            replace(config, critic=None, probes=None, hierarchy=training),
            tmp_path / "run",
            visible=False,
        )
    model = Model.from_pretrained(tmp_path / "run")
    world = worlds.make("two_rooms", 2)
    observation = world.reset([1, 2])
    agent = Agent(
        model,
        cost=goal(observation=world.goal()) + 0.1 * effort(),
        actor=Hierarchical(upper=Hierarchical(upper=UPPER, lower=UPPER), lower=LOWER),
        num_agents=2,
    )
    plan = agent.act_batch(observation).plan
    assert plan.above is not None and plan.above.above is not None
    assert set(plan.terms) == {"sub-goal", "effort"} and set(plan.above.above.terms) == {"goal"}
    flat = Agent(model, cost=effort(), actor=LOWER, num_agents=2)
    assert flat.act_batch(observation).plan.above is None
    with pytest.raises(ForethoughtError, match="about actions"):
        Agent(
            model, cost=effort(), actor=Hierarchical(upper=UPPER, lower=LOWER), num_agents=2
        ).act_batch(observation)


def test_what_is_asked_on_the_way_is_asked_of_every_level() -> None:
    """A sub-goal takes the place of the goal alone, and the risk stays as it was."""
    avoid = term("avoid", lambda imagination: imagination.latents[:, :, 1:, 0, 0])
    asked = (goal(image=np.zeros((4, 4, 3), np.uint8)) + effort() + avoid).at(Worst())
    below = asked.on_the_way_to(SubGoal(target=torch.zeros(1, 1, 2)))
    assert [one.name for one in below.terms] == ["sub-goal", "effort", "avoid"]
    assert [one.name for one in below.of_states().terms] == ["sub-goal", "avoid"]
    assert [one.name for one in asked.of_states().terms] == ["goal", "avoid"]
    assert below.risk == below.of_states().risk == Worst()


def test_a_cost_sees_each_level_by_its_own_clock(recorded, tmp_path) -> None:
    """What is searched is the level's; a push is the world model's, held for one of its steps."""
    config = recipes.configure("two_rooms", recorded.signature, steps=5)
    training = HierarchyTrainingConfig(
        hierarchy=TWO_LEVELS, optimiser=OptimiserConfig(num_steps=5, batch_size=8), horizon=1
    )
    config = replace(config, critic=None, probes=None, hierarchy=training)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapseWarning)
        model = train(recorded, config, tmp_path / "run", visible=False)
    assert model.hierarchy is not None
    seen = []

    @dataclass(frozen=True, kw_only=True, eq=False)
    class Watching(CostTerm):
        name: str = "watching"

        def bind(self, sight):
            seen.append(sight)
            return lambda imagination: imagination.latents[:, :, 1:].square().mean((-1, -2))

    planner = Hierarchical(upper=Hierarchical(upper=UPPER, lower=UPPER), lower=LOWER)
    agent = Agent(model, cost=Watching(), actor=planner)
    world = worlds.make("two_rooms", 1)
    agent.act({key: value[0] for key, value in world.reset([1]).items()})
    above = [sight for sight in seen if sight.space.dim == 4]
    world_model = model.world_model
    latents, units = torch.randn(3, 1, world_model.width), torch.tensor([[1.0, 0.0]] * 3)
    # Fully to the right in every world step, in world units.
    taken = world_model.high * units.repeat(1, world_model.config.action_block)
    with torch.no_grad():
        ahead = world_model.rollout(latents, world_model.normalise(taken)[:, None])[:, 1]
        for sight in seen:
            torch.testing.assert_close(sight.push(latents, units), ahead)
    assert len(above) >= 2 and seen[0].space.dim == model.world_model.action_space.dim


def test_a_prior_reads_a_grid_of_tokens() -> None:
    """As many numbers, and what is far from every token it was told of changes them too."""
    config = LevelConfig(stride=2, prior=GridPriorConfig(channels=(8, 8), hidden=(16,)))
    one = HierarchyConfig(levels=(config,)).build(16, 3, 2).levels[0]
    latents = torch.randn(5, 16, 3)
    mean, std = one.expected(latents)
    assert mean.shape == std.shape == (5, 4) and bool((std > 0).all())
    moved = latents.clone()
    moved[:, -1] += 1
    assert not torch.allclose(one.expected(moved)[0], mean)
    with pytest.raises(ForethoughtError, match="square"):
        HierarchyConfig(levels=(config,)).build(3, 3, 2)
