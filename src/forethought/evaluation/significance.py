"""Is one better than the other? Tests for runs that did the same tasks.

What is asked decides what is drawn anew. Of two runs on the same tasks one may ask whether *these
runs* differ: tasks are drawn anew, and the test is McNemar's, exact. Whether *the ways they were
made* differ is another question, since runs that differ only by their training seed truly differ
too: then runs are drawn anew as well, and there must be several of each (:func:`between_runs`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from forethought.evaluation.statistics import wilson
from forethought.types import ForethoughtError

LEVEL = 0.05
"""Differences whose p value lies below it are called so."""
POWER = 0.8
"""Chance to find a difference, where one is said to be large enough to be found."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How far two sides are apart, second less first.

    Attributes:
        value: the difference.
        low: lower end of its 95 % interval.
        high: upper end.
        p: chance of one as large, either way, were there none.
        episodes: tasks behind it.
    """

    value: float
    low: float
    high: float
    p: float
    episodes: int

    @property
    def differs(self) -> bool:
        """Whether it is called a difference: ``p`` below 0.05."""
        return self.p < LEVEL

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        return asdict(self)


# ------------------------------------------------------------------------------- two runs


def of_two_runs(first: Bool[np.ndarray, " n"], second: Bool[np.ndarray, " n"]) -> Difference:
    """Rates of two runs on the same tasks: McNemar's exact test, and Newcombe's interval.

    The interval is that for paired rates from two Wilson intervals (Newcombe, 1998, method 10),
    which is sound where no task tells the runs apart; a bootstrap would have no width there.
    """
    n = len(first)
    return Difference(
        value=float(second.mean() - first.mean()) if n else math.nan,
        **dict(zip(("low", "high"), _newcombe(first, second), strict=True)),
        p=mcnemar(first, second),
        episodes=n,
    )


def mcnemar(first: Bool[np.ndarray, " n"], second: Bool[np.ndarray, " n"]) -> float:
    """Exact p value, two-sided (McNemar, 1947): among tasks that one run alone solved, each is as
    likely to be the one that did. Never too small, whatever the rates."""
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    apart = only_first + only_second
    if apart == 0:
        return 1.0
    tail = np.exp(_log_binomial(apart, 0.5)[: min(only_first, only_second) + 1]).sum()
    return float(min(1.0, 2 * tail))


def _newcombe(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    n = len(first)
    if n == 0:
        return math.nan, math.nan
    one, two = wilson(first), wilson(second)
    both, neither = int((first & second).sum()), int((~first & ~second).sum())
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    product = both * neither - only_first * only_second
    if product > n / 2:
        product -= n / 2
    elif product >= 0:
        product = 0
    sides = (both + only_first) * (only_second + neither)
    sides *= (both + only_second) * (only_first + neither)
    phi = product / math.sqrt(sides) if sides else 0.0
    # Of the second less the first.
    down = (two.value - two.low, one.high - one.value)
    up = (two.high - two.value, one.value - one.low)
    value = two.value - one.value
    low, high = (math.sqrt(max(0.0, a * a - 2 * phi * a * b + b * b)) for a, b in (down, up))
    return value - low, value + high


def of_means(
    first: Float[np.ndarray, " n"], second: Float[np.ndarray, " n"], *, seed: int = 0
) -> Difference:
    """Means of two runs on the same tasks, by a paired bootstrap.

    The p value is twice the share of resampled differences on the other side of zero.
    """
    gaps = np.asarray(second, float) - np.asarray(first, float)
    n = len(gaps)
    if n == 0:
        return Difference(value=math.nan, low=math.nan, high=math.nan, p=1.0, episodes=0)
    draws = np.random.default_rng(seed).integers(n, size=(4000, n))
    means = gaps[draws].mean(1)
    low, high = np.percentile(means, [2.5, 97.5])
    other_side = 1 + min((means <= 0).sum(), (means >= 0).sum())
    return Difference(
        value=float(gaps.mean()),
        low=float(low),
        high=float(high),
        p=float(min(1.0, 2 * other_side / (len(means) + 1))),
        episodes=n,
    )


def detectable(episodes: int, apart: float) -> float:
    """The least difference of two rates that McNemar's test would most likely have found.

    Args:
        episodes: tasks that both runs do.
        apart: share of tasks that one of them alone solves; more are taken where the difference
            itself takes more.

    Returns:
        The difference found with a chance of 0.8; NaN where none would be.
    """
    for percent in range(1, 101):
        if _power(episodes, percent / 100, max(apart, percent / 100)) >= POWER:
            return percent / 100
    return math.nan


def _power(episodes: int, difference: float, apart: float) -> float:
    """Chance that the test finds a difference, in the direction that it has."""
    found = 0.0
    for number, chance in enumerate(np.exp(_log_binomial(episodes, apart))):
        if chance > 1e-7 and (most := _most_losses(number)) >= 0:
            lost = np.exp(_log_binomial(number, 0.5 - difference / apart / 2))
            found += chance * float(lost[: most + 1].sum())
    return found


@cache
def _most_losses(apart: int) -> int:
    """Of so many tasks that tell two runs apart, the most that the better one may have lost for a
    difference to be called; -1 where none is ever called."""
    if apart == 0:
        return -1
    tails = 2 * np.exp(_log_binomial(apart, 0.5)).cumsum()
    return int((tails < LEVEL).sum()) - 1


def _log_binomial(n: int, rate: float) -> Float[np.ndarray, " n_plus_1"]:
    """Logarithm of the chance of each number of successes among ``n``."""
    rate = min(max(rate, 1e-300), 1 - 1e-16)
    k = np.arange(n + 1)
    steps = np.log(np.arange(1, n + 1))
    factorials = np.concatenate([[0.0], steps.cumsum()])
    chosen = factorials[n] - factorials[k] - factorials[n - k]
    return chosen + k * math.log(rate) + (n - k) * math.log1p(-rate)


# ------------------------------------------------------------------------------- several runs


def between_runs(first: Bool[np.ndarray, "r n"], second: Bool[np.ndarray, "s n"]) -> Difference:
    """Rates of two ways to make runs, from several runs of each on the same tasks.

    Runs and tasks are both taken as drawn from more of their kind: the variance of the difference
    is that of the means over runs, and that of the tasks' differences, with degrees of freedom by
    Welch and Satterthwaite, and Student's distribution. Where a side has a single run, its spread
    is taken to be the other side's. (A two-level bootstrap calls runs that differ only by their
    seed different too often: three runs, drawn anew, spread less than the runs they stand for.)

    Raises:
        ForethoughtError: one run on either side.
    """
    if max(len(first), len(second)) < 2:
        raise ForethoughtError("one run on each side: compare them by of_two_runs.")
    n = first.shape[1]
    one, two = first.mean(1), second.mean(1)
    value = float(two.mean() - one.mean())
    parts = []
    for side, other in ((one, two), (two, one)):
        alike = side if len(side) > 1 else other
        parts.append((float(np.var(alike, ddof=1)) / len(side), len(alike) - 1))
    if n > 1:
        parts.append((float(np.var(second.mean(0) - first.mean(0), ddof=1)) / n, n - 1))
    variance = sum(part for part, _ in parts)
    if variance == 0:
        # Nothing varies, so that one run of each side says all there is: not that nothing could.
        return of_two_runs(first[0], second[0])
    freedom = variance**2 / sum(part**2 / free for part, free in parts)
    error = math.sqrt(variance)
    half = error * student_quantile(freedom)
    return Difference(
        value=value,
        low=value - half,
        high=value + half,
        p=student(abs(value) / error, freedom),
        episodes=n,
    )


def student(t: float, freedom: float) -> float:
    """Chance that Student's t is further from zero than ``t``; 1 degree of freedom or more."""
    angles, within = _student(freedom)
    return float(1 - np.interp(math.atan(t / math.sqrt(freedom)), angles, within))


