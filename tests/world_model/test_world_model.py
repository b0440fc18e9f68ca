"""Laws of perception and prediction."""

from __future__ import annotations

import pytest
import torch

from forethought.perception import (
    AnchoredMLPConfig,
    CNNConfig,
    GridCNNConfig,
    MLPEncoderConfig,
    Normaliser,
    Perception,
    PerceptionConfig,
)
from forethought.types import ActionSpec, ArraySpec, ForethoughtError, Signature
from forethought.world_model import (
    GridPredictorConfig,
    ResidualMLPConfig,
    collapse_report,
    effective_rank,
    fit_linear_probe,
    fit_mlp_probe,
)
from forethought.world_model.diagnostics import alignment, uniformity, variance_spectrum
from forethought.world_model.probes import r_squared

IMAGE = ArraySpec(shape=(32, 32, 3), dtype="uint8")
VECTOR = ArraySpec(shape=(5,), dtype="float32")


@pytest.mark.parametrize(
    ("config", "spec"),
    [
        (CNNConfig(), IMAGE),
        (GridCNNConfig(), IMAGE),
        (MLPEncoderConfig(), VECTOR),
        (AnchoredMLPConfig(), VECTOR),
    ],
)
@pytest.mark.parametrize("frames", [1, 3])
def test_an_observation_means_the_same_alone_as_in_a_batch(config, spec, frames) -> None:
    """No batch statistics hide in an encoder, and its tokens are as announced."""
    encoder = config.build(spec, frames)
    shape = (6, frames, *spec.shape)
    values = (
        torch.randint(0, 255, shape, dtype=torch.uint8) if spec is IMAGE else torch.randn(shape)
    )
    together = encoder(values)
    alone = torch.cat([encoder(value[None]) for value in values])
    assert together.shape[1:] == config.tokens(spec)
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


def test_an_encoder_refuses_what_it_cannot_see() -> None:
    """The message names what was found and which encoder fits."""
    with pytest.raises(ForethoughtError, match="choose MLPEncoderConfig"):
        CNNConfig().build(VECTOR, 1)
    with pytest.raises(ForethoughtError, match="multiples of 16"):
        CNNConfig().build(ArraySpec(shape=(40, 40, 3), dtype="uint8"), 1)


def test_an_anchored_latent_begins_with_the_standardised_vector() -> None:
    """The anchor is exact, and the learned part never sees an invariant entry's value."""
    config = AnchoredMLPConfig(invariant=(0,))
    encoder = config.build(VECTOR, 2)
    values = torch.randn(4, 2, 5)
    shifted = values.clone()
    shifted[:, -1, 0] += 7
    torch.testing.assert_close(encoder(values)[:, 0, :5], values[:, -1])
    torch.testing.assert_close(encoder(values)[:, 0, 5:], encoder(shifted)[:, 0, 5:])


def test_several_sensors_are_fused_into_one_latent() -> None:
    """Both sensors change the latent, and it has the announced size."""
    signature = Signature(
        observation={"observation.images.a": IMAGE, "observation.state": VECTOR},
        action=ActionSpec(dim=1, low=(-1.0,), high=(1.0,)),
        rate_hz=10.0,
    )
    config = PerceptionConfig(
        encoders={
            "observation.images.a": CNNConfig(width=8),
            "observation.state": MLPEncoderConfig(width=8),
        }
    )
    perception = Perception(
        config, signature, {"observation.state": Normaliser([0.0] * 5, [1.0] * 5)}
    )
    image = torch.randint(0, 255, (2, 1, 32, 32, 3), dtype=torch.uint8)
    state = torch.randn(2, 1, 5)
    latent = perception({"observation.images.a": image, "observation.state": state})
    assert latent.shape == (2, 1, 8)
    for other in (
        {"observation.images.a": image.flip(2), "observation.state": state},
        {"observation.images.a": image, "observation.state": -state},
    ):
        assert not torch.allclose(perception(other), latent)


