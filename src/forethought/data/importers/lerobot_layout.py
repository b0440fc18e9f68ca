"""Where the episodes of a LeRobot dataset lie, for versions 2.1 and 3.0.

Version 2.1 keeps one Parquet file and one video per camera for each episode; version 3.0 keeps many
episodes in each file and says in ``meta/episodes`` where each one lies.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from forethought.types import ForethoughtError

VERSIONS = ("v2.1", "v3.0")
INFO = "meta/info.json"
LISTED = 40


@dataclass(frozen=True, kw_only=True)
class Place:
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


def read_info(root: Path) -> dict[str, Any]:
    """``meta/info.json``.

    Raises:
        ForethoughtError: it cannot be read, lacks something, or is of another version.
    """
    path = root / INFO
    try:
        info = json.loads(path.read_text())
        version = info.get("codebase_version")
    except (OSError, ValueError, AttributeError) as error:
        raise ForethoughtError(
            f"{path}: cannot be read ({error}); not a LeRobot dataset. Copy it again."
        ) from error
    if version not in VERSIONS:
        raise ForethoughtError(
            f"{path}: codebase_version is {version!r}; {' and '.join(VERSIONS)} are read. Convert "
            "the dataset with LeRobot's own script first."
        )
    for field in ("fps", "features", "data_path"):
        if field not in info:
            raise ForethoughtError(f"{path}: field {field!r} is missing; copy the dataset again.")
    return info


def places(root: Path, info: Mapping[str, Any], videos: Sequence[str]) -> list[Place]:
    """Where each episode lies, with the videos of the cameras that are wanted.

    Raises:
        ForethoughtError: the list of episodes cannot be read.
    """
    if videos and not info.get("video_path"):
        raise ForethoughtError(
            f"{root / INFO}: camera {videos[0]!r} is a video, but there is no video_path."
        )
    read = _places_v21 if info["codebase_version"] == "v2.1" else _places_v30
    try:
        return read(root, info, videos)
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise ForethoughtError(
            f"{root / 'meta'}: the list of episodes cannot be read ({error!r}); copy it again."
        ) from error


def _places_v21(root: Path, info: Mapping[str, Any], videos: Sequence[str]) -> list[Place]:
    lines = (root / "meta" / "episodes.jsonl").read_text().splitlines()

    def place(row: Mapping[str, Any]) -> Place:
        index = int(row["episode_index"])
        where = {"episode_chunk": index // int(info["chunks_size"]), "episode_index": index}
        return Place(
            index=index,
            length=int(row["length"]),
            task="; ".join(row.get("tasks", [])),
            table=root / info["data_path"].format(**where),
            videos={
                key: (root / info["video_path"].format(video_key=key, **where), 0.0)
                for key in videos
            },
        )

    return [place(json.loads(line)) for line in lines if line.strip()]


def _places_v30(root: Path, info: Mapping[str, Any], videos: Sequence[str]) -> list[Place]:
    files = sorted((root / "meta" / "episodes").glob("chunk-*/file-*.parquet"))
    if not files:
        raise FileNotFoundError(root / "meta" / "episodes")
    rows = [row for path in files for row in pq.read_table(path).to_pylist()]

    def place(row: Mapping[str, Any]) -> Place:
        data = {"chunk_index": row["data/chunk_index"], "file_index": row["data/file_index"]}
        return Place(
            index=int(row["episode_index"]),
            length=int(row["length"]),
            task="; ".join(row.get("tasks") or []),
            table=root / info["data_path"].format(**data),
            videos={key: _video_v30(root, info, row, key) for key in videos},
        )

    return [place(row) for row in rows]


def _video_v30(
    root: Path, info: Mapping[str, Any], row: Mapping[str, Any], key: str
) -> tuple[Path, float]:
    where = {part: row[f"videos/{key}/{part}"] for part in ("chunk_index", "file_index")}
    path = root / info["video_path"].format(video_key=key, **where)
    return path, float(row[f"videos/{key}/from_timestamp"])


# ------------------------------------------------------------------------------- choosing


def chosen(all_places: Sequence[Place], wanted: Sequence[int] | None) -> list[Place]:
    """The episodes that were asked for; all where not said.

    Raises:
        ForethoughtError: no such episode.
    """
    if wanted is None:
        return list(all_places)
    known = {place.index: place for place in all_places}
    for index in wanted:
        if index not in known:
            raise ForethoughtError(
                f"no episode {index}; there are {len(known)}: {_listed(sorted(known))}."
            )
    return [known[index] for index in wanted]


def check_files(wanted: Sequence[Place], all_places: Sequence[Place]) -> None:
    """Refuses episodes of which a file is missing.

    Raises:
        ForethoughtError: names the file, and says which episodes are whole.
    """
    lost = {place.index: _missing(place) for place in all_places}
    for place in wanted:
        if (path := lost[place.index]) is None:
            continue
        whole = [index for index, missing in lost.items() if missing is None]
        cameras = path in [video for video, _ in place.videos.values()]
        raise ForethoughtError(
            f"{path}: the file of episode {place.index} is missing. Whole are {len(whole)} of "
            f"{len(lost)} episodes; take them with --episodes {_listed(whole)}"
            + (", or leave the cameras out with --state-only." if cameras else ".")
        )


def _missing(place: Place) -> Path | None:
    files = (place.table, *(path for path, _ in place.videos.values()))
    return next((path for path in files if not path.exists()), None)


def _listed(numbers: Sequence[int]) -> str:
    more = " ..." if len(numbers) > LISTED else ""
    return " ".join(map(str, numbers[:LISTED])) + more
