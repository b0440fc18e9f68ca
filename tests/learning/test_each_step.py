"""Each step of a clip foreseen by itself: its error is that of the step, and of no step before."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from forethought.data.windows import WindowSampler
from forethought.learning import JEPAConfig, OptimiserConfig
from forethought.learning.jepa import JEPAStage, Regularisers
from forethought.perception.normalise import Normaliser
from forethought.types import STATE, ForethoughtError, Windows
from forethought.world_model import CategoricalLatentConfig
from forethought.world_model.targets import OwnLatentsConfig
from forethought.world_model.world_model import WorldModel
from point import BLOCK, point_model

STEPS, JUMP = 6, 3.0


class Jumps(WindowSampler):
    """Clips of points that are pushed, and once are moved further by something else."""

    def __init__(self, jump: int) -> None:
        self.jump = jump

    def sample(self, batch_size: int, generator: torch.Generator) -> Windows:
        actions = torch.randn(batch_size, STEPS, BLOCK * 2, generator=generator)
        moves = actions.unflatten(-1, (BLOCK, 2)).sum(2)
        moves[:, self.jump, 0] += JUMP
        states = torch.cat([torch.zeros(batch_size, 1, 2), moves.cumsum(1)], dim=1)
        none = torch.zeros(batch_size, dtype=torch.long)
        return Windows(
            observation={STATE: states[:, :, None]}, actions=actions, episode=none, step=none
        )


def loss(at: int, each_step: float) -> float:
    world_model = point_model().world_model
    config = JEPAConfig(
        optimiser=OptimiserConfig(num_steps=1, batch_size=8), regularisers=(), each_step=each_step
    )
    stage = JEPAStage(
        config,
        world_model,
        Regularisers((), world_model),
        OwnLatentsConfig().build(world_model),
        Jumps(at),
        Jumps(at),
    )
    with torch.no_grad():
        return float(stage.loss(torch.Generator().manual_seed(0))[0])


@pytest.mark.parametrize("at", [0, 2, STEPS - 1])
def test_what_comes_once_counts_once_and_in_a_rollout_ever_after(at: int) -> None:
    of_one_step = JUMP**2 / 2 / STEPS
    rolled = loss(at, 0.0)
    assert rolled == pytest.approx((STEPS - at) * of_one_step, rel=1e-4)
    assert loss(at, 2.0) - rolled == pytest.approx(2 * of_one_step, rel=1e-4)


def test_a_latent_variable_would_have_to_be_told() -> None:
    model = point_model()
    told = replace(model.config.world_model, latent_variable=CategoricalLatentConfig())
    same = {"action": Normaliser([0.0] * 4, [1.0] * 4)}
    config = JEPAConfig(optimiser=OptimiserConfig(num_steps=1), regularisers=(), each_step=1.0)
    with pytest.raises(ForethoughtError, match="latent variable"):
        config.parts(WorldModel(told, model.signature, same))
