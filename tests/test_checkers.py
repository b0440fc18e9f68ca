"""The checkers pass our own parts, and catch each broken promise by name."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from forethought import worlds
from forethought.actor import CEM, ICEM, MPPI, Gradient
from forethought.checkers import (
    check_cost_term,
    check_encoder,
    check_planner,
    check_predictor,
    check_regulariser,
    check_world,
)
from forethought.cost import Sight, effort, goal, term
from forethought.perception import AnchoredMLPConfig, CNNConfig, GridCNNConfig, MLPEncoderConfig
from forethought.types import ArraySpec, ForethoughtError
from forethought.world_model import (
    EnsembleConfig,
    GridInverseDynamicsConfig,
    GridPredictorConfig,
    GRUConfig,
    InverseDynamicsConfig,
    RecurrentLatentConfig,
    ResidualMLPConfig,
    SIGRegConfig,
    TemporalSmoothnessConfig,
    TemporalVarianceConfig,
    VICRegConfig,
)

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
def test_our_encoders_conform(config, spec) -> None:
    check_encoder(config.build(spec, 2), spec, frame_stack=2)


@pytest.mark.parametrize(
    ("config", "tokens"),
    [
        (ResidualMLPConfig(), 1),
        (GridPredictorConfig(), 16),
        (GRUConfig(), 2),
        (RecurrentLatentConfig(), 2),
        (EnsembleConfig(member=ResidualMLPConfig(), num_members=3), 2),
        (EnsembleConfig(member=GridPredictorConfig(), num_members=2), 16),
    ],
)
def test_our_predictors_conform(config, tokens) -> None:
    predictor = config.build(tokens, 8, 3)
    for parameter in predictor.parameters():
        nn.init.normal_(parameter, std=0.1)
    check_predictor(predictor, tokens=tokens, width=8, action_width=3)


@pytest.mark.parametrize(
    "config",
    [
        SIGRegConfig(),
        VICRegConfig(),
        VICRegConfig(pool_tokens=True),
        InverseDynamicsConfig(),
        GridInverseDynamicsConfig(),
        TemporalSmoothnessConfig(),
        TemporalVarianceConfig(share=1.0, moving_tokens=4.0),
    ],
)
def test_our_regularisers_conform(config) -> None:
    check_regulariser(config.build(4, 8, 3), tokens=4, width=8, action_width=3)


@pytest.mark.parametrize(
    "planner",
    [
        CEM(horizon=2, num_samples=256, num_iterations=8),
        ICEM(horizon=2, num_samples=256, num_iterations=8),
        MPPI(horizon=2, num_samples=256, num_iterations=8),
        Gradient(horizon=2, num_iterations=60, learning_rate=0.1),
    ],
    ids=lambda p: type(p).__name__,
)
def test_our_planners_conform(planner) -> None:
    check_planner(planner)


@pytest.mark.parametrize("name", ["two_rooms", "two_rooms_random", "pendulum", "cartpole"])
def test_our_worlds_conform(name) -> None:
    check_world(worlds.make(name, 3))


def test_our_cost_terms_conform(model) -> None:
    world_model = model.world_model
    image = np.zeros((1, 64, 64, 3), np.uint8)

    def encode(observation):
        value = torch.as_tensor(observation["observation.images.top"])[:, None]
        return world_model.encode({"observation.images.top": value}).detach()

    sight = Sight(
        encode=encode,
        push=world_model.push,
        distance=model.distance,
        read=model.read,
        space=world_model.action_space,
        signature=model.signature,
    )
    sizes = {"tokens": 1, "width": world_model.width, "action_width": world_model.action_width}
    for one in (goal(image=image), effort(), term("far", lambda i: i.latents[:, :, 1:, 0, 0])):
        check_cost_term(one.bind(sight), **sizes)


# ------------------------------------------------------------------------ broken promises


class BatchCentredEncoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(5, 4)

    def forward(self, values):
        tokens = self.linear(values[:, -1])
        return (tokens - tokens.mean(0)).unsqueeze(1)


class DetachedPredictor(nn.Module):
    window = num_members = 1

    def forward(self, latents, actions):
        return latents[:, -1] + actions[:, -1].detach().mean(-1)[:, None, None]


def test_batch_statistics_are_caught() -> None:
    with pytest.raises(ForethoughtError, match="alone than in a batch"):
        check_encoder(BatchCentredEncoder(), VECTOR)


def test_flat_tokens_are_caught() -> None:
    with pytest.raises(ForethoughtError, match=r"tokens \(n, k, d\)"):
        check_encoder(lambda values: values.flatten(1), VECTOR)


def test_a_lost_gradient_is_caught() -> None:
    with pytest.raises(ForethoughtError, match="reaches the actions"):
        check_predictor(DetachedPredictor(), tokens=1, width=4, action_width=2)


def test_hidden_randomness_is_caught() -> None:
    with pytest.raises(ForethoughtError, match="equal generators differ"):
        check_regulariser(
            lambda latents, actions, generator: (latents * torch.randn(())).sum(),
            tokens=1,
            width=4,
            action_width=2,
        )


def test_a_constant_regulariser_is_caught() -> None:
    with pytest.raises(ForethoughtError, match="no gradient"):
        check_regulariser(
            lambda latents, actions, generator: (0 * latents).sum(),
            tokens=1,
            width=4,
            action_width=2,
        )


def test_statistics_over_candidates_are_caught() -> None:
    def relative(imagination):
        values = imagination.latents[:, :, 1:, 0, 0]
        return values - values.mean(1, keepdim=True)

    with pytest.raises(ForethoughtError, match="alone than among others"):
        check_cost_term(relative, tokens=1, width=4, action_width=2)


def test_a_planner_that_does_not_search_is_caught() -> None:
    with pytest.raises(ForethoughtError, match="energy"):
        check_planner(CEM(horizon=2, num_samples=2, num_iterations=1, num_elites=1))


def test_a_world_whose_tasks_depend_on_their_neighbours_is_caught() -> None:
    class Neighbours(worlds.TwoRooms):
        def reset(self, seeds):
            return super().reset([seed + len(seeds) for seed in seeds])

    with pytest.raises(ForethoughtError, match="seed 13"):
        check_world(Neighbours(3))


def test_a_wrong_dtype_is_caught() -> None:
    class Floats(worlds.TwoRooms):
        def observe(self):
            return {k: v.astype(np.float32) for k, v in super().observe().items()}

    with pytest.raises(ForethoughtError, match="uint8"):
        check_world(Floats(3))
