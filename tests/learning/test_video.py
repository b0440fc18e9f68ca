"""Learning from video: nothing is done, nothing is shown that masks hide, and it resumes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from forethought import data, recipes, worlds
from forethought.baselines import pixel_run
from forethought.baselines.pixel_tokens import PixelTokensConfig
from forethought.data import Dataset
from forethought.evaluation.physics import BLOCKS, WorldModelSurprise
from forethought.evaluation.physics.results import PhysicsProtocol, evaluate_physics
from forethought.evaluation.report.physics_report import physics_report
from forethought.learning import OptimiserConfig, TrainConfig, VideoConfig
from forethought.learning.masks import LapseMasks
from forethought.learning.train import train
from forethought.learning.video import VideoStage
from forethought.model import Model
from forethought.perception import GridCNNConfig, PerceptionConfig
from forethought.perception.patch_codes import PatchCodes
from forethought.types import ArraySpec, ForethoughtError
from forethought.world_model import GridMemoryConfig
from forethought.world_model.veils import GREY, veiled

pytestmark = pytest.mark.filterwarnings("ignore::forethought.learning.train.CollapseWarning")


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    path = tmp_path_factory.mktemp("films") / "data"
    return data.record(
        worlds.make("physics", 6), path, num_episodes=12, episode_length=22, visible=False
    )


def small(films: Dataset, *, steps: int = 6) -> TrainConfig:
    config = recipes.configure("physics", films.signature)
    objective = config.objective
    assert isinstance(objective, VideoConfig)
    optimiser = OptimiserConfig(num_steps=steps, batch_size=2, warmup_steps=2)
    return replace(
        config,
        world_model=replace(
            config.world_model,
            predictor=GridMemoryConfig(channels=4, hidden=4, readout=4, window=10),
        ),
        objective=replace(objective, optimiser=optimiser),
        probes=None,
    )


@pytest.fixture(scope="module")
def film_model(films: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return train(films, small(films), tmp_path_factory.mktemp("run") / "run", visible=False)


def test_a_broken_run_ends_like_an_unbroken_one(
    films: Dataset, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Masks have grown as far as they would have, and codes begin where they began."""
    config = small(films)
    unbroken = train(films, config, tmp_path / "unbroken", visible=False)
    real = VideoStage.before_step

    def breaks(stage: VideoStage, step: int) -> None:
        if step == 3:
            raise KeyboardInterrupt
        real(stage, step)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(VideoStage, "before_step", breaks)
        train(films, config, tmp_path / "run", visible=False, checkpoint_s=0.0)
    resumed = train(films, config, tmp_path / "run", visible=False, resume=True)
    for one, other in zip(unbroken.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)


def test_lapses_pass(generator: torch.Generator) -> None:
    masks = LapseMasks(before=3, longest=4, whole=0.3, none=0.3)
    hidden = masks.draw(400, 19, 64, generator)
    assert hidden.shape == (400, 19, 64) and not hidden[:, :3].any()
    moments = hidden.any(2)
    assert int(moments.sum(1).max()) <= 4
    # What is hidden is so in one stretch of time, and is the same block all the while.
    assert int((moments.int().diff(dim=1) == 1).sum(1).max()) <= 1
    blocks = hidden.any(1)
    assert all(
        torch.equal(clip[seen], block.expand(int(seen.sum()), -1))
        for clip, seen, block in zip(hidden, moments, blocks, strict=True)
    )
    assert 0.2 < float((blocks.sum(1) == 0).float().mean()) < 0.4
    assert 0.2 < float((blocks.sum(1) == 64).float().mean()) < 0.45


def test_lapses_grow() -> None:
    masks = LapseMasks(longest=9)
    assert masks.grown(1.0) == masks
    assert [masks.grown(share).longest for share in (0.0, 0.25, 0.5)] == [1, 3, 5]


