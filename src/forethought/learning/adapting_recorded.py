"""Adapting a run to recordings of the world as it is now."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch

from forethought.config import register
from forethought.data.store import Dataset, EpisodeArrays
from forethought.learning.adapting import (
    AdaptingConfig,
    Anchors,
    Learner,
    Transitions,
    Version,
    adaptable,
    errors_of,
    predictor_of,
    put,
    recorded,
    version_of,
)
from forethought.learning.calibrating import CalibrationConfig, arrays_of, calibrate, episodes_for
from forethought.learning.looking import Looking
from forethought.model import Model
from forethought.types import ForethoughtError

LOOKS = 64
"""Transitions that each place of the camera is tried on."""


@register
@dataclass(frozen=True, kw_only=True)
class RecordedAdaptingConfig:
    """How a run is adapted to recordings.

    Attributes:
        adapting: sizes and learning rates; what is said there of steps and time is for acting.
        updates: gradient steps.
        judged_every: gradient steps between judgements on held-out episodes; the best stays.
        held_out: share of the episodes, the latest, that nothing is learned from.
        least: transitions to learn from that there must be.
    """

    adapting: AdaptingConfig = field(default_factory=AdaptingConfig)
    updates: int = 2000
    judged_every: int = 50
    held_out: float = 0.25
    least: int = 50


@dataclass(frozen=True, kw_only=True)
class AdaptingReport:
    """What adapting to recordings came to.

    Attributes:
        before: mean squared error of the run as it was, on held-out recent episodes.
        after: of the run as it is now.
        recorded_before: the same on older recordings, which nothing was trained on.
        recorded_after: what the new one makes of them.
        usual: what was usual on these: an error that is no sign of a change.
        copy: error of "nothing changes" on held-out recent episodes.
        shift: pixels by which pictures are moved before they are encoded.
        updates: gradient steps after which it was best.
        adapted: whether anything was changed: whether held-out error fell.
        episodes: learned from, and held out.
        seconds: that it took.
    """

    before: float
    after: float
    recorded_before: float
    recorded_after: float
    usual: float
    copy: float
    shift: tuple[int, int]
    updates: int
    adapted: bool
    episodes: tuple[int, int]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The report as JSON types."""
        return {**asdict(self), "shift": list(self.shift), "episodes": list(self.episodes)}


def adapt_to(
    model: Model,
    recent: Dataset,
    older: Dataset,
    config: RecordedAdaptingConfig | None = None,
    *,
    told: Callable[[int], None] = lambda updates: None,
) -> tuple[Model, AdaptingReport]:
    """A copy of a model that foresees recent recordings better, where held-out ones say so.

    Calibration follows: where the model had one, the copy is calibrated on the held-out episodes.

    Args:
        model: a trained model; it is left as it is.
        recent: recordings of the world as it is now.
        older: recordings like those it was trained on, for replay; the training data will do, of
            which held-out episodes are taken.
        config: how.
        told: called now and then with the gradient steps taken.

    Raises:
        ForethoughtError: the model cannot be adapted, or the data lack what it needs.
    """
    config, began = config or RecordedAdaptingConfig(), time.perf_counter()
    own = config.adapting
    adapted = adaptable(model, history=own.history, rank=own.rank)
    learn, hold = _split(recent, config.held_out)
    lessons, held = (arrays_of(model, recent, part) for part in (learn, hold))
    anchors = Anchors.of(adapted, episodes_for(model, older), seed=own.seed)
    anchors.tell(predictor_of(adapted))
    before = _error(adapted, held)
    known = float(errors_of(predictor_of(adapted), None, anchors.transitions).mean())
    copied, _ = recorded(adapted, held)
    copy = float((copied.after - copied.latents[:, -1]).square().mean())
    original = version_of(adapted)
    _look(adapted, lessons, anchors, own)
    best, after, updates = _learn(adapted, lessons, held, anchors, config, told)
    if after >= own.margin * before:
        best, after, updates = original, before, 0
    put(adapted, best)
    if model.calibration is not None and best is not original:
        adapted.calibration = calibrate(
            adapted, held, CalibrationConfig(horizon=model.calibration.horizon), seed=own.seed
        )
    kept = float(errors_of(predictor_of(adapted), None, anchors.transitions).mean())
    return adapted, AdaptingReport(
        before=before,
        after=after,
        recorded_before=known,
        recorded_after=kept,
        usual=float(torch.tensor(anchors.usual[0]).exp()),
        copy=copy,
        shift=best.shift,
        updates=updates,
        adapted=best is not original,
        episodes=(len(learn), len(hold)),
        seconds=time.perf_counter() - began,
    )


def _split(recent: Dataset, share: float) -> tuple[Sequence[int], Sequence[int]]:
    """Episodes to learn from, and the latest, to judge by."""
    hold = max(1, round(share * recent.num_episodes))
    if recent.num_episodes - hold < 1:
        raise ForethoughtError(
            f"{recent.path}: {recent.num_episodes} episode(s); adapting takes two or more, one to "
            "learn from and one to judge by."
        )
    return range(recent.num_episodes - hold), range(recent.num_episodes - hold, recent.num_episodes)


def _error(model: Model, arrays: EpisodeArrays) -> float:
    transitions, _ = recorded(model, arrays)
    return float(errors_of(predictor_of(model), None, transitions).mean())


@torch.no_grad()
def _look(model: Model, arrays: EpisodeArrays, anchors: Anchors, config: AdaptingConfig) -> None:
    """Moves pictures back, where they look strange and then do so less."""
    predictor, original = predictor_of(model), version_of(model)

    def seen_from(shift: tuple[int, int]) -> Transitions:
        put(model, replace(original, shift=shift))
        return recorded(model, arrays, number=LOOKS, seed=config.seed)[0]

    far = float(anchors.unlike(seen_from(original.shift).after).mean())
    if not (model.signature.cameras and config.camera_range) or far <= anchors.likeness:
        return
    looking = Looking(config.camera_range, original.shift)
    while (shift := looking.next()) is not None:
        looking.found(shift, anchors.strangeness(predictor, seen_from(shift)))
    shift, strange = looking.best()
    better = strange < config.margin * looking.distances[original.shift]
    put(model, replace(original, shift=shift) if better else original)


def _learn(
    model: Model,
    lessons: EpisodeArrays,
    held: EpisodeArrays,
    anchors: Anchors,
    config: RecordedAdaptingConfig,
    told: Callable[[int], None],
) -> tuple[Version, float, int]:
    """The version that is best on held-out episodes, its error, and the steps it took."""
    transitions, (judged, _) = recorded(model, lessons)[0], recorded(model, held)
    if len(transitions) < config.least:
        raise ForethoughtError(
            f"{len(transitions)} transitions to learn from; adapting takes {config.least} or more. "
            "Record longer episodes, or more of them."
        )
    learner, start = Learner(predictor_of(model), anchors, config.adapting), version_of(model)
    best, updates = start, 0
    least = float(learner.errors(judged).mean())
    for step in range(1, config.updates + 1):
        learner.update(transitions)
        if step % config.judged_every == 0:
            told(step)
            error = float(learner.errors(judged).mean())
            if error < least:
                best, least, updates = replace(start, weights=learner.weights()), error, step
    return best, least, updates
