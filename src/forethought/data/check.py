"""What may be wrong with a dataset, found before a model is trained on it.

An error must be mended, a warning should be looked at, a note is worth knowing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

import numpy as np
from rich.console import Console
from rich.progress import track

from forethought.data.dataset import Dataset
from forethought.data.moments import Moments, Statistics
from forethought.types import ACTION, TASK, Episode, ForethoughtError

FEW_EPISODES = 10
SHORT_ROWS = 10
JUMP_DEVIATIONS = 10.0
FROZEN_SHARE = 0.5
REPEATED_SHARE = 0.1
FLAT_DEVIATION = 1.0
RARE_SHARE = 0.01
SAME_SHARE = 0.95
BOUND_TOLERANCE = 1e-4


class Severity(str, Enum):
    """How bad it is."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that may be wrong.

    Attributes:
        severity: how bad it is.
        key: of the observation or action; empty where the whole dataset is meant.
        episode: the first episode that shows it; None where the whole dataset does.
        message: what was found.
        remedy: what to do.
    """

    severity: Severity
    key: str
    episode: int | None
    message: str
    remedy: str


def check(dataset: Dataset, *, visible: bool = True) -> list[Finding]:
    """Reads every row and lists what may be wrong, the worst first.

    Args:
        dataset: what is checked.
        visible: show progress.
    """
    findings = [*_of_lengths(dataset), *_of_frame_index(dataset), *_of_tasks(dataset)]
    try:
        statistics = dataset.statistics() if dataset.num_episodes else {}
    except ForethoughtError:
        statistics = {}
    findings += _of_constants(dataset, statistics)
    per_episode: list[Finding] = []
    for index in track(
        range(dataset.num_episodes),
        description="checking",
        console=Console(stderr=True),
        disable=not visible,
        transient=True,
    ):
        per_episode += _of_episode(dataset, index, statistics)
    findings += _joined(per_episode)
    findings += _of_balance(dataset)
    order = list(Severity)
    return sorted(findings, key=lambda finding: order.index(finding.severity))


# ------------------------------------------------------------------------------- the whole dataset


def _of_lengths(dataset: Dataset) -> Iterator[Finding]:
    count, lengths = dataset.num_episodes, dataset.lengths
    if count < FEW_EPISODES:
        yield Finding(
            severity=Severity.ERROR if count < 2 else Severity.WARNING,
            key="",
            episode=None,
            message=f"{count} episodes; training needs 2, results mean little below {FEW_EPISODES}",
            remedy="record more, or cut long recordings on import with --episode-length",
        )
    short = np.flatnonzero(lengths < SHORT_ROWS)
    if len(short):
        yield Finding(
            severity=Severity.WARNING,
            key="",
            episode=int(short[0]),
            message=f"{len(short)} episodes of fewer than {SHORT_ROWS} rows, e.g. {short[:5]}",
            remedy="leave them out with --episodes, they are too short for a clip",
        )
    median = float(np.median(lengths)) if count else 0.0
    if count and lengths.max() > 10 * median:
        yield Finding(
            severity=Severity.NOTE,
            key="",
            episode=int(lengths.argmax()),
            message=f"the longest episode has {lengths.max()} rows, the median {median:g}",
            remedy="cut long recordings on import with --episode-length, so that none outweighs",
        )


def _of_frame_index(dataset: Dataset) -> Iterator[Finding]:
    if not dataset.num_episodes:
        return
    expected = np.concatenate([np.arange(length) for length in dataset.lengths])
    try:
        wrong = np.flatnonzero(dataset.frame_index != expected)
    except ForethoughtError:
        # The reading of every episode says which ones are to blame.
        return
    if len(wrong):
        episode = int(np.searchsorted(dataset.lengths.cumsum(), wrong[0], side="right"))
        yield Finding(
            severity=Severity.ERROR,
            key="frame_index",
            episode=episode,
            message=f"{len(wrong)} rows are missing, doubled or out of order",
            remedy="record or import the data again",
        )


def _of_tasks(dataset: Dataset) -> Iterator[Finding]:
    try:
        counts = Counter(dataset.tasks)
    except ForethoughtError:
        return
    if len(counts) < 2:
        return
    task, fewest = min(counts.items(), key=lambda item: item[1])
    if fewest < 0.05 * dataset.num_episodes:
        yield Finding(
            severity=Severity.NOTE,
            key=TASK,
            episode=None,
            message=f"task {task!r} has {fewest} of {dataset.num_episodes} episodes",
            remedy="record more of it if it matters",
        )


def _of_constants(dataset: Dataset, statistics: Statistics) -> Iterator[Finding]:
    for key, moments in statistics.items():
        constant = [i for i, std in enumerate(moments.std) if std == 0]
        if key in dataset.layout.encodings or not constant:
            continue
        named = ", ".join(entry_names(dataset, key, len(moments.std))[i] for i in constant[:5])
        every = len(constant) == len(moments.std)
        yield Finding(
            severity=Severity.WARNING if every or key == ACTION else Severity.NOTE,
            key=key,
            episode=None,
            message=f"{len(constant)} of {len(moments.std)} entries never change: {named}",
            remedy="look whether the sensor is connected; leave it out if it is meant to be so",
        )


def _of_balance(dataset: Dataset) -> Iterator[Finding]:
    """Actions that were hardly ever tried cannot be learned."""
    if not dataset.num_episodes:
        return
    try:
        action = dataset.load(keys=[]).action.numpy()
    except ForethoughtError:
        return
    spec = dataset.signature.action
    if spec.discrete:
        share = np.bincount(action, minlength=spec.num_choices) / len(action)
        rare = [f"{i} ({share[i]:.1%})" for i in np.flatnonzero(share < RARE_SHARE)]
        message = f"choices hardly ever taken: {', '.join(rare)}" if rare else ""
    else:
        same = [float((column == np.median(column)).mean()) for column in action.T]
        names = entry_names(dataset, ACTION, spec.dim)
        idle = [f"{names[i]} ({s:.0%})" for i, s in enumerate(same) if SAME_SHARE < s < 1]
        message = f"nearly always at one value: {', '.join(idle)}" if idle else ""
    if message:
        yield Finding(
            severity=Severity.NOTE,
            key=ACTION,
            episode=None,
            message=message,
            remedy="record behaviour that uses the whole range of actions",
        )


# ------------------------------------------------------------------------------- one episode


def _of_episode(dataset: Dataset, index: int, statistics: Statistics) -> Iterator[Finding]:
    try:
        episode = dataset.episode(index)
    except ForethoughtError as error:
        yield Finding(
            severity=Severity.ERROR,
            key="",
            episode=index,
            message=f"cannot be read: {error}",
            remedy="copy, record or import the dataset again",
        )
        return
    for key, values in _vectors(dataset, episode).items():
        yield from _of_vectors(dataset, key, index, values, statistics.get(key))
    for camera in dataset.layout.encodings:
        yield from _of_frames(camera, index, episode.observation[camera])
    yield from _of_bounds(dataset, index, episode.action)


def _vectors(dataset: Dataset, episode: Episode) -> dict[str, np.ndarray]:
    cameras = dataset.layout.encodings
    vectors = {key: v for key, v in episode.observation.items() if key not in cameras}
    return vectors if dataset.signature.action.discrete else {**vectors, ACTION: episode.action}


def _of_vectors(
    dataset: Dataset, key: str, index: int, values: np.ndarray, moments: Moments | None
) -> Iterator[Finding]:
    if not np.isfinite(values).all():
        yield Finding(
            severity=Severity.ERROR,
            key=key,
            episode=index,
            message="holds NaN or infinite values",
            remedy="cut the episode there, or fill the gap, and record or import it again",
        )
        return
    if moments is None:
        return
    change = np.diff(values.astype(np.float64), axis=0)
    jumps = np.abs(change) > JUMP_DEVIATIONS * np.maximum(moments.change_std, 1e-12)
    # A spike goes and comes back at once; a lasting jump may well be real.
    spikes = jumps[:-1] & jumps[1:] & (change[:-1] * change[1:] < 0)
    if not jumps.any():
        return
    spiked = bool(spikes.any())
    row, entry = np.argwhere(spikes if spiked else jumps)[0]
    yield Finding(
        severity=Severity.WARNING if spiked else Severity.NOTE,
        key=key,
        episode=index,
        message=f"{'spikes' if spiked else 'jumps'} of more than {JUMP_DEVIATIONS:g} deviations",
        remedy=f"look at {entry_names(dataset, key, values.shape[1])[entry]} of episode {index} "
        f"from row {row} on; cut the episode there if the sensor failed",
    )


def _of_frames(camera: str, index: int, images: np.ndarray) -> Iterator[Finding]:
    if images.std() < FLAT_DEVIATION:
        yield Finding(
            severity=Severity.WARNING,
            key=camera,
            episode=index,
            message="every frame is of one plain colour",
            remedy="look whether the camera was covered or off; leave the episode out if it was",
        )
        return
    repeated = (images[1:] == images[:-1]).reshape(len(images) - 1, -1).all(axis=1)
    frozen = _longest_run(repeated) + 1 > max(2, FROZEN_SHARE * len(images))
    if frozen:
        yield Finding(
            severity=Severity.WARNING,
            key=camera,
            episode=index,
            message="the picture stands still for half of the episode or longer",
            remedy="leave the episode out if the camera hung while the robot moved",
        )
    elif repeated.mean() > REPEATED_SHARE:
        yield Finding(
            severity=Severity.NOTE,
            key=camera,
            episode=index,
            message=f"more than {REPEATED_SHARE:.0%} of the frames repeat the one before",
            remedy="if the camera is slower than the rows, import at its rate",
        )


def _of_bounds(dataset: Dataset, index: int, action: np.ndarray) -> Iterator[Finding]:
    spec = dataset.signature.action
    if spec.discrete or not spec.low:
        return
    low, high = np.array(spec.low), np.array(spec.high)
    slack = BOUND_TOLERANCE * np.maximum(high - low, 1e-12)
    outside = (action < low - slack) | (action > high + slack)
    if outside.any():
        entry = int(outside.any(axis=0).argmax())
        name = entry_names(dataset, ACTION, spec.dim)[entry]
        yield Finding(
            severity=Severity.WARNING,
            key=f"{ACTION} {name}",
            episode=index,
            message=f"beyond its bounds {low[entry]:g} to {high[entry]:g}",
            remedy="planning keeps to the bounds; mend them, or what was recorded",
        )


# ------------------------------------------------------------------------------- parts


def entry_names(dataset: Dataset, key: str, width: int) -> list[str]:
    """A name for each entry of a vector; its number where unknown."""
    spec = dataset.signature.action if key == ACTION else dataset.signature.observation[key]
    return list(spec.names) if len(spec.names) == width else [str(i) for i in range(width)]


def _longest_run(flags: np.ndarray) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def _joined(findings: list[Finding]) -> Iterator[Finding]:
    """One finding for all episodes that show the same; it keeps the first one's remedy."""
    same: dict[tuple[Severity, str, str], list[Finding]] = {}
    for finding in findings:
        same.setdefault((finding.severity, finding.key, finding.message), []).append(finding)
    for (severity, key, message), group in same.items():
        first = group[0]
        where = ", ".join(str(finding.episode) for finding in group[:5])
        more = f" and {len(group) - 5} more" if len(group) > 5 else ""
        yield Finding(
            severity=severity,
            key=key,
            episode=first.episode,
            message=f"{message} (episode{'s' if len(group) > 1 else ''} {where}{more})",
            remedy=first.remedy,
        )
