"""LeRobot datasets, versions 2.1 and 3.0, from a local folder.

Version 2.1 keeps one Parquet file and one video per camera for each episode; version 3.0 keeps many
episodes in each file and says in ``meta/episodes`` where each one lies.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image

from forethought.data.importers.source import ImportSettings, Source, action_spec
from forethought.data.schema import ImageEncoding, encode_image
from forethought.types import ACTION, IMAGES, STATE, ArraySpec, Episode, ForethoughtError, Signature

VERSIONS = ("v2.1", "v3.0")


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where an episode lies.

    Attributes:
        index: its number.
        length: its rows.
        task: in words.
        table: its Parquet file.
        videos: per camera the file, and the second at which the episode begins in it.
    """

    index: int
    length: int
    task: str
    table: Path
    videos: Mapping[str, tuple[Path, float]]


def read_lerobot(root: Path, settings: ImportSettings) -> Source:
    """A LeRobot dataset.

    Raises:
        ForethoughtError: another version, files that are missing, or an unknown episode; the
            message says which episodes are whole.
    """
    info = _info(root)
    fps = float(info["fps"])
    features: dict[str, Any] = info["features"]
    cameras = [] if settings.state_only else _cameras(features)
    places = _places(root, info, cameras)
    if settings.frames is not None:
        return _with_frames(root, info, places, settings)
    chosen = _chosen(places, settings.episodes)
    _check_files(root, chosen, places)
    columns = {place.index: _columns(place, info) for place in chosen}
    signature, encodings = _signature(root, features, cameras, columns, chosen, settings, fps)

    def episodes() -> Iterator[Episode]:
        for place in chosen:
            observation: dict[str, Any] = dict(columns[place.index])
            action = observation.pop(ACTION)
            for camera in cameras:
                observation[camera] = _pictures(place, camera, fps, settings, features)
            yield Episode(observation=observation, action=action, task=place.task)

    return Source(
        signature=signature, num_episodes=len(chosen), episodes=episodes(), encodings=encodings
    )


# ------------------------------------------------------------------------------- metadata


