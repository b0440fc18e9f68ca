"""Watches an agent act, and keeps what pictures need of the first episodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from forethought.agent import Agent
from forethought.evaluation.references import Actor
from forethought.types import Decision, Observation, Plan, World


@dataclass(frozen=True, kw_only=True)
class Trace:
    """Every step of one episode, for pictures.

    Attributes:
        images: ``(steps, height, width, 3)`` what the first camera saw; None without one.
        goal: the goal image; None without a camera.
        truth: hidden quantities by name, ``(steps,)`` each.
        goal_truth: those of them that the goal fixes.
        imagined: quantities read from the plan under way, by name, ``(steps, h+1)`` each.
        surprise: ``(steps,)``.
        succeeded: ``(steps,)``.
        group: the kind of task.
        terms: per cost term its share in the energy of the plan under way, ``(steps,)`` each.
        margins: per guardrail the least margin of that plan, ``(steps,)`` each.
        modes: ``(steps,)`` 1 for reflex, 2 for deliberation. What is about plans is NaN where all
            agents acted by reflex; where others searched, it is of the plan that was not followed.
    """

    images: np.ndarray | None
    goal: np.ndarray | None
    truth: Mapping[str, np.ndarray]
    goal_truth: Mapping[str, float]
    imagined: Mapping[str, np.ndarray]
    surprise: np.ndarray
    succeeded: np.ndarray
    group: str
    terms: Mapping[str, np.ndarray] = field(default_factory=dict)
    margins: Mapping[str, np.ndarray] = field(default_factory=dict)
    modes: np.ndarray | None = None


class Watcher:
    """Lets an agent act, and keeps what pictures need of the first episodes.

    Args:
        world: where it acts, at the starts of the tasks.
        agent: who acts.
        num_traces: episodes that are kept.
    """

    def __init__(self, world: World, agent: Actor, num_traces: int) -> None:
        self.world, self.agent = world, agent
        self.count = min(num_traces, world.num_worlds)
        self.goals = {k: v[: self.count].copy() for k, v in world.goal().items()}
        self.goal_truth = {k: v[: self.count].copy() for k, v in world.goal_truth().items()}
        self.camera = next(iter(world.signature.cameras), None)
        self.images: list[np.ndarray] = []
        self.truth: list[dict[str, np.ndarray]] = []
        self.decisions: list[Decision] = []

    def act(self, observation: Observation) -> np.ndarray:
        """What the agent does."""
        decision = self.agent.act_batch(observation)
        self.decisions.append(decision)
        return decision.action

    def see(self, observation: Observation) -> None:
        """Takes in what an action is decided on."""
        if self.camera:
            self.images.append(observation[self.camera][: self.count].copy())
        truth = {name: np.array(value[: self.count]) for name, value in self.world.truth().items()}
        self.truth.append(truth)

    def traces(self, flags: np.ndarray, groups: Mapping[str, np.ndarray]) -> tuple[Trace, ...]:
        """The first episodes, from whether the goal held ``(steps, b)`` and kinds of tasks."""
        imagined, terms, margins = self._imagined(), self._terms(), self._margins()
        everyone = np.ones(self.world.num_worlds, dtype=int)
        modes = np.stack(
            [d.mode * everyone if d.modes is None else d.modes for d in self.decisions]
        )
        return tuple(
            Trace(
                images=np.stack([frame[i] for frame in self.images]) if self.camera else None,
                goal=self.goals[self.camera][i] if self.camera else None,
                truth={name: np.stack([t[name][i] for t in self.truth]) for name in self.truth[0]},
                goal_truth={name: float(v[i]) for name, v in self.goal_truth.items()},
                imagined={name: values[:, i] for name, values in imagined.items()},
                surprise=np.stack([decision.surprise[i] for decision in self.decisions]),
                succeeded=flags[:, i],
                group=next((name for name, mask in groups.items() if mask[i]), ""),
                terms={name: values[:, i] for name, values in terms.items()},
                margins={name: values[:, i] for name, values in margins.items()},
                modes=modes[:, i],
            )
            for i in range(self.count)
        )

    def _of_plans(self, read: Callable[[Plan], Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """What is told by the plan under way at each step, ``(steps, ...)``; NaN where there is
        none. Each plan is read once."""
        known = {id(d.plan): read(d.plan) for d in self._planned()}
        like = next(iter(known.values()), {})
        blank = {name: np.full_like(values, np.nan) for name, values in like.items()}
        return {
            name: np.stack([known.get(id(d.plan), blank)[name] for d in self.decisions])
            for name in like
        }

    def _planned(self) -> list[Any]:
        """One decision of each plan."""
        return list({id(d.plan): d for d in self.decisions if d.plan is not None}.values())

    def _terms(self) -> dict[str, np.ndarray]:
        """Shares in the energy of the plan under way at each step: ``(steps, agents)``."""
        return self._of_plans(lambda plan: {n: v.cpu().numpy() for n, v in plan.terms.items()})

    def _margins(self) -> dict[str, np.ndarray]:
        """Least margins of the plan under way at each step: ``(steps, agents)``."""
        return self._of_plans(
            lambda plan: {n: v.amin(-1).cpu().numpy() for n, v in plan.margins.items()}
        )

    def _imagined(self) -> dict[str, np.ndarray]:
        """Quantities read from the plan under way at each step: ``(steps, episodes, h+1)``."""
        if not isinstance(self.agent, Agent) or not self.agent.model.config.probes:
            return {}
        model = self.agent.model

        @torch.no_grad()
        def read(plan: Plan) -> dict[str, np.ndarray]:
            latents = plan.imagination.latents[: self.count, 0]
            return {k: v.cpu().numpy() for k, v in model.read(latents).items()}

        return self._of_plans(read)
