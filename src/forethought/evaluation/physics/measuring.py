"""Violation of expectation: of two clips, is the impossible one the more surprising?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8

from forethought.evaluation.physics.quadruplets import Block, Quadruplet
from forethought.evaluation.physics.surprise import Surprise
from forethought.evaluation.statistics import Estimate, auroc, wilson, wilson_of_groups
from forethought.types import ForethoughtError

SAME = 1e-9
"""Surprises that differ by less than this share of themselves are equal."""
VALIDATION = 1 << 24
"""First seed of the clips by which a way to sum up is chosen; the others are tested on."""


class Summary(Enum):
    """How the surprise of a clip is had from that of its moments.

    Garrido et al. (2025) compare pairs by the mean, and judge single clips by the maximum; their
    code gives both for both.
    """

    MEAN = "mean"
    MAX = "max"

    def __call__(self, surprises: Float[np.ndarray, "n m"]) -> Float[np.ndarray, " n"]:
        """One number a clip."""
        return surprises.mean(1) if self is Summary.MEAN else surprises.max(1)


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Matched clips; neighbours in even and odd places share four clips.

    Attributes:
        name: of the block.
        possible: what can happen.
        impossible: what begins the same and cannot go on so.
        groups: which pairs belong together, for sums over sets as IntPhys takes them.
        bare: the same with nothing before what happens; None where there are no such clips.
    """

    name: str
    possible: UInt8[np.ndarray, "n t h w 3"]
    impossible: UInt8[np.ndarray, "n t h w 3"]
    groups: tuple[int, ...]
    bare: Pairs | None = None

    @classmethod
    def of(cls, block: Block, count: int, *, first: int = 0) -> Pairs:
        """So many pairs of a block, from a seed on.

        Raises:
            ForethoughtError: no pairs, or half a quadruplet, are asked for.
        """
        if count < 2 or count % 2 or first % 2:
            raise ForethoughtError(
                f"{count} pairs from seed {first}: pairs come by twos, which share four clips; "
                "ask for an even number of at least 2."
            )
        sets = [block.quadruplet(seed) for seed in range(first // 2, (first + count) // 2)]
        bare = [one.bare for one in sets if one.bare]
        return _stacked(block.name, sets, _stacked(block.name, bare) if bare else None)


def _stacked(name: str, sets: Sequence[Quadruplet], bare: Pairs | None = None) -> Pairs:
    return Pairs(
        name=name,
        possible=np.stack([clip for one in sets for clip in one.possible]),
        impossible=np.stack([clip for one in sets for clip in one.impossible]),
        groups=tuple(number // 2 for number in range(2 * len(sets))),
        bare=bare,
    )


@dataclass(frozen=True, kw_only=True)
class BlockResult:
    """How well possible and impossible clips of a block are told apart.

    Attributes:
        name: of the block.
        pairs: share of the pairs whose impossible clip surprises more, by summary; the interval
            heeds that pairs of a set share their clips.
        sets: share of the sets of matched clips whose impossible ones together surprise more: the
            relative score of IntPhys.
        single: chance that an impossible clip surprises more than a possible one of any pair.
        surprises: of the possible and of the impossible clips, moment by moment.
    """

    name: str
    pairs: Mapping[str, Estimate]
    sets: Mapping[str, Estimate]
    single: Mapping[str, float]
    surprises: tuple[Float[np.ndarray, "n m"], Float[np.ndarray, "n m"]] = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """The figures as JSON types."""
        return {
            "block": self.name,
            "pairs": {name: one.to_json() for name, one in self.pairs.items()},
            "sets": {name: one.to_json() for name, one in self.sets.items()},
            "single_auroc": dict(self.single),
        }


def measure(surprise: Surprise, pairs: Pairs) -> BlockResult:
    """Tells the clips of a block apart by surprise.

    Args:
        surprise: of a model, or a control.
        pairs: the clips.
    """
    found = surprise(pairs.possible), surprise(pairs.impossible)
    groups = np.asarray(pairs.groups)
    by_pair, by_set, single = {}, {}, {}
    for summary in Summary:
        possible, impossible = (summary(one) for one in found)
        by_pair[summary.value] = wilson_of_groups(more(impossible, possible), groups)
        sums = [
            np.bincount(groups, weights=one, minlength=groups.max() + 1)
            for one in (impossible, possible)
        ]
        by_set[summary.value] = wilson(more(*sums))
        single[summary.value] = auroc(impossible, possible)
    return BlockResult(name=pairs.name, pairs=by_pair, sets=by_set, single=single, surprises=found)


def more(first: Float[np.ndarray, " n"], second: Float[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Where the first is more than the second; every other one of the equal pairs counts as such.

    Who cannot tell two clips apart guesses, and is right half of the time.
    """
    apart = first - second
    equal = np.abs(apart) <= SAME * np.maximum(np.abs(first), np.abs(second))
    guessed = np.zeros(len(first), bool)
    guessed[np.flatnonzero(equal)[::2]] = True
    return np.where(equal, guessed, apart > 0)


def pairs_of(blocks: Sequence[Block], count: int, *, first: int = 0) -> Iterator[Pairs]:
    """The clips of several blocks, one block after the other, since they are many."""
    for block in blocks:
        yield Pairs.of(block, count, first=first)


def choose(
    surprises: Mapping[str, Surprise], blocks: Sequence[Block], *, count: int = 60
) -> tuple[str, Summary, dict[str, float]]:
    """The surprise and the summary that tell validation clips apart best, over all blocks.

    Test clips are of other seeds, and are not looked at.

    Args:
        surprises: candidates, by name.
        blocks: on which they are compared.
        count: pairs of each block.

    Returns:
        The name of the surprise, the summary, and the mean accuracy of each choice there was.
    """
    found: dict[tuple[str, Summary], list[float]] = {}
    for pairs in pairs_of(blocks, count, first=VALIDATION):
        for name, surprise in surprises.items():
            result = measure(surprise, pairs)
            for summary in Summary:
                found.setdefault((name, summary), []).append(result.pairs[summary.value].value)
    means = {key: float(np.mean(values)) for key, values in found.items()}
    best = max(means, key=lambda key: means[key])
    return best[0], best[1], {f"{name}, {kind.value}": one for (name, kind), one in means.items()}
