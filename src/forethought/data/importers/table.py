"""CSV and Parquet recordings, by a small mapping file that says which columns are what.

.. code-block:: yaml

    episodes: "measurement_*"        # folders or files, one episode each
    rate_hz: 40                      # rows per second
    task: drive                      # optional, in words
    state:                           # columns that make observation.state, in this order
      - {file: trajectory.csv, column: 0, name: position.x, unit: m}
      - {file: trajectory.csv, column: 1, name: position.y, unit: m}
    action:                          # columns that make the action
      - {file: input.csv, column: 0, name: steering, unit: rad}

``column`` is a number in files without a header, a name in files with one (``header: true``, the
default for names). ``file`` is left out where each episode is a single file. ``angle: true`` stores
the sine and the cosine of an angle, which have no jump. Units are kept in the names.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from forethought.data.importers.source import ImportSettings, Source, action_spec, cut
from forethought.types import STATE, ArraySpec, Episode, ForethoughtError, Signature


class Column(BaseModel):
    """One column of a recording."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    column: int | str
    name: str = Field(min_length=1)
    file: str | None = None
    unit: str = ""
    angle: bool = False
    scale: float = 1.0

    @property
    def names(self) -> tuple[str, ...]:
        """What it is called in the dataset; two names for an angle."""
        if self.angle:
            return f"{self.name}.sin", f"{self.name}.cos"
        return (f"{self.name} [{self.unit}]" if self.unit else self.name,)


class Mapping(BaseModel):
    """A mapping file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    episodes: str
    rate_hz: float = Field(gt=0)
    state: list[Column] = Field(min_length=1)
    action: list[Column] = Field(min_length=1)
    task: str = ""
    separator: str = ","


def read_table(root: Path, settings: ImportSettings) -> Source:
    """Recordings in CSV or Parquet files.

    Where a file of actions has one row less than that of states (nothing was done after the last
    observation), the last action is repeated; it leads to nothing and is never used.

    Raises:
        ForethoughtError: a mapping that does not fit the files; names the file, field and column.
    """
    if settings.mapping is None:
        raise ForethoughtError(
            f"{root}: CSV and Parquet recordings need --mapping FILE, which says which columns are "
            "observation and action; see examples/mappings."
        )
    mapping = read_mapping(settings.mapping)
    places = sorted(root.glob(mapping.episodes), key=_natural)
    if not places:
        raise ForethoughtError(
            f"{settings.mapping}: episodes: {mapping.episodes!r} matches nothing in {root}."
        )
    if settings.episodes is not None:
        places = [places[index] for index in settings.episodes]
    episodes = [
        piece
        for place in places
        for piece in cut(_episode(place, mapping), settings.episode_length)
    ]
    names = [name for column in mapping.state for name in column.names]
    action_names = [name for column in mapping.action for name in column.names]
    signature = Signature(
        observation={STATE: ArraySpec(shape=(len(names),), dtype="float32", names=tuple(names))},
        action=action_spec([episode.action for episode in episodes], action_names),
        rate_hz=mapping.rate_hz,
    )
    return Source(signature=signature, num_episodes=len(episodes), episodes=episodes)


def read_mapping(path: Path) -> Mapping:
    """A mapping file, checked.

    Raises:
        ForethoughtError: names the field, what was found and what is expected.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ForethoughtError(f"{path}: the mapping file cannot be read ({error}).") from error
    except yaml.YAMLError as error:
        raise ForethoughtError(f"{path}: not valid YAML: {error}") from error
    try:
        return Mapping.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise ForethoughtError(
            f"{path}: field {field!r}: {first['msg']} (found {first['input']!r}). See "
            "examples/mappings for a file that works."
        ) from error


def _natural(path: Path) -> tuple[int, str]:
    digits = "".join(character for character in path.name if character.isdigit())
    return (int(digits) if digits else -1, path.name)


def _episode(place: Path, mapping: Mapping) -> Episode:
    files: dict[Path, pa.Table] = {}
    state = _columns(place, mapping.state, mapping, files)
    action = _columns(place, mapping.action, mapping, files)
    if len(action) == len(state) - 1:
        action = np.concatenate([action, action[-1:]])
    if len(action) != len(state):
        raise ForethoughtError(
            f"{place}: {len(state)} rows of states and {len(action)} of actions; expected as many, "
            "or one action less."
        )
    return Episode(observation={STATE: state}, action=action, task=mapping.task)


def _columns(
    place: Path, columns: Sequence[Column], mapping: Mapping, files: dict[Path, pa.Table]
) -> np.ndarray:
    parts = []
    for column in columns:
        path = place / column.file if column.file else place
        if path not in files:
            named = any(isinstance(c.column, str) for c in (*mapping.state, *mapping.action))
            files[path] = _read(path, mapping.separator, header=named)
        values = _values(files[path], column, path) * column.scale
        parts += [np.sin(values), np.cos(values)] if column.angle else [values]
    lengths = {len(part) for part in parts}
    if len(lengths) != 1:
        raise ForethoughtError(f"{place}: columns of different lengths {sorted(lengths)}.")
    return np.stack(parts, axis=1).astype(np.float32)


def _read(path: Path, separator: str, *, header: bool) -> pa.Table:
    try:
        if path.suffix == ".parquet":
            return pq.read_table(path)
        return pa_csv.read_csv(
            path,
            read_options=pa_csv.ReadOptions(autogenerate_column_names=not header),
            parse_options=pa_csv.ParseOptions(delimiter=separator),
        )
    except (OSError, pa.ArrowException) as error:
        raise ForethoughtError(f"{path}: cannot be read ({error}).") from error


def _values(table: pa.Table, column: Column, path: Path) -> np.ndarray:
    names = table.column_names
    name = column.column if isinstance(column.column, str) else None
    number = names.index(name) if name in names else column.column
    if not isinstance(number, int) or not 0 <= number < len(names):
        raise ForethoughtError(
            f"{path}: no column {column.column!r} for {column.name!r}; the file has "
            f"{len(names)}: {names}."
        )
    try:
        return table.column(number).to_numpy().astype(np.float64)
    except (ValueError, TypeError) as error:
        raise ForethoughtError(
            f"{path}: column {column.column!r} for {column.name!r} holds no numbers ({error})."
        ) from error
