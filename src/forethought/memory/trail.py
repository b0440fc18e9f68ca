"""The trail: where an agent has been of late, and what it did there."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Trail:
    """The latest latents of ``b`` agents, one for each world step; seeing returns a new trail.

    Attributes:
        length: world steps that are remembered.
        latents: ``(b, k, d)`` each, oldest first; the last is the present.
        actions: ``(b, c)`` each, what was done after each of them, as vectors; after the last only
            once it is done.
    """

    length: int
    latents: tuple[Float[Tensor, "b k d"], ...] = ()
    actions: tuple[Float[Tensor, "b c"], ...] = ()

    def see(self, latents: Float[Tensor, "b k d"]) -> Trail:
        """The trail after coming to a state."""
        return replace(self, latents=(*self.latents, latents)[-self.length - 1 :])

    def do(self, action: Float[Tensor, "b c"]) -> Trail:
        """The trail after acting in the present."""
        return replace(self, actions=(*self.actions, action)[-self.length :])

    @property
    def steps(self) -> int:
        """World steps that are remembered at present."""
        return min(len(self.latents) - 1, len(self.actions))

    def before_acting(self) -> Trail:
        """The trail as it was before the present was acted in."""
        return replace(self, actions=self.actions[:-1])

    def since(self, steps: int) -> tuple[Float[Tensor, "b s_plus_1 k d"], Float[Tensor, "b s c"]]:
        """The latents of the latest ``steps + 1`` moments, and the actions between them."""
        states = torch.stack(self.latents[-steps - 1 :], dim=1)
        return states, torch.stack(self.actions[-steps:], dim=1)
