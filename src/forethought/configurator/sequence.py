"""Several goals in their order: when each is reached, how long it may take, and what comes then."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from forethought.agent import Agent
from forethought.configurator.goals import Leg, Overdue, ShownGoal
from forethought.configurator.task import Task
from forethought.cost.goal import goal
from forethought.cost.sight import Sight
from forethought.cost.states import StateTerm
from forethought.learning.adapting_agent import AdaptingAgent
from forethought.model import Model
from forethought.senses import perceived, sight_of
from forethought.types import Decision, ForethoughtError


class Outcome(Enum):
    """How a goal on the way ended."""

    REACHED = "reached"
    OVERDUE = "overdue"


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a sequence has come.

    Attributes:
        outcomes: of the goals that are done with, in their order.
        steps: world steps that the present goal has taken.
        stopped: whether a goal was overdue after which no other is sought.
    """

    outcomes: tuple[Outcome, ...] = ()
    steps: int = 0
    stopped: bool = False


Reached = Callable[[Float[Tensor, "1 k d"]], bool]
"""Whether a goal is reached where an agent is."""


class SequencedAgent:
    """An agent that comes to several goals in their order; the last one it keeps.

    Whether a goal is reached is looked at before each decision. What the agent remembers stays when
    it goes on to another goal; the plan to the one before is dropped.

    Args:
        task: with its legs.
        model: a trained model; calibrated, where there are guardrails.
        seed: of the agent's generator.

    Raises:
        ForethoughtError: the task has no legs, or asks for what this model does not know.
    """

    def __init__(self, task: Task, model: Model, *, seed: int = 0) -> None:
        if not task.legs:
            raise ForethoughtError(
                "this task has one goal and no sequence of them; use Task.agent(), or write "
                "`goals:` with a list in the task file."
            )
        self.task, self.model = task, model
        self.progress = Progress()
        self._alone = [replace(task, goal=leg.goal, legs=()) for leg in task.legs]
        with torch.no_grad():
            sight = sight_of(model)
            self._encode = sight.encode
            self._reached = [_test(leg, sight) for leg in task.legs]
        self.agent = alone(self._alone[0], model, seed=seed)

    @property
    def leg(self) -> int:
        """The goal that is sought, counted from zero; the last one once all are done with."""
        return min(len(self.progress.outcomes), len(self.task.legs) - 1)

    @property
    def done(self) -> bool:
        """Whether nothing is left to come to."""
        return self.progress.stopped or len(self.progress.outcomes) == len(self.task.legs)

    def reset(self) -> None:
        """Begins anew, with the first goal."""
        self.agent.reset()
        self.progress = Progress()
        self.agent.seek(self._alone[0].cost(self.model))

    def act(self, observation: Mapping[str, Any]) -> Decision:
        """The next action; see :meth:`forethought.agent.Agent.act`.

        Raises:
            ForethoughtError: a key is missing, has another shape or type, or holds NaN.
        """
        self._look(observation)
        decision = self.agent.act(observation)
        self.progress = replace(self.progress, steps=self.progress.steps + 1)
        return decision

    @torch.no_grad()
    def _look(self, observation: Mapping[str, Any]) -> None:
        """Goes on from goals that are reached, and from one whose time is over."""
        if self.done:
            return
        seen = perceived(self.model, "the observation", observation, leading=())
        latents = self._encode({key: value[None] for key, value in seen.items()})
        before = self.leg
        while not self.done and self._reached[self.leg](latents):
            self._end(Outcome.REACHED)
        leg = self.task.legs[self.leg]
        if not self.done and leg.seconds is not None and self._seconds >= leg.seconds:
            self._end(Outcome.OVERDUE, stopped=leg.overdue is Overdue.STOP)
        if self.leg != before:
            self.agent.seek(self._alone[self.leg].cost(self.model))

    @property
    def _seconds(self) -> float:
        """That the present goal has taken."""
        return self.progress.steps / self.model.signature.rate_hz

    def _end(self, outcome: Outcome, *, stopped: bool = False) -> None:
        outcomes = (*self.progress.outcomes, outcome)
        self.progress = Progress(outcomes=outcomes, stopped=stopped)


def agent_for(task: Task, model: Model, *, seed: int = 0) -> Agent | AdaptingAgent | SequencedAgent:
    """A single agent that does all that a task says, and not only the planning.

    Args:
        task: what it is to do.
        model: a trained model; it is left as it is.
        seed: of the agent's generator.

    Raises:
        ForethoughtError: the task asks for what this model does not know, or for a policy, a memory
            or recordings that are not there.
    """
    return SequencedAgent(task, model, seed=seed) if task.legs else alone(task, model, seed=seed)


def alone(task: Task, model: Model, *, seed: int = 0) -> Agent | AdaptingAgent:
    """An agent for a task's only goal; see :func:`agent_for`."""
    if task.adaptation is None:
        return task.agent(model, seed=seed)
    return task.adaptation.agent(task.agent(task.adaptation.adaptable(model), seed=seed))


def planning(agent: Agent | AdaptingAgent | SequencedAgent) -> Agent:
    """The one that decides within an agent of :func:`agent_for`: what a trace is of."""
    return agent if isinstance(agent, Agent) else planning(agent.agent)


def _test(leg: Leg, sight: Sight) -> Reached:
    """Whether all that a leg asks for is met."""
    asked: list[tuple[StateTerm, float]] = []
    if isinstance(leg.goal, ShownGoal):
        if leg.within is not None:
            asked.append((goal(observation=leg.goal.observation), leg.within))
    else:
        asked.append((leg.goal, leg.within or 0.0))
    if leg.reached is not None:
        asked.append((leg.reached, 0.0))
    tests = [(term.bind_states(sight), most) for term, most in asked]

    def met(latents: Float[Tensor, "1 k d"]) -> bool:
        states = latents[:, None, None]
        return all(float(distance(states)) <= most for distance, most in tests)

    return met
