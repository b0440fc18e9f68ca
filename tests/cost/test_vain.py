"""What was tried in vain costs; everything else costs what it did."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from test_roadmap import sight_of

from forethought.cost import LatentDistance, avoid_vain
from forethought.types import ForethoughtError, Imagination


def walk(*places: tuple[float, float]) -> torch.Tensor:
    return torch.tensor(places, dtype=torch.float32).view(1, 1, -1, 1, 2)


def costs(account: list[torch.Tensor], paths: torch.Tensor) -> list[list[float]]:
    score = avoid_vain(alike=0.5).bind(sight_of(account))
    steps = torch.zeros(paths.shape[0], paths.shape[1], paths.shape[2] - 1, 2)
    return score(Imagination(latents=paths, actions=steps))[0].tolist()


def test_from_a_step_tried_in_vain_on_each_costs_one() -> None:
    """Near its beginning and its end, in its direction; not from elsewhere, nor to elsewhere."""
    account = [torch.tensor([[0.0, 0.0], [1.0, 0.0]]).view(1, 2, 1, 2)]
    paths = torch.cat(
        [
            walk((0, 0), (1, 0), (2, 0)),
            walk((0, 1), (0, 0.1), (1.1, 0)),
            walk((1, 0), (0, 0), (-1, 0)),
            walk((0, 0), (0, 1), (1, 1)),
            walk((0, 0), (0, 0), (0, 0)),
        ],
        dim=1,
    )
    assert costs(account, paths) == [[1, 1], [0, 1], [0, 0], [0, 0], [0, 0]]
    assert costs([torch.zeros(0, 2, 1, 2)], paths) == [[0, 0]] * 5


def test_each_agent_heeds_its_own_account() -> None:
    """What one tried says nothing of another, who may stand in another world."""
    tried = torch.tensor([[0.0, 0.0], [1.0, 0.0]]).view(1, 2, 1, 2)
    score = avoid_vain().bind(sight_of([torch.zeros(0, 2, 1, 2), tried]))
    paths = walk((0, 0), (1, 0)).expand(2, 1, 2, 1, 2)
    found = score(Imagination(latents=paths, actions=torch.zeros(2, 1, 1, 2)))
    assert found.flatten().tolist() == [0.0, 1.0]


def test_a_distance_that_does_not_embed_is_refused() -> None:
    sight = replace(sight_of([]), distance=LatentDistance())
    with pytest.raises(ForethoughtError, match="embeds"):
        avoid_vain().bind(sight)
