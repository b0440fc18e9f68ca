"""The parts of an agent replaced by what they stand for: its model by the true simulator, its
objective by the true length of the way, its search by one of ten times the budget.

Whatever is replaced, everything else stays: the agent perceives, remembers and replans as it did,
and its planner searches as it did. The seam is the planner: it is handed a problem, and a planner
around it hands on another one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from forethought.agent import Agent
from forethought.evaluation.thorough import with_budget
from forethought.model import Model
from forethought.senses import perceived
from forethought.types import (
    Charted,
    Decision,
    ForethoughtError,
    Imagination,
    Observation,
    Plan,
    Planner,
    PlanningProblem,
    Scores,
    Simulator,
    WarmStart,
    World,
)

PLACE = ("position.x", "position.y")
"""The quantities that tell where it is, where the true length of the way is known."""
AT_ONCE = 512
"""Observations that are perceived in one call."""

COPIES = 4096
"""Copies of a world that are acted out at once."""

Lengths = Callable[[Float[Tensor, "b n h 2"]], Float[Tensor, "b n h"]]
"""True lengths of the ways from places to the goal of each world."""


@dataclass(frozen=True, kw_only=True)
class Replacement:
    """Which parts of an agent are replaced; nothing by default.

    Attributes:
        model: what is imagined is what would come: candidates are acted out in copies of the world,
            and what its sensors would give is perceived as ever.
        objective: energy is the true length of the way from each imagined place to the goal, added
            up over the steps as the distance to a goal is. Places are the truth where the model is
            replaced too, and are read by the model's probes elsewhere.
        budget: what the budget of the search is multiplied by; see
            :func:`forethought.evaluation.thorough.with_budget`.
    """

    model: bool = False
    objective: bool = False
    budget: int = 1


class ReplacedAgent:
    """An agent with some of its parts replaced, where it acts in a world that is at hand.

    Args:
        agent: the agent; its planner is changed in place.
        world: where it acts. It must see every observation of it, from ``reset`` on, in order.
        copies: another instance of the same world, for candidates to be acted out in.
        what: the parts to replace.

    Raises:
        ForethoughtError: the world cannot be put back, or its ways are not known, or the model has
            no probes that tell places, or the agent has guardrails.
    """

    def __init__(self, agent: Agent, world: World, copies: World, what: Replacement) -> None:
        if agent.cost.guardrails and (what.model or what.objective):
            raise ForethoughtError(
                "parts of an agent with guardrails cannot be replaced: which of two failures it "
                "was, to reach the goal or to keep within them, would not be told. Leave them out."
            )
        self.agent = agent
        self._simulation = Simulation(agent.model, world, copies) if what.model else None
        lengths = true_lengths(world) if what.objective else None
        if lengths is not None and not what.model:
            _check_places(agent.model)
        planner = with_budget(agent.actor, what.budget)
        if self._simulation or lengths:
            planner = _Replaced(
                planner=planner, model=agent.model, simulation=self._simulation, lengths=lengths
            )
        agent.actor = planner

    def leave(self, over: Bool[np.ndarray, " b"]) -> None:
        """Spares the pains of simulating for worlds whose episodes are over.

        Args:
            over: ``(b,)`` which they are; what is planned for them from here on means nothing.
        """
        if self._simulation:
            self._simulation.going = ~over

    def act_batch(self, observation: Mapping[str, Any]) -> Decision:
        """See :class:`forethought.agent.Agent`."""
        if self._simulation:
            self._simulation.see(observation)
        return self.agent.act_batch(observation)


def true_lengths(world: World) -> Lengths:
    """The true lengths of ways to the goals that a world has now.

    Raises:
        ForethoughtError: nobody knows them.
    """
    if not isinstance(world, Charted):
        raise ForethoughtError(
            f"world {world.name!r} does not tell how long the way is from any place, so that the "
            "objective cannot be replaced; see forethought.types.Charted."
        )
    goals = np.stack([world.goal_truth()[name] for name in PLACE], axis=-1)

    def lengths(places: Float[Tensor, "b n h 2"]) -> Float[Tensor, "b n h"]:
        points = places.detach().cpu().double().numpy().reshape(len(places), -1, 2)
        ways = [world.lengths_from(i, points[i], goals[i]) for i in range(len(points))]
        return torch.from_numpy(np.stack(ways)).to(places).view(places.shape[:-1])

    return lengths


def places_of(model: Model, latents: Float[Tensor, "*batch k d"]) -> Float[Tensor, "*batch 2"]:
    """Where a model's probes read it to be."""
    read = model.read(latents)
    return torch.stack([read[name] for name in PLACE], dim=-1)


def tells_places(model: Model) -> bool:
    """Whether a model's probes read where it is."""
    return set(PLACE) <= set(model.config.probes)


