"""Frames as tokens: what the codes keep, and that the transformer writes what it was taught."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from forethought.baselines.frame_transformer import (
    FrameTransformer,
    FrameTransformerConfig,
    NextFrameTokenConfig,
    token_run,
)
from forethought.baselines.frames import CodedFramesConfig, FrameCodes, k_means, nearest
from forethought.checkers import check_predictor
from forethought.config import from_json, to_json
from forethought.data.record import TRUTH
from forethought.learning import JEPAConfig, OptimiserConfig, TrainConfig
from forethought.learning.train import train
from forethought.model import Model
from forethought.types import ArraySpec, ForethoughtError

CODES, TOKENS, WIDTH, ACTIONS = 12, 4, 5, 3
IMAGE = ArraySpec(shape=(64, 64, 3), dtype="uint8")


def predictor(window: int = 1) -> FrameTransformer:
    """A transformer whose blocks do something, as they do after training."""
    torch.manual_seed(0)
    config = FrameTransformerConfig(codes=CODES, width=16, depth=2, heads=2, window=window)
    model = config.build(TOKENS, WIDTH, ACTIONS).eval()
    assert isinstance(model, FrameTransformer)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.normal_(std=0.4)
    return model


def coded(model: FrameTransformer, steps: int, count: int = 3) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1)
    ids = torch.randint(CODES, (count, steps, TOKENS), generator=draw)
    return model.codes[ids], torch.randn(count, steps, ACTIONS, generator=draw)


# ------------------------------------------------------------------------------------ codes


@pytest.fixture(scope="module")
def codes(recorded) -> tuple[FrameCodes, Tensor, Tensor]:
    """Codes of some of the recorded frames, and frames that they were not learned from."""
    (camera,) = recorded.signature.cameras
    episodes = recorded.load(range(24), keys=[camera, TRUTH])
    frames, places = episodes.observation[camera], episodes.observation[TRUTH][:, :2]
    built = CodedFramesConfig(codes=512, width=24).build(IMAGE, 1)
    assert isinstance(built, FrameCodes)
    built.learn(frames[:1600], torch.Generator().manual_seed(0), rounds=8)
    return built, frames[1600:], places[1600:]


def test_patches_are_put_back_where_they_were(generator) -> None:
    """With a code for every patch that there is, frames come back to the bit."""
    frames = torch.randint(256, (3, 64, 64, 3), dtype=torch.uint8, generator=generator)
    codes = CodedFramesConfig(codes=48, width=768).build(IMAGE, 1)
    assert isinstance(codes, FrameCodes)
    codes.codes.copy_(codes.patches(frames).flatten(0, 1))
    assert codes.ids(frames).flatten().tolist() == list(range(48))
    assert torch.equal(codes.draw(codes.ids(frames)), frames)


def test_the_dot_survives_its_code(codes) -> None:
    """Frames never seen before: where the dot was is where it is drawn, to about a pixel."""
    built, frames, places = codes
    drawn = built.draw(built.ids(frames)).float()
    ground = frames.float().median(0).values
    seen = (drawn - ground).abs().sum(-1)
    seen = seen.where(seen > 60, torch.zeros(()))
    ticks = torch.arange(64) + 0.5
    found = torch.stack([(seen.sum(1) * ticks).sum(1), (seen.sum(2) * ticks).sum(1)], 1)
    off = (found / seen.sum((1, 2)).clamp_min(1e-6)[:, None] - places).norm(dim=1)
    assert off.median() < 1.0


def test_a_code_is_its_own_code(codes) -> None:
    """Drawing and coding again changes nothing that counts, and most of the ground is one token."""
    built, frames, _ = codes
    ids = built.ids(frames)
    again = built.ids(built.draw(ids))
    assert (again == ids).float().mean() > 0.98
    commonest = ids.flatten().bincount().max()
    assert commonest > 0.3 * ids.numel()


def test_k_means_is_weighted_and_leaves_idle_codes_alone() -> None:
    points = torch.tensor([[0.0], [1.0], [10.0]])
    found = k_means(
        points, torch.tensor([3.0, 1.0, 1.0]), torch.tensor([[0.5], [9.0], [99.0]]), rounds=3
    )
    torch.testing.assert_close(found, torch.tensor([[0.25], [10.0], [99.0]]))
    assert nearest(points, found).tolist() == [0, 0, 1]


def test_too_few_patches_and_stacked_frames_are_refused(generator) -> None:
    built = CodedFramesConfig(codes=64).build(IMAGE, 1)
    assert isinstance(built, FrameCodes)
    with pytest.raises(ForethoughtError, match="fewer than the 64 codes"):
        built.learn(torch.zeros(4, 64, 64, 3, dtype=torch.uint8), generator)
    with pytest.raises(ForethoughtError, match="frame_stack=2"):
        CodedFramesConfig().build(IMAGE, 2)


# ------------------------------------------------------------------------------------ predictor


@pytest.mark.parametrize("window", [1, 3])
def test_it_keeps_the_promises_of_a_predictor(window) -> None:
    check_predictor(predictor(window), tokens=TOKENS, width=WIDTH, action_width=ACTIONS)


@pytest.mark.parametrize("steps", [1, 2])
def test_writing_from_the_cache_is_writing_anew(steps) -> None:
    """Each token is the likeliest of the whole sequence read again from its beginning."""
    model = predictor(window=2)
    latents, actions = coded(model, steps)
    with torch.no_grad():
        written = model.write(latents, actions)
        anew = torch.zeros_like(written)
        for place in range(TOKENS):
            # What stands in the places not yet written cannot matter.
            logits = model._logits_of(latents, actions, model.codes[anew])[:, -1]
            anew[:, place] = logits[:, place].argmax(-1)
        assert torch.equal(written, anew)
        torch.testing.assert_close(model(latents, actions), model.codes[written])


def test_gradients_leave_what_is_foreseen_as_it_is() -> None:
    model = predictor()
    latents, actions = coded(model, 1)
    with torch.no_grad():
        plain = model(latents, actions)
    torch.testing.assert_close(model(latents, actions.requires_grad_()).detach(), plain)


def test_the_loss_is_the_surprise_at_each_token() -> None:
    """In closed form: blind to all it has read, it says how common each code is held to be."""
    model = predictor(window=2)
    latents, actions = coded(model, 3)
    actions = actions[:, :2]
    with torch.no_grad():
        model.transformer.embedding.weight.zero_()
        model.look.weight.zero_()
        torch.testing.assert_close(
            model.nats(latents, actions), torch.full((3, 2, TOKENS), CODES).log()
        )
        model = predictor(window=2)
        chances = model._logits_of(latents[:, :2], actions, latents[:, 2]).softmax(-1)
        true = nearest(latents[:, 1:], model.codes)
        expected = -chances.gather(-1, true[..., None])[..., 0].log()
        torch.testing.assert_close(model.nats(latents, actions), expected)


def test_no_token_sees_what_comes_after_it() -> None:
    """Another future changes the surprise at nothing before it."""
    model = predictor(window=2)
    latents, actions = coded(model, 3)
    before = model.nats(latents, actions[:, :2])
    other = latents.clone()
    other[:, 2, 1] = model.codes[(nearest(latents[:, 2, 1], model.codes) + 1) % CODES]
    after = model.nats(other, actions[:, :2])
    same = before == after
    assert same[:, 0].all() and same[:, 1, 0].all() and not same[:, 1, 1].any()
    later = actions[:, :2].clone()
    later[:, 1] += 1
    moved = before == model.nats(latents, later)
    assert moved[:, 0].all() and not moved[:, 1].any()


# ------------------------------------------------------------------------------------ learning


def small(rooms_run: TrainConfig, steps: int) -> TrainConfig:
    config = token_run(
        rooms_run,
        num_steps=steps,
        encoder=CodedFramesConfig(codes=128, width=16),
        predictor=FrameTransformerConfig(width=32, depth=1, heads=2),
    )
    optimiser = replace(config.objective.optimiser, batch_size=16, warmup_steps=10)
    objective = config.objective
    assert isinstance(objective, NextFrameTokenConfig)
    return replace(config, objective=replace(objective, optimiser=optimiser, frames=600))


def test_it_learns_and_an_interrupted_run_ends_alike(rooms_run, trained_twice, logged) -> None:
    """The codes, learned once at the beginning, are those of the unbroken run as well."""
    config = small(rooms_run, 40)
    model, folder = trained_twice(config, 25)
    surprise = logged(folder, "nats_per_frame")
    assert surprise[-1] < 0.7 * surprise[0]
    _reads_back(model, config, folder)


def _reads_back(model: Model, config: TrainConfig, folder: Path) -> None:
    """Saved and loaded, it foresees the same; and its configuration goes to JSON and back."""
    assert from_json(to_json(config)) == config
    latents = model.world_model.perception.by_key()["observation.images.top"].codes[:16][None]
    actions = torch.zeros(1, 2, model.world_model.action_width)
    with torch.no_grad():
        torch.testing.assert_close(
            Model.from_pretrained(folder).world_model.rollout(latents, actions),
            model.world_model.rollout(latents, actions),
        )


def test_what_does_not_fit_together_is_refused(recorded, rooms_run, tmp_path) -> None:
    config, plain = small(rooms_run, 5), rooms_run
    wrong = replace(config.world_model, predictor=plain.world_model.predictor)
    with pytest.raises(ForethoughtError, match="FrameTransformer"):
        train(recorded, replace(config, world_model=wrong), tmp_path / "a", visible=False)
    fewer = replace(config.world_model, predictor=FrameTransformerConfig(codes=64))
    with pytest.raises(ForethoughtError, match="64"):
        train(recorded, replace(config, world_model=fewer), tmp_path / "b", visible=False)
    with pytest.raises(ForethoughtError, match="one camera encoded by CodedFramesConfig"):
        train(recorded, replace(plain, objective=config.objective), tmp_path / "c", visible=False)
    with pytest.raises(ForethoughtError, match="horizon=8"):
        NextFrameTokenConfig(optimiser=OptimiserConfig(num_steps=1), horizon=8)
    assert isinstance(plain.objective, JEPAConfig)
