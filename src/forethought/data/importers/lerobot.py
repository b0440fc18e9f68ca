"""LeRobot datasets, versions 2.1 and 3.0, from a local folder: vectors, videos, embedded images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from forethought.data.importers.frames import Frames, read_frames
from forethought.data.importers.lerobot_layout import (
    INFO,
    Place,
    check_files,
    chosen,
    places,
    read_info,
)
from forethought.data.importers.pictures import (
    at_size,
    encoding_for,
    opened,
    stored,
    video_frames,
)
from forethought.data.importers.source import ImportSettings, Source, action_spec, homes
from forethought.data.schema import ImageEncoding
from forethought.types import ACTION, IMAGES, ArraySpec, Episode, ForethoughtError, Signature

OBSERVATION = "observation."
SINGLE_CAMERA = "observation.image"


@dataclass(frozen=True, kw_only=True)
class _Keys:
    """Which features are taken.

    Attributes:
        vectors: observation keys that are vectors.
        videos: cameras whose pictures are in video files.
        embedded: cameras whose pictures are in the Parquet files.
    """

    vectors: tuple[str, ...]
    videos: tuple[str, ...]
    embedded: tuple[str, ...]


def read_lerobot(root: Path, settings: ImportSettings) -> Source:
    """A LeRobot dataset.

    Raises:
        ForethoughtError: another version, files that are missing, or an unknown episode; the
            message says which episodes are whole.
    """
    root = _home(root)
    info = read_info(root)
    if settings.frames is not None:
        return _with_frames(root, info, settings)
    keys = _keys(info["features"], with_cameras=not settings.state_only)
    all_places = places(root, info, keys.videos)
    wanted = chosen(all_places, settings.episodes)
    check_files(wanted, all_places)
    vectors = {place.index: _vectors(place, keys) for place in wanted}
    cameras = {
        key: _size(info["features"][key], settings) for key in (*keys.videos, *keys.embedded)
    }
    signature = _signature(root, info, vectors, cameras, rate_hz=float(info["fps"]))

    def episodes() -> Iterator[Episode]:
        for place in wanted:
            observation = dict(vectors[place.index])
            action = observation.pop(ACTION)
            for key, size in cameras.items():
                frames = _pictures(place, key, float(info["fps"]), size)
                observation[_camera(key)] = stored(frames, settings)
            yield Episode(observation=observation, action=action, task=place.task)

    return Source(
        signature=signature,
        num_episodes=len(wanted),
        episodes=episodes(),
        encodings=dict.fromkeys(map(_camera, cameras), encoding_for(settings)),
    )


def _home(root: Path) -> Path:
    found = homes(root, INFO)
    if len(found) != 1:
        raise ForethoughtError(
            f"{root}: {len(found)} files {INFO} found, one dataset is expected. Give the folder of "
            "a single dataset."
        )
    return found[0]


def _keys(features: Mapping[str, Any], *, with_cameras: bool) -> _Keys:
    def of_type(*names: str) -> tuple[str, ...]:
        return tuple(key for key, spec in features.items() if spec["dtype"] in names)

    vectors = tuple(key for key in of_type("float32", "float64") if key.startswith(OBSERVATION))
    return _Keys(
        vectors=vectors,
        videos=of_type("video") if with_cameras else (),
        embedded=of_type("image") if with_cameras else (),
    )


def _camera(key: str) -> str:
    """LeRobot calls a single camera ``observation.image``."""
    return IMAGES + "image" if key == SINGLE_CAMERA else key


# ------------------------------------------------------------------------------- vectors


def _vectors(place: Place, keys: _Keys) -> dict[str, np.ndarray]:
    """The vectors of one episode, the action among them."""
    table = _rows(place)
    found = {}
    for key in (*keys.vectors, ACTION):
        if key not in table.column_names:
            raise ForethoughtError(
                f"{place.table}: no column {key!r}; it has {table.column_names}. Observations and "
                "actions are needed."
            )
        try:
            values = np.array(table.column(key).to_pylist(), np.float32)
        except (ValueError, TypeError) as error:
            raise ForethoughtError(
                f"{place.table}: {key!r} of episode {place.index} holds something that is no "
                f"number ({error}). Leave the episode out with --episodes."
            ) from error
        found[key] = values.reshape(len(table), -1)
    return found


def _rows(place: Place) -> pa.Table:
    """The rows of one episode, in order."""
    table = _table(place.table)
    table = table.filter(pc.field("episode_index") == place.index)
    if len(table) != place.length:
        raise ForethoughtError(
            f"{place.table}: episode {place.index} has {len(table)} rows, the metadata says "
            f"{place.length}. The dataset is not whole; copy it again."
        )
    return table.sort_by("frame_index")


@lru_cache(maxsize=1)
def _table(path: Path) -> pa.Table:
    """A whole file; the last one is kept, since version 3.0 holds many episodes in each."""
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise ForethoughtError(f"{path}: cannot be read ({error}); copy it again.") from error


def _signature(
    root: Path,
    info: Mapping[str, Any],
    vectors: Mapping[int, Mapping[str, np.ndarray]],
    cameras: Mapping[str, tuple[int, int]],
    *,
    rate_hz: float,
) -> Signature:
    if not vectors:
        raise ForethoughtError(f"{root}: the dataset has no episodes; there is nothing to import.")
    features = info["features"]
    observation = {
        key: ArraySpec(
            shape=(values.shape[1],), dtype="float32", names=_names(features[key], values.shape[1])
        )
        for key, values in next(iter(vectors.values())).items()
        if key != ACTION
    }
    for key, size in cameras.items():
        observation[_camera(key)] = ArraySpec(shape=(*size, 3), dtype="uint8")
    if not observation:
        raise ForethoughtError(
            f"{root}: nothing to observe is left; leave --state-only away, or import a dataset "
            "with an observation that is a vector."
        )
    actions = [values[ACTION] for values in vectors.values()]
    action = action_spec(actions, _names(features.get(ACTION, {}), actions[0].shape[1]))
    return Signature(observation=observation, action=action, rate_hz=rate_hz)


def _names(feature: Mapping[str, Any], width: int) -> tuple[str, ...]:
    """Names of entries, which LeRobot nests in lists and mappings; none where they do not fit."""
    names = feature.get("names") or []
    while names and not isinstance(names, str) and not isinstance(_first(names), str):
        names = _first(names)
    if isinstance(names, Mapping):
        names = _first(list(names.values())) if len(names) == 1 else list(names)
    return tuple(map(str, names)) if len(names) == width else ()


def _first(names: Any) -> Any:
    return next(iter(names.values() if isinstance(names, Mapping) else names))


# ------------------------------------------------------------------------------- pictures


def _size(feature: Mapping[str, Any], settings: ImportSettings) -> tuple[int, int]:
    """Height and width; LeRobot names the order of the shape's entries."""
    if settings.image_size is not None:
        return settings.image_size
    shape: Sequence[int] = feature["shape"]
    names: list[Any] = list(feature.get("names") or ())
    if {"height", "width"} <= set(names):
        return shape[names.index("height")], shape[names.index("width")]
    return (shape[1], shape[2]) if shape[0] == 3 else (shape[0], shape[1])