def _check_places(model: Model) -> None:
    if not tells_places(model):
        raise ForethoughtError(
            f"the model's probes read {list(model.config.probes)}; to replace the objective, "
            f"{list(PLACE)} have to be read from what is imagined. Record with the world's truth."
        )


# ------------------------------------------------------------------------------- the model


class Simulation:
    """The true simulator in the place of a world model.

    Candidates are acted out in copies of the world as it is now, in lockstep: one world of as many
    copies as there are worlds times candidates.

    Args:
        model: perceives what would be seen.
        world: where the agent acts; it is only asked where it is.
        copies: another instance of the same world.

    Attributes:
        going: ``(b,)`` worlds to simulate; in the others nothing is thought to change.

    Raises:
        ForethoughtError: the world cannot be put back to where it was.
    """

    def __init__(self, model: Model, world: World, copies: World) -> None:
        if not isinstance(world, Simulator) or not isinstance(copies, Simulator):
            raise ForethoughtError(
                f"world {world.name!r} cannot be put back to where it was, so that it cannot take "
                "the model's place; see forethought.types.Simulator."
            )
        self.model, self.copies, self._here = model, copies, world
        perception = model.config.world_model.perception
        self._gap, self._stack = perception.frame_gap, perception.frame_stack
        self._block = model.config.world_model.action_block
        self._seen: deque[Observation] = deque(maxlen=(self._stack - 1) * self._gap + 1)
        self.going = np.ones(world.num_worlds, dtype=bool)

    def see(self, observation: Mapping[str, Any]) -> None:
        """One more observation of the world, which perception may look back at."""
        self._seen.append(perceived(self.model, "the observation", observation, leading=(-1,)))

    def places(self, actions: Float[Tensor, "b n h a"]) -> Imagination:
        """Where candidates lead, nothing being looked at: places ``(b, n, h+1, 1, 2)`` stand where
        latents do."""
        return _by_parts(self._places, actions)

    @torch.no_grad()
    def imagine(self, actions: Float[Tensor, "b n h a"]) -> Imagination:
        """What would come of candidates, as perception would have it."""
        return _by_parts(self._imagine, actions)

    def _places(self, actions: Float[Tensor, "b n h a"]) -> Imagination:
        ends = self._ends(actions)
        going, n = self._going, actions.shape[1]
        at = [self._place(self.copies) for _ in self._act_out(actions, set(ends))]
        ahead = torch.from_numpy(np.stack(at, axis=1)).to(actions).unflatten(0, (-1, n))
        latents = torch.from_numpy(self._place(self._here)).to(actions)[:, None, None]
        latents = latents.repeat(1, n, len(ends) + 1, 1)
        latents[going, :, 1:] = ahead
        return Imagination(latents=latents.unsqueeze(-2), actions=actions)

    def _imagine(self, actions: Float[Tensor, "b n h a"]) -> Imagination:
        ends = self._ends(actions)
        going, n = self._going, actions.shape[1]
        looks = {end - self._gap * back for end in ends for back in range(self._stack)}
        frames: dict[int, Observation] = {}
        for step in self._act_out(actions, looks):
            frames[step] = perceived(
                self.model, "the simulation", self.copies.observe(), leading=(len(going) * n,)
            )
        present = self._encode(self._stacked(frames, 0, np.arange(len(actions))))
        latents = present[:, None, None].repeat(1, n, len(ends) + 1, 1, 1)
        rows = np.repeat(going, n)
        for step, end in enumerate(ends, start=1):
            latents[going, :, step] = self._encode(self._stacked(frames, end, rows)).unflatten(
                0, (-1, n)
            )
        return Imagination(latents=latents, actions=actions)

    def _ends(self, actions: Float[Tensor, "b n h a"]) -> list[int]:
        """World steps from now at which model steps end."""
        return [self._block * (step + 1) for step in range(actions.shape[2])]

    @property
    def _going(self) -> Int[np.ndarray, " g"]:
        """Which worlds are simulated; at least one, so that there is something to hold."""
        return np.flatnonzero(self.going) if self.going.any() else np.zeros(1, dtype=int)

    def _act_out(self, actions: Float[Tensor, "b n h a"], looks: set[int]) -> Iterator[int]:
        """Acts candidates out from here, where that goes on; stops at the steps to look at."""
        if actions.requires_grad:
            raise ForethoughtError(
                "this planner follows gradients, and the true simulator has none; take one that "
                "compares candidates, such as CEM, to replace the model."
            )
        spec, n = self.model.signature.action, actions.shape[1]
        moves = actions[self._going].flatten(0, 1)
        moves = moves.unflatten(-1, (self._block, spec.width)).flatten(1, 2)
        done = (moves.argmax(-1) if spec.discrete else moves).cpu().numpy()
        rows = np.repeat(self._going, n)
        self.copies.restore({name: part[rows] for name, part in self._here.snapshot().items()})
        for step in range(done.shape[1]):
            self.copies.advance(done[:, step])
            if step + 1 in looks:
                yield step + 1

    def _place(self, world: Any) -> Float[np.ndarray, "m 2"]:
        truth = world.truth()
        return np.stack([truth[name] for name in PLACE], axis=-1)

    def _stacked(
        self, frames: Mapping[int, Observation], end: int, rows: Int[np.ndarray, " m"]
    ) -> dict[str, np.ndarray]:
        """Per key ``(m, f, ...)`` what perception takes at a world step from now, by the worlds
        that copies are of."""
        steps = [end - self._gap * back for back in reversed(range(self._stack))]
        shown = [self._frame(frames, step, rows) for step in steps]
        return {key: np.stack([one[key] for one in shown], axis=1) for key in shown[-1]}

    def _frame(
        self, frames: Mapping[int, Observation], step: int, rows: Int[np.ndarray, " m"]
    ) -> Observation:
        """What is seen at a world step from now; before the first, what was seen first."""
        if step > 0:
            return frames[step]
        past = self._seen[max(step - 1, -len(self._seen))]
        return {key: value[rows] for key, value in past.items()}

    def _encode(self, stacked: Mapping[str, np.ndarray]) -> Float[Tensor, "m k d"]:
        count = len(next(iter(stacked.values())))
        parts = [
            {
                key: torch.from_numpy(value[first : first + AT_ONCE]).to(self.model.device)
                for key, value in stacked.items()
            }
            for first in range(0, count, AT_ONCE)
        ]
        return torch.cat([self.model.world_model.encode(part) for part in parts])


