"""Goals: how far an imagined future is from what was asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from forethought.cost.shown import (
    ShownState,
    named_goal,
    named_goals,
    shown_states,
    what_is_shown,
)
from forethought.cost.states import StateCost, StateTerm, distance_to
from forethought.cost.terms import Sight
from forethought.types import Distance, ForethoughtError, Observation


@dataclass(frozen=True, kw_only=True, eq=False)
class Goal(ShownState):
    """Distance of imagined latents from the latent of a goal observation."""

    name: str = "goal"

    seeks_goal: ClassVar[bool] = True

    @property
    def measures(self) -> str:
        """See :class:`StateTerm`."""
        return f"distance to a goal {what_is_shown(self.observation)}"

    @property
    def shows(self) -> Observation:
        """See :class:`CostTerm`."""
        return self.observation

    def bind_states(self, sight: Sight) -> StateCost:
        """See :class:`StateTerm`."""
        return self.distance_to_it(sight)


@dataclass(frozen=True, kw_only=True, eq=False)
class GoalAmong(StateTerm):
    """Distance of imagined latents from the nearest of several examples of a goal.

    The distance is measured once for each example.

    Attributes:
        examples: goals as the sensors would show them; each is one for all agents, or
            ``(b, ...)``.
        distance: measure to use; None for the agent's own.

    Raises:
        ForethoughtError: no example.
    """

    name: str = "goal"
    examples: tuple[Mapping[str, np.ndarray], ...]
    distance: Distance | None = None

    seeks_goal: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.examples:
            raise ForethoughtError("a goal among examples needs one example or more; found none.")

    @property
    def measures(self) -> str:
        """See :class:`StateTerm`."""
        shown = what_is_shown(self.examples[0])
        return f"distance to the nearest of {len(self.examples)} goals by {shown}"

    def bind_states(self, sight: Sight) -> StateCost:
        """See :class:`StateTerm`.

        Raises:
            ForethoughtError: an example lacks a key that the agent perceives, or they are for
                different numbers of worlds.
        """
        distance = self.distance or sight.distance
        costs = [distance_to(target, distance) for target in shown_states(self.examples, sight)]
        return lambda latents: torch.stack([cost(latents) for cost in costs]).amin(0)


@dataclass(frozen=True, kw_only=True, eq=False)
class SubGoal(StateTerm):
    """Distance of imagined latents from a latent of each world.

    Attributes:
        target: ``(b, k, d)`` what to come to soon, and to stay at.
        distance: measure to use; None for the agent's own.
    """

    name: str = "sub-goal"
    target: Tensor
    distance: Distance | None = None

    @property
    def measures(self) -> str:
        """See :class:`StateTerm`."""
        return "distance to what the plan above comes to next"

    def bind_states(self, sight: Sight) -> StateCost:
        """See :class:`StateTerm`."""
        return distance_to(self.target, self.distance or sight.distance)


def goal(
    *,
    image: np.ndarray | None = None,
    state: np.ndarray | None = None,
    text: str | None = None,
    words: str | Sequence[str] | None = None,
    observation: Observation | None = None,
    distance: Distance | None = None,
    running: float = 1.0,
    terminal: float = 1.0,
) -> Goal:
    """Be where the sensors would show this.

    Args:
        image: goal image for an agent with one camera: uint8 ``(height, width, 3)``.
        state: goal state vector.
        text: the goal in words, for agents that perceive the task.
        words: the goal in words, for models that read goals (``forethought words``), one for all
            agents or one for each; in place of all else.
        observation: a whole goal observation, by keys, for agents with more sensors.
        distance: measure to use; None for the agent's own.
        running: weight of the distance at each imagined step before the last.
        terminal: weight of the distance at the last.

    Raises:
        ForethoughtError: nothing was given, anything beside words, or both weights are zero.
    """
    keys = named_goal(image=image, state=state, text=text, words=words, observation=observation)
    return Goal(observation=keys, distance=distance, running=running, terminal=terminal)


def goal_among(
    *,
    images: Iterable[np.ndarray] = (),
    states: Iterable[np.ndarray] = (),
    texts: Iterable[str] = (),
    observations: Iterable[Observation] = (),
    distance: Distance | None = None,
    running: float = 1.0,
    terminal: float = 1.0,
) -> GoalAmong:
    """Be where the sensors would show any one of these: the nearest counts.

    Args:
        images: goal images for an agent with one camera: uint8 ``(height, width, 3)`` each.
        states: goal state vectors.
        texts: goals in words, for agents that perceive the task.
        observations: whole goal observations, by keys. What else is given is joined, one to one.
        distance: measure to use; None for the agent's own.
        running: weight of the distance at each imagined step before the last.
        terminal: weight of the distance at the last.

    Raises:
        ForethoughtError: nothing was given, more of one kind than of another, or both weights are
            zero.
    """
    examples = named_goals(images=images, states=states, texts=texts, observations=observations)
    return GoalAmong(examples=examples, distance=distance, running=running, terminal=terminal)
