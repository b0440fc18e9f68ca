"""The wish to learn: to go where the members of an ensemble disagree about what comes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from forethought.cost.terms import BoundTerm, CostTerm, Sight
from forethought.types import ForethoughtError, Imagination


@dataclass(frozen=True, kw_only=True, eq=False)
class Curiosity(CostTerm):
    """Disagreement of the ensemble at each imagined step, as a gain.

    What the members never saw they foresee each in its own way, and what is random they foresee
    alike, as its mean: so it leads to what can be learned, not to noise (Sekar et al., 2020).

    Nothing is learned between two steps of an episode, so what was doubtful stays so however long
    one looks at it: an agent that pushes into a corner, beyond which its model knows nothing, would
    do so for ever. With ``looked_at`` a state is worth less the more often an agent has been to its
    like in this episode, or has set out for it (after Badia et al., 2020).

    Attributes:
        enough: disagreement beyond which there is no more to gain; None for no limit. How large it
            is far from all recordings says nothing: there, unknown is unknown.
        looked_at: latents ``(b, m, k, d)`` that each agent has been to or has set out for, asked at
            each search; None for none.
        radius: how far apart latents are alike, as a root mean squared difference.

    Raises:
        ForethoughtError: a limit or a radius that is not above zero.
    """

    name: str = "curiosity"
    enough: float | None = None
    looked_at: Callable[[], Float[Tensor, "b m k d"] | None] = lambda: None
    radius: float = 1.0

    def __post_init__(self) -> None:
        if not self.radius > 0 or not (self.enough is None or self.enough > 0):
            raise ForethoughtError(
                f"cost term {self.name!r} has enough={self.enough} and radius={self.radius}; "
                "expected numbers above zero."
            )

    @property
    def asks(self) -> str:
        """See :class:`CostTerm`."""
        most = "there is" if self.enough is None else f"is worth having, {self.enough:.3g}"
        return f"as much disagreement of the ensemble as {most}"

    def bind(self, sight: Sight) -> BoundTerm:
        """See :class:`CostTerm`."""

        def gain(imagination: Imagination) -> Float[Tensor, "b n h"]:
            if imagination.spread is None:
                raise ForethoughtError(
                    f"cost term {self.name!r} asks where the members of an ensemble disagree, and "
                    "this world model is a single one. Train with EnsembleConfig as the predictor."
                )
            doubt = imagination.spread
            if self.enough is not None:
                doubt = doubt.clamp_max(self.enough) / self.enough
            known = self.looked_at()
            return (
                -doubt if known is None else -doubt / (1 + self._looks(imagination, known)).sqrt()
            )

        return gain

    def _looks(
        self, imagination: Imagination, known: Float[Tensor, "b m k d"]
    ) -> Float[Tensor, "b n h"]:
        """How often each agent has looked at the like of each imagined state."""
        states = imagination.latents[:, :, 1:]
        size = states[0, 0, 0].numel()
        apart = torch.cdist(states.flatten(3).flatten(1, 2), known.flatten(2)) / size**0.5
        looks = (-0.5 * (apart / self.radius).square()).exp().sum(-1)
        return looks.unflatten(1, states.shape[1:3])


def curiosity(
    *,
    enough: float | None = None,
    looked_at: Callable[[], Float[Tensor, "b m k d"] | None] = lambda: None,
    radius: float = 1.0,
) -> Curiosity:
    """Go where the members of an ensemble disagree: to what is not known yet.

    Args:
        enough: disagreement beyond which there is no more to gain, in place of 1 where it is met.
        looked_at: what each agent has looked at already, see :class:`Curiosity`.
        radius: how far apart latents are alike.
    """
    return Curiosity(enough=enough, looked_at=looked_at, radius=radius)