def _by_parts(
    imagine: Callable[[Float[Tensor, "b n h a"]], Imagination], actions: Float[Tensor, "b n h a"]
) -> Imagination:
    """Some of the candidates at a time, so that their copies fit into memory."""
    parts = [imagine(some) for some in actions.split(max(1, COPIES // len(actions)), dim=1)]
    return replace(parts[0], latents=torch.cat([p.latents for p in parts], 1), actions=actions)


# ------------------------------------------------------------------------------- the seam


@dataclass(frozen=True, kw_only=True)
class _Replaced:
    """A planner that is handed another problem than was asked.

    Attributes:
        planner: the search.
        model: whose probes read places.
        simulation: what imagines in the model's place; None for the model.
        lengths: what scores in the cost's place; None for the cost.
    """

    planner: Planner
    model: Model
    simulation: Simulation | None
    lengths: Lengths | None

    def plan(
        self,
        problem: PlanningProblem,
        *,
        generator: torch.Generator,
        warm_start: WarmStart | None = None,
        deadline_s: float | None = None,
    ) -> Plan:
        """See :class:`forethought.types.Planner`.

        Where both are replaced, nothing is looked at but the way that is chosen.
        """
        blind = self.simulation is not None and self.lengths is not None
        asked = problem
        if self.simulation is not None:
            asked = _foreseen_by(
                asked, self.simulation.places if blind else self.simulation.imagine
            )
        if self.lengths is not None:
            asked = _scored_by(asked, self._score_places if blind else self._score)
        plan = self.planner.plan(
            asked, generator=generator, warm_start=warm_start, deadline_s=deadline_s
        )
        if blind:
            assert self.simulation is not None
            plan = replace(plan, imagination=self.simulation.imagine(plan.actions[:, None]))
        return plan

    def _score(self, imagination: Imagination) -> Scores:
        """By the places that probes read from imagined latents."""
        return self._score_at(places_of(self.model, imagination.latents), imagination.num_outcomes)

    def _score_places(self, imagination: Imagination) -> Scores:
        """By places that stand where latents do."""
        return self._score_at(imagination.latents[..., 0, :], imagination.num_outcomes)

    def _score_at(self, places: Float[Tensor, "b nm h_plus_1 2"], outcomes: int) -> Scores:
        assert self.lengths is not None
        energy = self.lengths(places[:, :, 1:]).sum(-1).unflatten(1, (-1, outcomes)).mean(-1)
        return Scores(
            energy=energy,
            terms={"true length of the way": energy},
            feasible=torch.ones_like(energy, dtype=torch.bool),
        )


def _foreseen_by(
    problem: PlanningProblem, imagine: Callable[[Float[Tensor, "b n h a"]], Imagination]
) -> PlanningProblem:
    """The same problem, imagined otherwise; levels above are not, so that there are none."""

    def go_on(imagination: Imagination, actions: Float[Tensor, "b n h2 a"]) -> Imagination:
        return imagine(torch.cat([imagination.actions, actions], dim=2))

    return replace(
        problem,
        imagine=imagine,
        go_on=go_on,
        follow=None,
        sketch=problem.sketch and imagine,
        above=None,
    )


def _scored_by(problem: PlanningProblem, score: Callable[[Imagination], Scores]) -> PlanningProblem:
    """The same problem, scored otherwise on every level."""
    above = problem.above and _scored_by(problem.above, score)
    return replace(problem, score=score, above=above)
