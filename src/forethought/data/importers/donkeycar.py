"""Donkeycar tubs, version 2: a folder, or a tar archive of one."""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from forethought.data.importers.source import ImportSettings, Source, action_spec, cut
from forethought.data.schema import ImageEncoding
from forethought.types import IMAGES, ArraySpec, Episode, ForethoughtError, Signature

CAMERA = IMAGES + "front"
IMAGE, STEERING, THROTTLE = "cam/image_array", "user/angle", "user/throttle"
DEFAULT_RATE_HZ = 20.0


def read_donkeycar(source: Path, settings: ImportSettings) -> Source:
    """A tub; its JPEG images are kept as they are.

    The clock of a tub is not trusted (conversions rewrite it): rows are taken to be ``rate_hz``
    apart, Donkeycar's default of 20 Hz where not said. A drive is cut where frames are missing.

    Raises:
        ForethoughtError: not a tub, or a record or image that cannot be read.
    """
    if source.is_file():
        holder = tempfile.TemporaryDirectory()
        with tarfile.open(source) as archive:
            archive.extractall(holder.name, filter="data")
        root = _root(Path(holder.name))
    else:
        holder = None
        root = _root(source)
    records = _records(root)
    pieces = [
        piece
        for drive in _unbroken(records)
        for piece in cut(_episode(root, drive), settings.episode_length)
    ]
    if holder is not None:
        holder.cleanup()
    if settings.episodes is not None:
        pieces = [pieces[index] for index in settings.episodes]
    with Image.open(io.BytesIO(pieces[0].observation[CAMERA][0])) as image:
        shape = (image.height, image.width, 3)
    signature = Signature(
        observation={CAMERA: ArraySpec(shape=shape, dtype="uint8")},
        action=action_spec([piece.action for piece in pieces], ("steering", "throttle")),
        rate_hz=settings.rate_hz or DEFAULT_RATE_HZ,
    )
    return Source(
        signature=signature,
        num_episodes=len(pieces),
        episodes=pieces,
        encodings={CAMERA: ImageEncoding.JPEG},
    )


def _root(folder: Path) -> Path:
    """The folder of the manifest; ``._`` files are litter of another file system."""
    found = [path for path in sorted(folder.rglob("manifest.json")) if path.name[:2] != "._"]
    if len(found) != 1:
        raise ForethoughtError(
            f"{folder}: {len(found)} manifest.json found, one tub is expected. Give the folder of "
            "a single tub."
        )
    return found[0].parent


def _records(root: Path) -> list[dict[str, Any]]:
    """Records in order, deleted ones left out."""
    path = root / "manifest.json"
    try:
        manifest = json.loads(path.read_text().splitlines()[-1])
        catalogs, deleted = manifest["paths"], set(manifest.get("deleted_indexes", []))
    except (IndexError, KeyError, json.JSONDecodeError) as error:
        raise ForethoughtError(f"{path}: not a manifest of a version 2 tub ({error!r}).") from error
    records = []
    for name in catalogs:
        for number, line in enumerate((root / name).read_text().splitlines(), start=1):
            try:
                record = json.loads(line)
                records.append({k: record[k] for k in ("_index", IMAGE, STEERING, THROTTLE)})
            except (json.JSONDecodeError, KeyError) as error:
                raise ForethoughtError(
                    f"{root / name}, line {number}: not a driving record ({error!r}). Remove the "
                    "line, or mark its index as deleted in manifest.json."
                ) from error
    kept = [record for record in records if record["_index"] not in deleted]
    if not kept:
        raise ForethoughtError(f"{root}: the tub holds no records.")
    return sorted(kept, key=lambda record: record["_index"])


def _unbroken(records: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Runs of successive indices of at least two records."""
    run = [records[0]]
    for record in records[1:]:
        if record["_index"] != run[-1]["_index"] + 1:
            if len(run) > 1:
                yield run
            run = []
        run.append(record)
    if len(run) > 1:
        yield run


def _episode(root: Path, drive: Sequence[dict[str, Any]]) -> Episode:
    pictures: Any = [_picture(root / "images" / record[IMAGE]) for record in drive]
    action = np.array([[r[STEERING], r[THROTTLE]] for r in drive], np.float32)
    return Episode(observation={CAMERA: pictures}, action=action, task="drive")


def _picture(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        with Image.open(io.BytesIO(content)) as image:
            image.verify()
    except (OSError, UnidentifiedImageError, SyntaxError) as error:
        raise ForethoughtError(f"{path}: the image cannot be read ({error}).") from error
    return content
