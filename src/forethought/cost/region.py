"""Goals that are regions: what some probed quantities are to lie between."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from forethought.cost.probed import quantities_of
from forethought.cost.states import StateCost, StateTerm
from forethought.cost.terms import Sight
from forethought.types import ForethoughtError


@dataclass(frozen=True, kw_only=True, eq=False)
class RegionGoal(StateTerm):
    """Distance of some quantities from a region: zero inside, the others are free.

    Attributes:
        bounds: least and largest value of each quantity, in their unit; None where it is open.
            Those of one region are alike in unit.

    Raises:
        ForethoughtError: no bounds, or a least value above the largest.
    """

    name: str = "region"
    bounds: Mapping[str, tuple[float | None, float | None]]

    seeks_goal: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.bounds:
            raise ForethoughtError(
                "a region needs the bounds of one quantity or more, such as "
                "{'position.x': (10, 20)}; found none."
            )
        for name, (low, high) in self.bounds.items():
            if low is not None and high is not None and low > high:
                raise ForethoughtError(
                    f"the region's bounds of {name!r} are {low} and {high}; give the least first."
                )

    @property
    def measures(self) -> str:
        """See :class:`StateTerm`."""
        sides = (
            " <= ".join(str(part) for part in (low, name, high) if part is not None)
            for name, (low, high) in self.bounds.items()
        )
        return f"distance to {', '.join(sides)}"

    def bind_states(self, sight: Sight) -> StateCost:
        """See :class:`StateTerm`."""
        names = tuple(self.bounds)
        lows = [-math.inf if low is None else low for low, _ in self.bounds.values()]
        highs = [math.inf if high is None else high for _, high in self.bounds.values()]

        def distance_of(latents: Float[Tensor, "b n h k d"]) -> Float[Tensor, "b n h"]:
            found = quantities_of(sight, latents, names)
            short = torch.relu(found.new_tensor(lows) - found)
            over = torch.relu(found - found.new_tensor(highs))
            return torch.linalg.vector_norm(short + over, dim=-1)

        return distance_of


def region_goal(
    bounds: Mapping[str, tuple[float | None, float | None]],
    *,
    running: float = 1.0,
    terminal: float = 1.0,
) -> RegionGoal:
    """Be in a region, e.g. ``{"position.x": (10, 20), "position.y": (None, 30)}``.

    Args:
        bounds: least and largest value of each probed quantity, in their unit; None where open.
        running: weight of the distance at each imagined step before the last.
        terminal: weight of the distance at the last.

    Raises:
        ForethoughtError: no bounds, a least value above the largest, or both weights are zero.
    """
    return RegionGoal(bounds=bounds, running=running, terminal=terminal)
