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
    What more search would have found: by how much it lowers the energy of plans, as a share of what
    lies between doing nothing and the best that was found.

Each is held against its usual range in episodes that succeeded (its median, and the 95th percentile
as the limit), or against limits that are given where too few did. The estimate that is furthest out
of its range names the cause. Where none is out of range, foresight came true and the search left
nothing undone, so that it is the objective that asks for something else: that is told as the
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

ENOUGH = 10
"""Episodes that succeeded, at least, for their range to count."""
GIVEN = {"model": (0.5, 0.9), "objective": (0.1, 0.5), "search": (0.1, 0.4)}
"""What is usual, and the limit, where too few episodes succeeded."""
CLEARLY = 1.0
"""By how much the lengths of two ways differ at least for a pair of moments to count."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Estimates of each failed episode, and their usual range.

    Attributes:
        estimates: by part, ``(b,)``; see the module.
        usual: by part, what is usual, and the limit of its range.
        references: episodes that succeeded behind the ranges; 0 where limits were given.
        verdicts: what each episode's estimates name.
    """

    estimates: Mapping[str, Float[np.ndarray, " b"]]
    usual: Mapping[str, tuple[float, float]]
    references: int
    verdicts: tuple[str, ...]

    def of(self, index: int) -> dict[str, Any]:
        """Those of one episode, as JSON types."""
        numbers = {part: float(value[index]) for part, value in self.estimates.items()}
        known = {part: value if np.isfinite(value) else None for part, value in numbers.items()}
        return {"verdict": self.verdicts[index], **known}

    def to_json(self) -> dict[str, Any]:
        """The ranges, and how often each part is named."""
        return {
            "usual": {part: {"middle": m, "limit": l} for part, (m, l) in self.usual.items()},
            "references": self.references,
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
    enough = reference is not None and len(reference.seeds) >= ENOUGH
    errors = calibration
    if not np.isfinite(errors).any() and reference is not None:
        errors = reference.foreseen.reshape(-1, reference.foreseen.shape[-1])
    found = estimates(log, errors, hold)
    usual = dict(GIVEN)
    if enough:
        assert reference is not None
        for part, values in estimates(reference, errors, hold).items():
            known = values[np.isfinite(values)]
            if len(known) >= ENOUGH:
                middle, limit = np.quantile(known, [0.5, 0.95])
                usual[part] = float(middle), float(max(limit, middle + 1e-3))
    return Evidence(
        estimates=found,
        usual=usual,
        references=len(reference.seeds) if enough and reference is not None else 0,
        verdicts=tuple(
            _named({part: float(values[i]) for part, values in found.items()}, usual)
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
    """What more search adds, of what is to be had, over all searches of an episode."""
    during = log.searched < end
    idle, energy, more = (part[during, index] for part in (log.idle, log.energy, log.more))
    best = np.minimum(more, energy)
    to_be_had = np.maximum(idle, energy) - best
    return float((energy - best).sum() / max(to_be_had.sum(), 1e-12))


def _named(estimates: Mapping[str, float], usual: Mapping[str, tuple[float, float]]) -> str:
    """The part whose estimate is furthest out of its range."""
    out = {
        part: (value - usual[part][0]) / (usual[part][1] - usual[part][0])
        for part, value in estimates.items()
        if np.isfinite(value)
    }
    worst = max(out, key=lambda part: out[part], default=None)
    if worst is not None and out[worst] > 1:
        return worst
    return "none" if "objective" in out else "objective"
