"""Leaving a state, and staying near one: distances that count on one side of a bound only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from forethought.cost.shown import ShownState, named_goal, what_is_shown
from forethought.cost.states import StateCost
from forethought.cost.terms import Sight
from forethought.types import Distance, ForethoughtError, Observation


@dataclass(frozen=True, kw_only=True, eq=False)
class Leave(ShownState):
    """How much nearer to a state one is than asked: one at the state, zero from ``beyond`` on.

    It is a goal, that of being elsewhere: on several levels the highest seeks it.

    Attributes:
        beyond: how far to go, in units of the distance.

    Raises:
        ForethoughtError: a distance that is not positive.
    """

    name: str = "leave"
    beyond: float

    seeks_goal: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beyond <= 0:
            raise ForethoughtError(
                f"leave needs a positive distance to go; found beyond={self.beyond}."
            )

    @property
    def measures(self) -> str:
        """See :class:`forethought.cost.states.StateTerm`."""
        return f"within {self.beyond:g} of the {what_is_shown(self.observation)} to leave"

    def bind_states(self, sight: Sight) -> StateCost:
        """See :class:`forethought.cost.states.StateTerm`."""
        distance_of = self.distance_to_it(sight)
        return lambda latents: torch.relu(1 - distance_of(latents) / self.beyond)


@dataclass(frozen=True, kw_only=True, eq=False)
class KeepNear(ShownState):
    """How much farther from a state one is than allowed; asked on the way to goals, too.

    Attributes:
        within: how far is allowed, in units of the distance.

    Raises:
        ForethoughtError: a negative distance.
    """

    name: str = "near"
    within: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.within < 0:
            raise ForethoughtError(
                f"keep_near needs a distance of zero or more; found within={self.within}."
            )

    @property
    def measures(self) -> str:
        """See :class:`forethought.cost.states.StateTerm`."""
        return f"distance beyond {self.within:g} from the {what_is_shown(self.observation)} to keep"

    def bind_states(self, sight: Sight) -> StateCost:
        """See :class:`forethought.cost.states.StateTerm`."""
        distance_of = self.distance_to_it(sight)
        return lambda latents: torch.relu(distance_of(latents) - self.within)


def leave(
    *,
    beyond: float,
    image: np.ndarray | None = None,
    state: np.ndarray | None = None,
    text: str | None = None,
    words: str | Sequence[str] | None = None,
    observation: Observation | None = None,
    distance: Distance | None = None,
    running: float = 1.0,
    terminal: float = 1.0,
) -> Leave:
    """Be anywhere but near where the sensors would show this: one there, zero from ``beyond`` on.

    Args:
        beyond: how far to go, in units of the distance: model steps, where the agent has a critic.
        image: see :func:`forethought.cost.goal`, as the others.
        state: a state vector.
        text: in words, for agents that perceive the task.
        words: in words, see :func:`forethought.cost.goal`.
        observation: a whole observation, by keys.
        distance: measure to use; None for the agent's own.
        running: weight of each imagined step before the last.
        terminal: weight of the last.

    Raises:
        ForethoughtError: nothing was shown, or the distance is not positive.
    """
    shown = named_goal(image=image, state=state, text=text, words=words, observation=observation)
    return Leave(
        observation=shown, distance=distance, beyond=beyond, running=running, terminal=terminal
    )


def keep_near(
    *,
    within: float,
    image: np.ndarray | None = None,
    state: np.ndarray | None = None,
    text: str | None = None,
    words: str | Sequence[str] | None = None,
    observation: Observation | None = None,
    distance: Distance | None = None,
    running: float = 1.0,
    terminal: float = 1.0,
) -> KeepNear:
    """Go no farther than that from where the sensors would show this: zero within, then distance.

    Args:
        within: how far is free, in units of the distance: model steps, where the agent has a
            critic.
        image: see :func:`forethought.cost.goal`, as the others.
        state: a state vector.
        text: in words, for agents that perceive the task.
        words: in words, see :func:`forethought.cost.goal`.
        observation: a whole observation, by keys.
        distance: measure to use; None for the agent's own.
        running: weight of each imagined step before the last.
        terminal: weight of the last.

    Raises:
        ForethoughtError: nothing was shown, or the distance is negative.
    """
    shown = named_goal(image=image, state=state, text=text, words=words, observation=observation)
    return KeepNear(
        observation=shown, distance=distance, within=within, running=running, terminal=terminal
    )
