"""Intervals and rank statistics: a figure without its uncertainty is an anecdote."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

Z_95 = 1.959963984540054


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A figure with its 95 % interval.

    Attributes:
        value: the estimate.
        low: lower end of the interval.
        high: upper end of the interval.
        episodes: episodes (or clips) behind it.
    """

    value: float
    low: float
    high: float
    episodes: int

    def to_json(self) -> dict[str, float]:
        """The estimate as JSON types."""
        return asdict(self)

    def percent(self) -> str:
        """For tables: ``97.5 % (94.3 to 98.9)``."""
        if not self.episodes:
            return "-"
        return f"{100 * self.value:.1f} % ({100 * self.low:.1f} to {100 * self.high:.1f})"


def wilson(successes: Bool[np.ndarray, " n"], *, trials: float | None = None) -> Estimate:
    """A rate with its Wilson score interval (Wilson, 1927), sound near 0 and 1 as well.

    Args:
        successes: of each trial.
        trials: how many independent ones leave as much to chance; all where not said.
    """
    n = len(successes)
    if n == 0:
        return Estimate(value=float("nan"), low=float("nan"), high=float("nan"), episodes=0)
    rate, trials = float(np.mean(successes)), trials or n
    spread = Z_95**2 / trials
    centre = (rate + spread / 2) / (1 + spread)
    half = Z_95 * np.sqrt(rate * (1 - rate) / trials + spread / (4 * trials)) / (1 + spread)
    low = 0.0 if rate == 0 else max(0.0, float(centre - half))
    high = 1.0 if rate == 1 else min(1.0, float(centre + half))
    return Estimate(value=rate, low=low, high=high, episodes=n)


def wilson_of_groups(successes: Bool[np.ndarray, " n"], groups: Int[np.ndarray, " n"]) -> Estimate:
    """A rate of trials that come in groups, such as pairs of clips that share their clips.

    Wilson's interval for as many trials as would leave as much to chance if they were independent
    (the effective size of Kish, 1965): never fewer than there are groups, nor more than trials.
    """
    number = len(np.unique(groups))
    if number < 2:
        return wilson(successes, trials=number or None)
    rate = float(np.mean(successes))
    alone = rate * (1 - rate)
    if alone == 0:
        return wilson(successes, trials=number)
    apart = np.bincount(groups, weights=successes - rate)
    variance = number / (number - 1) * float(np.square(apart).sum()) / len(successes) ** 2
    trials = alone / variance if variance > 0 else len(successes)
    return wilson(successes, trials=float(np.clip(trials, number, len(successes))))


def bootstrap_mean(
    values: Float[np.ndarray, " n"], *, seed: int = 0, num_resamples: int = 2000
) -> Estimate:
    """A mean with its percentile bootstrap interval (Efron, 1979)."""
    n = len(values)
    if n == 0:
        return Estimate(value=float("nan"), low=float("nan"), high=float("nan"), episodes=0)
    draws = np.random.default_rng(seed).integers(n, size=(num_resamples, n))
    low, high = np.percentile(np.asarray(values)[draws].mean(1), [2.5, 97.5])
    return Estimate(value=float(np.mean(values)), low=float(low), high=float(high), episodes=n)


def auroc(positive: Float[np.ndarray, " n"], negative: Float[np.ndarray, " m"]) -> float:
    """Chance that a positive scores above a negative; ties count half (Mann-Whitney)."""
    joined = np.concatenate([positive, negative])
    _, inverse, counts = np.unique(joined, return_inverse=True, return_counts=True)
    rank_of_value = np.cumsum(counts) - (counts - 1) / 2
    ranks = rank_of_value[inverse][: len(positive)]
    wins = ranks.sum() - len(positive) * (len(positive) + 1) / 2
    return float(wins / (len(positive) * len(negative)))


def rank_correlation(first: Float[np.ndarray, " n"], second: Float[np.ndarray, " n"]) -> float:
    """Spearman's rank correlation, ties averaged."""

    def ranks(values: np.ndarray) -> np.ndarray:
        _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
        return (np.cumsum(counts) - (counts - 1) / 2)[inverse]

    return float(np.corrcoef(ranks(first), ranks(second))[0, 1])
