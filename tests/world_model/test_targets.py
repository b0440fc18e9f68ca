"""Targets: moving averages follow, gradients stop where they should, frozen encoders stay."""

from __future__ import annotations

import warnings
from dataclasses import replace

import pytest
import torch

from forethought import recipes
from forethought.learning.train import CollapseWarning, Learner, train
from forethought.types import ForethoughtError
from forethought.world_model import MovingAverageConfig, OwnLatentsConfig


def observed(model):
    spec = model.signature.observation["observation.images.top"]
    frames = torch.randint(0, 255, (2, 3, 1, *spec.shape), dtype=torch.uint8)
    return {"observation.images.top": frames}


def test_a_moving_average_follows_by_its_closed_form(model) -> None:
    """After n steps towards a fixed encoder, decay**n of the old weights are left."""
    world_model = model.world_model
    target = MovingAverageConfig(decay=0.9).build(world_model)
    with torch.no_grad():
        for parameter in target.perception.parameters():
            parameter.add_(1.0)
    for _ in range(5):
        target.follow(world_model)
    for mine, theirs in zip(
        target.perception.parameters(), world_model.perception.parameters(), strict=True
    ):
        torch.testing.assert_close(mine, theirs + 0.9**5, atol=1e-5, rtol=1e-4)
    with pytest.raises(ForethoughtError, match="from 0 to 1"):
        MovingAverageConfig(decay=1.2)


def test_gradients_reach_only_the_targets_that_let_them(model) -> None:
    world_model, observation = model.world_model, observed(model)
    latents = world_model.encode(observation)
    for config, expected in (
        (OwnLatentsConfig(), True),
        (OwnLatentsConfig(gradient=False), False),
        (MovingAverageConfig(), False),
    ):
        targets = config.build(world_model)(observation, latents)
        assert targets.requires_grad is expected
        torch.testing.assert_close(targets, latents, atol=1e-5, rtol=1e-4)


def trained(recorded, out, **changes):
    config = recipes.configure("two_rooms", recorded.signature, steps=12)
    config = replace(
        config, critic=None, probes=None, objective=replace(config.objective, **changes)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapseWarning)
        return config, train(recorded, config, out, visible=False)


def test_a_frozen_encoder_stays_while_the_predictor_learns(recorded, tmp_path) -> None:
    config, model = trained(recorded, tmp_path / "run", frozen_encoder=True)
    torch.manual_seed(config.seed)
    before = type(model)(
        model.config,
        model.signature,
        {k: v for k, v in [("action", model.world_model.action_normaliser)]},
    )
    Learner(before, config)
    for name, value in before.world_model.perception.state_dict().items():
        torch.testing.assert_close(model.world_model.perception.state_dict()[name], value)
    assert model.world_model.predictor.last.weight.abs().sum() > 0


def test_a_moving_average_is_trained_with_and_kept_in_checkpoints(recorded, tmp_path) -> None:
    """What resuming needs is in the learner, and two runs end alike to the bit."""
    runs = [
        trained(recorded, tmp_path / name, target=MovingAverageConfig(decay=0.95))
        for name in ("a", "b")
    ]
    first, second = (model.state_dict() for _, model in runs)
    assert all(torch.equal(first[name], second[name]) for name in first)
    learner = Learner(runs[0][1], runs[0][0])
    kept = [name for name in learner.state_dict() if name.startswith("target.perception")]
    assert len(kept) == len(runs[0][1].world_model.perception.state_dict())