@pytest.mark.parametrize(
    "predictor",
    [
        ResidualMLPConfig().build(1, 8, 3),
        GridPredictorConfig().build(16, 8, 3),
    ],
)
def test_a_predictor_moves_each_latent_by_itself(predictor) -> None:
    """Shape, independence of the batch, and gradients to latents and actions."""
    tokens = 16 if "Grid" in type(predictor).__name__ else 1
    latents = torch.randn(5, 1, tokens, 8, requires_grad=True)
    actions = torch.randn(5, 1, 3, requires_grad=True)
    for parameter in predictor.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    together = predictor(latents, actions)
    alone = torch.cat([predictor(latents[i : i + 1], actions[i : i + 1]) for i in range(5)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)
    together.square().sum().backward()
    assert latents.grad.abs().sum() > 0 and actions.grad.abs().sum() > 0


def test_an_untrained_mlp_predicts_that_nothing_changes() -> None:
    """Training starts from the copy baseline."""
    latents = torch.randn(4, 1, 1, 8)
    predicted = ResidualMLPConfig().build(1, 8, 3)(latents, torch.randn(4, 1, 3))
    torch.testing.assert_close(predicted, latents[:, 0])


def test_a_grid_of_tokens_must_be_square() -> None:
    """The message says what to use instead."""
    with pytest.raises(ForethoughtError, match="square grid"):
        GridPredictorConfig().build(6, 8, 3)


def test_rollout_is_repeated_prediction(model) -> None:
    """Imagination of one candidate equals stepping by hand, and starts at the present."""
    world_model = model.world_model
    latents = torch.randn(2, world_model.num_tokens, world_model.width)
    actions = torch.rand(2, 3, 4, world_model.action_width) - 0.5
    with torch.no_grad():
        imagined = world_model.imagine(latents, actions)
        state = latents
        for step in range(4):
            push = world_model.normalise(actions[:, 1, step])
            state = world_model.predictor(state[:, None], push[:, None])
    torch.testing.assert_close(imagined.latents[:, 1, 0], latents)
    torch.testing.assert_close(imagined.latents[:, 1, -1], state, atol=1e-5, rtol=1e-4)


def test_effective_rank_counts_dimensions(generator) -> None:
    """As many equal directions as there are; none for a constant."""
    samples = torch.randn(4000, 1, 3, generator=generator) @ torch.eye(3, 10)
    assert effective_rank(samples) == pytest.approx(3, rel=0.01)
    assert effective_rank(torch.ones(50, 1, 10)) == 0


def test_probes_find_what_is_there(generator) -> None:
    """A linear quantity by both, a nonlinear one by the MLP alone, none in noise."""
    latents = torch.randn(3000, 1, 4, generator=generator)
    flat = latents[:, 0]
    targets = torch.stack([3 * flat[:, 0] + 1, flat[:, 1] * flat[:, 2], torch.randn(3000)], 1)
    linear = r_squared(fit_linear_probe(latents, targets), latents, targets)
    mlp = r_squared(fit_mlp_probe(latents, targets, generator=generator), latents, targets)
    assert linear[0] > 0.99 and linear[1] < 0.1
    assert mlp[0] > 0.99 and mlp[1] > 0.8


def clips(generator, *, moving: float, between: float) -> tuple[torch.Tensor, torch.Tensor]:
    actions = torch.randn(96, 8, 2, generator=generator)
    path = torch.cat([torch.zeros(96, 1, 2), actions.cumsum(1)], 1) * moving
    fixed = between * torch.randn(96, 1, 4, generator=generator).expand(-1, 9, -1)
    return torch.cat([path, fixed], -1).unsqueeze(2), actions


def test_a_healthy_model_has_no_findings(generator) -> None:
    """Latents that move with the actions, predicted well."""
    latents, actions = clips(generator, moving=1.0, between=1.0)
    predicted = latents + 0.1 * torch.randn(latents.shape, generator=generator)
    predicted[:, 0] = latents[:, 0]
    assert not collapse_report(latents, predicted, actions, latents.roll(1, 0)).collapsed


def test_slow_features_are_named(generator) -> None:
    """Large differences between episodes, nothing within: symptom and remedy are told."""
    latents, actions = clips(generator, moving=0.0, between=3.0)
    report = collapse_report(latents, latents, actions, latents)
    assert any("slow features" in f and "TemporalVariance" in f for f in report.findings)
    assert any("actions are lost" in f for f in report.findings)


def test_actions_that_only_the_predictor_can_read_are_not_lost(generator) -> None:
    """Where a linear readout fails, a prediction that needs the right actions proves them kept."""
    latents, actions = clips(generator, moving=1.0, between=1.0)
    hidden = latents.abs().sqrt() * torch.randint(0, 2, latents.shape, generator=generator)
    report = collapse_report(hidden, hidden, actions, hidden.roll(1, 0))
    assert report.action_gain > 0.9
    assert not any("actions are lost" in finding for finding in report.findings)


def test_total_collapse_is_named(generator) -> None:
    """A constant latent."""
    latents, actions = clips(generator, moving=0.0, between=0.0)
    report = collapse_report(latents, latents, actions, latents)
    assert any(f.startswith("collapsed") for f in report.findings)


def test_alignment_and_uniformity_equal_their_closed_forms(generator) -> None:
    """Opposite points are 4 apart; two poles give the mean potential of one pair; spheres fill."""
    one = torch.randn(6, 1, 3, generator=generator)
    assert alignment(one, 2 * one) == pytest.approx(0, abs=1e-6)
    assert alignment(one, -one) == pytest.approx(4, rel=1e-5)
    poles = torch.tensor([[1.0, 0.0], [-1.0, 0.0]]).view(2, 1, 2)
    assert uniformity(poles) == pytest.approx(-8)
    assert uniformity(torch.ones(5, 1, 3)) == pytest.approx(0, abs=1e-6)
    wide = torch.randn(500, 1, 64, generator=generator)
    assert -4.2 < uniformity(wide) < -3.7


def test_the_variance_spectrum_tells_the_shares(generator) -> None:
    base = torch.randn(4000, 1, 3, generator=generator) * torch.tensor([3.0, 1.0, 0.0])
    torch.testing.assert_close(
        variance_spectrum(base), torch.tensor([0.9, 0.1, 0.0]).double(), atol=0.02, rtol=0
    )
    assert not variance_spectrum(torch.ones(4, 1, 3)).any()
