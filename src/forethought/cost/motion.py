"""Costs of how one goes: with what effort, how smoothly, and for how long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from forethought.cost.states import StateTerm
from forethought.cost.terms import BoundTerm, CostTerm, Sight
from forethought.types import ForethoughtError, Imagination


@dataclass(frozen=True, kw_only=True, eq=False)
class Effort(CostTerm):
    """Squared actions, relative to the largest allowed; one is full effort at every step."""

    name: str = "effort"

    judges_actions: ClassVar[bool] = True

    @property
    def asks(self) -> str:
        """See :class:`CostTerm`."""
        return "mean squared action, 1 at full effort"

    def bind(self, sight: Sight) -> BoundTerm:
        """See :class:`CostTerm`."""
        largest = torch.maximum(sight.space.low.abs(), sight.space.high.abs()).clamp_min(1e-9)

        def effort_of(imagination: Imagination) -> Float[Tensor, "b n h"]:
            actions = imagination.actions
            return (actions / largest).square().mean(-1) / actions.shape[2]

        return effort_of


def effort() -> Effort:
    """Mean squared action over the plan, relative to the largest allowed: 0 to 1."""
    return Effort()


@dataclass(frozen=True, kw_only=True, eq=False)
class Smoothness(CostTerm):
    """Squared changes from each world action to the next, relative to the range allowed.

    Changes count within a model step and from one to the next. The first action of a plan is free:
    what was done before it is not known to a term. One is from end to end at every world step.
    """

    name: str = "smoothness"

    judges_actions: ClassVar[bool] = True

    @property
    def asks(self) -> str:
        """See :class:`CostTerm`."""
        return "mean squared change of action, 1 from end to end"

    def bind(self, sight: Sight) -> BoundTerm:
        """See :class:`CostTerm`."""
        block = sight.space.block
        span = (sight.space.high - sight.space.low).clamp_min(1e-9)

        def jerkiness(imagination: Imagination) -> Float[Tensor, "b n h"]:
            steps = (imagination.actions / span).unflatten(-1, (block, -1)).flatten(2, 3)
            changes = steps.diff(dim=2).square().mean(-1)
            of_each = torch.nn.functional.pad(changes, (1, 0)) / max(1, changes.shape[2])
            return of_each.unflatten(2, (-1, block)).sum(-1)

        return jerkiness


def smoothness() -> Smoothness:
    """Mean squared change of action over the plan, relative to the range allowed: 0 to 1."""
    return Smoothness()


@dataclass(frozen=True, kw_only=True, eq=False)
class TimeUntil(CostTerm):
    """Model steps until a goal is met: one for each imagined step before, zero from there on.

    A step counts whole at twice the distance at which the goal is met, and less and less nearer by,
    so that gradient planners see a slope there. Farther off there is none, and a plan that never
    comes near costs its whole length: add the goal itself, which leads there.

    Attributes:
        goal: what is to be met; its weights do not matter.
        within: largest distance at which it is met, in the goal's unit.

    Raises:
        ForethoughtError: a goal that is not about single states, or no positive distance.
    """

    name: str = "time"
    goal: StateTerm
    within: float

    seeks_goal: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not isinstance(self.goal, StateTerm) or self.within <= 0:
            raise ForethoughtError(
                "time_until needs a term about single states, such as goal(...) or "
                f"region_goal(...), and a positive distance; found {type(self.goal).__name__} and "
                f"within={self.within}."
            )

    @property
    def asks(self) -> str:
        """See :class:`CostTerm`."""
        return f"model steps until within {self.within:g} ({self.goal.measures})"

    def bind(self, sight: Sight) -> BoundTerm:
        """See :class:`CostTerm`."""
        distance_of = self.goal.bind_states(sight)

        def steps_of(imagination: Imagination) -> Float[Tensor, "b n h"]:
            distance = distance_of(imagination.latents[:, :, 1:])
            return (distance / self.within - 1).clamp(0, 1).cummin(2).values

        return steps_of


def time_until(goal: StateTerm, *, within: float) -> TimeUntil:
    """Meet a goal soon: the number of imagined model steps before it is met.

    Args:
        goal: what is to be met: ``goal(...)``, ``goal_among(...)``, ``region_goal(...)``...
        within: largest distance at which it is met, in the goal's unit: the agent's own distance
            (model steps, where it has a critic), or that of the quantities.
    """
    return TimeUntil(goal=goal, within=within)
