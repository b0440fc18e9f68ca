"""Maps of imagined states: what was tried in vain is no way any more."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
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
from forethought.types import ActionSpace, ActionSpec, ArraySpec, Imagination, Signature

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
        rollout=lambda latents, actions: torch.stack([latents, latents + actions], dim=1),
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
        chain_steps=4,
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
        rollout=lambda latents, actions: torch.stack(
            [latents, latents + moves[0] * actions], dim=1
        ),
    )
    goal = RoadmapGoal(
        observation={"observation.state": np.array([[5.0, 0.0]], np.float32)},
        num_nodes=150,
        num_chains=60,
        chain_steps=12,
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
