"""Fear in costs and guardrails: what is beyond the horizon counts as well.

A plan ends, the world does not. What a fear (:mod:`forethought.cost.fear`) foretells from the last
imagined state on is added to the energy, or must stay within a limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from forethought.cost.constraints import Constraint, Encode
from forethought.cost.course import Course, Reader
from forethought.cost.fear import Fear
from forethought.cost.sight import Sight
from forethought.cost.terms import BoundTerm, CostTerm
from forethought.types import ForethoughtError, Imagination


@dataclass(frozen=True, kw_only=True, eq=False)
class Anticipated(CostTerm):
    """Future cost from the last imagined state on, discounted to the present.

    ``discount**h`` times what the fear foretells there, and nothing at the steps before: those are
    for the terms that the fear was learned from.

    Attributes:
        fear: what foretells it.
        quantile: whether its upper quantile counts, in place of what is expected.
    """

    fear: Fear
    quantile: bool = False

    def bind(self, sight: Sight) -> BoundTerm:
        """See :class:`CostTerm`."""
        read = _reader(self.fear, upper=self.quantile)

        def anticipated_of(imagination: Imagination) -> Float[Tensor, "b n h"]:
            horizon = imagination.actions.shape[2]
            passed = self.fear.config.discount ** (horizon * sight.steps)
            to_come = passed * read(imagination.latents[:, :, -1])
            return torch.nn.functional.pad(to_come[..., None], (horizon - 1, 0))

        return anticipated_of


@dataclass(frozen=True, kw_only=True, eq=False)
class FearLimit(Constraint):
    """What a fear foretells stays below a bound.

    The fear is read from latents, foreseen and seen alike, so calibration widens the limit by what
    foresight is wrong by; that the fear itself is right, its own report has to say.

    Attributes:
        fear: what foretells it.
        below: largest discounted future cost, in the unit of the cost.
        quantile: whether its upper quantile is meant, in place of what is expected.
    """

    fear: Fear
    below: float
    quantile: bool = True

    @property
    def quantities(self) -> tuple[str, ...]:
        """See :class:`Constraint`."""
        return (f"{'fear' if self.quantile else 'expectation'} of {self.fear.name}",)

    def margin(self, course: Course) -> Float[Tensor, "*batch s_minus_1"]:
        """See :class:`Constraint`; in the unit of the cost."""
        return self.below - course[self.quantities[0]][..., 1:]

    def readers(self, encode: Encode) -> Mapping[str, Reader]:
        """See :class:`Constraint`."""
        return {self.quantities[0]: _reader(self.fear, upper=self.quantile)}

    def __str__(self) -> str:
        return f"{self.quantities[0]} < {self.below:g}"


def _reader(fear: Fear, *, upper: bool) -> Reader:
    """One of the two figures of a fear, wherever the latents are."""

    def read(latents: Float[Tensor, "*batch k d"]) -> Float[Tensor, "*batch"]:
        there = fear.to(latents.device)
        return there.upper(latents) if upper else there.mean(latents)

    return read


def anticipated(
    fear: Fear, *, weight: float = 1.0, quantile: bool = False, name: str | None = None
) -> Anticipated:
    """The cost beyond the horizon, as a fear foretells it.

    Args:
        fear: see :func:`forethought.cost.load_fear`.
        weight: factor in the energy.
        quantile: count its upper quantile, in place of what is expected.
        name: how plans and tables call it; None for the name of the fear.
    """
    return Anticipated(
        name=name or f"anticipated {fear.name}", weight=weight, fear=fear, quantile=quantile
    )


def fear_limit(fear: Fear, *, below: float, quantile: bool = True) -> FearLimit:
    """Stay where the future, at worst, costs less than so much.

    Args:
        fear: see :func:`forethought.cost.load_fear`.
        below: largest discounted future cost, in the unit of the cost.
        quantile: ask it of the fear's upper quantile, or else of what is expected.

    Raises:
        ForethoughtError: a bound that no future could meet.
    """
    if not below > 0:
        raise ForethoughtError(
            f"fear_limit: below is {below:g}, and future cost is foretold as zero or more; give a "
            "positive number."
        )
    return FearLimit(fear=fear, below=below, quantile=quantile)
