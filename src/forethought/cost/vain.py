"""What was tried in vain, as a cost: steps that did not come about are not set out for again.

A world model errs in places, and a search finds them: it believes that one wall lets it through,
and pushes against it for ever. An agent with an account of its attempts (``Agent(attempts=...)``)
knows better after the first time.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from forethought.cost.critic import Embedding
from forethought.cost.terms import BoundTerm, CostTerm, Sight
from forethought.types import ForethoughtError, Imagination


@dataclass(frozen=True, kw_only=True, eq=False)
class InVain(CostTerm):
    """One for each imagined step at or after one that is like a step tried in vain.

    Attributes:
        alike: how near, in model steps, a step must begin and end to one tried in vain to count as
            the same; well below one, or standing still would count as what was aimed at.
    """

    name: str = "in vain"
    weight: float = 30.0
    alike: float = 0.6

    @property
    def asks(self) -> str:
        """See :class:`CostTerm`."""
        return f"steps from one on that is within {self.alike:g} of one tried in vain"

    def bind(self, sight: Sight) -> BoundTerm:
        """See :class:`CostTerm`.

        Raises:
            ForethoughtError: the agent's distance does not embed.
        """
        metric = sight.distance
        if not isinstance(metric, Embedding):
            raise ForethoughtError(
                "avoid_vain needs an agent whose critic embeds, such as MetricDistanceConfig; "
                "leave it out with this one."
            )

        def vain(imagination: Imagination) -> Float[Tensor, "b n h"]:
            cost = torch.zeros_like(imagination.actions[..., 0])
            for number, pairs in enumerate(sight.in_vain()):
                if len(pairs):
                    tried = metric.embed(pairs)
                    cost[number] = self._of_one(metric.embed(imagination.latents[number]), tried)
            return cost

        return vain

    def _of_one(
        self, places: Float[Tensor, "n h_plus_1 e"], tried: Float[Tensor, "m 2 e"]
    ) -> Float[Tensor, "n h"]:
        near = [
            torch.cdist(ends, tried[:, side].expand(len(ends), -1, -1)) < self.alike
            for side, ends in enumerate((places[:, :-1], places[:, 1:]))
        ]
        like = (near[0] & near[1]).any(-1)
        # From a step on that will not come about, nothing comes about as imagined.
        return (like.cumsum(1) > 0).to(places)


def avoid_vain(*, weight: float = 30.0, alike: float = 0.6) -> InVain:
    """Leave alone what was tried in vain; for agents that keep an account of their attempts.

    Args:
        weight: price of each step from such a one on; larger than what a goal can cost.
        alike: see :class:`InVain`.
    """
    return InVain(weight=weight, alike=alike)
