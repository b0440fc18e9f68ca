"""A file of frames that stands for videos: an ``.npz`` of JPEG images and where they belong.

It holds ``jpeg`` (bytes one after another, uint8), ``offsets`` (where each image begins and the
last one ends), ``episode_index`` and ``frame_index`` (the row in that episode), one each per image.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from forethought.data.importers.pictures import size_of
from forethought.data.schema import as_bytes
from forethought.types import ForethoughtError

FIELDS = ("jpeg", "offsets", "episode_index", "frame_index")


@dataclass(frozen=True, kw_only=True)
class Frames:
    """Frames by episode and row.

    Attributes:
        path: of the file.
        jpeg: ``(bytes,)`` uint8, all images.
        offsets: ``(n + 1,)`` where images begin.
        episode_index: ``(n,)`` episode of each image.
        frame_index: ``(n,)`` row of each image, rising within an episode.
        spacing: rows from one image to the next, the same throughout.
    """

    path: Path
    jpeg: np.ndarray
    offsets: np.ndarray
    episode_index: np.ndarray
    frame_index: np.ndarray
    spacing: int

    @property
    def episodes(self) -> frozenset[int]:
        """Episodes that have frames."""
        return frozenset(np.unique(self.episode_index).tolist())

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the first image; all must have it."""
        return size_of(self._image(0))

    def rows(self, episode: int) -> list[int]:
        """Rows of an episode that have a frame."""
        return self.frame_index[self.episode_index == episode].tolist()

    def images(self, episode: int) -> np.ndarray:
        """JPEG bytes ``(rows,)`` of an episode."""
        return as_bytes(
            [self._image(int(i)) for i in np.flatnonzero(self.episode_index == episode)]
        )

    def _image(self, number: int) -> bytes:
        begin, end = self.offsets[number : number + 2]
        return self.jpeg[begin:end].tobytes()


def read_frames(path: Path) -> Frames:
    """A file of frames.

    Raises:
        ForethoughtError: not such a file, or frames that are not evenly spaced.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            parts = {field: archive[field] for field in FIELDS}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise ForethoughtError(
            f"{path}: not a file of frames ({error}); it needs {', '.join(FIELDS)}."
        ) from error
    count = len(parts["episode_index"])
    if count == 0 or len(parts["frame_index"]) != count or len(parts["offsets"]) != count + 1:
        raise ForethoughtError(
            f"{path}: {count} episode_index, {len(parts['frame_index'])} frame_index and "
            f"{len(parts['offsets'])} offsets; expected as many, and one offset more."
        )
    return Frames(path=path, spacing=_spacing(path, parts), **parts)


def _spacing(path: Path, parts: dict[str, np.ndarray]) -> int:
    same = np.diff(parts["episode_index"]) == 0
    steps = np.unique(np.diff(parts["frame_index"])[same])
    if len(steps) != 1 or steps[0] < 1:
        raise ForethoughtError(
            f"{path}: frames are {steps.tolist()} rows apart; expected one even, rising spacing."
        )
    return int(steps[0])
