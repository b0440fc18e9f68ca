"""Imagining further, and many steps at once, is what imagining in one go says."""

from __future__ import annotations

import pytest
import torch

from forethought.perception import MLPEncoderConfig, Normaliser, PerceptionConfig
from forethought.types import ActionSpec, ArraySpec, Chance, Past, Signature
from forethought.world_model import (
    CategoricalLatentConfig,
    CausalTransformerConfig,
    EnsembleConfig,
    GRUConfig,
    HierarchyConfig,
    LevelConfig,
    ResidualMLPConfig,
    WorldModel,
    WorldModelConfig,
)

SIGNATURE = Signature(
    observation={"observation.state": ArraySpec(shape=(3,), dtype="float32")},
    action=ActionSpec(dim=2, low=(-1.0, -1.0), high=(1.0, 1.0)),
    rate_hz=10.0,
)
MARKOV = ResidualMLPConfig(hidden=(8,))
LOOKING_BACK = GRUConfig(hidden=8, window=3)
ATTENDING = CausalTransformerConfig(window=3, depth=2, heads=2, head_width=4, mlp_width=8)
Z = CategoricalLatentConfig(num_choices=3, hidden=8)
B, N = 2, 4


def world_model(predictor, latent_variable=None) -> WorldModel:
    """With weights that make much of all that they are told."""
    torch.manual_seed(0)
    config = WorldModelConfig(
        perception=PerceptionConfig(encoders={"observation.state": MLPEncoderConfig(width=8)}),
        predictor=predictor,
        latent_variable=latent_variable,
    )
    normalisers = {
        "observation.state": Normaliser([0.0] * 3, [1.0] * 3),
        "action": Normaliser([0.1] * 2, [0.5] * 2),
    }
    model = WorldModel(config, SIGNATURE, normalisers)
    with torch.no_grad():
        for parameter in model.predictor.parameters():
            parameter.normal_(std=0.3)
    return model.eval()


def before(generator: torch.Generator, steps: int) -> Past | None:
    """What came before the present of each world; nothing at the beginning of an episode."""
    if not steps:
        return None
    return Past(
        latents=torch.randn(B, steps, 1, 8, generator=generator),
        actions=torch.randn(B, steps, 2, generator=generator),
    )


@pytest.mark.parametrize("done", [1, 2, 4])
@pytest.mark.parametrize("steps", [0, 1, 2])
@pytest.mark.parametrize(
    ("predictor", "latent_variable"),
    [
        (MARKOV, None),
        (LOOKING_BACK, None),
        (ATTENDING, None),
        (EnsembleConfig(member=LOOKING_BACK, num_members=2), None),
        (MARKOV, Z),
        (LOOKING_BACK, Z),
    ],
    ids=["markov", "gru", "transformer", "ensemble", "drawn", "gru drawn"],
)
@torch.no_grad()
def test_going_on_is_imagining_in_one_go(
    predictor, latent_variable, steps, done, generator
) -> None:
    """Windows reach back over the first part into the past; the futures are the same ones."""
    model, past = world_model(predictor, latent_variable), before(generator, steps)
    present = torch.randn(B, 1, 8, generator=generator)
    actions = torch.randn(B, N, 5, 2, generator=generator)
    chance = Chance(num_outcomes=3, seed=7) if latent_variable else None
    whole = model.imagine(present, actions, past=past, chance=chance)
    first = model.imagine(present, actions[:, :, :done], past=past, chance=chance)
    further = model.go_on(first, actions[:, :, done:], past=past, chance=chance)
    torch.testing.assert_close(further.latents, whole.latents, atol=1e-5, rtol=1e-4)
    assert torch.equal(further.actions, whole.actions)
    assert further.num_outcomes == whole.num_outcomes
    if whole.spread is not None:
        assert further.spread is not None
        torch.testing.assert_close(further.spread, whole.spread, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("steps", [0, 1, 5])
@pytest.mark.parametrize("predictor", [MARKOV, LOOKING_BACK, ATTENDING], ids=lambda p: str(p)[:9])
def test_states_that_follow_on_each_other_are_followed_by_themselves(
    predictor, steps, generator
) -> None:
    """What was imagined step by step is a fixed point of all steps at once, with gradients."""
    model, past = world_model(predictor), before(generator, steps)
    present = torch.randn(B, 1, 8, generator=generator)
    actions = torch.randn(B, N, 5, 2, generator=generator)
    imagined = model.imagine(present, actions, past=past).latents.detach()
    assumed = imagined[:, :, :-1].clone().requires_grad_()
    followed = model.follow(assumed, actions, past=past)
    torch.testing.assert_close(followed, imagined[:, :, 1:], atol=1e-5, rtol=1e-4)
    (slope,) = torch.autograd.grad(followed[:, :, 3].sum(), assumed)
    reached = slope.flatten(3).abs().sum((0, 1, 3)) > 0
    assert reached.tolist() == [3 - model.predictor.window < at <= 3 for at in range(5)]


def test_a_step_follows_all_that_its_window_sees(generator) -> None:
    """From states that were rolled out, with world actions, and shorter than the window."""
    model = world_model(LOOKING_BACK)
    actions = torch.randn(N, 5, 2, generator=generator)
    rolled = model.rollout(torch.randn(N, 1, 8, generator=generator), model.normalise(actions))
    for done in (1, 2, 5):
        after = model.step(rolled[:, :done], actions[:, :done])
        torch.testing.assert_close(after, rolled[:, done], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_a_level_above_follows_as_it_imagines(generator) -> None:
    """Each unit is taken around what is expected where it is."""
    config = HierarchyConfig(levels=(LevelConfig(macro_width=2, hidden=(8,)),))
    (level,) = config.build(1, 8, 2).levels
    units = torch.randn(B, N, 3, 2, generator=generator)
    imagined = level.imagine(torch.randn(B, 1, 8, generator=generator), units).latents
    followed = level.follow(imagined[:, :, :-1], units)
    torch.testing.assert_close(followed, imagined[:, :, 1:], atol=1e-5, rtol=1e-4)


def test_the_draws_of_a_step_do_not_depend_on_how_many_follow() -> None:
    """So futures can be gone on with."""
    chance = Chance(num_outcomes=5, seed=2)
    assert torch.equal(chance.draws(7, 2)[:, :3], chance.draws(3, 2))
