"""Learning by drawing: what the error counts, what learns from it, and that it can be resumed."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from forethought.baselines.pixels import (
    PictureDecoder,
    PictureDecoderConfig,
    PixelObjectiveConfig,
    PixelStage,
    as_pictures,
    drawing_error,
    drawing_run,
    weights_of_change,
)
from forethought.config import from_json, to_json
from forethought.data.windows import WindowConfig, WindowSampler
from forethought.learning import OptimiserConfig, TrainConfig
from forethought.learning.train import Learner
from forethought.perception import MLPEncoderConfig, Normaliser, PerceptionConfig
from forethought.types import ArraySpec, ForethoughtError, Signature
from forethought.world_model import ResidualMLPConfig, WorldModel, WorldModelConfig


def small(rooms_run: TrainConfig, steps: int, *, dynamics: float = 0.0) -> TrainConfig:
    config = drawing_run(rooms_run, num_steps=steps, dynamics=dynamics)
    optimiser = replace(config.objective.optimiser, batch_size=8)
    return replace(config, objective=replace(config.objective, optimiser=optimiser))


def stage_of(recorded, config: TrainConfig, model) -> tuple[Learner, PixelStage]:
    torch.manual_seed(0)
    learner = Learner(model, config)
    (camera,) = recorded.signature.cameras
    clips = WindowSampler(
        recorded.load(range(6), keys=[camera]),
        WindowConfig(length=config.objective.horizon + 1, action_block=5),
    )
    stage = config.objective.stage(model.world_model, learner.parts, clips, clips)
    assert isinstance(stage, PixelStage)
    return learner, stage


def test_the_error_in_closed_form() -> None:
    """One pixel of four changes, by a fifth of what it could; the others count for a tenth."""
    frames = torch.full((1, 2, 2, 2, 3), 100, dtype=torch.uint8)
    frames[0, 1, 0, 0, 0] = 151
    weights = weights_of_change(frames, still=0.1)
    torch.testing.assert_close(weights[0], torch.tensor([[0.1 + 0.9 * 0.2, 0.1], [0.1, 0.1]]))
    true = as_pictures(frames)
    drawn = true[:, :1].repeat(1, 2, 1, 1, 1)
    # A third of the colours wrong by a fifth, in one of two frames.
    wrong = 0.2**2 / 3 / 2 * 0.28 / (0.28 + 0.3)
    assert drawing_error(drawn, true, weights).item() == pytest.approx(wrong, rel=1e-4)
    plain = weights_of_change(frames, still=1.0)
    noise = torch.randn_like(true)
    torch.testing.assert_close(drawing_error(noise, true, plain), (noise - true).square().mean())


def test_a_decoder_draws_each_latent_by_itself_over_the_mean_picture() -> None:
    torch.manual_seed(0)
    spec = ArraySpec(shape=(32, 64, 3), dtype="uint8")
    decoder = PictureDecoderConfig(channels=(8, 4), patch=4).build(spec, 6)
    assert isinstance(decoder, PictureDecoder)
    latents = torch.randn(2, 5, 2, 3)
    drawn = decoder(latents)
    assert drawn.shape == (2, 5, 3, 32, 64)
    torch.testing.assert_close(decoder(latents[1:, 3:]), drawn[1:, 3:], atol=1e-5, rtol=1e-4)
    ground = torch.rand(3, 32, 64)
    decoder.ground.copy_(ground)
    torch.testing.assert_close(decoder(latents), drawn + ground)


def test_pictures_that_cannot_be_drawn_are_refused(model) -> None:
    with pytest.raises(ForethoughtError, match="multiples of 16"):
        PictureDecoderConfig().build(ArraySpec(shape=(40, 64, 3), dtype="uint8"), 4)
    signature = Signature(
        observation={"observation.state": ArraySpec(shape=(3,), dtype="float32")},
        action=model.signature.action,
        rate_hz=10.0,
    )
    blind = WorldModelConfig(
        perception=PerceptionConfig(encoders={"observation.state": MLPEncoderConfig(width=6)}),
        predictor=ResidualMLPConfig(),
    )
    normalisers = {
        "observation.state": Normaliser([0.0] * 3, [1.0] * 3),
        "action": Normaliser([0.0] * 2, [1.0] * 2),
    }
    world_model = WorldModel(blind, signature, normalisers)
    objective = PixelObjectiveConfig(optimiser=OptimiserConfig(num_steps=1))
    with pytest.raises(ForethoughtError, match="JEPAConfig"):
        objective.parts(world_model)


def test_drawing_teaches_encoder_predictor_and_decoder(recorded, rooms_run, model) -> None:
    """And begins with the mean picture, which is better than any flat one."""
    config = small(rooms_run, 1)
    learner, stage = stage_of(recorded, config, model)
    stage.begin()
    (camera,) = recorded.signature.cameras
    frames = as_pictures(stage.clips.arrays.observation[camera])
    ground = learner.parts["decoders"].by_camera[0].ground
    assert (frames - ground).square().mean() < (frames - frames.mean()).square().mean() / 4
    learner.zero_grad()
    loss, _ = stage.loss(torch.Generator().manual_seed(0))
    loss.backward()
    taught = {name for name, p in learner.named_parameters() if p.grad is not None and p.grad.any()}
    for part in ("perception", "predictor", "decoders"):
        assert any(part in name for name in taught), part


def test_dynamics_teach_the_predictor_alone(recorded, rooms_run, model) -> None:
    """What the encoder and the decoder learn from is drawing, with or without them."""
    grads = {}
    for weight in (0.0, 2.0):
        learner, stage = stage_of(recorded, small(rooms_run, 1, dynamics=weight), model)
        learner.zero_grad()
        stage.loss(torch.Generator().manual_seed(0))[0].backward()
        grads[weight] = {
            name: p.grad.clone() for name, p in learner.named_parameters() if p.grad is not None
        }
    learner.zero_grad()
    changed = {
        name.split(".")[2] if name.startswith("model") else name.split(".")[0]
        for name, grad in grads[0.0].items()
        if not torch.allclose(grad, grads[2.0][name], atol=1e-7)
    }
    assert changed == {"predictor"}


def test_drawing_improves_and_two_runs_end_alike(rooms_run, trained_twice, logged) -> None:
    """A run that was broken off and resumed ends with the weights of the unbroken one."""
    config = small(rooms_run, 40, dynamics=1.0)
    assert from_json(to_json(config)) == config
    _, folder = trained_twice(config, 21)
    drawn = logged(folder, "drawing")
    assert drawn[-1] < drawn[0]
    # What draws is kept in checkpoints only.
    assert not [name for name in load_file(folder / "model.safetensors") if "decoders" in name]
