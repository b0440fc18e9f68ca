"""Whose failure it was, from how often an episode succeeds with parts of the agent replaced.

A *mend* is a replacement of parts with which an episode succeeds in at least half of its re-runs.
The verdict on a failed episode is one of:

``luck``
    The agent as it is mends it: with other noise in its search it succeeds.
``model``, ``objective``, ``search``
    The one part whose replacement mends it. Where several would do so by themselves, or none does
    without another, the one of them that counts for most by its Shapley value (Shapley, 1953): the
    average of what replacing it adds to success, over all orders in which parts may be replaced.
``several``
    The same, where Shapley values do not tell them apart.
``none``
    Nothing mends it, not even all parts together: it cannot be done within the budget, or by these
    actions, or the failure is of another part: of perception, of memory, or of a horizon too short.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import factorial

import numpy as np
from jaxtyping import Float

from forethought.evaluation.statistics import Estimate, bootstrap_mean

PARTS = ("model", "objective", "search")
VERDICTS = (*PARTS, "several", "none", "luck")
MENDED = 0.5
"""Share of the re-runs of an episode that succeed where it counts as mended."""
APART = 0.1
"""By how much Shapley values differ at least where they tell parts apart."""

Rates = Mapping[tuple[str, ...], Float[np.ndarray, " e"]]
"""By the parts replaced, the share of its re-runs in which each episode succeeded."""


def subsets(parts: Sequence[str]) -> list[tuple[str, ...]]:
    """All sets of parts, the empty one first, smaller ones before larger ones."""
    found: list[tuple[str, ...]] = [()]
    for part in parts:
        found += [(*one, part) for one in found]
    return sorted(found, key=len)


def shapley(rates: Rates, parts: Sequence[str]) -> dict[str, Float[np.ndarray, " e"]]:
    """What replacing each part adds to success, averaged over all orders of replacing them.

    They add up to what replacing all of them adds.

    Args:
        rates: of every set of parts, each in the order of ``parts``.
        parts: that were replaced.
    """
    count = len(parts)
    values = {}
    for part in parts:
        value = np.zeros_like(rates[()])
        for others in (one for one in rates if part not in one):
            joined = tuple(one for one in parts if one in (*others, part))
            orders = factorial(len(others)) * factorial(count - len(others) - 1)
            value = value + orders / factorial(count) * (rates[joined] - rates[others])
        values[part] = value
    return values


def verdicts(rates: Rates, parts: Sequence[str]) -> list[str]:
    """One of :data:`VERDICTS` for each episode; see the module."""
    values = shapley(rates, parts)
    return [
        _verdict(
            {replaced: float(rate[i]) for replaced, rate in rates.items()},
            {part: float(value[i]) for part, value in values.items()},
        )
        for i in range(len(rates[()]))
    ]


def _verdict(rates: Mapping[tuple[str, ...], float], values: Mapping[str, float]) -> str:
    mends = [replaced for replaced, rate in rates.items() if rate >= MENDED]
    if not mends:
        return "none"
    fewest = min(len(replaced) for replaced in mends)
    if fewest == 0:
        return "luck"
    blamed = {part for replaced in mends if len(replaced) == fewest for part in replaced}
    ranked = sorted(blamed, key=lambda part: -values[part])
    if len(ranked) > 1 and values[ranked[0]] - values[ranked[1]] < APART:
        return "several"
    return ranked[0]


@dataclass(frozen=True, kw_only=True)
class Shares:
    """What failures are of.

    Attributes:
        named: the share of the failed episodes with each verdict, those of which there is any.
        values: mean Shapley value of each part that was replaced, over the failed episodes that are
            not luck: what replacing it adds to success.
    """

    named: Mapping[str, Estimate]
    values: Mapping[str, Estimate]

    @classmethod
    def of(cls, rates: Rates, parts: Sequence[str]) -> Shares:
        """Of all failed episodes; intervals by bootstrap over episodes."""
        said = np.array(verdicts(rates, parts))
        steady = said != "luck"
        return cls(
            named={
                verdict: bootstrap_mean((said == verdict).astype(float))
                for verdict in VERDICTS
                if (said == verdict).any()
            },
            values={
                part: bootstrap_mean(value[steady]) for part, value in shapley(rates, parts).items()
            },
        )
