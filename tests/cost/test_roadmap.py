"""Maps of imagined states: what was tried in vain is no way any more."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from forethought.cost import Sight
from forethought.cost.roadmap import (
    DOUBT,
    UNREACHED,
    Roadmap,
    RoadmapGoal,
    shortest_to_first,
    ways_to_first,
)
from forethought.types import (
    ActionSpace,
    ActionSpec,
    ArraySpec,
    ForethoughtError,
    Imagination,
    Signature,
)

NONE = torch.zeros(0, 2, 2)


class Plane:
    """Distances as they are on a plane."""

    def __call__(self, start, goal):
        return (start - goal).flatten(-2).norm(dim=-1)

    def embed(self, latents):
        return latents.flatten(-2)

    def views(self, latents):
        return latents


def sight_of(account: list[torch.Tensor]) -> Sight:
    """Of a plane on which one goes wherever one is pushed."""
    return Sight(
        encode=lambda observation: torch.as_tensor(observation["observation.state"]).unsqueeze(1),
        push=lambda latents, units: latents + units.unsqueeze(1),
        distance=Plane(),
        read=lambda latents: {},
        space=ActionSpace(low=-torch.ones(2), high=torch.ones(2)),
        signature=Signature(
            observation={"observation.state": ArraySpec(shape=(2,), dtype="float32")},
            action=ActionSpec(dim=2),
            rate_hz=1.0,
        ),
        in_vain=lambda: account,
    )


def square() -> Roadmap:
    """The goal, a node beside it that two ways lead from: straight, or around by two others."""
    places = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    edges = torch.full((4, 4), UNREACHED)
    for a, b in ((1, 0), (1, 2), (2, 3), (3, 0)):
        edges[a, b] = 1.0
    return Roadmap(places=places, edges=edges, to_goal=shortest_to_first(edges), closed=NONE)


def test_a_way_tried_in_vain_is_closed_and_others_stay() -> None:
    """In the direction in which it was tried, and nowhere else."""
    known = square()
    assert known.to_goal.tolist() == [0, 1, 2, 1]
    tried = torch.tensor([[[1.1, 0.0], [0.1, 0.0]]])
    told = known.without(tried, radius=0.3, support=1)
    assert told.to_goal.tolist() == [0, 3, 2, 1]
    starts, ends = torch.tensor([[1.0, 0.1], [0.0, 0.1]]), torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    assert told.alike(starts, ends, 0.3).tolist() == [True, False]
    assert known.alike(starts, ends, 0.3).tolist() == [False, False]
    unmoved = known.without(torch.tensor([[[0.9, 0.0], [1.1, 0.0]]]), radius=0.3, support=1)
    assert unmoved.to_goal.tolist() == known.to_goal.tolist()


def test_a_plan_through_what_was_tried_is_dear_from_there_on() -> None:
    """An agent that believes it can walk anywhere learns of a wall from its own account alone."""
    account: list[torch.Tensor] = [torch.zeros(0, 2, 1, 2)]
    sight = sight_of(account)
    goal = RoadmapGoal(
        observation={"observation.state": torch.tensor([[3.0, 0.0]]).numpy()},
        num_nodes=300,
        near=1.0,
        join=0.8,
        support=1,
        running=1.0,
        alike=0.5,
    )
    score = goal.bind(sight)
    straight = torch.tensor([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]])
    around = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    paths = torch.stack([straight, around])[None, :, :, None]
    imagined = Imagination(latents=paths, actions=torch.zeros(1, 2, 2, 2))
    before = score(imagined)
    assert (before[0, 0] < before[0, 1]).all() and before.max() < 8
    account[0] = torch.tensor([[0.0, 0.0], [1.0, 0.0]]).view(1, 2, 1, 2)
    after = score(imagined)
    assert after[0, 0].tolist() == [goal.longest, goal.longest]
    assert after[0, 1, 1] < 8


def test_a_way_without_support_is_taken_where_there_is_no_other() -> None:
    """Two ways lead on from one node, one way from another, none from the last."""
    edges = torch.full((5, 5), UNREACHED)
    for a, b in ((1, 0), (2, 0), (3, 1), (3, 2), (4, 3)):
        edges[a, b] = 1.0
    assert shortest_to_first(edges, support=2).tolist() == [0, 1, 1, 2, UNREACHED]
    assert ways_to_first(edges, support=2).tolist() == [0, 1, 1, 2, 3 + DOUBT]
    edges[4, 3] = UNREACHED
    assert ways_to_first(edges, support=2)[4] == UNREACHED
    assert torch.equal(ways_to_first(edges, support=1), shortest_to_first(edges))


def test_a_map_without_a_way_is_made_anew_from_where_one_stands() -> None:
    """Imagination that comes nowhere at first, and anywhere later on, finds a way then."""
    moves = [0.0]
    sight = replace(
        sight_of([torch.zeros(0, 2, 1, 2)]),
        push=lambda latents, units: latents + moves[0] * units.unsqueeze(1),
    )
    goal = RoadmapGoal(
        observation={"observation.state": np.array([[5.0, 0.0]], np.float32)},
        num_nodes=150,
        join=1.0,
        near=1.0,
        support=1,
        patience=3,
    )
    distance = goal.bind(sight)
    here = torch.zeros(1, 1, 2, 1, 2)
    imagined = Imagination(latents=here, actions=torch.zeros(1, 1, 1, 2))

    def steps_left() -> float:
        return float(distance(imagined)[0, 0, -1])

    assert steps_left() >= goal.longest
    moves[0] = 1.0
    found = [steps_left() for _ in range(4)]
    assert [one >= goal.longest for one in found[:2]] == [True, True]
    assert 3 < found[3] < 12


def walled(latents: torch.Tensor, units: torch.Tensor) -> torch.Tensor:
    """Steps of one in a square of nine, past a wall half a step wide on each side, with a door."""
    here, there = latents.squeeze(1), (latents.squeeze(1) + units).clamp(-4.5, 4.5)
    passes = (here[:, 1] > 3) & (there[:, 1] > 3)
    left = torch.where(here[:, 0] < 0, there[:, 0].clamp_max(-0.5), there[:, 0].clamp_min(0.5))
    return torch.stack([torch.where(passes, there[:, 0], left), there[:, 1]], -1).unsqueeze(1)


def test_a_map_grows_to_all_that_can_be_reached_and_leads_around_walls() -> None:
    """Its nodes lie apart, its ways are as long as ways are, and the wall has none."""
    goal = RoadmapGoal(num_nodes=400, pushes=24, spacing=0.5, join=0.45, support=1)
    sight = replace(sight_of([]), push=walled)
    start, aim = torch.tensor([[-1.0, -3.0]]), torch.tensor([[1.0, -3.0]])
    known = goal._map(sight, Plane(), start, aim, torch.Generator().manual_seed(0))
    places, side = known.places, known.places[:, 0].sign()
    assert known.places[:2].tolist() == [[1.0, -3.0], [-1.0, -3.0]]
    assert 150 < len(places) < 400
    apart = torch.cdist(places, places).fill_diagonal_(9)
    assert apart.min() >= goal.spacing
    corners = torch.tensor([[x, y] for x in (-4.5, 4.5) for y in (-4.5, 4.5)])
    assert torch.cdist(corners, places).amin(1).max() < 1
    below = (places[:, 1] < 2) & (places[:, 0].abs() >= 0.5)
    through = (side[:, None] != side) & below[:, None] & below
    assert (known.edges[through] >= UNREACHED).all()
    straight = places[:, 0] > 0.5
    shortest = (places - aim).norm(dim=-1)
    assert (known.to_goal[straight] >= shortest[straight] - 0.5).all()
    # What lies nearer than a push is long takes two.
    assert (known.to_goal[straight] <= 1.4 * shortest[straight] + 2).all()
    # Up to the door, through it, and down again: twelve and a bit.
    assert 12 < known.to_goal[1] < 17


def test_a_map_of_quantities_is_blind_to_what_moves_by_itself() -> None:
    """The third entry of a latent goes its own way; it counts for nothing, here or at the goal."""

    def push(latents: torch.Tensor, units: torch.Tensor) -> torch.Tensor:
        place = walled(latents[..., :2], units)
        return torch.cat([place, latents[..., 2:] + 3], -1)

    def read(latents: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"position.x": 4 * latents[..., 0, 0], "position.y": 4 * latents[..., 0, 1]}

    def unused(start: torch.Tensor, goal: torch.Tensor) -> torch.Tensor:
        raise AssertionError("the critic was asked")

    sight = replace(sight_of([]), push=push, read=read, distance=unused)
    settings = {
        "observation": {"observation.state": np.array([[1.0, -3.0, 9.0]], np.float32)},
        "step": 4.0,
        "pushes": 24,
        "support": 1,
    }
    goal = RoadmapGoal(quantities=("position.x", "position.y"), **settings)
    ends = torch.tensor([[-1.0, -3.0, 0.0], [-1.0, -3.0, 50.0], [-1.0, 1.0, 7.0]])
    paths = torch.stack([torch.tensor([-1.0, -3.0, 0.0]).expand(3, 3), ends], 1)[None, :, :, None]
    left = goal.bind(sight)(Imagination(latents=paths, actions=torch.zeros(1, 3, 1, 2)))[0, :, 0]
    assert left[0] == left[1] and 12 < left[0] < 17 and left[2] < left[0] - 3
    with pytest.raises(ForethoughtError, match=r"hazard\.z"):
        score = RoadmapGoal(quantities=("hazard.z",), **settings).bind(sight)
        score(Imagination(latents=paths, actions=torch.zeros(1, 3, 1, 2)))


def test_a_map_holds_no_more_nodes_than_it_may() -> None:
    """Also where there is more to explore; what it holds is explored from."""
    goal = RoadmapGoal(num_nodes=60, pushes=8, spacing=0.5, join=0.45, support=1)
    start, aim = torch.zeros(1, 2), torch.ones(1, 2)
    sight = sight_of([])
    known = goal._map(sight, Plane(), start, aim, torch.Generator().manual_seed(0))
    assert len(known.places) == 60
    assert (known.edges.fill_diagonal_(UNREACHED).amin(1) < UNREACHED).float().mean() > 0.8


def test_imagination_that_comes_nowhere_makes_a_map_of_the_two_ends() -> None:
    """Fewer nodes than ways are asked for: the goal is as far as is ever told, if not at hand."""
    sight = replace(sight_of([]), push=lambda latents, units: latents)
    goal = RoadmapGoal(support=3)
    generator = torch.Generator().manual_seed(0)
    far = goal._map(sight, Plane(), torch.zeros(1, 2), torch.full((1, 2), 5.0), generator)
    assert far.to_goal.tolist() == [0, UNREACHED]
    near = goal._map(sight, Plane(), torch.zeros(1, 2), torch.full((1, 2), 0.2), generator)
    assert near.to_goal[1] < 0.4


def test_a_map_is_made_anew_for_an_agent_that_begins_again() -> None:
    """Its account is empty then, and what was closed is open."""
    tried = torch.tensor([[0.0, 0.0], [1.0, 0.0]]).view(1, 2, 1, 2)
    account = [tried]
    goal = RoadmapGoal(
        observation={"observation.state": np.array([[2.0, 0.0]], np.float32)},
        num_nodes=200,
        pushes=24,
        near=1.0,
        join=0.8,
        support=1,
        alike=0.5,
    )
    distance = goal.bind(sight_of(account))
    paths = torch.tensor([[0.0, 0.0], [1.0, 0.0]]).view(1, 1, 2, 1, 2)
    imagined = Imagination(latents=paths, actions=torch.zeros(1, 1, 1, 2))
    assert float(distance(imagined)) == goal.longest
    account[0] = tried[:0]
    assert float(distance(imagined)) < 4
