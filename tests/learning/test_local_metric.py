"""A local metric tells the two sides of a thin wall apart by where pushes lead."""

from __future__ import annotations

import pytest
import torch
from jaxtyping import Float
from torch import Tensor, nn

from forethought.cost import GridMetricDistanceConfig
from forethought.learning import LocalMetricTrainingConfig, OptimiserConfig
from forethought.learning.latents import LatentEpisodes
from forethought.learning.local_metric import LocalMetricStage
from forethought.types import ActionSpace, ForethoughtError, axis_pushes
from forethought.world_model.world_model import WorldModel

STEP = 0.5


class Corridor(WorldModel):
    """A line from -2 to 2 with a wall at 0 that nothing passes; latents are place and side."""

    def __init__(self) -> None:
        nn.Module.__init__(self)

    @property
    def action_space(self) -> ActionSpace:
        return ActionSpace(low=torch.tensor([-1.0]), high=torch.tensor([1.0]))

    def push(
        self, latents: Float[Tensor, "n k d"], units: Float[Tensor, "n c"]
    ) -> Float[Tensor, "n k d"]:
        return seen(moved(latents[..., :1], STEP * units.unsqueeze(1)))


def moved(place: Tensor, change: Tensor) -> Tensor:
    side = torch.where(place < 0, -1.0, 1.0)
    return side * ((place + change) * side).clamp(0.02, 2.0)


def seen(place: Tensor) -> Tensor:
    """``(..., 1)`` places to ``(..., 2)`` latents; the side is told faintly."""
    return torch.cat([place, 0.3 * place.sign()], dim=-1)


def config(outlooks: int) -> LocalMetricTrainingConfig:
    return LocalMetricTrainingConfig(
        critic=GridMetricDistanceConfig(
            channels=(16, 16), hidden=64, embedding=8, outlooks=outlooks
        ),
        optimiser=OptimiserConfig(num_steps=400, batch_size=8, learning_rate=3e-3, clip=20.0),
        moments=12,
    )


def walks() -> LatentEpisodes:
    draw = torch.Generator().manual_seed(0)
    place = torch.rand(60, 1, generator=draw) * 4 - 2
    rows = [place]
    for _ in range(40):
        push = STEP * (2 * torch.rand(60, 1, generator=draw) - 1)
        rows.append(moved(rows[-1], push))
    return LatentEpisodes(
        latents=seen(torch.stack(rows, 1).flatten(0, 1).unsqueeze(1)),
        offsets=torch.arange(0, 61) * 41,
        block=1,
    )


def stage_of(config: LocalMetricTrainingConfig) -> LocalMetricStage:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        critic = config.critic.build(1, 2)
    return LocalMetricStage(config, Corridor(), critic, walks())


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    stage = stage_of(config(outlooks=2))
    critic, settings = stage.critic, stage.optimiser
    optimiser = torch.optim.Adam(critic.parameters())
    for step in range(settings.num_steps):
        optimiser.param_groups[0]["lr"] = settings.learning_rate_at(step)
        loss, _ = stage.loss(torch.Generator().manual_seed(step))
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(critic.parameters(), settings.clip)
        optimiser.step()
    return critic


def at(*places: float) -> Tensor:
    return seen(torch.tensor(places).view(-1, 1, 1))


@torch.no_grad()
def test_sides_of_a_wall_are_further_apart_than_they_look(trained: nn.Module) -> None:
    across = trained(at(-0.1), at(0.1)).item()
    beside = trained(at(-1.1), at(-0.9)).item()
    assert across > 1.5 * beside


@torch.no_grad()
def test_a_step_costs_about_one(trained: nn.Module) -> None:
    steps = trained(at(-1.5, 0.5, 1.0), at(-1.0, 1.0, 1.5))
    assert (steps - 1).abs().max() < 0.35


@torch.no_grad()
def test_outlooks_are_where_pushes_lead(trained: nn.Module) -> None:
    places = torch.linspace(-1.9, 1.9, 30).view(-1, 1, 1)
    views = trained.views(seen(places))
    for number, push in enumerate(axis_pushes(1), start=1):
        reached = trained.views(seen(moved(places, STEP * push)))[:, 0]
        gap = (views[:, number] - reached).square().sum(-1).sqrt()
        assert gap.median() < 0.2


def test_a_distance_is_the_mean_over_its_views(generator: torch.Generator) -> None:
    critic = GridMetricDistanceConfig(outlooks=4).build(16, 3)
    first, second = torch.randn(2, 5, 16, 3, generator=generator)
    gap = critic.views(first) - critic.views(second)
    torch.testing.assert_close(
        critic(first, second).square(), gap.square().sum(-1).mean(-1), rtol=1e-4, atol=1e-4
    )


def test_more_outlooks_than_pushes_are_refused() -> None:
    with pytest.raises(ForethoughtError, match="foretells 4 pushes, a world action of 1 numbers"):
        stage_of(config(outlooks=4))


def test_axis_pushes_are_full_strength_both_ways() -> None:
    assert axis_pushes(2).tolist() == [[1, 0], [-1, 0], [0, 1], [0, -1]]
