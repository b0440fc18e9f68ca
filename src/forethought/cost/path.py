"""A path of sub-goals: what is left of it from any state, told without memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from forethought.cost.shown import named_goals, shown_states
from forethought.cost.states import StateCost, StateTerm, beside, weigh_steps
from forethought.cost.terms import BoundTerm, Sight
from forethought.types import Distance, ForethoughtError, Imagination, Observation


@dataclass(frozen=True, kw_only=True, eq=False)
class Follow(StateTerm):
    """How far it is to the end of a path of sub-goals, by way of those that are still to come.

    A state lies on the leg between two sub-goals as far as going by it makes no detour from one to
    the other. What a state costs is the least of: to the first sub-goal, and on along all of them;
    and for each leg, to its end and on, and the detour times ``stray``. (To the nearest sub-goal
    and on would not do: by the triangle law the last of them is no farther than that from
    anywhere.) In the course of a plan what is left of the way falls by no more than the way that is
    made: who cuts across has not come by what was cut off.

    Attributes:
        path: sub-goals in their order, as the sensors would show them; each is one for all agents,
            or ``(b, ...)``.
        distance: measure to use; None for the agent's own.
        stray: how much dearer a step off the path is than one along it. At 3, corners sharper than
            60 degrees are cut, and loops where the way across is less than a quarter of that
            round; higher keeps to them, and is more easily misled where distances err.

    Raises:
        ForethoughtError: an empty path, or a negative price.
    """

    name: str = "path"
    path: tuple[Mapping[str, np.ndarray], ...]
    distance: Distance | None = None
    stray: float = 3.0

    seeks_goal: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.path or self.stray < 0:
            raise ForethoughtError(
                "follow needs one sub-goal or more, and a price of zero or more; found "
                f"{len(self.path)} and stray={self.stray}."
            )

    @property
    def measures(self) -> str:
        """See :class:`StateTerm`."""
        return f"what is left of a path of {len(self.path)}, straying at {self.stray:g}"

    def bind_states(self, sight: Sight) -> StateCost:
        """See :class:`StateTerm`.

        Raises:
            ForethoughtError: a sub-goal lacks a key that the agent perceives, or they are for
                different numbers of worlds.
        """
        ways = self._ways(sight)
        return lambda latents: torch.stack(ways(latents)).sum(0).amin(0)

    def bind(self, sight: Sight) -> BoundTerm:
        """See :class:`CostTerm`."""
        ways, distance = self._ways(sight), self.distance or sight.distance

        def cost_of(imagination: Imagination) -> Float[Tensor, "b n h"]:
            latents = imagination.latents
            left, strayed = ways(latents)
            best = (left + strayed).argmin(0, keepdim=True)
            made = distance(latents[:, :, :-1], latents[:, :, 1:]).cumsum(2)
            made = torch.nn.functional.pad(made, (1, 0))
            # The larger of what is left from here, and what was before less the step from there.
            left = (left.gather(0, best)[0] + made).cummax(2).values - made
            cost = left + strayed.gather(0, best)[0]
            return weigh_steps(cost[:, :, 1:], self.running, self.terminal)

        return cost_of

    def _ways(self, sight: Sight) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
        """For each way on to the end: what is left by it, and what straying from it costs."""
        points = shown_states(self.path, sight)
        distance = self.distance or sight.distance
        with torch.no_grad():
            legs = [distance(start, end)[:, None, None] for start, end in pairwise(points)]
        # What is left from each point on.
        rests = list(accumulate(reversed(legs), initial=points[0].new_zeros(1, 1, 1)))[::-1]

        def ways(
            latents: Float[Tensor, "b n h k d"],
        ) -> tuple[Float[Tensor, "w b n h"], Float[Tensor, "w b n h"]]:
            to_first = distance(latents, beside(points[0], latents))
            left, strayed = [to_first + rests[0]], [torch.zeros_like(to_first)]
            for (start, end), leg, rest in zip(pairwise(points), legs, rests[1:], strict=True):
                from_start = distance(beside(start, latents), latents)
                to_end = distance(latents, beside(end, latents))
                left.append(to_end + rest)
                strayed.append(self.stray * torch.relu(from_start + to_end - leg))
            return torch.stack(left), torch.stack(strayed)

        return ways


def follow(
    *,
    images: Iterable[np.ndarray] = (),
    states: Iterable[np.ndarray] = (),
    texts: Iterable[str] = (),
    observations: Iterable[Observation] = (),
    distance: Distance | None = None,
    stray: float = 3.0,
    running: float = 1.0,
    terminal: float = 1.0,
) -> Follow:
    """Come to each of these in their order, and to the last to stay.

    Args:
        images: for an agent with one camera: uint8 ``(height, width, 3)`` each.
        states: state vectors.
        texts: in words, for agents that perceive the task.
        observations: whole observations, by keys. What else is given is joined, one to one.
        distance: measure to use; None for the agent's own.
        stray: how much dearer a step off the path is than one along it.
        running: weight of each imagined step before the last.
        terminal: weight of the last.

    Raises:
        ForethoughtError: nothing was given, or more of one kind than of another.
    """
    path = named_goals(images=images, states=states, texts=texts, observations=observations)
    return Follow(path=path, distance=distance, stray=stray, running=running, terminal=terminal)
