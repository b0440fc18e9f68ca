"""CSV and Parquet recordings; :mod:`forethought.data.importers.mapping` says what is what."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from forethought.data.importers.mapping import SECONDS, Column, Mapping, Place, read_mapping
from forethought.data.importers.pictures import encoding_for, files_as_stored, size_of
from forethought.data.importers.source import (
    ImportSettings,
    Source,
    action_spec,
    cut,
    selected,
)
from forethought.data.schema import holds_bytes
from forethought.types import IMAGES, STATE, ArraySpec, Episode, ForethoughtError, Signature

UNEVEN = 0.5


def read_table(root: Path, settings: ImportSettings) -> Source:
    """Recordings in CSV or Parquet files.

    Where there is one action less than there are observations (nothing was done after the last
    one), the last action is repeated; it leads to nothing and is never used.

    Raises:
        ForethoughtError: a mapping that does not fit the files; names the file, field and column.
    """
    if settings.mapping is None:
        raise ForethoughtError(
            f"{root}: CSV and Parquet recordings need --mapping FILE, which says which columns are "
            "observation and action; see examples/mappings."
        )
    mapping = read_mapping(settings.mapping)
    found = [path for path in root.glob(mapping.episodes) if not path.name.startswith("._")]
    if not found:
        raise ForethoughtError(
            f"{settings.mapping}: episodes: {mapping.episodes!r} matches nothing in {root}. Give "
            "the folder above the episodes, or mend the pattern."
        )
    places = selected(sorted(found, key=_natural), settings.episodes, settings.mapping)
    recordings = [_Recording(place, mapping) for place in places]
    whole = [recording.episode(settings) for recording in recordings]
    episodes = [piece for one in whole for piece in cut(one, settings.episode_length)]
    return Source(
        signature=_signature(mapping, episodes, _rate_hz(mapping, recordings, settings)),
        num_episodes=len(episodes),
        episodes=episodes,
        encodings={IMAGES + camera.name: encoding_for(settings) for camera in mapping.images},
    )


def _natural(path: Path) -> list[tuple[int, str]]:
    """``run_2`` before ``run_10``."""
    parts = re.findall(r"\d+|\D+", str(path))
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def _signature(mapping: Mapping, episodes: Sequence[Episode], rate_hz: float) -> Signature:
    observation = {}
    if mapping.state:
        names = tuple(name for column in mapping.state for name in column.names)
        observation[STATE] = ArraySpec(shape=(len(names),), dtype="float32", names=names)
    for camera in mapping.images:
        images = episodes[0].observation[IMAGES + camera.name]
        size = size_of(images[0]) if holds_bytes(images) else images.shape[1:3]
        observation[IMAGES + camera.name] = ArraySpec(shape=(*size, 3), dtype="uint8")
    names = tuple(name for column in mapping.action for name in column.names)
    action = action_spec([episode.action for episode in episodes], names)
    return Signature(observation=observation, action=action, rate_hz=rate_hz)


def _rate_hz(mapping: Mapping, recordings: Sequence[_Recording], settings: ImportSettings) -> float:
    if settings.rate_hz or mapping.rate_hz:
        return float(settings.rate_hz or mapping.rate_hz or 0)
    assert mapping.time is not None
    steps = [np.diff(recording.times(mapping.time.unit)) for recording in recordings]
    step_s = float(np.median(np.concatenate(steps)))
    for recording, taken in zip(recordings, steps, strict=True):
        uneven = np.flatnonzero(np.abs(taken - step_s) > UNEVEN * step_s)
        if step_s <= 0 or len(uneven):
            row = int(uneven[0]) if len(uneven) else 0
            raise ForethoughtError(
                f"{recording.place}: time steps are not even: {taken[row]:g} s after row {row}, "
                f"{step_s:g} s in the middle. Resample the recording, split it at its gaps, or "
                "give rate_hz in place of time if the clock is wrong."
            )
    return float(f"{1 / step_s:.6g}")


# ------------------------------------------------------------------------------- one recording


class _Recording:
    """The files of one episode, each read once."""

    def __init__(self, place: Path, mapping: Mapping) -> None:
        self.place = place
        self._mapping = mapping
        self._files: dict[Path, pa.Table] = {}

    def episode(self, settings: ImportSettings) -> Episode:
        mapping = self._mapping
        action = self._joined(mapping.action)
        observation = {}
        if mapping.state:
            observation[STATE] = self._joined(mapping.state)
        for camera in mapping.images:
            paths = [self._path(camera).parent / name for name in self._texts(camera)]
            observation[IMAGES + camera.name] = files_as_stored(paths, settings)
        lengths = {key: len(values) for key, values in observation.items()}
        rows = next(iter(lengths.values()))
        if len(action) == rows - 1 and len(action):
            action = np.concatenate([action, action[-1:]])
        if set(lengths.values()) != {len(action)}:
            raise ForethoughtError(
                f"{self.place}: {lengths} rows of observations and {len(action)} of actions; "
                "expected as many, or one action less."
            )
        return Episode(observation=observation, action=action, task=mapping.task)

    def times(self, unit: str) -> np.ndarray:
        """Seconds of each row."""
        assert self._mapping.time is not None
        return self._numbers(self._mapping.time, "time") * SECONDS[unit]

    def _joined(self, columns: Sequence[Column]) -> np.ndarray:
        """Columns beside each other, ``(rows, width)``."""
        parts = []
        for column in columns:
            values = self._numbers(column, column.name) * column.scale
            parts += [np.sin(values), np.cos(values)] if column.angle else [values]
        lengths = sorted({len(part) for part in parts})
        if len(lengths) != 1:
            raise ForethoughtError(
                f"{self.place}: columns {[column.name for column in columns]} have different "
                f"numbers of rows {lengths}; take them from files with the same rows."
            )
        return np.stack(parts, axis=1).astype(np.float32)

    def _numbers(self, place: Place, name: str) -> np.ndarray:
        try:
            return self._column(place).to_numpy().astype(np.float64)
        except (ValueError, TypeError) as error:
            raise ForethoughtError(
                f"{self._path(place)}: column {place.column!r} for {name!r} holds no numbers "
                f"({error}). Mend the file, or say `header: true` if its first row has names."
            ) from error

    def _texts(self, place: Place) -> list[str]:
        return [str(value) for value in self._column(place).to_pylist()]

    def _column(self, place: Place) -> pa.ChunkedArray:
        path = self._path(place)
        if path not in self._files:
            self._files[path] = _read(path, self._mapping)
        names = self._files[path].column_names
        number = names.index(place.column) if place.column in names else place.column
        if not isinstance(number, int) or not 0 <= number < len(names):
            raise ForethoughtError(
                f"{path}: no column {place.column!r}; the file has {len(names)}: {names}."
            )
        return self._files[path].column(number)

    def _path(self, place: Place) -> Path:
        return self.place / place.file if place.file else self.place


def _read(path: Path, mapping: Mapping) -> pa.Table:
    try:
        if path.suffix == ".parquet":
            return pq.read_table(path)
        return pa_csv.read_csv(
            path,
            read_options=pa_csv.ReadOptions(autogenerate_column_names=not mapping.has_header),
            parse_options=pa_csv.ParseOptions(delimiter=mapping.separator),
        )
    except (OSError, pa.ArrowException) as error:
        raise ForethoughtError(
            f"{path}: cannot be read ({error}). Mend the file, or leave its episode out with "
            "--episodes."
        ) from error
