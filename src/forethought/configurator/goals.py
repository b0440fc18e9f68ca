"""What a task may ask for: goals that are shown, and goals on the way."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from forethought.cost.region import RegionGoal
from forethought.types import ForethoughtError, Observation


@dataclass(frozen=True, kw_only=True, eq=False)
class ShownGoal:
    """A goal as the sensors would show it, or in words; how it is sought is for the model's recipe
    to say.

    Attributes:
        observation: it, by keys, as :func:`forethought.cost.shown.named_goal` makes it.
    """

    observation: Observation


class Overdue(Enum):
    """What is done when a goal was not reached in its time."""

    NEXT = "next"
    """Goes on to the next goal."""
    STOP = "stop"
    """Stays with it, and goes on to no other."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Leg:
    """A goal on the way, and when it is done with.

    Attributes:
        goal: what is to be reached.
        within: how near to it is near enough, in the agent's own measure; None where that is no
            test of it.
        reached: what some probed quantities must lie between; None where that is no test of it.
        seconds: that it may take; None for no limit.
        overdue: what is done when they are over.

    Raises:
        ForethoughtError: a goal that is shown, without a test of whether it is reached.
    """

    goal: ShownGoal | RegionGoal
    within: float | None = None
    reached: RegionGoal | None = None
    seconds: float | None = None
    overdue: Overdue = Overdue.NEXT

    def __post_init__(self) -> None:
        if isinstance(self.goal, ShownGoal) and self.within is None and self.reached is None:
            raise ForethoughtError(
                "a goal on the way that is shown needs a test of whether it is reached; found "
                "neither `within` (the agent's own distance) nor `reached` (what quantities lie "
                "between)."
            )
