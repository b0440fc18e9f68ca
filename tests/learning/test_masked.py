"""Masked pretraining: what is hidden stays hidden, and no action is ever looked at."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from forethought import data, recipes
from forethought.data import Dataset
from forethought.learning import (
    BlockMasks,
    MaskedPretrainingConfig,
    MomentMasks,
    OptimiserConfig,
    PretrainConfig,
    pretrain,
    pretraining_of,
)
from forethought.learning.masked import MaskedModel, hidden_error, masked_report, nearest_seen
from forethought.learning.masks import painted
from forethought.perception import CNNConfig, GridCNNConfig, PerceptionConfig
from forethought.perception.perception import Perception
from forethought.types import ForethoughtError
from forethought.world_model import InverseDynamicsConfig, VICRegConfig

SIZE, LENGTH = 32, 6
pytestmark = pytest.mark.filterwarnings("ignore::forethought.learning.train.CollapseWarning")


def config_of(recorded: Dataset, *, steps: int = 12, grid: bool = True) -> PretrainConfig:
    (camera,) = recorded.signature.cameras
    encoder = (
        GridCNNConfig(width=8, patch=4, channels=(8, 8))
        if grid
        else CNNConfig(width=8, patch=4, channels=(8, 8))
    )
    masks = (MomentMasks(), BlockMasks(blocks=2)) if grid else (MomentMasks(),)
    return PretrainConfig(
        recipe="test",
        perception=PerceptionConfig(encoders={camera: encoder}),
        objective=MaskedPretrainingConfig(
            optimiser=OptimiserConfig(num_steps=steps, batch_size=4, warmup_steps=4),
            length=LENGTH,
            masks=masks,
            regularisers=(VICRegConfig(pool_tokens=grid),),
        ),
        action_block=2,
        image_size=(SIZE, SIZE),
    )


@pytest.fixture
def model(recorded: Dataset) -> MaskedModel:
    torch.manual_seed(0)
    config = config_of(recorded)
    camera = recorded.signature.cameras[0]
    spec = replace(recorded.signature.observation[camera], shape=(SIZE, SIZE, 3))
    signature = replace(recorded.signature, observation={camera: spec})
    return MaskedModel(config.objective, Perception(config.perception, signature, {}))


def clips(model: MaskedModel, generator: torch.Generator) -> dict[str, Tensor]:
    shape = (3, LENGTH, 1, SIZE, SIZE, 3)
    pixels = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    return {model.perception.keys[0]: pixels}


# --------------------------------------------------------------------------------- masks


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("run", [1, 3, 20])
def test_moments_are_hidden_whole_in_the_stated_share(share, run, generator) -> None:
    """Every clip alike, every token of a hidden moment, and every moment now and then."""
    hidden = MomentMasks(share=share, run=run).draw(200, 9, 4, generator)
    assert (hidden == hidden[:, :, :1]).all()
    counts = hidden[:, :, 0].sum(1)
    assert (counts == min(8, max(1, round(share * 9)))).all()
    assert hidden[:, :, 0].any(0).all() and not hidden[:, :, 0].all(0).any()


def test_hidden_moments_come_in_runs(generator) -> None:
    """Three in a row: far fewer borders than moments drawn one by one have."""
    runs = MomentMasks(share=0.5, run=3).draw(500, 12, 1, generator)[:, :, 0]
    single = MomentMasks(share=0.5, run=1).draw(500, 12, 1, generator)[:, :, 0]
    borders = [(one[:, 1:] != one[:, :-1]).float().sum(1).mean() for one in (runs, single)]
    assert borders[0] < 0.6 * borders[1]


def test_a_block_is_a_rectangle_of_the_stated_share_at_all_moments(generator) -> None:
    """One tube: its area is the share of the grid up to rounding of its two sides."""
    masks = BlockMasks(blocks=1, share=0.25)
    hidden = masks.draw(300, 5, 64, generator)
    assert (hidden == hidden[:, :1]).all()
    grid = hidden[:, 0].unflatten(1, (8, 8))
    height, width = grid.any(2).sum(1), grid.any(1).sum(1)
    assert (grid.sum((1, 2)) == height * width).all()
    assert (height * width).float().mean() == pytest.approx(0.25 * 64, rel=0.05)
    assert (height / width >= 0.5).all() and (width / height >= 0.5).all()
    assert grid.any(0).all()


def test_masks_that_hide_nothing_are_refused(generator) -> None:
    """With what to do instead."""
    with pytest.raises(ForethoughtError, match="MomentMasks"):
        BlockMasks().draw(2, 5, 1, generator)
    with pytest.raises(ForethoughtError, match="length"):
        MomentMasks().draw(2, 1, 4, generator)
    with pytest.raises(ForethoughtError, match="share"):
        MomentMasks(share=1.0)


def test_pixels_of_hidden_places_alone_are_painted(generator) -> None:
    """Of a 2x2 grid, one quarter of the picture."""
    images = torch.randint(0, 100, (1, 2, 8, 8, 3), generator=generator, dtype=torch.uint8)
    grey = painted(images, torch.tensor([[False, True, False, False]]))
    assert (grey[:, :, :4, 4:] == 128).all()
    kept = torch.ones(8, 8, dtype=torch.bool)
    kept[:4, 4:] = False
    assert torch.equal(grey[:, :, kept], images[:, :, kept])


# ------------------------------------------------------------------------------- objective


def test_only_hidden_tokens_count(generator) -> None:
    """Errors elsewhere change neither loss nor gradient; absolute error in closed form."""
    targets = torch.randn(2, 3, 4, 5, generator=generator)
    hidden = torch.rand(2, 3, 4, generator=generator) < 0.4
    predicted = (targets + 0.5).requires_grad_()
    error = hidden_error(predicted, targets, hidden)
    torch.testing.assert_close(error, torch.tensor(0.5))
    (gradient,) = torch.autograd.grad(error, predicted)
    assert (gradient[~hidden] == 0).all() and (gradient[hidden] != 0).all()
    elsewhere = torch.where(hidden[..., None], predicted, predicted + 7.0)
    assert torch.equal(hidden_error(elsewhere, targets, hidden), error)
    smooth = hidden_error(predicted, targets, hidden, beta=1.0)
    torch.testing.assert_close(smooth, torch.tensor(0.125))


@pytest.mark.parametrize("masks", [MomentMasks(), BlockMasks(blocks=2)])
def test_hidden_pixels_reach_nothing_but_the_target(model, generator, masks) -> None:
    """Other hidden pixels: the same context and prediction, to the bit; another target."""
    observation = clips(model, generator)
    (camera,) = observation
    tokens = model.perception.num_tokens
    hidden = masks.draw(3, LENGTH, tokens, generator)
    side, cell = round(tokens**0.5), SIZE // round(tokens**0.5)
    pixels = hidden.unflatten(2, (side, side)).repeat_interleave(cell, 2).repeat_interleave(cell, 3)
    other = observation[camera].clone()
    other[:, :, 0][pixels] = 255 - other[:, :, 0][pixels]
    changed = {camera: other}

    seen, same = model.context(observation, hidden), model.context(changed, hidden)
    assert torch.equal(seen, same)
    assert seen[~hidden].abs().sum() > 0
    assert not torch.equal(model.targets(observation), model.targets(changed))
    foretold = model.predictor(seen, hidden)
    noise = torch.where(hidden[..., None], torch.randn(seen.shape, generator=generator), seen)
    assert torch.equal(model.predictor(noise, hidden), foretold)


def test_the_target_moves_by_the_closed_form(model) -> None:
    """theta' = decay^n theta_0 + (1 - decay^n) theta, when the encoder stands still."""
    began = [one.clone() for one in model.target.parameters()]
    with torch.no_grad():
        for one in model.perception.parameters():
            one.add_(1.0)
    for _ in range(5):
        model.follow()
    left = model.decay**5
    for before, now, goal in zip(
        began, model.target.parameters(), model.perception.parameters(), strict=True
    ):
        torch.testing.assert_close(now, left * before + (1 - left) * goal.detach())


