"""A goal policy that follows what it sees: plain behaviour cloning (Pomerleau, 1989).

Where a task is to keep on doing something, as in driving, there is no state to come to. A policy
that was cloned with ``HindsightGoalConfig(current=1.0)`` was only ever told to seek what it saw,
and is told so again when it acts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from forethought.baselines.policies import GoalPolicy, SeekingPolicy
from forethought.types import Decision, Observation


class Following:
    """A policy that acts in ``b`` worlds at once and is told of no goal.

    Args:
        policy: what decides; cloned with goals that are the state itself.
        observation: what each of the worlds shows first, ``(b, ...)`` per key.
        replan_every: world steps of a block that are taken before the next is decided; None for
            all.

    Raises:
        ForethoughtError: the observation does not fit, or ``replan_every`` is no part of a block.
    """

    def __init__(
        self, policy: GoalPolicy, observation: Observation, *, replan_every: int | None = None
    ) -> None:
        self._seeking = SeekingPolicy(policy, observation, replan_every=replan_every)

    def reset(self) -> None:
        """Forgets the episode."""
        self._seeking.reset()

    def act_batch(self, observation: Mapping[str, Any]) -> Decision:
        """The next action of every agent, from observations ``(b, ...)`` per key.

        Raises:
            ForethoughtError: a key is missing, or has another shape or type.
        """
        self._seeking.seek(observation)
        return self._seeking.act_batch(observation)
