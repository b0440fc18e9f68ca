"""Donkeycar tubs, version 2: a folder with a manifest, catalogs and images."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from forethought.data.importers.pictures import encoding_for, files_as_stored, size_of
from forethought.data.importers.source import (
    ImportSettings,
    Source,
    action_spec,
    cut,
    homes,
    selected,
)
from forethought.data.schema import holds_bytes
from forethought.types import IMAGES, ArraySpec, Episode, ForethoughtError, Signature

MANIFEST = "manifest.json"
CAMERA = IMAGES + "front"
INDEX, SESSION = "_index", "_session_id"
IMAGE, STEERING, THROTTLE = "cam/image_array", "user/angle", "user/throttle"
DEFAULT_RATE_HZ = 20.0

Record = dict[str, Any]


def read_donkeycar(root: Path, settings: ImportSettings) -> Source:
    """A tub; its JPEG images are kept as they are.

    The clock of a tub is not trusted (conversions rewrite it): rows are taken to be ``rate_hz``
    apart, Donkeycar's default of 20 Hz where not said. A drive ends where records are missing or
    were deleted, and where a new session begins.

    Raises:
        ForethoughtError: not a tub, or a record or image that cannot be read.
    """
    tub = _tub(root)
    pieces = [
        piece
        for drive in _drives(_records(tub))
        for piece in cut(_episode(tub, drive, settings), settings.episode_length)
    ]
    pieces = selected(pieces, settings.episodes, tub)
    images = pieces[0].observation[CAMERA]
    size = size_of(images[0]) if holds_bytes(images) else images.shape[1:3]
    signature = Signature(
        observation={CAMERA: ArraySpec(shape=(*size, 3), dtype="uint8")},
        action=action_spec([piece.action for piece in pieces], ("steering", "throttle")),
        rate_hz=settings.rate_hz or DEFAULT_RATE_HZ,
    )
    return Source(
        signature=signature,
        num_episodes=len(pieces),
        episodes=pieces,
        encodings={CAMERA: encoding_for(settings)},
    )


def _tub(root: Path) -> Path:
    found = homes(root, MANIFEST)
    if len(found) != 1:
        raise ForethoughtError(
            f"{root}: {len(found)} files {MANIFEST} found, one tub is expected. Give the folder "
            "of a single tub."
        )
    return found[0]


def _records(tub: Path) -> list[Record]:
    """Records in order, deleted ones left out."""
    catalogs, deleted = _manifest(tub / MANIFEST)
    records = [record for name in catalogs for record in _catalog(tub / name)]
    kept = [record for record in records if record[INDEX] not in deleted]
    return sorted(kept, key=lambda record: record[INDEX])


def _manifest(path: Path) -> tuple[list[str], set[int]]:
    """Names of the catalogs, and the deleted indices; both are in the manifest's last line."""
    try:
        manifest = json.loads(path.read_text().splitlines()[-1])
        return list(manifest["paths"]), set(manifest.get("deleted_indexes", []))
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ForethoughtError(
            f"{path}: not the manifest of a version 2 tub ({error!r}). Convert older tubs with "
            "Donkeycar's own script."
        ) from error


def _catalog(path: Path) -> Iterator[Record]:
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ForethoughtError(f"{path}: the catalog cannot be read ({error}).") from error
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            needed = {key: record[key] for key in (INDEX, IMAGE, STEERING, THROTTLE)}
        except (ValueError, LookupError, TypeError) as error:
            raise ForethoughtError(
                f"{path}, line {number}: not a driving record ({error!r}); it needs {IMAGE}, "
                f"{STEERING} and {THROTTLE}. Remove the line."
            ) from error
        yield {**needed, SESSION: record.get(SESSION)}


def _drives(records: Sequence[Record]) -> list[list[Record]]:
    """Runs of successive records of one session, of at least two."""
    ends = [
        place
        for place, (one, two) in enumerate(pairwise(records), start=1)
        if two[INDEX] != one[INDEX] + 1 or two[SESSION] != one[SESSION]
    ]
    runs = [list(records[start:end]) for start, end in pairwise([0, *ends, len(records)])]
    drives = [run for run in runs if len(run) > 1]
    if not drives:
        raise ForethoughtError(
            f"the tub holds {len(records)} records that are not deleted, and no two in a row; "
            "there is nothing to import."
        )
    return drives


def _episode(tub: Path, drive: Sequence[Record], settings: ImportSettings) -> Episode:
    paths = [tub / "images" / record[IMAGE] for record in drive]
    action = np.array([[record[STEERING], record[THROTTLE]] for record in drive], np.float32)
    images = files_as_stored(paths, settings)
    return Episode(observation={CAMERA: images}, action=action, task="drive")
