"""LeRobot datasets for tests, small and real: Parquet, AV1 and H.264 video, both layouts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from forethought.types import IMAGES, STATE

FPS = 10
SIDE = 64
LENGTHS = (12, 20, 9)
CAMERA_KEY = IMAGES + "wrist"
NAMES = ["shoulder", "elbow"]


def frame(episode: int, row: int) -> np.ndarray:
    """A picture that says which row it is of: the grey of its halves survives any codec."""
    image = np.full((SIDE, SIDE, 3), 20 + 10 * row, np.uint8)
    image[:, SIDE // 2 :] = 40 + 60 * episode
    return image


def encode(path: Path, frames: Sequence[np.ndarray], codec: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=FPS)
        stream.width = stream.height = SIDE
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "10"} | ({"g": "2"} if codec == "libx264" else {"preset": "10"})
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


@dataclass(frozen=True, kw_only=True)
class LeRobotData:
    """What the layouts below hold."""

    state: list[np.ndarray]
    action: list[np.ndarray]


def lerobot_data() -> LeRobotData:
    generator = np.random.default_rng(0)
    draw = [generator.normal(size=(2, n, 2)).astype(np.float32) for n in LENGTHS]
    return LeRobotData(state=[d[0] for d in draw], action=[d[1] for d in draw])


def _table(content: LeRobotData, episode: int, embedded: list[bytes] | None) -> pa.Table:
    length = LENGTHS[episode]
    columns: dict[str, Any] = {
        STATE: content.state[episode].tolist(),
        "action": content.action[episode].tolist(),
        "timestamp": [row / FPS for row in range(length)],
        "frame_index": list(range(length)),
        "episode_index": [episode] * length,
        "task_index": [0] * length,
    }
    if embedded is not None:
        columns[CAMERA_KEY] = [{"bytes": b, "path": None} for b in embedded]
    return pa.table(columns)


def _info(root: Path, version: str, camera_type: str, paths: dict[str, str]) -> None:
    vector = {"dtype": "float32", "shape": [2], "names": [NAMES]}
    picture = {
        "dtype": camera_type,
        "shape": [SIDE, SIDE, 3],
        "names": ["height", "width", "channel"],
    }
    info = {
        "codebase_version": version,
        "fps": FPS,
        "chunks_size": 1000,
        "features": {STATE: vector, "action": vector, CAMERA_KEY: picture},
        **paths,
    }
    (root / "meta").mkdir(parents=True)
    (root / "meta" / "info.json").write_text(json.dumps(info))


def write_v21(
    root: Path, *, codec: str = "libx264", embedded: list[list[bytes]] | None = None
) -> None:
    """Version 2.1: a file of rows and a video for each episode."""
    paths = {
        "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "video_path": "videos/chunk-{episode_chunk:03d}/{video_key}/"
        "episode_{episode_index:06d}.mp4",
    }
    _info(root, "v2.1", "image" if embedded else "video", paths)
    lines = [
        json.dumps({"episode_index": i, "tasks": [f"task {i}"], "length": n})
        for i, n in enumerate(LENGTHS)
    ]
    (root / "meta" / "episodes.jsonl").write_text("\n".join(lines))
    (root / "data" / "chunk-000").mkdir(parents=True)
    for i, n in enumerate(LENGTHS):
        name = f"episode_{i:06d}"
        table = _table(lerobot_data(), i, embedded[i] if embedded else None)
        pq.write_table(table, root / "data" / "chunk-000" / f"{name}.parquet")
        if not embedded:
            frames = [frame(i, row) for row in range(n)]
            encode(root / "videos" / "chunk-000" / CAMERA_KEY / f"{name}.mp4", frames, codec)


def write_v30(root: Path, *, codec: str = "libx264") -> None:
    """Version 3.0: all rows in one file, and all videos in one."""
    paths = {
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
    }
    _info(root, "v3.0", "video", paths)
    begins = [sum(LENGTHS[:i]) / FPS for i in range(len(LENGTHS))]
    rows = [
        {
            "episode_index": i,
            "tasks": [f"task {i}"],
            "length": n,
            "data/chunk_index": 0,
            "data/file_index": 0,
            f"videos/{CAMERA_KEY}/chunk_index": 0,
            f"videos/{CAMERA_KEY}/file_index": 0,
            f"videos/{CAMERA_KEY}/from_timestamp": begins[i],
            f"videos/{CAMERA_KEY}/to_timestamp": begins[i] + n / FPS,
        }
        for i, n in enumerate(LENGTHS)
    ]
    table = pa.concat_tables(_table(lerobot_data(), i, None) for i in range(len(LENGTHS)))
    for path, content in (
        (root / "meta/episodes/chunk-000/file-000.parquet", pa.Table.from_pylist(rows)),
        (root / "data/chunk-000/file-000.parquet", table),
    ):
        path.parent.mkdir(parents=True)
        pq.write_table(content, path)
    frames = [frame(i, row) for i, n in enumerate(LENGTHS) for row in range(n)]
    encode(root / "videos" / CAMERA_KEY / "chunk-000" / "file-000.mp4", frames, codec)
