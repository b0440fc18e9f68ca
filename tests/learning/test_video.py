"""Learning from video: nothing is done, nothing is shown that masks hide, and it resumes."""

from __future__ import annotations

from dataclasses import replace

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
from forethought.learning.masks import PassingMasks
from forethought.learning.train import train
from forethought.model import Model
from forethought.types import ArraySpec, ForethoughtError
from forethought.world_model import GridMemoryConfig, VICRegConfig

pytestmark = pytest.mark.filterwarnings("ignore::forethought.learning.train.CollapseWarning")


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    path = tmp_path_factory.mktemp("films") / "data"
    return data.record(
        worlds.make("physics", 6), path, num_episodes=12, episode_length=21, visible=False
    )


def small(films: Dataset, *, steps: int = 6) -> TrainConfig:
    config = recipes.configure("physics", films.signature)
    objective = config.objective
    assert isinstance(objective, VideoConfig)
    optimiser = OptimiserConfig(num_steps=steps, batch_size=2, warmup_steps=2)
    return replace(
        config,
        world_model=replace(
            config.world_model, predictor=GridMemoryConfig(channels=4, hidden=4, window=19)
        ),
        objective=replace(objective, optimiser=optimiser),
        probes=None,
    )


@pytest.fixture(scope="module")
def film_model(films: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return train(films, small(films), tmp_path_factory.mktemp("run") / "run", visible=False)


def test_it_trains_without_actions_and_resumes(films: Dataset, film_model: Model, tmp_path) -> None:
    again = train(films, small(films), tmp_path / "run", visible=False)
    for one, other in zip(film_model.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


def test_masks_pass(generator: torch.Generator) -> None:
    masks = PassingMasks(before=3, longest=4, whole=0.3, none=0.3)
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


def test_another_horizon_is_refused(films: Dataset) -> None:
    objective = small(films).objective
    with pytest.raises(ForethoughtError, match="horizon=2"):
        replace(objective, horizon=2)
    with pytest.raises(ForethoughtError, match="whole"):
        PassingMasks(whole=0.8, none=0.8)


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


def test_surprise_is_of_what_comes_not_of_what_came(film_model: Model) -> None:
    """Frames that are changed surprise from then on, and never before; contexts likewise."""
    possible, impossible = BLOCKS["continuity"].pair(0)
    begins = BLOCKS["continuity"].quadruplet(0).begins
    surprise = WorldModelSurprise(model=film_model)
    told = surprise(possible[None]) - surprise(impossible[None])
    assert abs(told[0, : begins - 1]).max() < 1e-6 < abs(told[0, begins - 1])
    windows = WorldModelSurprise(model=film_model, context=4, window=16)(possible[None])
    assert windows.shape == (1, 3)
    with pytest.raises(ForethoughtError, match="context=20"):
        WorldModelSurprise(model=film_model, context=20)


def test_other_pictures_are_refused(model: Model) -> None:
    with pytest.raises(ForethoughtError, match="64"):
        evaluate_physics(model, [BLOCKS["inertia"]])


def test_regularisers_are_those_of_the_recipe(films: Dataset) -> None:
    objective = recipes.configure("physics", films.signature).objective
    assert isinstance(objective, VideoConfig) and isinstance(
        objective.regularisers[0], VICRegConfig
    )
