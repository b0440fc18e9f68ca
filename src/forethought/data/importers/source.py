"""What every importer gives: a signature, and the episodes one after another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from forethought.data.schema import ImageEncoding
from forethought.types import ActionSpec, Episode, Signature


@dataclass(frozen=True, kw_only=True)
class ImportSettings:
    """What a user can say about an import.

    Attributes:
        mapping: for CSV and Parquet: the file that says which columns are what.
        frames: for LeRobot: an ``.npz`` of JPEG frames to use in place of the videos.
        episodes: episodes to take; all where not said.
        image_size: height and width that images are reduced to; their own where not said.
        episode_length: cut recordings into episodes of so many rows; as they are where not said.
        state_only: leave the cameras out.
        rate_hz: rows per second, for recordings that do not say.
    """

    mapping: Path | None = None
    frames: Path | None = None
    episodes: Sequence[int] | None = None
    image_size: tuple[int, int] | None = None
    episode_length: int | None = None
    state_only: bool = False
    rate_hz: float | None = None


@dataclass(frozen=True, kw_only=True)
class Source:
    """Recordings, ready to be written.

    Attributes:
        signature: observations and actions.
        num_episodes: how many there are.
        episodes: the episodes, read as they are asked for.
        encodings: how each camera is to be stored.
    """

    signature: Signature
    num_episodes: int
    episodes: Iterable[Episode]
    encodings: Mapping[str, ImageEncoding] = field(default_factory=dict)


def action_spec(actions: Sequence[np.ndarray], names: Sequence[str]) -> ActionSpec:
    """The bounds of recorded actions: what was done is what may be planned."""
    low = np.min([values.min(0) for values in actions], axis=0)
    high = np.max([values.max(0) for values in actions], axis=0)
    return ActionSpec(
        dim=len(low), low=tuple(low.tolist()), high=tuple(high.tolist()), names=tuple(names)
    )


def cut(episode: Episode, length: int | None) -> list[Episode]:
    """An episode in pieces of ``length`` rows; a rest shorter than half a piece joins the last."""
    if length is None or len(episode) < 2 * length:
        return [episode]
    count = max(1, round(len(episode) / length))
    bounds = [i * length for i in range(count)] + [len(episode)]
    return [
        Episode(
            observation={k: v[start:end] for k, v in episode.observation.items()},
            action=episode.action[start:end],
            task=episode.task,
        )
        for start, end in pairwise(bounds)
    ]
