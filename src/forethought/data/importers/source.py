"""What every importer gives: a signature, and the episodes one after another."""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from forethought.data.schema import ImageEncoding
from forethought.types import ActionSpec, Episode, ForethoughtError, Signature

ARCHIVES = (".tar", ".tar.gz", ".tgz")
Item = TypeVar("Item")


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

    def __post_init__(self) -> None:
        if self.episode_length is not None and self.episode_length < 2:
            raise ForethoughtError(f"episode_length={self.episode_length}; expected at least 2.")
        if self.rate_hz is not None and not self.rate_hz > 0:
            raise ForethoughtError(f"rate_hz={self.rate_hz}; expected more than 0.")
        if self.image_size is not None and min(self.image_size) < 1:
            raise ForethoughtError(f"image_size={self.image_size}; expected height and width.")


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


@contextmanager
def unpacked(source: Path) -> Iterator[Path]:
    """The folder of recordings: ``source`` itself, or what an archive holds, for as long as needed.

    Raises:
        ForethoughtError: nothing there, or an archive that cannot be read.
    """
    if not source.exists():
        raise ForethoughtError(
            f"{source}: no such file or folder. Give the folder or archive of the recordings."
        )
    if not (source.is_file() and source.name.endswith(ARCHIVES)):
        yield source
        return
    with tempfile.TemporaryDirectory() as holder:
        try:
            with tarfile.open(source) as archive:
                archive.extractall(holder, filter="data")
        except (tarfile.TarError, OSError, EOFError) as error:
            raise ForethoughtError(
                f"{source}: the archive cannot be read ({error}); copy it again."
            ) from error
        yield Path(holder)


def homes(root: Path, marker: str) -> list[Path]:
    """Folders at or below ``root`` that hold ``marker``; ``._`` files are litter."""
    parts = Path(marker).parts
    found = [path for path in sorted(root.rglob(marker)) if not path.name.startswith("._")]
    return [path.parents[len(parts) - 1] for path in found]


def selected(items: Sequence[Item], wanted: Sequence[int] | None, where: Path) -> list[Item]:
    """The episodes that were asked for, by number; all where not said.

    Raises:
        ForethoughtError: no such episode.
    """
    if wanted is None:
        return list(items)
    for index in wanted:
        if not 0 <= index < len(items):
            raise ForethoughtError(
                f"{where}: no episode {index}; there are {len(items)}, counted from 0."
            )
    return [items[index] for index in wanted]


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
    return [_rows(episode, start, end) for start, end in pairwise(bounds)]


def _rows(episode: Episode, start: int, end: int) -> Episode:
    observation: dict[str, Any] = {k: v[start:end] for k, v in episode.observation.items()}
    return Episode(observation=observation, action=episode.action[start:end], task=episode.task)
