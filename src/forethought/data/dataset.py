"""A dataset for reading: whole episodes, splits by episode, statistics, decoded arrays.

How rows lie on disk is :mod:`forethought.data.schema`'s affair, how pixels are decoded that of
:mod:`forethought.data.decoding`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lance
import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from forethought.data.decoding import RowReader, array_for, first_line
from forethought.data.moments import Moments, Statistics, image_moments, vector_moments
from forethought.data.schema import EPISODE, FRAME, Layout
from forethought.types import ACTION, TASK, TASK_SPEC, Episode, ForethoughtError, Signature

MEMORY_LIMIT_BYTES = 8 << 30
SAMPLED_IMAGES = 256


@dataclass(frozen=True, kw_only=True)
class EpisodeArrays:
    """Episodes decoded once, their rows one after another, ready to be cut into windows.

    Attributes:
        signature: of the dataset, images at the size they were decoded to.
        observation: per key ``(rows, ...)``: uint8 images and text, float32 vectors.
        action: ``(rows, dim)`` float32, or ``(rows,)`` int64 where discrete.
        offsets: ``(episodes + 1,)`` first row of each episode.
        episodes: index in the dataset of each episode.
    """

    signature: Signature
    observation: Mapping[str, Tensor]
    action: Tensor
    offsets: Int[Tensor, " episodes_plus_1"]
    episodes: tuple[int, ...]

    @property
    def lengths(self) -> Int[Tensor, " episodes"]:
        """Rows of each episode."""
        return self.offsets.diff()


def open_dataset(path: Path | str) -> Dataset:
    """A dataset for reading.

    Raises:
        ForethoughtError: nothing there, not a dataset, damaged, or of another format version.
    """
    path = Path(path)
    if not path.exists():
        raise ForethoughtError(
            f"{path}: no such file or folder. Record a dataset with `forethought record`, or "
            "import one with `forethought data import`."
        )
    try:
        table = lance.dataset(str(path))
    except (ValueError, OSError) as error:
        raise ForethoughtError(
            f"{path}: not a dataset, or a damaged one ({first_line(error)}). Import recordings "
            "with `forethought data import`."
        ) from error
    return Dataset(path, table, Layout.of_schema(table.schema, path))


class Dataset:
    """Recorded episodes, as they were when the dataset was opened.

    Args:
        path: folder of the dataset.
        table: the Lance table there.
        layout: what its episodes are like.

    Raises:
        ForethoughtError: the index of episodes cannot be read, or is broken.
    """

    def __init__(self, path: Path, table: lance.LanceDataset, layout: Layout) -> None:
        self.path = path
        self.layout = layout
        self._reader = RowReader(path, table, layout)
        index = self._reader.column(EPISODE).to_numpy()
        numbers, self._first, lengths = np.unique(index, return_index=True, return_counts=True)
        if (np.diff(index) < 0).any() or not np.array_equal(numbers, np.arange(len(numbers))):
            raise ForethoughtError(
                f"{path}: the index of episodes has gaps or is out of order; two programs may have "
                "written at once. Record or import the data again."
            )
        self.lengths = lengths.astype(np.int64)

    @property
    def signature(self) -> Signature:
        """What observations and actions are."""
        return self.layout.signature

    @property
    def origin(self) -> Mapping[str, Any]:
        """Where the episodes come from, as the writer was told."""
        return self.layout.origin

    @property
    def version(self) -> int:
        """Grows with every commit."""
        return self._reader.version

    @property
    def num_episodes(self) -> int:
        """Episodes in the dataset."""
        return len(self.lengths)

    @property
    def num_rows(self) -> int:
        """Recorded steps in all."""
        return int(self.lengths.sum())

    @property
    def tasks(self) -> list[str]:
        """What was being done in each episode, in words; empty where unknown."""
        return self._reader.take(TASK, self._first).to_pylist()

    @property
    def frame_index(self) -> np.ndarray:
        """``(rows,)`` the row in its episode that each row says it is."""
        return self._reader.column(FRAME).to_numpy()

    def episode(self, index: int) -> Episode:
        """One whole episode.

        Raises:
            ForethoughtError: no such episode, or rows that cannot be read.
        """
        arrays = self.load([index])
        return Episode(
            observation={key: value.numpy() for key, value in arrays.observation.items()},
            action=arrays.action.numpy(),
            task=self._reader.take(TASK, self._first[[index]])[0].as_py(),
        )

    def split(self, *, held_out: float = 0.1, seed: int = 0) -> tuple[list[int], list[int]]:
        """Episodes for training, and episodes that training never sees.

        Args:
            held_out: share that is held out; at least one episode.
            seed: of the shuffling.

        Raises:
            ForethoughtError: fewer than two episodes, or a share that is none.
        """
        if not 0 < held_out < 1:
            raise ForethoughtError(
                f"held_out={held_out}; expected a share between 0 and 1, e.g. 0.1."
            )
        if self.num_episodes < 2:
            raise ForethoughtError(
                f"{self.path}: too few episodes ({self.num_episodes}); training needs at least 2, "
                "one of them held out. Record more, or cut long recordings on import with "
                "--episode-length."
            )
        count = min(self.num_episodes - 1, max(1, round(held_out * self.num_episodes)))
        order = np.random.default_rng(seed).permutation(self.num_episodes)
        return sorted(order[count:].tolist()), sorted(order[:count].tolist())

    def statistics(self, episodes: Sequence[int] | None = None) -> Statistics:
        """Mean, deviation, range and change of every key and of the action.

        Images are summed up per channel from 256 frames, evenly spread over the episodes.

        Raises:
            ForethoughtError: an unknown episode, no episodes, or rows that cannot be read.
        """
        chosen = self._chosen(episodes)
        if not chosen:
            raise ForethoughtError(f"{self.path}: no episodes to take statistics of; record some.")
        cameras = self.layout.encodings
        vectors = [key for key in self.signature.observation if key not in cameras]
        arrays = self.load(chosen, keys=vectors)
        values = {**arrays.observation, ACTION: arrays.action.reshape(len(arrays.action), -1)}
        found = {key: vector_moments(value, arrays.offsets) for key, value in values.items()}
        return found | {key: self._image_moments(key, chosen) for key in cameras}

    def load(
        self,
        episodes: Sequence[int] | None = None,
        *,
        keys: Sequence[str] | None = None,
        image_size: tuple[int, int] | None = None,
        cache: Path | None = None,
        memory_limit_bytes: int = MEMORY_LIMIT_BYTES,
    ) -> EpisodeArrays:
        """Decodes episodes once, with as many threads as there are cores.

        Args:
            episodes: which; all where not said.
            keys: which observation keys; all where not said. ``task`` is one more, which every
                dataset has: each row's task, as bytes.
            image_size: height and width that images are reduced to by area averaging.
            cache: folder for what is larger than memory; read again instead of decoding anew.
            memory_limit_bytes: how large a key may be before it is kept in ``cache``.

        Raises:
            ForethoughtError: an unknown key or episode, or rows that cannot be read.
        """
        chosen = self._chosen(episodes)
        signature = self._signature_of(keys, image_size)
        rows = self._rows(chosen)
        arrays = {}
        for key, spec in signature.observation.items():
            array = array_for(
                self._reader, key, rows, spec, cache=cache, memory_limit_bytes=memory_limit_bytes
            )
            arrays[key] = torch.from_numpy(array)
        return EpisodeArrays(
            signature=signature,
            observation=arrays,
            action=torch.from_numpy(self._reader.actions(rows)),
            offsets=torch.from_numpy(np.concatenate([[0], np.cumsum(self.lengths[chosen])])),
            episodes=tuple(chosen),
        )

    def frames(
        self,
        key: str,
        episodes: Sequence[int],
        steps: Sequence[int],
        *,
        image_size: tuple[int, int] | None = None,
    ) -> np.ndarray:
        """Values ``(n, ...)`` of one key at single rows: row ``steps[i]`` of ``episodes[i]``.

        Raises:
            ForethoughtError: an unknown key or episode, or rows that cannot be read.
        """
        spec = self._signature_of([key], image_size).observation[key]
        rows = self._first[self._chosen(episodes)] + np.asarray(steps, np.int64)
        return array_for(self._reader, key, rows, spec)

    # ------------------------------------------------------------------ parts

    def _chosen(self, episodes: Sequence[int] | None) -> list[int]:
        chosen = list(range(self.num_episodes)) if episodes is None else [int(i) for i in episodes]
        for index in chosen:
            if not 0 <= index < self.num_episodes:
                raise ForethoughtError(
                    f"{self.path}: no episode {index}; there are {self.num_episodes}, counted "
                    "from 0."
                )
        return chosen

    def _rows(self, chosen: Sequence[int]) -> np.ndarray:
        spans = [self._first[i] + np.arange(self.lengths[i]) for i in chosen]
        return np.concatenate(spans) if spans else np.zeros(0, np.int64)

    def _signature_of(
        self, keys: Sequence[str] | None, image_size: tuple[int, int] | None
    ) -> Signature:
        known = {**self.signature.observation, TASK: TASK_SPEC}
        observation = {}
        for key in self.signature.observation if keys is None else keys:
            if key not in known:
                raise ForethoughtError(
                    f"{self.path}: unknown key {key!r}; the dataset has {sorted(known)}."
                )
            resized = image_size is not None and key in self.layout.encodings
            shape = (*image_size, 3) if image_size and resized else known[key].shape
            observation[key] = replace(known[key], shape=shape)
        return replace(self.signature, observation=observation)

    def _image_moments(self, key: str, chosen: Sequence[int]) -> Moments:
        spec = self.signature.observation[key]
        rows = np.concatenate([self._first[i] + np.arange(self.lengths[i] - 1) for i in chosen])
        spread = np.linspace(0, len(rows) - 1, min(SAMPLED_IMAGES, len(rows))).astype(np.int64)
        first = array_for(self._reader, key, rows[spread], spec)
        following = array_for(self._reader, key, rows[spread] + 1, spec)
        return image_moments(torch.from_numpy(first), torch.from_numpy(following))