def _info(root: Path) -> dict[str, Any]:
    path = root / "meta" / "info.json"
    try:
        info = json.loads(path.read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise ForethoughtError(
            f"{path}: cannot be read ({error}); not a LeRobot dataset."
        ) from error
    version = info.get("codebase_version")
    if version not in VERSIONS:
        raise ForethoughtError(
            f"{path}: codebase_version is {version!r}; {' and '.join(VERSIONS)} are read. Convert "
            "the dataset with LeRobot's own script first."
        )
    return info


def _cameras(features: Mapping[str, Any]) -> list[str]:
    return [key for key, spec in features.items() if spec["dtype"] in ("video", "image")]


def _places(root: Path, info: Mapping[str, Any], cameras: Sequence[str]) -> list[_Place]:
    if info["codebase_version"] == "v2.1":
        return _places_v21(root, info, cameras)
    return _places_v30(root, info, cameras)


def _places_v21(root: Path, info: Mapping[str, Any], cameras: Sequence[str]) -> list[_Place]:
    path = root / "meta" / "episodes.jsonl"
    try:
        rows = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    except (OSError, json.JSONDecodeError) as error:
        raise ForethoughtError(f"{path}: cannot be read ({error}).") from error

    def place(row: Mapping[str, Any]) -> _Place:
        index = int(row["episode_index"])
        where = {"episode_chunk": index // int(info["chunks_size"]), "episode_index": index}
        return _Place(
            index=index,
            length=int(row["length"]),
            task="; ".join(row.get("tasks", [])),
            table=root / info["data_path"].format(**where),
            videos={
                key: (root / info["video_path"].format(video_key=key, **where), 0.0)
                for key in _videos(info, cameras)
            },
        )

    return [place(row) for row in rows]


def _places_v30(root: Path, info: Mapping[str, Any], cameras: Sequence[str]) -> list[_Place]:
    files = sorted((root / "meta" / "episodes").glob("chunk-*/file-*.parquet"))
    if not files:
        raise ForethoughtError(f"{root / 'meta' / 'episodes'}: no files; the dataset is not whole.")
    rows = [row for path in files for row in pq.read_table(path).to_pylist()]

    def place(row: Mapping[str, Any]) -> _Place:
        data = {"chunk_index": row["data/chunk_index"], "file_index": row["data/file_index"]}
        videos = {}
        for key in _videos(info, cameras):
            where = {
                "chunk_index": row[f"videos/{key}/chunk_index"],
                "file_index": row[f"videos/{key}/file_index"],
            }
            path = root / info["video_path"].format(video_key=key, **where)
            videos[key] = (path, float(row[f"videos/{key}/from_timestamp"]))
        return _Place(
            index=int(row["episode_index"]),
            length=int(row["length"]),
            task="; ".join(row.get("tasks") or []),
            table=root / info["data_path"].format(**data),
            videos=videos,
        )

    return [place(row) for row in rows]


def _videos(info: Mapping[str, Any], cameras: Sequence[str]) -> list[str]:
    return [key for key in cameras if info["features"][key]["dtype"] == "video"]


def _chosen(places: Sequence[_Place], wanted: Sequence[int] | None) -> list[_Place]:
    if wanted is None:
        return list(places)
    known = {place.index: place for place in places}
    if missing := [index for index in wanted if index not in known]:
        raise ForethoughtError(
            f"no episode {missing[0]}; the dataset has episodes {min(known)} to {max(known)}."
        )
    return [known[index] for index in wanted]


def _check_files(root: Path, chosen: Sequence[_Place], places: Sequence[_Place]) -> None:
    def missing(place: _Place) -> Path | None:
        files = (place.table, *(path for path, _ in place.videos.values()))
        return next((path for path in files if not path.exists()), None)

    for place in chosen:
        if lost := missing(place):
            whole = [other.index for other in places if missing(other) is None]
            listed = " ".join(map(str, whole[:40])) + (" ..." if len(whole) > 40 else "")
            raise ForethoughtError(
                f"{lost}: the file of episode {place.index} is missing. Whole are "
                f"{len(whole)} of {len(places)} episodes; take them with --episodes {listed}, or "
                "leave the cameras out with --state-only."
            )


# ------------------------------------------------------------------------------- columns


def _columns(place: _Place, info: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """State and action of one episode."""
    try:
        table = pq.read_table(place.table)
    except (OSError, pa.ArrowException) as error:
        raise ForethoughtError(
            f"{place.table}: cannot be read ({error}); copy it again."
        ) from error
    if info["codebase_version"] == "v3.0":
        mask = pc.equal(table.column("episode_index"), place.index)
        table = table.filter(mask)
    if len(table) != place.length:
        raise ForethoughtError(
            f"{place.table}: episode {place.index} has {len(table)} rows, the metadata says "
            f"{place.length}. The dataset is not whole; copy it again."
        )
    found = {}
    for key in (STATE, ACTION):
        if key in info["features"]:
            values = table.column(key).to_pylist()
            found[key] = np.array(values, np.float32).reshape(len(table), -1)
    if ACTION not in found:
        raise ForethoughtError(f"{place.table}: no column {ACTION!r}; actions are needed.")
    return found


def _names(feature: Mapping[str, Any]) -> tuple[str, ...]:
    names = feature.get("names") or []
    if isinstance(names, dict):
        names = next(iter(names.values()))
    while names and isinstance(names[0], list):
        names = names[0]
    return tuple(map(str, names))


def _signature(
    root: Path,
    features: Mapping[str, Any],
    cameras: Sequence[str],
    columns: Mapping[int, Mapping[str, np.ndarray]],
    chosen: Sequence[_Place],
    settings: ImportSettings,
    fps: float,
) -> tuple[Signature, dict[str, ImageEncoding]]:
    observation: dict[str, ArraySpec] = {}
    if STATE in features:
        width = next(iter(columns.values()))[STATE].shape[1]
        observation[STATE] = ArraySpec(
            shape=(width,), dtype="float32", names=_names(features[STATE])
        )
    for camera in cameras:
        size = settings.image_size or _size(features[camera])
        observation[camera] = ArraySpec(shape=(*size, 3), dtype="uint8")
    if not observation:
        raise ForethoughtError(
            f"{root}: nothing to observe is left; leave --state-only away, or import a dataset "
            f"with {STATE!r}."
        )
    action = action_spec([values[ACTION] for values in columns.values()], _names(features[ACTION]))
    signature = Signature(observation=observation, action=action, rate_hz=fps)
    small = settings.image_size is not None and max(settings.image_size) <= 128
    encoding = ImageEncoding.RAW if small else ImageEncoding.JPEG
    return signature, dict.fromkeys(cameras, encoding)


def _size(feature: Mapping[str, Any]) -> tuple[int, int]:
    """Height and width; LeRobot names the order of the shape's entries."""
    shape, names = feature["shape"], _names(feature)
    if {"height", "width"} <= set(names):
        return shape[names.index("height")], shape[names.index("width")]
    return (shape[1], shape[2]) if shape[0] == 3 else (shape[0], shape[1])


# ------------------------------------------------------------------------------- pictures


def _pictures(
    place: _Place,
    camera: str,
    fps: float,
    settings: ImportSettings,
    features: Mapping[str, Any],
) -> np.ndarray | list[bytes]:
    size = settings.image_size or _size(features[camera])
    if camera in place.videos:
        frames = _video(*place.videos[camera], place.length, fps, size)
    else:
        frames = _embedded(place, camera, size)
    if settings.image_size and max(size) <= 128:
        return np.stack(list(frames))
    return [encode_image(frame, ImageEncoding.JPEG) for frame in frames]


def _video(
    path: Path, begin_s: float, length: int, fps: float, size: tuple[int, int]
) -> Iterator[np.ndarray]:
    """``length`` frames of a video from ``begin_s`` on, one each 1/fps s by their timestamps."""
    produced = 0
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            if begin_s > 0:
                container.seek(int(begin_s * av.time_base), backward=True)
            for frame in container.decode(stream):
                due = begin_s + produced / fps
                if frame.time is None or frame.time < due - 0.5 / fps:
                    continue
                yield _at_size(frame.to_ndarray(format="rgb24"), size)
                produced += 1
                if produced == length:
                    return
    except av.FFmpegError as error:
        raise ForethoughtError(f"{path}: cannot be decoded ({error}); copy it again.") from error
    raise ForethoughtError(
        f"{path}: {produced} frames from second {begin_s:g} on, {length} are needed; the video is "
        "cut short. Copy it again, or leave the episode out with --episodes."
    )


def _embedded(place: _Place, camera: str, size: tuple[int, int]) -> Iterator[np.ndarray]:
    """Images that are kept in the Parquet file itself."""
    table = pq.read_table(place.table, columns=[camera, "episode_index"])
    table = table.filter(pc.equal(table.column("episode_index"), place.index))
    for cell in table.column(camera).to_pylist():
        with Image.open(io.BytesIO(cell["bytes"])) as image:
            yield _at_size(np.asarray(image.convert("RGB")), size)


def _at_size(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if image.shape[:2] == size:
        return image
    return np.asarray(Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BOX))


# ------------------------------------------------------------------------------- frames file


def _with_frames(
    root: Path, info: Mapping[str, Any], places: Sequence[_Place], settings: ImportSettings
) -> Source:
    """State and action at the rows for which an ``.npz`` holds JPEG frames.

    The file holds ``jpeg`` (bytes one after another), ``offsets``, ``episode_index`` and
    ``frame_index`` (row in the episode).
    """
    path = settings.frames
    assert path is not None
    frames = _read_frames(path)
    known = {place.index: place for place in places}
    indices = [int(i) for i in np.unique(frames["episode_index"])]
    if settings.episodes is not None:
        indices = [place.index for place in _chosen([known[i] for i in indices], settings.episodes)]
    camera = next(iter(_cameras(info["features"])), IMAGES + "camera")
    columns = {index: _columns(known[index], info) for index in indices}
    rows = {index: np.flatnonzero(frames["episode_index"] == index) for index in indices}
    first = rows[indices[0]]
    every = int(frames["frame_index"][first[1]] - frames["frame_index"][first[0]])
    with Image.open(io.BytesIO(_jpeg(frames, int(first[0])))) as image:
        shape = (image.height, image.width, 3)
    fps = float(info["fps"]) / every
    base, _ = _signature(root, info["features"], [], columns, [], settings, fps)
    observation = {**base.observation, camera: ArraySpec(shape=shape, dtype="uint8")}
    signature = Signature(observation=observation, action=base.action, rate_hz=fps)

    def episodes() -> Iterator[Episode]:
        for index in indices:
            at = frames["frame_index"][rows[index]]
            taken = {key: values[at] for key, values in columns[index].items()}
            action = taken.pop(ACTION)
            pictures: Any = [_jpeg(frames, int(row)) for row in rows[index]]
            yield Episode(
                observation={**taken, camera: pictures}, action=action, task=known[index].task
            )

    return Source(
        signature=signature,
        num_episodes=len(indices),
        episodes=episodes(),
        encodings={camera: ImageEncoding.JPEG},
    )


def _read_frames(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {
                key: archive[key] for key in ("jpeg", "offsets", "episode_index", "frame_index")
            }
    except (OSError, ValueError, KeyError) as error:
        raise ForethoughtError(
            f"{path}: not a frames file ({error}); it needs jpeg, offsets, episode_index and "
            "frame_index."
        ) from error


def _jpeg(frames: Mapping[str, np.ndarray], row: int) -> bytes:
    begin, end = frames["offsets"][row : row + 2]
    return frames["jpeg"][begin:end].tobytes()
