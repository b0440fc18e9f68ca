"""An episode as its agent went through it, with what is needed to find out what went wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from forethought.agent import Agent
from forethought.evaluation.simulated import Simulation, places_of, tells_places
from forethought.evaluation.thorough import with_budget
from forethought.memory import ObservationWindow
from forethought.model import write_safely
from forethought.senses import perceived
from forethought.types import (
    Decision,
    ForethoughtError,
    Imagination,
    Observation,
    Plan,
    Planner,
    PlanningProblem,
    Scores,
    WarmStart,
)


@dataclass(frozen=True, kw_only=True)
class EpisodeLog:
    """Episodes in lockstep, ``b`` of them, ``t`` world steps long, with ``s`` searches.

    Attributes:
        seeds: ``(b,)`` tasks.
        truth: hidden quantities by name, ``(t+1, b)`` each.
        goal_truth: those of them that the goal fixes, ``(b,)`` each.
        actions: ``(t, b, ...)`` what was done.
        met: ``(t, b)`` whether the goal was met after each step.
        searched: ``(s,)`` world steps at which searches began.
        planned: ``(s, b, h, a)`` model actions that were found.
        energy: ``(s, b)`` energy of each plan.
        more: ``(s, b)`` energy of the plan that more search finds; never above it.
        idle: ``(s, b)`` energy of doing nothing, or the nearest to it that is allowed.
        places: ``(s, b, h+1, 2)`` where plans were thought to lead; NaN where nothing tells.
        came: ``(s, b, h+1, 2)`` where they would have led; NaN where nothing tells.
        worth: ``(t+1, b)`` energy of being at each moment, by itself.
        foreseen: ``(t+1, b, j)`` squared error of what the model foresees of each moment, so many
            model steps ahead, under the actions that followed; NaN beyond the end.
        lengths: ``(t+1, b)`` true length of the way to the goal; NaN where nobody knows.
        pictures: ``(b, 2, height, width, 3)`` what the first camera showed first, and the goal;
            empty without one.
    """

    seeds: np.ndarray
    truth: Mapping[str, np.ndarray]
    goal_truth: Mapping[str, np.ndarray]
    actions: np.ndarray
    met: Bool[np.ndarray, "t b"]
    searched: np.ndarray
    planned: Float[np.ndarray, "s b h a"]
    energy: Float[np.ndarray, "s b"]
    more: Float[np.ndarray, "s b"]
    idle: Float[np.ndarray, "s b"]
    places: Float[np.ndarray, "s b h_plus_1 2"]
    came: Float[np.ndarray, "s b h_plus_1 2"]
    worth: Float[np.ndarray, "t_plus_1 b"]
    foreseen: Float[np.ndarray, "t_plus_1 b j"]
    lengths: Float[np.ndarray, "t_plus_1 b"]
    pictures: np.ndarray = field(default_factory=lambda: np.zeros((0, 2, 0, 0, 3), np.uint8))

    def save(self, path: Path) -> Path:
        """Writes it as compressed arrays (``.npz``), in one step; returns the path."""
        import io

        arrays = {}
        for one in fields(self):
            value = getattr(self, one.name)
            named = value.items() if isinstance(value, Mapping) else [("", value)]
            arrays |= {f"{one.name}/{name}" if name else one.name: part for name, part in named}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        write_safely(path, buffer.getvalue())
        return path

    @classmethod
    def load(cls, path: Path) -> EpisodeLog:
        """The inverse of :meth:`save`."""
        with np.load(path, allow_pickle=False) as arrays:
            content: dict[str, Any] = {"truth": {}, "goal_truth": {}}
            for name in arrays.files:
                whole, _, part = name.partition("/")
                if part:
                    content[whole][part] = arrays[name]
                else:
                    content[whole] = arrays[name]
        return cls(**content)


class Witness:
    """An agent, and what it saw, did and thought of, without any difference to what it does.

    Args:
        agent: the agent; its planner is watched.
        budget: what the budget of a search is multiplied by where there is more of it.
        ahead: model steps that are foreseen.
        simulation: acts its plans out; None where the world cannot be put back.
    """

    def __init__(
        self, agent: Agent, *, budget: int, ahead: int, simulation: Simulation | None = None
    ) -> None:
        self.agent, self.ahead, self._simulation = agent, ahead, simulation
        self._watched = _Watched(agent.actor, budget)
        agent.actor = self._watched
        perception = agent.model.config.world_model.perception
        self._window = ObservationWindow(
            frame_stack=perception.frame_stack, frame_gap=perception.frame_gap
        )
        self._latents: list[Tensor] = []
        self._actions: list[np.ndarray] = []
        self._searched: list[int] = []
        self._came: list[np.ndarray] = []

    def act_batch(self, observation: Mapping[str, Any]) -> Decision:
        """See :class:`forethought.agent.Agent`."""
        self.see(observation)
        decision = self.agent.act_batch(observation)
        if decision.plan is not None and decision.plan_step == 0:
            self._searched.append(len(self._actions))
            if self._simulation:
                acted = self._simulation.places(decision.plan.actions[:, None])
                self._came.append(_numpy(acted.latents[:, 0, :, 0]))
        self._actions.append(decision.action)
        return decision

    @torch.no_grad()
    def see(self, observation: Observation) -> None:
        """One more observation, which is the last where nothing is done after it."""
        model = self.agent.model
        seen = perceived(model, "the observation", observation, leading=(self.agent.num_agents,))
        self._window = self._window.see(seen)
        stacked = {k: v.to(model.device) for k, v in self._window.stacked().items()}
        self._latents.append(model.world_model.encode(stacked))

    def thought(self) -> dict[str, np.ndarray]:
        """The parts of a log that are the agent's own.

        Raises:
            ForethoughtError: it has not searched, so that there is nothing to tell of.
        """
        if not self._watched.plans:
            raise ForethoughtError(
                "this agent never searched: it acted by reflex, or not at all. Attribution is of "
                "agents that plan; leave out the gate."
            )
        latents, places = torch.stack(self._latents), self._places()
        planned = torch.stack([plan.actions for plan in self._watched.plans])
        return {
            "actions": np.stack(self._actions),
            "searched": np.array(self._searched),
            "planned": _numpy(planned),
            "energy": _numpy(torch.stack([plan.energy for plan in self._watched.plans])),
            "more": _numpy(torch.stack(self._watched.more)),
            "idle": _numpy(torch.stack(self._watched.idle)),
            "places": places,
            "came": np.stack(self._came) if self._came else np.full_like(places, np.nan),
            "worth": self._worth(latents),
            "foreseen": self._errors(latents),
        }

    @torch.no_grad()
    def _places(self) -> np.ndarray:
        found = [plan.imagination.latents[:, 0] for plan in self._watched.plans]
        latents = torch.stack(found)
        if not tells_places(self.agent.model):
            return np.full((*latents.shape[:3], 2), np.nan, np.float32)
        return _numpy(places_of(self.agent.model, latents))

    @torch.no_grad()
    def _worth(self, latents: Float[Tensor, "t b k d"]) -> np.ndarray:
        """Energy of being at each moment for a model step, while nothing is done."""
        score, space = self._watched.score, self.agent.model.world_model.action_space
        moments = latents.transpose(0, 1)
        still = ((space.low + space.high) / 2).expand(*moments.shape[:2], 1, -1)
        states = moments[:, :, None].expand(-1, -1, 2, -1, -1)
        return _numpy(score(Imagination(latents=states, actions=still)).energy.T)

    @torch.no_grad()
    def _errors(self, latents: Float[Tensor, "t b k d"]) -> np.ndarray:
        """Rollouts from every moment under the actions that followed it, against what came."""
        model, block = self.agent.model, self.agent.block
        steps, agents = len(self._actions), latents.shape[1]
        errors = np.full((len(latents), agents, self.ahead), np.nan, np.float32)
        done = [self._vectors(one) for one in self._actions]
        span = self.ahead * block
        for first in range(0, steps - span + 1):
            moves = torch.stack(done[first : first + span], dim=1)
            moves = moves.unflatten(1, (self.ahead, block)).flatten(2)
            imagined = model.world_model.imagine(latents[first], moves[:, None]).latents[:, 0]
            came = latents[first + block : first + span + 1 : block].transpose(0, 1)
            errors[first] = _numpy((imagined[:, 1:] - came).square().mean((-1, -2)))
        return errors

    def _vectors(self, actions: np.ndarray) -> Float[Tensor, "b c"]:
        """World actions as the model takes them."""
        spec, vectors = self.agent.model.signature.action, torch.as_tensor(actions)
        if spec.discrete:
            vectors = torch.nn.functional.one_hot(vectors, spec.num_choices).float()
        return vectors.to(self.agent.model.device)


class _Watched:
    """A planner whose plans are kept, with what more search finds and what doing nothing costs."""

    def __init__(self, planner: Planner, budget: int) -> None:
        self.planner = planner
        self._thorough = with_budget(planner, budget)
        self.plans: list[Plan] = []
        self.more: list[Tensor] = []
        self.idle: list[Tensor] = []
        self.score: Any = None

    def plan(
        self,
        problem: PlanningProblem,
        *,
        generator: torch.Generator,
        warm_start: WarmStart | None = None,
        deadline_s: float | None = None,
    ) -> Plan:
        """See :class:`forethought.types.Planner`; the plan is that of the planner alone."""
        aside = generator.clone_state()
        plan = self.planner.plan(
            problem, generator=generator, warm_start=warm_start, deadline_s=deadline_s
        )
        more = self._thorough.plan(problem, generator=aside, warm_start=warm_start)
        self.plans.append(plan)
        self.more.append(torch.minimum(more.energy, plan.energy))
        self.idle.append(self._idle(problem, plan.actions.shape[1]))
        self.score = problem.score
        return plan

    @torch.no_grad()
    def _idle(self, problem: PlanningProblem, horizon: int) -> Float[Tensor, " b"]:
        space = problem.space
        still = space.project((space.low + space.high) / 2)
        actions = still.expand(problem.num_worlds, 1, horizon, -1)
        scores: Scores = problem.score(problem.imagine(actions))
        return scores.energy[:, 0]


def _numpy(values: Tensor) -> np.ndarray:
    return values.detach().cpu().float().numpy()
