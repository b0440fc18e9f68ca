"""Maps of imagined states: what was tried in vain is no way any more."""

from __future__ import annotations

import torch

from forethought.cost import Sight
from forethought.cost.roadmap import UNREACHED, Roadmap, RoadmapGoal, shortest_to_first
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
    sight = Sight(
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