def student_quantile(freedom: float) -> float:
    """What Student's t exceeds, either way, with a chance of 0.05."""
    angles, within = _student(freedom)
    return math.sqrt(freedom) * math.tan(float(np.interp(1 - LEVEL, within, angles)))


def _student(freedom: float) -> tuple[np.ndarray, np.ndarray]:
    """Chances to lie within angles whose tangent is t over the root of the degrees of freedom:
    their density is a power of the cosine."""
    angles = np.linspace(0.0, math.pi / 2, 4001)
    density = np.cos(angles) ** (freedom - 1)
    mass = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    return angles, mass / mass[-1]


# ------------------------------------------------------------------------------- how often wrong


def resampled_comparisons(
    first: Sequence[Bool[np.ndarray, " n"]],
    second: Sequence[Bool[np.ndarray, " n"]] | None = None,
    *,
    episodes: int,
    runs: int = 1,
    comparisons: int = 200,
    seed: int = 0,
) -> float:
    """How often the test that ``forethought compare`` makes calls two sides different.

    Each comparison draws runs for both sides, and tasks, none of them twice: so many tasks as
    another evaluation would have drawn. (Drawn with replacement, tasks would repeat what chance
    made of them once, and any test would find it.)

    Args:
        first: whether each run solved each task.
        second: the same of another way to make runs; None to compare the first with themselves, as
            runs that differ only by their seed.
        episodes: tasks of a comparison; fewer than there are, or all make the same comparison.
        runs: of each side in a comparison.
        comparisons: how many are made.
        seed: of what is drawn.

    Returns:
        The share that called them different.

    Raises:
        ForethoughtError: too few runs or tasks to draw so.
    """
    pool, other = np.stack(first), None if second is None else np.stack(second)
    needed = 2 * runs if other is None else runs
    least = min(len(pool), len(pool) if other is None else len(other))
    if least < needed or pool.shape[1] < episodes:
        raise ForethoughtError(
            f"{least} runs on {pool.shape[1]} tasks; comparing {runs} a side on {episodes} tasks "
            f"takes {needed} runs and {episodes} tasks or more."
        )
    generator, called = np.random.default_rng(seed), 0
    for _ in range(comparisons):
        tasks = generator.choice(pool.shape[1], episodes, replace=False)
        order = generator.permutation(len(pool))
        one, rest = pool[order[:runs]], pool[order[runs:]]
        two = (rest if other is None else generator.permutation(other))[:runs]
        called += difference(one[:, tasks], two[:, tasks]).differs
    return called / comparisons


def difference(first: Bool[np.ndarray, "r n"], second: Bool[np.ndarray, "s n"]) -> Difference:
    """Of two sides with one run each or several: the test that fits."""
    if len(first) == len(second) == 1:
        return of_two_runs(first[0], second[0])
    return between_runs(first, second)
