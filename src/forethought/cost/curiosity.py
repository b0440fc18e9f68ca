"""The wish to learn: to go where the members of an ensemble disagree about what comes."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from forethought.cost.terms import BoundTerm, CostTerm, Sight
from forethought.types import ForethoughtError, Imagination


@dataclass(frozen=True, kw_only=True, eq=False)
class Curiosity(CostTerm):
    """Disagreement of the ensemble at each imagined step, as a gain.

    What the members never saw they foresee each in its own way, and what is random they foresee
    alike, as its mean: so it leads to what can be learned, not to noise (Sekar et al., 2020).
    """

    name: str = "curiosity"

    @property
    def asks(self) -> str:
        """See :class:`CostTerm`."""
        return "as much disagreement of the ensemble as there is"

    def bind(self, sight: Sight) -> BoundTerm:
        """See :class:`CostTerm`."""

        def gain(imagination: Imagination) -> Float[Tensor, "b n h"]:
            if imagination.spread is None:
                raise ForethoughtError(
                    f"cost term {self.name!r} asks where the members of an ensemble disagree, and "
                    "this world model is a single one. Train with EnsembleConfig as the predictor."
                )
            return -imagination.spread

        return gain


def curiosity() -> Curiosity:
    """Go where the members of an ensemble disagree: to what is not known yet."""
    return Curiosity()
