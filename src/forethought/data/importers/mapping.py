"""The mapping file: which columns of CSV and Parquet recordings are observation and action.

.. code-block:: yaml

    episodes: "measurement_*"        # glob of folders or files; each match is one episode
    rate_hz: 40                      # rows per second; or a column of times:
    # time: {file: time.csv, column: 0, unit: s}
    task: drive                      # optional, in words
    separator: ","                   # optional
    header: false                    # optional; true where columns are given by name
    state:                           # columns that make observation.state, in this order
      - {file: trajectory.csv, column: 0, name: position.x, unit: m}
      - {file: trajectory.csv, column: 1, name: heading, unit: rad, angle: true}
    action:                          # columns that make the action
      - {file: input.csv, column: 0, name: steering, unit: deg, scale: 0.0174533}
    images:                          # optional: columns of image paths, beside their file
      - {file: frames.csv, column: path, name: front}

``column`` is a number, counted from 0, or a name where files have a header. ``file`` is left out
where each episode is a single file; several files of an episode are joined row by row. ``angle:
true`` stores the sine and the cosine of an angle in radians, which have no jump. ``scale``
multiplies. Units are kept in the names. A mapping file is YAML or JSON.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from forethought.marked_yaml import line_of, read_yaml
from forethought.types import ForethoughtError

SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


class Place(BaseModel):
    """Where a column is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    column: int | str
    file: str | None = None


class Column(Place):
    """A column of numbers."""

    name: str = Field(min_length=1)
    unit: str = ""
    angle: bool = False
    scale: float = 1.0

    @property
    def names(self) -> tuple[str, ...]:
        """What it is called in the dataset; two names for an angle."""
        if self.angle:
            return f"{self.name}.sin", f"{self.name}.cos"
        return (f"{self.name} [{self.unit}]" if self.unit else self.name,)


class Camera(Place):
    """A column of image paths."""

    name: str = Field(min_length=1, pattern=r"^\w+$")


class Time(Place):
    """A column of times."""

    unit: Literal["s", "ms", "us", "ns"] = "s"


class Mapping(BaseModel):
    """A mapping file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    episodes: str = Field(min_length=1)
    rate_hz: float | None = Field(default=None, gt=0)
    time: Time | None = None
    state: list[Column] = []
    action: list[Column] = Field(min_length=1)
    images: list[Camera] = []
    task: str = ""
    separator: str = Field(default=",", min_length=1, max_length=1)
    header: bool | None = None

    @model_validator(mode="after")
    def _whole(self) -> Mapping:
        if (self.rate_hz is None) == (self.time is None):
            raise ValueError("give either rate_hz or time")
        if not self.state and not self.images:
            raise ValueError("give state, images, or both; there is nothing to observe")
        for part, columns in (("state", self.state), ("action", self.action)):
            names = [name for column in columns for name in column.names]
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"{part} has {twice[0]!r} twice")
        return self

    @property
    def has_header(self) -> bool:
        """Whether CSV files begin with the names of their columns."""
        if self.header is not None:
            return self.header
        places = (*self.state, *self.action, *self.images)
        return any(isinstance(place.column, str) for place in places)


def read_mapping(path: Path) -> Mapping:
    """A mapping file, checked.

    Raises:
        ForethoughtError: names the line and the field, what was found and what is expected.
    """
    content, tree = read_yaml(path, "mapping file")
    try:
        return Mapping.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = [part for part in first["loc"] if part not in ("int", "str")]
        field = ".".join(map(str, where)) or "the whole file"
        raise ForethoughtError(
            f"{path}, line {line_of(tree, where)}: {field}: {first['msg']} (found "
            f"{str(first['input'])[:80]!r}). See examples/mappings for files that work."
        ) from error
