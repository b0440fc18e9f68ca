"""Goals behind walls: shortest paths over a map of imagined states.

A metric learned from single steps knows near from far, but looks straight through a wall that it
has not met. So the agent imagines: chains of held pushes from where it stands and from the goal
spread over the world; a sample of the states that they reach are the nodes of a map, two of which
are joined where one imagined step leads from one to the other. The distance of any imagined state
is then that to a node nearby and on along the map (after Eysenbach et al., 2019, who search over
remembered states).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from forethought.cost.critic import Embedding
from forethought.cost.goal import keys_resolved, named_goal
from forethought.cost.terms import BoundTerm, CostTerm, Sight
from forethought.types import ForethoughtError, Imagination, Observation, unit_pushes

UNREACHED = 1000.0
DOUBT = 10.0
"""Steps that a way without support is made longer by, to be taken where there is no other."""


@dataclass(frozen=True, kw_only=True)
class Roadmap:
    """Nodes of one world's map and the way from each to the goal.

    Attributes:
        places: ``(m, e)`` embeddings of the nodes; the first is the goal.
        edges: ``(m, m)`` steps from each node to each other, :data:`UNREACHED` where none leads.
        to_goal: ``(m,)`` steps from each node to the goal, :data:`UNREACHED` where none lead.
        closed: ``(c, 2, e)`` steps that were tried in vain: from where, and to where.
    """

    places: Float[Tensor, "m e"]
    edges: Float[Tensor, "m m"]
    to_goal: Float[Tensor, " m"]
    closed: Float[Tensor, "c 2 e"]

    def alike(
        self, starts: Float[Tensor, "*n e"], ends: Float[Tensor, "*n e"], radius: float
    ) -> Bool[Tensor, "*n"]:
        """Which steps begin and end as near as that to one that was tried in vain."""
        if not len(self.closed):
            return torch.zeros(starts.shape[:-1], dtype=torch.bool, device=starts.device)
        far = torch.stack([starts, ends], dim=-2).unsqueeze(-3) - self.closed
        return (far.norm(dim=-1) < radius).all(-1).any(-1)

    def without(self, closed: Float[Tensor, "c 2 e"], *, radius: float, support: int) -> Roadmap:
        """The map without the edges that are like steps tried in vain."""
        told = replace(self, closed=closed)
        like = torch.zeros_like(self.edges, dtype=torch.bool)
        for start, end in closed:
            near_start = (self.places - start).norm(dim=-1) < radius
            near_end = (self.places - end).norm(dim=-1) < radius
            like |= near_start[:, None] & near_end
        edges = self.edges.masked_fill(like.fill_diagonal_(False), UNREACHED)
        return replace(told, edges=edges, to_goal=ways_to_first(edges, support=support))


@dataclass(kw_only=True)
class _Atlas:
    """The maps of all agents, and for how many scorings each agent has been lost on its own."""

    generator: torch.Generator
    maps: list[Roadmap] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True, eq=False)
class RoadmapGoal(CostTerm):
    """Model steps to a goal along a map of imagined states.

    The map is made when the first plan is scored, from where the agent then stands, and kept: it
    costs about a second, once per goal.

    Attributes:
        observation: the goal as the sensors would show it; one for all agents, or ``(b, ...)``.
        running: weight of the distance at each imagined step before the last.
        num_nodes: nodes of the map.
        num_chains: chains of pushes from start and goal together.
        chain_steps: model steps of each chain.
        turn_rate: chance that a chain turns at a step.
        pushes: steps imagined from each node to find its neighbours.
        join: how near, in steps, an imagined step must come to a node to count as leading to it.
        near: how near a state must be to a node to go on from there.
        support: ways that should lead on from a node. Its distance is that of the so-many-th
            shortest, so that a single imagined step through a wall makes no short cut; where fewer
            lead on, any way is taken, at a price.
        patience: scorings after which a map on which no way is left from where the agent stands is
            made anew from there; a decision scores once for each round of its search.
        longest: largest distance told, for nodes from which no way leads on, and for states that
            are reached by a step that was tried in vain.
        alike: how near, at both ends, a step must be to one tried in vain to count as the same.
        seed: of the pushes.
    """

    name: str = "goal"
    observation: Mapping[str, np.ndarray] = field(default_factory=dict)
    running: float = 0.3
    num_nodes: int = 400
    num_chains: int = 200
    chain_steps: int = 20
    turn_rate: float = 0.25
    pushes: int = 16
    join: float = 0.45
    near: float = 0.4
    support: int = 3
    patience: int = 4
    longest: float = 60.0
    alike: float = 1.1
    seed: int = 0

    seeks_goal: ClassVar[bool] = True

    def bind(self, sight: Sight) -> BoundTerm:
        """See :class:`CostTerm`.

        Raises:
            ForethoughtError: the agent's distance does not embed, so that no map can be made.
        """
        metric = sight.distance
        if not isinstance(metric, Embedding):
            raise ForethoughtError(
                "roadmap_goal needs an agent whose critic embeds (LocalMetricTrainingConfig); use "
                "goal(...) with this one."
            )
        goals = sight.encode(keys_resolved(self.observation, sight))
        atlas = _Atlas(generator=torch.Generator().manual_seed(self.seed))

        def distance_of(imagination: Imagination) -> Float[Tensor, "b n h"]:
            starts = imagination.latents[:, 0, 0]
            self._draw(atlas, sight, metric, starts, goals.expand_as(starts))
            self._heed(atlas.maps, metric, sight.in_vain())
            places = metric.embed(imagination.latents)
            steps = torch.stack(
                [
                    self._along(roadmap, place)
                    for roadmap, place in zip(atlas.maps, places, strict=True)
                ]
            )
            weights = torch.full_like(steps[0, 0], self.running)
            weights[-1] = 1.0
            return steps * weights

        return distance_of

    def _along(
        self, roadmap: Roadmap, places: Float[Tensor, "n h_plus_1 e"]
    ) -> Float[Tensor, "n h"]:
        """To a node nearby and on along the map; going far to a node is made dear."""
        reached = places[:, 1:]
        best = self._from(roadmap, reached.flatten(0, 1)).unflatten(0, reached.shape[:2])
        # From a step on that will not come about, nothing comes about as imagined.
        vain = roadmap.alike(places[:, :-1], reached, self.alike).cumsum(1) > 0
        return best.where(~vain, best.new_tensor(self.longest))

    def _from(self, roadmap: Roadmap, places: Float[Tensor, "n e"]) -> Float[Tensor, " n"]:
        reach = torch.cdist(places, roadmap.places)
        reach = torch.where(reach < self.near, reach, 20 * reach + 10)
        return (reach + roadmap.to_goal.clamp_max(self.longest)).amin(1)

    def _heed(
        self,
        maps: list[Roadmap],
        metric: Embedding,
        in_vain: Sequence[Float[Tensor, "_ 2 k d"]],
    ) -> None:
        """Closes the edges of the maps that were tried in vain since."""
        for number, pairs in enumerate(in_vain):
            if len(pairs) > len(maps[number].closed):
                maps[number] = maps[number].without(
                    metric.embed(pairs), radius=self.alike, support=self.support
                )

    # ------------------------------------------------------------------ making the map

    @torch.no_grad()
    def _draw(
        self,
        atlas: _Atlas,
        sight: Sight,
        metric: Embedding,
        starts: Float[Tensor, "b k d"],
        goals: Float[Tensor, "b k d"],
    ) -> None:
        """Makes all maps at first, and later those anew on which the agent has long been lost."""
        push = _pusher(sight, atlas.generator)
        if not atlas.maps:
            for start, goal in zip(starts, goals, strict=True):
                atlas.maps.append(self._map(sight, metric, push, start, goal, atlas.generator))
            atlas.lost = [0] * len(atlas.maps)
            return
        for number, place in enumerate(metric.embed(starts)):
            left = float(self._from(atlas.maps[number], place[None]))
            atlas.lost[number] = atlas.lost[number] + 1 if left >= self.longest else 0
            if atlas.lost[number] >= self.patience:
                start, goal = starts[number], goals[number]
                atlas.maps[number] = self._map(sight, metric, push, start, goal, atlas.generator)
                atlas.lost[number] = 0

    def _map(
        self,
        sight: Sight,
        metric: Embedding,
        push: Callable[[Float[Tensor, "n c"]], Float[Tensor, "n 1 a"]],
        start: Float[Tensor, "k d"],
        goal: Float[Tensor, "k d"],
        generator: torch.Generator,
    ) -> Roadmap:
        reached = self._chains(sight, push, torch.stack([start, goal]), generator)
        places = metric.embed(reached)
        chosen = spread_out(places, self.num_nodes)
        nodes = torch.cat([goal[None], reached[chosen]])
        places = torch.cat([metric.embed(goal[None]), places[chosen]])
        dim = sight.space.dim // sight.space.block
        pushes = unit_pushes((len(nodes) * self.pushes,), dim, generator).to(nodes)
        ahead = sight.rollout(nodes.repeat_interleave(self.pushes, 0), push(pushes))[:, 1]
        gaps = torch.cdist(metric.embed(ahead), places)
        gaps = gaps.unflatten(0, (len(nodes), self.pushes)).amin(1)
        edges = torch.where(gaps < self.join, 1 + gaps, torch.full_like(gaps, UNREACHED))
        direct = torch.cdist(places, places)
        edges = torch.where(direct < self.join, torch.minimum(edges, direct), edges)
        return Roadmap(
            places=places,
            edges=edges,
            to_goal=ways_to_first(edges, support=self.support),
            closed=places.new_zeros(0, 2, places.shape[-1]),
        )

    def _chains(
        self,
        sight: Sight,
        push: Callable[[Float[Tensor, "n c"]], Float[Tensor, "n 1 a"]],
        ends: Float[Tensor, "2 k d"],
        generator: torch.Generator,
    ) -> Float[Tensor, "n k d"]:
        """States reached by pushes that are held for a while, from start and goal in turn."""
        count, dim = self.num_chains, sight.space.dim // sight.space.block
        state = ends[torch.arange(count) % 2]
        heading = unit_pushes((count,), dim, generator)
        reached = []
        for _ in range(self.chain_steps):
            turn = torch.rand(count, 1, generator=generator) < self.turn_rate
            heading = torch.where(turn, unit_pushes((count,), dim, generator), heading)
            state = sight.rollout(state, push(heading.to(state)))[:, 1]
            reached.append(state)
        return torch.cat(reached)


def roadmap_goal(
    *,
    image: np.ndarray | None = None,
    state: np.ndarray | None = None,
    observation: Observation | None = None,
) -> RoadmapGoal:
    """Be where the sensors would show this, by ways found in imagination.

    Args:
        image: goal image for an agent with one camera: uint8 ``(height, width, 3)``.
        state: goal state vector.
        observation: a whole goal observation, by keys.

    Raises:
        ForethoughtError: nothing was given.
    """
    return RoadmapGoal(observation=named_goal(image=image, state=state, observation=observation))


def spread_out(places: Float[Tensor, "n e"], count: int) -> Int[Tensor, " m"]:
    """Indices of ``count`` places that cover them all: each next one is farthest off."""
    gap = torch.full((len(places),), float("inf")).to(places)
    chosen = [0]
    for _ in range(min(count, len(places)) - 1):
        gap = torch.minimum(gap, (places - places[chosen[-1]]).square().sum(-1))
        chosen.append(int(gap.argmax()))
    return torch.tensor(chosen)


def shortest_to_first(
    edges: Float[Tensor, "m m"], *, support: int = 1, rounds: int = 80
) -> Float[Tensor, " m"]:
    """Length of the path from each node to the first (Bellman, 1958).

    Args:
        edges: ``edges[i, j]`` is the cost of going from i to j.
        support: a node's length is that of the so-many-th shortest way on, other than straight to
            the first; 1 gives shortest paths.
        rounds: edges on a path at most.
    """
    straight = edges[:, 0].clone()
    straight[0] = 0
    onward = edges.clone().fill_diagonal_(UNREACHED)
    onward[:, 0] = UNREACHED
    length = straight
    for _ in range(rounds):
        ways = (onward + length).topk(support, largest=False).values
        shorter = torch.minimum(length, ways[:, -1])
        if torch.equal(shorter, length):
            break
        length = shorter
    return length.clamp_max(UNREACHED)


def ways_to_first(edges: Float[Tensor, "m m"], *, support: int) -> Float[Tensor, " m"]:
    """Length of the supported path from each node to the first; where there is none, that of any
    path, and :data:`DOUBT` on top."""
    supported = shortest_to_first(edges, support=support)
    if support == 1:
        return supported
    single = (shortest_to_first(edges) + DOUBT).clamp_max(UNREACHED)
    return torch.where(supported < UNREACHED, supported, single)


def _pusher(
    sight: Sight, generator: torch.Generator
) -> Callable[[Float[Tensor, "n c"]], Float[Tensor, "n 1 a"]]:
    """World actions in box units, held for a model step, in world units."""
    space = sight.space
    middle, half = (space.low + space.high) / 2, (space.high - space.low) / 2

    def push(units: Float[Tensor, "n c"]) -> Float[Tensor, "n 1 a"]:
        return (middle + half * units.repeat(1, space.block)).unsqueeze(1)

    return push
