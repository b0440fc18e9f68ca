"""Goals behind walls: shortest paths over a map of imagined states.

A metric learned from single steps knows near from far, but looks straight through a wall that it
has not met. So the agent explores in imagination: from the goal and from where it stands it pushes
every way, and what it comes to that is like nothing known becomes a node, to be pushed from in
turn. Two nodes are joined where one imagined step leads from one to the other. The distance of any
imagined state is then that to a node nearby and on along the map (after Eysenbach et al., 2019, who
search over remembered states). Growing like this, a map reaches each place by about the fewest
steps, and what is imagined over few steps is imagined well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from forethought.cost.critic import Embedding
from forethought.cost.probed import quantities_of
from forethought.cost.shown import latents_of, named_goal, what_is_shown
from forethought.cost.states import weigh_steps
from forethought.cost.terms import BoundTerm, CostTerm, Sight
from forethought.types import ForethoughtError, Imagination, Observation, unit_pushes

UNREACHED = 1000.0
EXPANDED_AT_ONCE = 32
"""Nodes of a map that are pushed from together."""
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


@dataclass(frozen=True, kw_only=True)
class ProbedPlaces:
    """Where latents lie by some of their probed quantities; all else is free. An
    :class:`~forethought.cost.critic.Embedding`.

    Attributes:
        sight: reads the quantities.
        names: of the quantities, alike in unit.
        step: how far a model step of full strength goes, in their unit.
    """

    sight: Sight
    names: tuple[str, ...]
    step: float

    def embed(self, latents: Float[Tensor, "*batch k d"]) -> Float[Tensor, "*batch e"]:
        """See the class."""
        return quantities_of(self.sight, latents, self.names) / self.step

    def views(self, latents: Float[Tensor, "*batch k d"]) -> Float[Tensor, "*batch 1 e"]:
        """See the class."""
        return self.embed(latents).unsqueeze(-2)


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
        terminal: weight of the distance at the last imagined step.
        num_nodes: nodes of the map at most.
        pushes: steps imagined from each node, to explore and to find its neighbours.
        spacing: how far from every node, in steps, an imagined state must be to become one.
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
        quantities: names of probed quantities that a place is told by, alike in unit, so that what
            moves by itself is free; empty to tell places by the agent's critic.
        step: how far a model step of full strength goes, in the unit of the quantities.
        seed: of the pushes.
    """

    name: str = "goal"
    observation: Mapping[str, np.ndarray] = field(default_factory=dict)
    running: float = 0.3
    terminal: float = 1.0
    num_nodes: int = 400
    pushes: int = 16
    spacing: float = 0.5
    join: float = 0.45
    near: float = 0.4
    support: int = 3
    patience: int = 4
    longest: float = 60.0
    alike: float = 1.1
    quantities: tuple[str, ...] = ()
    step: float = 1.0
    seed: int = 0

    seeks_goal: ClassVar[bool] = True

    @property
    def asks(self) -> str:
        """See :class:`CostTerm`."""
        return (
            f"steps on a map to a goal {what_is_shown(self.observation)}, running "
            f"{self.running:g}, terminal {self.terminal:g}"
        )

    @property
    def shows(self) -> Observation:
        """See :class:`CostTerm`."""
        return self.observation

    def bind(self, sight: Sight) -> BoundTerm:
        """See :class:`CostTerm`.

        Raises:
            ForethoughtError: the agent's distance does not embed, so that no map can be made, or it
                has no such probe.
        """
        metric = self._metric(sight)
        goals = latents_of(self.observation, sight)
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
            return weigh_steps(steps, self.running, self.terminal)

        return distance_of

    def _metric(self, sight: Sight) -> Embedding:
        """What tells one place from another."""
        if self.quantities:
            return ProbedPlaces(sight=sight, names=self.quantities, step=self.step)
        if not isinstance(sight.distance, Embedding):
            raise ForethoughtError(
                "roadmap_goal needs an agent whose critic embeds (LocalMetricTrainingConfig), or "
                "RoadmapGoal(quantities=...); use goal(...) with this one."
            )
        return sight.distance

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
        """Makes all maps at first, and later those anew on which the agent has long been lost, or
        whose agent has forgotten what it tried: it has begun again."""
        if not atlas.maps:
            for start, goal in zip(starts, goals, strict=True):
                atlas.maps.append(self._map(sight, metric, start, goal, atlas.generator))
            atlas.lost = [0] * len(atlas.maps)
            return
        account = sight.in_vain() or [()] * len(atlas.maps)
        for number, place in enumerate(metric.embed(starts)):
            known = atlas.maps[number]
            left = float(self._from(known, place[None]))
            atlas.lost[number] = atlas.lost[number] + 1 if left >= self.longest else 0
            if atlas.lost[number] >= self.patience or len(account[number]) < len(known.closed):
                start, goal = starts[number], goals[number]
                atlas.maps[number] = self._map(sight, metric, start, goal, atlas.generator)
                atlas.lost[number] = 0

    def _map(
        self,
        sight: Sight,
        metric: Embedding,
        start: Float[Tensor, "k d"],
        goal: Float[Tensor, "k d"],
        generator: torch.Generator,
    ) -> Roadmap:
        """Explores from both ends, and joins what is found."""
        nodes = torch.stack([goal, start])
        places, expanded = metric.embed(nodes), []
        while (done := sum(map(len, expanded))) < len(nodes):
            ahead = self._pushed(sight, nodes[done : done + EXPANDED_AT_ONCE], generator)
            come_to = metric.embed(ahead)
            expanded.append(come_to)
            room = max(0, self.num_nodes - len(nodes))
            new = novel(come_to.flatten(0, 1), places, self.spacing, most=room)
            nodes = torch.cat([nodes, ahead.flatten(0, 1)[new]])
            places = torch.cat([places, come_to.flatten(0, 1)[new]])
        edges = self._joined(places, torch.cat(expanded))
        return Roadmap(
            places=places,
            edges=edges,
            to_goal=ways_to_first(edges, support=self.support),
            closed=places.new_zeros(0, 2, places.shape[-1]),
        )

    def _pushed(
        self, sight: Sight, nodes: Float[Tensor, "n k d"], generator: torch.Generator
    ) -> Float[Tensor, "n p k d"]:
        """Where pushes in random directions lead from each node."""
        shape = (len(nodes), self.pushes)
        pushes = unit_pushes(shape, sight.signature.action.width, generator).to(nodes)
        ahead = sight.push(nodes.repeat_interleave(self.pushes, 0), pushes.flatten(0, 1))
        return ahead.unflatten(0, shape)

    def _joined(
        self, places: Float[Tensor, "m e"], come_to: Float[Tensor, "m p e"]
    ) -> Float[Tensor, "m m"]:
        """Steps between nodes of which one is come to from the other, or that are one place."""
        gaps = torch.cdist(come_to.flatten(0, 1), places).unflatten(0, come_to.shape[:2]).amin(1)
        edges = torch.where(gaps < self.join, 1 + gaps, torch.full_like(gaps, UNREACHED))
        direct = torch.cdist(places, places)
        return torch.where(direct < self.join, torch.minimum(edges, direct), edges)


