"""The episode store: append whole episodes, lose none that was finished, read windows fast."""

from __future__ import annotations

import errno
import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

import lance
import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Int
from PIL import Image
from torch import Tensor

from forethought.data.schema import (
    EPISODE,
    ImageEncoding,
    Layout,
    check_episode,
    column_of,
    decode_image,
    episode_table,
)
from forethought.types import ACTION, TASK, Episode, ForethoughtError, Signature

STORAGE_VERSION = "2.1"
MANY_FRAGMENTS = 64
READ_ROWS = 4096


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Statistics of one key, entry by entry (per channel for images).

    Attributes:
        mean: mean.
        std: standard deviation.
        low: smallest value.
        high: largest value.
        change_std: root mean squared change from one row of an episode to the next.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    change_std: tuple[float, ...]


Statistics = Mapping[str, Moments]


@dataclass(frozen=True, kw_only=True)
class EpisodeArrays:
    """Episodes decoded once, their rows one after another, ready to be cut into windows.

    Attributes:
        signature: of the dataset, images at the size they were decoded to.
        observation: per key ``(rows, ...)``: uint8 images, float32 vectors.
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


# ------------------------------------------------------------------------------- writing


class EpisodeWriter:
    """Appends whole episodes to a dataset.

    What :meth:`append` has returned from is on disk and stays there whatever happens to the
    process; what it was writing when killed is not seen by any reader.

    Args:
        path: folder of the dataset.
        layout: what episodes must be like.
        num_episodes: episodes it already holds.
    """

    def __init__(self, path: Path, layout: Layout, num_episodes: int) -> None:
        self.path = path
        self.layout = layout
        self.num_episodes = num_episodes

    def append(self, episodes: Sequence[Episode]) -> None:
        """Adds episodes in one commit: all of them, or none.

        Raises:
            ForethoughtError: an episode is not as the signature says, or the disk is full.
        """
        for offset, episode in enumerate(episodes):
            where = f"{self.path}: episode {self.num_episodes + offset}"
            check_episode(self.layout.signature, episode, where)
        table = pa.concat_tables(
            episode_table(self.layout, episode, self.num_episodes + offset)
            for offset, episode in enumerate(episodes)
        )
        _write(self.path, table)
        self.num_episodes += len(episodes)

    def close(self) -> None:
        """Joins the many small files that many commits leave; readers never notice."""
        dataset = lance.dataset(str(self.path))
        if len(dataset.get_fragments()) > MANY_FRAGMENTS:
            dataset.optimize.compact_files(target_rows_per_fragment=1 << 18)

    def __enter__(self) -> EpisodeWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()


def create(
    path: Path | str,
    signature: Signature,
    *,
    encodings: Mapping[str, ImageEncoding] | None = None,
) -> EpisodeWriter:
    """A new, empty dataset, open for appending.

    Args:
        path: folder to make.
        signature: observations and actions.
        encodings: how each camera is stored; raw where not said.

    Raises:
        ForethoughtError: something is at ``path`` already.
    """
    path = Path(path)
    if path.exists():
        raise ForethoughtError(
            f"{path}: something is there already. Add to a dataset with --resume, or choose "
            "another path."
        )
    chosen = dict.fromkeys(signature.cameras, ImageEncoding.RAW) | dict(encodings or {})
    layout = Layout(signature=signature, encodings=chosen)
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, layout.schema().empty_table())
    return EpisodeWriter(path, layout, 0)


def append_to(path: Path | str, signature: Signature) -> EpisodeWriter:
    """An existing dataset, open for appending.

    Raises:
        ForethoughtError: no dataset there, or one with another signature.
    """
    data = open(path)
    if data.signature != signature:
        raise ForethoughtError(
            f"{path}: the dataset there has another signature ({data.signature.to_json()}) than "
            f"what is to be added ({signature.to_json()}). Choose another path."
        )
    return EpisodeWriter(data.path, data.layout, data.num_episodes)


def _write(path: Path, table: pa.Table) -> None:
    mode = "append" if path.exists() else "create"
    try:
        lance.write_dataset(
            table, str(path), mode=mode, data_storage_version=STORAGE_VERSION
        )
    except OSError as error:
        full = error.errno == errno.ENOSPC or "No space left" in str(error)
        if not full:
            raise
        raise ForethoughtError(
            f"{path}: the disk is full. What was written before is safe; free some space and "
            "continue with --resume."
        ) from error


# ------------------------------------------------------------------------------- reading


def open(path: Path | str) -> Dataset:
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
            f"{path}: not a dataset, or a damaged one ({_first_line(error)}). Import recordings "
            "with `forethought data import`."
        ) from error
    return Dataset(path, table, Layout.of_schema(table.schema, path))


class Dataset:
    """Recorded episodes.

    Args:
        path: folder of the dataset.
        table: the Lance table there.
        layout: what its episodes are like.
    """

    def __init__(self, path: Path, table: lance.LanceDataset, layout: Layout) -> None:
        self.path = path
        self.layout = layout
        self.signature = layout.signature
        self._table = table
        index = self._read([EPISODE]).column(EPISODE).to_numpy()
        if len(index) and (np.diff(index) < 0).any():
            raise ForethoughtError(f"{path}: episodes are out of order; import the data again.")
        numbers, self._first, lengths = np.unique(index, return_index=True, return_counts=True)
        if not np.array_equal(numbers, np.arange(len(numbers))):
            raise ForethoughtError(f"{path}: episodes are missing; import the data again.")
        self.lengths = lengths.astype(np.int64)

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
        if not self.num_episodes:
            return []
        return self._read([TASK]).column(TASK).take(pa.array(self._first)).to_pylist()

    def episode(self, index: int) -> Episode:
        """One whole episode.

        Raises:
            ForethoughtError: no such episode.
        """
        if not 0 <= index < self.num_episodes:
            raise ForethoughtError(
                f"{self.path}: no episode {index}; there are 0 to {self.num_episodes - 1}."
            )
        arrays = self.load([index])
        return Episode(
            observation={key: value.numpy() for key, value in arrays.observation.items()},
            action=arrays.action.numpy(),
            task=self.tasks[index],
        )

    def split(
        self, *, held_out: float = 0.1, seed: int = 0
    ) -> tuple[list[int], list[int]]:
        """Episodes for training, and episodes that training never sees.

        Args:
            held_out: share that is held out; at least one episode.
            seed: of the shuffling.

        Raises:
            ForethoughtError: fewer than two episodes.
        """
        if self.num_episodes < 2:
            raise ForethoughtError(
                f"{self.path}: {self.num_episodes} episodes; training needs at least 2, one of "
                "them held out. Record more, or import long recordings in shorter episodes."
            )
        count = min(self.num_episodes - 1, max(1, round(held_out * self.num_episodes)))
        order = np.random.default_rng(seed).permutation(self.num_episodes)
        return sorted(order[count:].tolist()), sorted(order[:count].tolist())

    def statistics(self, episodes: Sequence[int] | None = None) -> Statistics:
        """Mean, deviation and range of every vector and of the action."""
        vectors = [
            key for key, spec in self.signature.observation.items() if len(spec.shape) == 1
        ]
        arrays = self.load(episodes, keys=vectors)
        values = dict(arrays.observation)
        values[ACTION] = arrays.action.reshape(len(arrays.action), -1).float()
        return {key: _moments(value, arrays.offsets) for key, value in values.items()}

    def load(
        self,
        episodes: Sequence[int] | None = None,
        *,
        keys: Sequence[str] | None = None,
        image_size: tuple[int, int] | None = None,
        cache: Path | None = None,
        memory_limit_bytes: int = 8 << 30,
    ) -> EpisodeArrays:
        """Decodes episodes once.

        Args:
            episodes: which; all where not said.
            keys: which observation keys; all where not said.
            image_size: height and width that images are reduced to by area averaging.
            cache: folder for what is larger than memory.
            memory_limit_bytes: how large a key may be before it is kept in ``cache``.

        Raises:
            ForethoughtError: an unknown key, or rows that cannot be read.
        """
        chosen = list(range(self.num_episodes)) if episodes is None else [int(i) for i in episodes]
        wanted = list(self.signature.observation) if keys is None else list(keys)
        signature = _at_size(self._signature_of(wanted), image_size)
        rows = np.concatenate(
            [np.arange(self.lengths[i]) + self._first[i] for i in chosen] or [np.zeros(0, int)]
        )
        arrays = {}
        for key in wanted:
            spec = signature.observation[key]
            size = len(rows) * math.prod(spec.shape) * np.dtype(spec.dtype).itemsize
            place = cache / f"{key}.{chosen[0]}.raw" if cache and size > memory_limit_bytes else None
            array = _room((len(rows), *spec.shape), spec.dtype, place)
            self._fill(array, key, rows)
            arrays[key] = torch.from_numpy(array)
        return EpisodeArrays(
            signature=signature,
            observation=arrays,
            action=torch.from_numpy(self._actions(rows)),
            offsets=torch.from_numpy(np.concatenate([[0], np.cumsum(self.lengths[chosen])])),
            episodes=tuple(chosen),
        )

    # ------------------------------------------------------------------ columns

    def _signature_of(self, keys: Sequence[str]) -> Signature:
        known = self.signature.observation
        for key in keys:
            if key not in known:
                raise ForethoughtError(
                    f"{self.path}: unknown key {key!r}; the dataset has {sorted(known)}."
                )
        return Signature(
            observation={key: known[key] for key in keys},
            action=self.signature.action,
            rate_hz=self.signature.rate_hz,
        )

    def _read(self, columns: list[str]) -> pa.Table:
        try:
            return self._table.to_table(columns=columns)
        except (ValueError, OSError) as error:
            raise ForethoughtError(
                f"{self.path}: rows cannot be read ({_first_line(error)}); files are missing or "
                "cut short. Copy or import the dataset again."
            ) from error

    def _actions(self, rows: np.ndarray) -> np.ndarray:
        column = self._read([ACTION]).column(ACTION).combine_chunks()
        if self.signature.action.discrete:
            return column.to_numpy()[rows].astype(np.int64)
        flat = column.flatten().to_numpy(zero_copy_only=False)
        return flat.reshape(-1, self.signature.action.dim)[rows].astype(np.float32)

    def _fill(self, array: np.ndarray, key: str, rows: np.ndarray) -> None:
        spec = self.signature.observation[key]
        if key not in self.layout.encodings:
            column = self._read([column_of(key)]).column(0).combine_chunks()
            flat = column.flatten().to_numpy(zero_copy_only=False)
            array[:] = flat.reshape(-1, *spec.shape)[rows]
            return
        encoding = self.layout.encodings[key]
        size = array.shape[1:3]

        def decode(item: tuple[int, bytes]) -> None:
            place, content = item
            image = decode_image(content, spec, encoding)
            if image.shape[:2] != size:
                reduced = Image.fromarray(image).resize(size[::-1], Image.Resampling.BOX)
                image = np.asarray(reduced)
            array[place] = image

        with ThreadPoolExecutor() as pool:
            for _ in pool.map(decode, self._contents(key, rows), chunksize=256):
                pass

    def _contents(self, key: str, rows: np.ndarray) -> Iterator[tuple[int, bytes]]:
        """The stored bytes of each row, read in pieces."""
        for start in range(0, len(rows), READ_ROWS):
            piece = rows[start : start + READ_ROWS]
            try:
                column = self._table.take(piece.tolist(), columns=[column_of(key)]).column(0)
            except (ValueError, OSError) as error:
                raise ForethoughtError(
                    f"{self.path}: {key!r} cannot be read ({_first_line(error)}); files are "
                    "missing or cut short. Copy or import the dataset again."
                ) from error
            for offset, content in enumerate(column):
                yield start + offset, content.as_buffer()


def _at_size(signature: Signature, image_size: tuple[int, int] | None) -> Signature:
    if image_size is None:
        return signature
    resized = {
        key: replace(spec, shape=(*image_size, 3)) if len(spec.shape) == 3 else spec
        for key, spec in signature.observation.items()
    }
    return replace(signature, observation=resized)


def _room(shape: tuple[int, ...], dtype: str, place: Path | None) -> np.ndarray:
    if place is None:
        return np.empty(shape, dtype)
    return np.memmap(place, dtype=dtype, mode="w+", shape=shape)


def _moments(values: Tensor, offsets: Int[Tensor, " episodes_plus_1"]) -> Moments:
    wide = values.double()
    within = torch.ones(len(wide) - 1, dtype=torch.bool)
    within[offsets[1:-1] - 1] = False
    changes = wide.diff(dim=0)[within]
    return Moments(
        mean=tuple(wide.mean(0).tolist()),
        std=tuple(wide.std(0, correction=0).tolist()),
        low=tuple(wide.amin(0).tolist()),
        high=tuple(wide.amax(0).tolist()),
        change_std=tuple(changes.square().mean(0).sqrt().tolist()),
    )


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:200]
