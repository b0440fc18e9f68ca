"""An agent with discrete actions plans by a beam through its world model, past and all."""

from __future__ import annotations

import pytest
import torch

from forethought.actor import BeamSearch, CategoricalCEM, Mixed
from forethought.agent import Agent
from forethought.cost import LatentDistance, goal
from forethought.model import Model, ModelConfig
from forethought.perception import MLPEncoderConfig, PerceptionConfig
from forethought.perception.normalise import Normaliser
from forethought.types import STATE, ActionSpec, ArraySpec, Signature
from forethought.world_model import GRUConfig, WorldModelConfig
from forethought.world_model.predictors import Predictor
from point import NAMES

MOVES = torch.tensor([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])


def drifting_model(block: int) -> Model:
    """It goes where it is pushed, and on by half of its latest step, which it looks back at."""
    signature = Signature(
        observation={STATE: ArraySpec(shape=(2,), dtype="float32", names=NAMES)},
        action=ActionSpec(dim=1, num_choices=len(MOVES)),
        rate_hz=10.0,
    )
    config = WorldModelConfig(
        perception=PerceptionConfig(encoders={STATE: MLPEncoderConfig(width=2, hidden=(4,))}),
        predictor=GRUConfig(hidden=4, window=2),
        action_block=block,
    )
    width = block * len(MOVES)
    normalisers = {
        STATE: Normaliser([0.0] * 2, [1.0] * 2),
        "action": Normaliser([0.0] * width, [1.0] * width),
    }
    model = Model(ModelConfig(world_model=config), signature, normalisers).eval()
    model.world_model.perception.forward = lambda seen: seen[STATE][:, -1:].clone()

    model.world_model.predictor = Drifting(block)
    return model


class Drifting(Predictor):
    """See :func:`drifting_model`."""

    window = 2

    def __init__(self, block: int) -> None:
        super().__init__()
        self.block = block

    def forward(self, latents: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        pushed = (actions[:, -1].unflatten(-1, (self.block, -1)) @ MOVES).sum(1, keepdim=True)
        drift = (latents[:, -1] - latents[:, -2]) / 2 if latents.shape[1] > 1 else 0.0
        return latents[:, -1] + pushed + drift


@pytest.mark.parametrize(
    "planner",
    [
        CategoricalCEM(horizon=3, num_samples=200, num_iterations=8),
        BeamSearch(horizon=3, widths=(4, 40), num_mixed=20),
        Mixed(
            first=CategoricalCEM(horizon=3, num_samples=50, num_iterations=2),
            second=BeamSearch(horizon=3, widths=(40,), num_mixed=20),
        ),
    ],
    ids=lambda p: type(p).__name__,
)
def test_what_is_planned_is_what_comes_about(planner) -> None:
    """Every plan is imagined as the world goes, drift from before the search included."""
    place = step = pushed = torch.zeros(2)
    target = torch.tensor([4.0, -3.0])
    term = goal(observation={STATE: target.numpy()}, distance=LatentDistance())
    agent = Agent(drifting_model(block=2), cost=term, actor=planner)
    surprises = []
    for world_step in range(12):
        decision = agent.act({STATE: place.numpy()})
        surprises.append(float(decision.surprise[0]))
        pushed = pushed + MOVES[int(decision.action)]
        if world_step % 2:
            # What is seen within a model step is not looked at: there the place stands still.
            step = pushed + step / 2
            place, pushed = place + step, torch.zeros(2)
    assert max(surprises[2::2]) < 1e-8
    assert float((place - target).abs().max()) <= 1.0