def roadmap_goal(
    *,
    image: np.ndarray | None = None,
    state: np.ndarray | None = None,
    words: str | Sequence[str] | None = None,
    observation: Observation | None = None,
) -> RoadmapGoal:
    """Be where the sensors would show this, by ways found in imagination.

    Args:
        image: goal image for an agent with one camera: uint8 ``(height, width, 3)``.
        state: goal state vector.
        words: the goal in words, see :func:`forethought.cost.goal`.
        observation: a whole goal observation, by keys.

    Raises:
        ForethoughtError: nothing was given, or anything beside words.
    """
    shown = named_goal(image=image, state=state, words=words, observation=observation)
    return RoadmapGoal(observation=shown)


def novel(
    found: Float[Tensor, "n e"], known: Float[Tensor, "m e"], spacing: float, *, most: int
) -> Int[Tensor, " c"]:
    """Which of the found places, in their order, are that far from all known and chosen ones."""
    far = torch.cdist(found, known).amin(1) >= spacing
    candidates = far.nonzero().squeeze(1)
    apart = (torch.cdist(found[candidates], found[candidates]) >= spacing).cpu()
    chosen: list[int] = []
    for number in range(len(candidates)):
        if len(chosen) == most:
            break
        if bool(apart[number, chosen].all()):
            chosen.append(number)
    return candidates[chosen]


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
    if support > len(edges):
        return length  # So many ways lead on from nowhere.
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
