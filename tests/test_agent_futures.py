"""Agents whose models look back, or foresee several futures."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from forethought import recipes, worlds
from forethought.actor import CEM
from forethought.agent import Agent
from forethought.cost import Cost, Worst, goal
from forethought.learning.train import CollapseWarning, train
from forethought.model import Model
from forethought.types import ForethoughtError
from forethought.world_model import (
    CategoricalLatentConfig,
    CausalTransformerConfig,
    EnsembleConfig,
    GRUConfig,
    ResidualMLPConfig,
)

CAMERA = "observation.images.top"
PLANNER = CEM(horizon=3, num_samples=16, num_iterations=2, num_elites=4)


def trained(recorded, out, **changes) -> Model:
    """A few steps of the plain recipe with other parts: enough to act with."""
    config = recipes.configure("two_rooms", recorded.signature, steps=8)
    config = replace(
        config, critic=None, probes=None, world_model=replace(config.world_model, **changes)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapseWarning)
        return train(recorded, config, out, visible=False)


def agent_for(model: Model, world, **settings) -> Agent:
    term = goal(observation=world.goal())
    return Agent(
        model,
        cost=Cost(terms=(term,), risk=Worst()),
        actor=PLANNER,
        num_agents=world.num_worlds,
        **settings,
    )


@pytest.mark.parametrize("predictor", [GRUConfig(window=3), CausalTransformerConfig(window=3)])
def test_the_past_is_what_was_seen_and_done_a_model_step_apart(
    predictor, recorded, tmp_path, monkeypatch
) -> None:
    """At each search: latents of 10 and 5 world steps ago, and the actions between them."""
    model = trained(recorded, tmp_path / "run", predictor=predictor)
    world = worlds.make("two_rooms", 2)
    observation = world.reset([1, 2])
    agent = agent_for(model, world)
    pasts, imagine = [], model.world_model.imagine

    def watched(latents, actions, *, past, chance):
        pasts.append(past)
        return imagine(latents, actions, past=past, chance=chance)

    monkeypatch.setattr(model.world_model, "imagine", watched)
    seen, done, found = [], [], {}
    for step in range(16):
        seen.append(torch.as_tensor(observation[CAMERA]))
        decision = agent.act_batch(observation)
        if decision.plan_step == 0:
            found[step] = pasts[-1]
        done.append(torch.as_tensor(decision.action))
        observation = world.step(decision.action)
    assert list(found) == [0, 5, 10, 15] and found[0] is None
    for step, looks in ((5, [0]), (10, [0, 5]), (15, [5, 10])):
        with torch.no_grad():
            latents = [model.world_model.encode({CAMERA: seen[at][:, None]}) for at in looks]
        actions = [torch.stack(done[at : at + 5], 1).flatten(1) for at in looks]
        torch.testing.assert_close(found[step].latents, torch.stack(latents, 1))
        expected = model.world_model.normalise(torch.stack(actions, 1))
        torch.testing.assert_close(found[step].actions, expected)


def test_several_futures_are_imagined_and_the_nearest_is_the_surprise(recorded, tmp_path) -> None:
    model = trained(
        recorded, tmp_path / "run", latent_variable=CategoricalLatentConfig(num_choices=3)
    )
    world = worlds.make("two_rooms", 2)
    observation = world.reset([1, 2])
    agent = agent_for(model, world, num_outcomes=6)
    first = agent.act_batch(observation)
    futures = first.plan.imagination
    assert futures.num_outcomes == 6 and futures.latents.shape[:2] == (2, 6)
    assert first.plan.actions.shape == (2, 3, 10)
    apart = futures.latents[:, :, 1:] - futures.latents[:, :1, 1:]
    assert float(apart.abs().max()) > 0
    observation = world.step(first.action)
    for _ in range(4):
        observation = world.step(agent.act_batch(observation).action)
    latents = model.world_model.encode({CAMERA: torch.as_tensor(observation[CAMERA])[:, None]})
    errors = (latents[:, None] - futures.latents[:, :, 1]).square().mean((-1, -2)).detach()
    surprise = agent.act_batch(observation).surprise
    np.testing.assert_allclose(surprise, errors.min(1).values.numpy(), rtol=1e-4)


def test_futures_that_the_model_does_not_know_are_refused(model) -> None:
    world = worlds.make("two_rooms", 1)
    with pytest.raises(ForethoughtError, match="num_outcomes=4"):
        agent_for(model, world, num_outcomes=4)


def test_a_plan_of_an_ensemble_carries_its_spread(recorded, tmp_path) -> None:
    """Trained, saved, loaded: the plan says how far the members disagree."""
    trained(
        recorded,
        tmp_path / "run",
        predictor=EnsembleConfig(member=ResidualMLPConfig(hidden=(16,)), num_members=3),
    )
    model = Model.from_pretrained(tmp_path / "run")
    world = worlds.make("two_rooms", 2)
    plan = agent_for(model, world).act_batch(world.reset([1, 2])).plan
    assert plan.imagination.spread is not None
    assert plan.imagination.spread.shape == (2, 1, 3)
    assert float(plan.imagination.spread.min()) > 0