def test_copying_takes_the_nearest_moment_that_was_seen() -> None:
    """The earlier of two as near, and the mean of a place never seen."""
    targets = torch.arange(5.0)[None, :, None, None].repeat(1, 1, 2, 1)
    hidden = torch.tensor([[0, 1, 1, 1, 0], [1, 1, 1, 1, 1]]).bool().T[None]
    copied = nearest_seen(targets, hidden)[0, :, :, 0]
    assert copied[:, 0].tolist() == [0, 0, 0, 4, 4]
    assert copied[:, 1].tolist() == [2, 2, 2, 2, 2]


def test_collapse_is_told(generator) -> None:
    """Latents of one dimension, and latents that never change within a clip."""
    hidden = MomentMasks().draw(20, 9, 1, generator)
    flat = torch.randn(20, 9, 1, 1, generator=generator) * torch.ones(8)
    assert "collapsed" in masked_report(flat, flat, flat, hidden).findings[0]
    slow = torch.randn(20, 1, 1, 8, generator=generator).expand(-1, 9, -1, -1)
    assert "slow features" in masked_report(slow, slow, slow, hidden).findings[0]
    alive = torch.randn(20, 9, 1, 8, generator=generator)
    assert not masked_report(alive, alive, alive, hidden).collapsed


def test_what_needs_actions_is_refused() -> None:
    """Inverse dynamics belongs to the training that follows."""
    with pytest.raises(ForethoughtError, match="sees no actions"):
        MaskedPretrainingConfig(
            optimiser=OptimiserConfig(num_steps=1), regularisers=(InverseDynamicsConfig(),)
        )