def _pictures(place: Place, key: str, fps: float, size: tuple[int, int]) -> Iterator[np.ndarray]:
    if key in place.videos:
        path, begin_s = place.videos[key]
        yield from video_frames(path, begin_s, place.length, fps, size)
        return
    where = f"{place.table}: {key!r} of episode {place.index}"
    for row, cell in enumerate(_rows(place).column(key).to_pylist()):
        content = (cell or {}).get("bytes")
        if not content:
            raise ForethoughtError(
                f"{where}, row {row}: no image bytes; only images inside the Parquet file are "
                "read. Leave the cameras out with --state-only."
            )
        yield at_size(opened(content, f"{where}, row {row}"), size)


# ------------------------------------------------------------------------------- frames file


def _with_frames(root: Path, info: Mapping[str, Any], settings: ImportSettings) -> Source:
    """State and action at the rows for which a file holds JPEG frames.

    The rate becomes that of the frames; an action is the one of the row that has the frame, which
    suits actions that are targets.
    """
    assert settings.frames is not None
    frames = read_frames(settings.frames)
    keys = _keys(info["features"], with_cameras=False)
    all_places = [place for place in places(root, info, ()) if place.index in frames.episodes]
    wanted = chosen(all_places, settings.episodes)
    check_files(wanted, all_places)
    vectors = {place.index: _at_frames(place, keys, frames) for place in wanted}
    cameras = [*_keys(info["features"], with_cameras=True).videos, IMAGES + "camera"]
    camera = _camera(cameras[0])
    rate_hz = float(info["fps"]) / frames.spacing
    signature = _signature(root, info, vectors, {camera: frames.size}, rate_hz=rate_hz)

    def episodes() -> Iterator[Episode]:
        for place in wanted:
            observation = dict(vectors[place.index])
            action = observation.pop(ACTION)
            observation[camera] = frames.images(place.index)
            yield Episode(observation=observation, action=action, task=place.task)

    return Source(
        signature=signature,
        num_episodes=len(wanted),
        episodes=episodes(),
        encodings={camera: ImageEncoding.JPEG},
    )


def _at_frames(place: Place, keys: _Keys, frames: Frames) -> dict[str, np.ndarray]:
    rows: Sequence[int] = frames.rows(place.index)
    if max(rows) >= place.length:
        raise ForethoughtError(
            f"{frames.path}: a frame of row {max(rows)} of episode {place.index}, which has "
            f"{place.length} rows; the frames are of another dataset."
        )
    return {key: values[rows] for key, values in _vectors(place, keys).items()}