def test_a_veil_looks_like_a_grey_picture(film_model: Model) -> None:
    """Where nothing is hidden latents stay; where all is, they are those of the grey."""
    world_model = film_model.world_model
    (camera,) = film_model.signature.cameras
    seen = torch.randn(2, 3, 64, world_model.width, generator=torch.Generator().manual_seed(0))
    hidden = torch.zeros(2, 3, 64, dtype=torch.bool)
    hidden[0, 1, 5] = True
    shown = veiled(world_model, seen, hidden)
    assert torch.equal(shown[~hidden], seen[~hidden])
    grey = world_model.encode({camera: torch.full((1, 1, 32, 32, 3), GREY, dtype=torch.uint8)})
    assert torch.allclose(shown[0, 1, 5], grey[0, 5], atol=1e-5)


def test_masks_grow_with_the_steps(films: Dataset, tmp_path) -> None:
    """Growing masks hide less at first: the run differs from one in which they are grown."""
    config = small(films)
    objective = config.objective
    assert isinstance(objective, VideoConfig) and objective.growing > 6
    grown = replace(config, objective=replace(objective, growing=0))
    slow = train(films, config, tmp_path / "slow", visible=False)
    fast = train(films, grown, tmp_path / "fast", visible=False)
    predictors = (slow.world_model.predictor, fast.world_model.predictor)
    weights = [torch.cat([one.flatten() for one in each.parameters()]) for each in predictors]
    assert not torch.equal(*weights)


def test_codes_begin_at_principal_components_and_stay(films: Dataset, film_model: Model) -> None:
    """Over all patches of the clips codes are uncorrelated, none is larger than one, and what is
    left out of the pixels is what the other components hold."""
    learned = [i for i in range(12) if i not in film_model.notes["held_out_episodes"]]
    frames = films.load(learned, image_size=(32, 32))
    (camera,) = films.signature.cameras
    images = frames.observation[camera][:, None]
    encoder = film_model.world_model.perception.by_key()[camera].requires_grad_(False)
    assert isinstance(encoder, PatchCodes)
    codes, tiles = encoder(images).flatten(0, 1), encoder.tiles(images).flatten(0, 1)
    spread = codes.T.cov()
    assert float(spread.diag().max()) < 1.001
    assert float((spread - spread.diag().diag()).abs().max()) < 0.01
    weight = encoder.codes.weight.flatten(1)
    assert encoder.codes.bias is not None
    assert torch.allclose(codes, tiles @ weight.T + encoder.codes.bias, atol=1e-4)
    fitted = torch.linalg.lstsq(torch.cat([codes, torch.ones(len(codes), 1)], 1), tiles).solution
    rest = tiles - torch.cat([codes, torch.ones(len(codes), 1)], 1) @ fitted
    assert float(rest.square().mean() / tiles.var(0).mean()) < 0.05


def test_another_perception_cannot_begin_at_principal_components(films: Dataset, tmp_path) -> None:
    config = small(films)
    (camera,) = films.signature.cameras
    perception = PerceptionConfig(encoders={camera: GridCNNConfig(patch=2, channels=(8, 8))})
    other = replace(config, world_model=replace(config.world_model, perception=perception))
    with pytest.raises(ForethoughtError, match="PatchCodesConfig"):
        train(films, other, tmp_path / "run", visible=False)


def test_another_horizon_is_refused(films: Dataset) -> None:
    objective = small(films).objective
    with pytest.raises(ForethoughtError, match="horizon=2"):
        replace(objective, horizon=2)
    with pytest.raises(ForethoughtError, match="growing=-1"):
        replace(objective, growing=-1)
    with pytest.raises(ForethoughtError, match="together at most 1"):
        LapseMasks(whole=0.8, none=0.8)


def test_pixel_tokens_are_the_pixels() -> None:
    spec = ArraySpec(shape=(8, 8, 3), dtype="uint8")
    encoder = PixelTokensConfig(patch=4).build(spec, 1)
    frames = torch.randint(0, 256, (1, 1, 8, 8, 3), dtype=torch.uint8)
    tokens = encoder(frames)
    assert tokens.shape == (1, 4, 48)
    patch = frames[0, 0, :4, 4:].float().div(255).sub(0.5).mul(4).flatten()
    assert torch.allclose(tokens[0, 1], patch)


