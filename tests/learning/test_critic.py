"""Distances are learned where their truth is known."""

from __future__ import annotations

import pytest
import torch

from forethought.cost import MetricDistanceConfig, QuasimetricDistanceConfig
from forethought.cost.critic import GridMetricDistanceConfig
from forethought.cost.roadmap import novel, shortest_to_first
from forethought.learning.critic import CriticTrainingConfig, target_of
from forethought.learning.errors import AnchoredError, ErrorAgainstCopy, SquaredError
from forethought.learning.latents import LatentEpisodes
from forethought.learning.trainer import OptimiserConfig


def line(num_episodes: int = 60, length: int = 40) -> LatentEpisodes:
    """Random walks of unit steps on a line of 21 places."""
    draw = torch.Generator().manual_seed(0)
    steps = torch.randint(0, 2, (num_episodes, length), generator=draw) * 2 - 1
    place = torch.randint(0, 21, (num_episodes,), generator=draw)
    rows = []
    for step in steps.T:
        rows.append(place)
        place = (place + step).clamp(0, 20)
    latents = (torch.stack(rows, 1).float() - 10) / 6
    return LatentEpisodes(
        latents=latents.reshape(-1, 1, 1),
        offsets=torch.arange(num_episodes + 1) * length,
        block=1,
    )


def trained(
    config: CriticTrainingConfig, world_model: torch.nn.Module, episodes: LatentEpisodes
) -> torch.nn.Module:
    torch.manual_seed(0)
    critic = config.critic.build(1, 1)
    stage = config.stage(world_model, critic, target_of(critic), episodes)
    optimiser = torch.optim.Adam(critic.parameters(), 2e-3)
    generator = torch.Generator().manual_seed(1)
    for _ in range(config.optimiser.num_steps):
        loss, _ = stage.loss(generator)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        stage.after_step()
    return critic


def test_steps_on_a_line_are_counted(model) -> None:
    """Random walks wander; the learned distance tends to the shortest way."""
    config = CriticTrainingConfig(
        critic=MetricDistanceConfig(hidden=(64, 64), embedding=8),
        optimiser=OptimiserConfig(num_steps=1500, batch_size=256),
        target_rate=0.02,
    )
    critic = trained(config, model.world_model, line())
    places = (torch.arange(21.0) - 10) / 6
    with torch.no_grad():
        start = places.view(21, 1, 1, 1).expand(-1, 21, -1, -1)
        found = critic(start, start.transpose(0, 1))
    truth = (torch.arange(21)[:, None] - torch.arange(21)).abs().float()
    correlation = torch.corrcoef(torch.stack([found.flatten(), truth.flatten()]))[0, 1]
    assert correlation > 0.97


def test_a_quasimetric_keeps_its_laws() -> None:
    """Zero at the goal, the triangle, and a way back that may differ."""
    torch.manual_seed(0)
    distance = QuasimetricDistanceConfig(hidden=(32,)).build(1, 3)
    a, b, c = torch.randn(3, 500, 1, 3)
    with torch.no_grad():
        assert (distance(a, c) <= distance(a, b) + distance(b, c) + 1e-4).all()
        assert distance(a, a).max() < 2e-3
        assert (distance(a, b) - distance(b, a)).abs().max() > 0.05


@pytest.mark.parametrize(
    ("config", "tokens"),
    [
        (MetricDistanceConfig(hidden=(8,)), 1),
        (GridMetricDistanceConfig(outlooks=2), 16),
        (QuasimetricDistanceConfig(hidden=(8,)), 1),
    ],
)
def test_a_goal_for_many_states_is_the_goal_of_each(config, tokens) -> None:
    """Embedded once beside them, or repeated: the same distances, and from it as to it."""
    torch.manual_seed(0)
    distance = config.build(tokens, 4)
    states, goals = torch.randn(2, 3, 5, tokens, 4), torch.randn(2, 1, 1, tokens, 4)
    repeated = goals.expand_as(states).contiguous()
    torch.testing.assert_close(distance(states, goals), distance(states, repeated))
    torch.testing.assert_close(distance(goals, states), distance(repeated, states))


def test_shortest_paths_on_a_known_graph() -> None:
    """Node 3 is reached only by way of 1 and 2; node 4 not at all."""
    far = 1000.0
    edges = torch.full((5, 5), far)
    edges[1, 0], edges[2, 1], edges[3, 2], edges[3, 0] = 1.0, 2.0, 1.5, 9.0
    assert shortest_to_first(edges).tolist() == [0.0, 1.0, 3.0, 4.5, far]


def test_a_single_short_cut_is_not_believed() -> None:
    """Two nodes in each of five ranks behind the goal; one far node also leads to the front."""
    rank = torch.tensor([0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5])
    edges = torch.where(rank[:, None] - rank == 1, 1.0, 1000.0)
    assert shortest_to_first(edges, support=2).tolist() == rank.tolist()
    edges[9, 1] = 1.0
    assert shortest_to_first(edges)[9] == 2
    assert shortest_to_first(edges, support=2).tolist() == rank.tolist()


def test_errors_equal_their_closed_forms() -> None:
    """Squared, against copy, and anchored, on numbers that can be checked by hand."""
    latents = torch.tensor([0.0, 2.0, 4.0]).view(1, 3, 1, 1).expand(2, -1, -1, -1)
    predicted = torch.tensor([0.0, 1.0, 3.0]).view(1, 3, 1, 1).expand(2, -1, -1, -1)
    assert float(SquaredError()(predicted, latents)) == 1
    assert float(ErrorAgainstCopy()(predicted, latents)) == (1 / 4 + 1 / 16) / 2
    both = torch.cat([latents, latents], -1), torch.cat([predicted, predicted], -1)
    anchored = AnchoredError(anchored=1, learned=0.5)(both[1], both[0])
    assert float(anchored) == (1 / 4 + 1 / 16) / 2 + 0.5


def test_novel_places_are_far_from_the_known_and_from_each_other() -> None:
    """Of two that are near each other the first is taken."""
    found = torch.tensor([[0.1], [1.0], [1.3], [1.6], [5.0]])
    assert novel(found, torch.tensor([[0.0]]), 0.5, most=9).tolist() == [1, 3, 4]
    assert novel(found, torch.tensor([[0.0], [5.2]]), 0.5, most=9).tolist() == [1, 3]
    assert novel(found[:1], torch.tensor([[0.0]]), 0.5, most=9).tolist() == []
    assert novel(found, torch.tensor([[0.0]]), 0.5, most=2).tolist() == [1, 3]
    assert novel(found, torch.tensor([[0.0]]), 0.5, most=0).tolist() == []
