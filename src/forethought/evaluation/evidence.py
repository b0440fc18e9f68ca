"""What failed episodes themselves tell of what went wrong, without running them otherwise.

Three estimates for each, none of which needs a simulator:

``model``
    How far off foresight was along the way: of every moment, what the model foresees under the
    actions that followed, against what came. It is told as the share of held-out errors that lie
    below, so many model steps ahead, averaged over the moments: 0.5 is as foresight always is.
``objective``
    Whether what was nearer was judged worse: over pairs of moments, the share in which the one from
    which the way is shorter had the higher energy. It takes the true length of the way, as it may
    be known of recordings as well; NaN where nobody knows it.
``search``
    What more search would have found: by how much it lowers the energy of plans, in the mean, as a
    share of the most that any plan of the episode had to gain over doing nothing.

What is usual and what is out of range (:data:`RANGES`) was set by agents that succeed and by
failures that were planted (``make bench NAME=attribution``); what they are in this agent's own
episodes that succeeded is told beside. A model out of its range is named first, since what a search
finds and where an agent comes to are of no account where it foresees wrongly; of the other two, the
one that is further out of its range. Where none is out of range, foresight came true and the search
left little undone, so that it is the objective that asks for something else: that is told as the
objective where the true length of the way is unknown, and as ``none`` where it is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from forethought.evaluation.blame import PARTS
from forethought.evaluation.episode_log import EpisodeLog

RANGES = {"model": (0.5, 0.95), "objective": (0.0, 0.25), "search": (0.0, 0.25)}
"""Of each estimate what is usual, and the limit beyond which it is out of range."""
CLEARLY = 1.0
"""By how much the lengths of two ways differ at least for a pair of moments to count."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Estimates of each failed episode, beside those of episodes that succeeded.

    Attributes:
        estimates: by part, ``(b,)``; see the module.
        references: by part, the same of episodes that succeeded.
        verdicts: what each failed episode's estimates name.
    """

    estimates: Mapping[str, Float[np.ndarray, " b"]]
    references: Mapping[str, Float[np.ndarray, " r"]]
    verdicts: tuple[str, ...]

    def of(self, index: int) -> dict[str, Any]:
        """Those of one episode, as JSON types."""
        numbers = {part: float(value[index]) for part, value in self.estimates.items()}
        known = {part: value if np.isfinite(value) else None for part, value in numbers.items()}
        return {"verdict": self.verdicts[index], **known}

    def to_json(self) -> dict[str, Any]:
        """The ranges, the medians on either side, and how often each part is named."""
        return {
            "ranges": {part: list(RANGES[part]) for part in PARTS},
            "failed": {part: _median(self.estimates[part]) for part in PARTS},
            "succeeded": {part: _median(self.references[part]) for part in PARTS},
            "named": {name: self.verdicts.count(name) for name in sorted(set(self.verdicts))},
        }


def weigh(
    log: EpisodeLog,
    reference: EpisodeLog | None,
    calibration: Float[np.ndarray, "m j"],
    *,
    hold: int = 1,
) -> Evidence:
    """What failed episodes tell.

    Args:
        log: of the failed episodes.
        reference: of episodes that succeeded; None for none.
        calibration: held-out errors of foresight, so many model steps ahead; without any, the
            errors of the episodes that succeeded are the usual ones.
        hold: world steps at the end for which the goal must be kept.
    """
    errors = calibration
    if not np.isfinite(errors).any() and reference is not None:
        errors = reference.foreseen.reshape(-1, reference.foreseen.shape[-1])
    found = estimates(log, errors, hold)
    nothing = {part: np.zeros(0) for part in PARTS}
    return Evidence(
        estimates=found,
        references=nothing if reference is None else estimates(reference, errors, hold),
        verdicts=tuple(
            _named({part: float(values[i]) for part, values in found.items()})
            for i in range(len(log.seeds))
        ),
    )


def estimates(
    log: EpisodeLog, errors: Float[np.ndarray, "m j"], hold: int = 1
) -> dict[str, Float[np.ndarray, " b"]]:
    """The three estimates of every episode, up to where it met its goal."""
    last = _ends(log.met, hold)
    each = [
        {
            "model": _rank(log.foreseen[: end + 1, i], errors),
            "objective": _misjudged(log.worth[: end + 1, i], log.lengths[: end + 1, i]),
            "search": _left(log, i, end),
        }
        for i, end in enumerate(last)
    ]
    return {part: np.array([one[part] for one in each]) for part in PARTS}


def _ends(met: np.ndarray, hold: int) -> np.ndarray:
    """World steps after which episodes are over."""
    first = np.where(met.any(0), met.argmax(0) + 1, len(met))
    return first if hold == 1 else np.full(met.shape[1], len(met))


def _rank(foreseen: Float[np.ndarray, "t j"], errors: Float[np.ndarray, "m j"]) -> float:
    """Share of held-out errors below, mean over moments, at the longest that both reach."""
    known = np.isfinite(foreseen).any(0) & np.isfinite(errors).any(0)
    if not known.any():
        return float("nan")
    step = int(np.flatnonzero(known)[-1])
    usual = np.sort(errors[np.isfinite(errors[:, step]), step])
    own = foreseen[np.isfinite(foreseen[:, step]), step]
    return float((np.searchsorted(usual, own) / len(usual)).mean())


def _misjudged(worth: Float[np.ndarray, " t"], lengths: Float[np.ndarray, " t"]) -> float:
    """Share of clear pairs of moments in which what is nearer has the higher energy."""
    nearer = lengths[:, None] < lengths[None] - CLEARLY
    if not nearer.any():
        return float("nan")
    return float((worth[:, None] > worth[None])[nearer].mean())


def _left(log: EpisodeLog, index: int, end: int) -> float:
    """What more search adds, of the most that there was to be had, over the searches of an
    episode."""
    during = log.searched < end
    idle, energy, more = (part[during, index] for part in (log.idle, log.energy, log.more))
    most = float((np.maximum(idle, energy) - more).max())
    return float((energy - more).mean() / max(most, 1e-12))


def _median(values: np.ndarray) -> float | None:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else None


def _named(estimates: Mapping[str, float]) -> str:
    """The part that is out of its range; see the module."""
    out = {
        part: (value - RANGES[part][0]) / (RANGES[part][1] - RANGES[part][0])
        for part, value in estimates.items()
        if np.isfinite(value)
    }
    if out.get("model", 0.0) > 1:
        return "model"
    worst = max(out, key=lambda part: out[part], default=None)
    if worst is not None and out[worst] > 1:
        return worst
    return "none" if "objective" in out else "objective"