# ------------------------------------------------------------------------------ a whole run


def weights(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "perception.safetensors")


def test_broken_off_and_resumed_is_the_same_to_the_bit(recorded, tmp_path, monkeypatch) -> None:
    """Stopped in the middle, after a checkpoint."""
    config = config_of(recorded)
    pretrain(recorded, config, tmp_path / "unbroken", visible=False)

    step, before = MaskedModel.follow, []

    def breaks(self: MaskedModel) -> None:
        before.append(1)
        if len(before) == 7:
            raise KeyboardInterrupt
        step(self)

    with monkeypatch.context() as patched:
        patched.setattr(MaskedModel, "follow", breaks)
        with pytest.raises(KeyboardInterrupt):
            pretrain(recorded, config, tmp_path / "broken", visible=False, checkpoint_s=0.0)
    assert not (tmp_path / "broken" / "perception.json").exists()
    pretrain(recorded, config, tmp_path / "broken", visible=False, resume=True)
    expected, found = weights(tmp_path / "unbroken"), weights(tmp_path / "broken")
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    again = pretrain(recorded, config, tmp_path / "broken", visible=False, resume=True)
    assert all(torch.equal(one, expected[name]) for name, one in again.state_dict().items())


def test_actions_are_never_looked_at(recorded, tmp_path) -> None:
    """The same pictures with other actions give the same weights, to the bit."""
    episodes = [recorded.episode(index) for index in range(recorded.num_episodes)]
    with data.create(tmp_path / "still.lance", recorded.signature) as writer:
        writer.append([replace(one, action=0 * one.action) for one in episodes])
    config = config_of(recorded, steps=4, grid=False)
    pretrain(recorded, config, tmp_path / "moved", visible=False)
    pretrain(data.open(tmp_path / "still.lance"), config, tmp_path / "still", visible=False)
    moved, still = weights(tmp_path / "moved"), weights(tmp_path / "still")
    assert all(torch.equal(moved[name], still[name]) for name in moved)


def test_the_hidden_is_foretold_better_than_by_copying(recorded, tmp_path) -> None:
    """A short run of the recipe's own pretraining keeps its latents alive, and learns."""
    recipe = recipes.configure("two_rooms", recorded.signature)
    config = pretraining_of(recipe, recorded.signature, steps=80)
    assert config.perception == recipe.world_model.perception
    optimiser = replace(config.objective.optimiser, batch_size=8)
    config = replace(
        config,
        objective=replace(config.objective, optimiser=optimiser),
        image_size=(SIZE, SIZE),
    )
    pretrain(recorded, config, tmp_path / "run", visible=False)
    found = json.loads((tmp_path / "run" / "pretrain.json").read_text())["diagnostics"]
    assert found["copy_ratio"] < 1 and found["effective_rank"] > 2 and not found["findings"]