def test_a_model_of_pixels_trains(films: Dataset, tmp_path) -> None:
    config = small(films)
    config = replace(
        config,
        world_model=replace(
            config.world_model, perception=replace(config.world_model.perception, frame_stack=1)
        ),
    )
    model = train(films, pixel_run(config), tmp_path / "run", visible=False)
    assert model.world_model.width == 48
    with pytest.raises(ForethoughtError, match="VideoConfig"):
        pixel_run(recipes.configure("two_rooms", films.signature))


def test_results_and_page(film_model: Model, tmp_path) -> None:
    protocol = PhysicsProtocol(pairs=4, validation=2, untrained=1)
    results = evaluate_physics(film_model, [BLOCKS["inertia"]], protocol)
    assert set(results.results) == {
        "model",
        "model, nothing hidden",
        "untrained 0",
        "pixel difference",
        "optical flow",
        "flow residual",
    }
    assert all(len(one) == 1 for one in results.results.values())
    page = physics_report(tmp_path, results).read_text()
    assert "inertia" in page and "image/webp" in page
    content = results.to_json()
    assert content["results"]["model"][0]["pairs"]["mean"]["episodes"] == 4
    accuracy = content["results"]["model"][0]["pairs"][results.summary.value]["value"]
    assert set(content["faults"]) == ({"inertia"} if accuracy < 0.9 else set())


def test_surprise_is_of_what_comes_not_of_what_came(film_model: Model) -> None:
    """Frames that are changed surprise from then on, and never before; contexts likewise."""
    possible, impossible = BLOCKS["continuity"].pair(0)
    begins = BLOCKS["continuity"].quadruplet(0).begins
    surprise = WorldModelSurprise(model=film_model)
    told = surprise(possible[None]) - surprise(impossible[None])
    block = film_model.world_model.config.action_block
    assert told.shape == (1, 22 - block)
    # The first number is of the frame that one model step leads to.
    assert abs(told[0, : begins - block]).max() < 1e-6 < abs(told[0, begins - block])
    windows = WorldModelSurprise(model=film_model, context=2, window=8, stride=1)
    # Of eleven steps eight fit in four ways, from either frame on.
    assert windows(possible[None]).shape == (1, 8)
    with pytest.raises(ForethoughtError, match="context=20"):
        WorldModelSurprise(model=film_model, context=20)


def test_what_is_hidden_cannot_be_told_from_what_follows(film_model: Model) -> None:
    """Behind its context nothing is seen: surprise then differs by the frames themselves alone."""
    possible, impossible = BLOCKS["continuity"].pair(0)
    hidden = WorldModelSurprise(model=film_model, context=2, hide=True)
    world_model = film_model.world_model
    (camera,) = film_model.signature.cameras
    frames = torch.from_numpy(np.stack([possible, impossible]))[:, :, None]
    latents = world_model.encode({camera: frames})[:, ::2]
    covered = torch.zeros(latents.shape[:-1], dtype=torch.bool)
    covered[:, 2:] = True
    shown = veiled(world_model, latents, covered)
    assert torch.equal(shown[0, 2:], shown[1, 2:])
    still = world_model.normalise(torch.zeros(world_model.action_width)).expand(2, 10, -1)
    ahead = world_model.each(shown[:, :-1], still).mean(0)
    expected = (ahead[:, 1:] - latents[:, 2:]).abs().mean((1, 2, 3))
    found = hidden(np.stack([possible, impossible]))[:, 0]
    assert np.allclose(found, expected.detach().numpy(), rtol=1e-5)


def test_other_pictures_are_refused(model: Model) -> None:
    with pytest.raises(ForethoughtError, match="64"):
        evaluate_physics(model, [BLOCKS["inertia"]])
