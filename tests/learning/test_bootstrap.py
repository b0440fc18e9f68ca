"""Members that learn from different episodes disagree where few episodes have been."""

from __future__ import annotations

import pytest
import torch

from forethought import recipes, worlds
from forethought.learning.bootstrap import BootstrapConfig, BootstrapStage
from forethought.learning.exploring import ensemble_of
from forethought.learning.latents import LatentEpisodes
from forethought.learning.trainer import OptimiserConfig
from forethought.perception.normalise import Normaliser
from forethought.types import ForethoughtError
from forethought.world_model import EnsembleConfig, ResidualMLPConfig, WorldModel, WorldModelConfig

EPISODES, LENGTH, BLOCK = 20, 21, 2
COMMON, RARE = -1.0, 1.0


def world_model() -> WorldModel:
    """Of the first two entries of a latent of three, as if perceived; its camera is not asked."""
    signature = worlds.make("two_rooms", 1).signature
    single = recipes.configure("two_rooms", signature).world_model
    config = WorldModelConfig(
        perception=single.perception,
        predictor=EnsembleConfig(member=ResidualMLPConfig(hidden=(32,)), num_members=4),
        action_block=BLOCK,
    )
    torch.manual_seed(0)
    return WorldModel(config, signature, {"action": Normaliser([0.0] * 4, [1.0] * 4)})


def walks(width: int) -> tuple[LatentEpisodes, torch.Tensor]:
    """Pushes move the first two entries; the third says where the episode is: one is elsewhere."""
    generator = torch.Generator().manual_seed(0)
    actions = torch.rand(EPISODES, LENGTH, 2, generator=generator) * 2 - 1
    latents = torch.zeros(EPISODES, LENGTH, 1, width)
    latents[:, 1:, 0, :2] = actions[:, :-1].cumsum(1)
    latents[:, :, 0, 2] = COMMON
    latents[-1, :, 0, 2] = RARE
    # Elsewhere pushes lead the other way, which must be learned there.
    latents[-1, :, 0, :2] *= -1
    episodes = LatentEpisodes(
        latents=latents.flatten(0, 1), offsets=torch.arange(EPISODES + 1) * LENGTH, block=BLOCK
    )
    return episodes, actions.flatten(0, 1)


def trained(share: float) -> WorldModel:
    """After 300 steps."""
    model = world_model()
    episodes, actions = walks(model.width)
    config = BootstrapConfig(
        share=share, optimiser=OptimiserConfig(num_steps=300, batch_size=32, learning_rate=5e-3)
    )
    stage = BootstrapStage(config, model, episodes, actions, torch.Generator().manual_seed(1))
    optimiser = torch.optim.AdamW(stage.parameters(), lr=5e-3)
    for step in range(300):
        loss, _ = stage.loss(torch.Generator().manual_seed(step))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model


@torch.no_grad()
def doubt(model: WorldModel, place: float) -> float:
    """Disagreement about a step from the middle of the common place, or of the rare one."""
    latents = torch.zeros(1, 1, model.width)
    latents[..., 2] = place
    pushes = torch.rand(1, 64, 1, 4, generator=torch.Generator().manual_seed(2)) * 2 - 1
    spread = model.imagine(latents, pushes).spread
    assert spread is not None
    return float(spread.mean())


def test_they_disagree_where_few_episodes_have_been() -> None:
    """All the more if each of them has seen half of the episodes."""
    apart, alike = trained(0.5), trained(1.0)
    assert doubt(apart, RARE) > 3 * doubt(apart, COMMON)
    contrast = [doubt(model, RARE) / doubt(model, COMMON) for model in (apart, alike)]
    assert contrast[0] > 1.5 * contrast[1]


@pytest.mark.parametrize("share", [0.0, 1.5])
def test_shares_that_are_none(share: float) -> None:
    with pytest.raises(ForethoughtError, match="share"):
        BootstrapConfig(share=share)


def test_a_single_predictor_has_no_members() -> None:
    signature = worlds.make("two_rooms", 1).signature
    config = recipes.configure("two_rooms", signature)
    with pytest.raises(ForethoughtError, match="single predictor"):
        BootstrapConfig().check(config.world_model)
    several = ensemble_of(config, 3)
    assert several.bootstrap is not None
    several.bootstrap.check(several.world_model)
