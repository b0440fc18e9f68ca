"""Importers: LeRobot datasets, Donkeycar tubs, CSV and Parquet recordings."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from forethought.data.dataset import Dataset, open_dataset
from forethought.data.importers.donkeycar import MANIFEST, read_donkeycar
from forethought.data.importers.lerobot import INFO, read_lerobot
from forethought.data.importers.source import ImportSettings, Source, homes, unpacked
from forethought.data.importers.table import read_table
from forethought.data.store import create
from forethought.types import Episode, ForethoughtError

FORMATS: dict[str, Callable[[Path, ImportSettings], Source]] = {
    "lerobot": read_lerobot,
    "donkeycar": read_donkeycar,
    "table": read_table,
}
"""The importers by the name of their format."""

COMMIT_EPISODES = 16


def detect(root: Path, settings: ImportSettings | None = None) -> str:
    """The format of a folder, told from what is in it; a key of :data:`FORMATS`.

    Raises:
        ForethoughtError: nothing that is known.
    """
    if settings is not None and settings.mapping is not None:
        return "table"
    if homes(root, INFO):
        return "lerobot"
    if homes(root, MANIFEST):
        return "donkeycar"
    if any(any(root.rglob(pattern)) for pattern in ("*.csv", "*.parquet")):
        return "table"
    raise ForethoughtError(
        f"{root}: not recognised. A LeRobot dataset has {INFO}, a Donkeycar tub {MANIFEST}; CSV "
        "and Parquet recordings need --mapping FILE."
    )


def import_dataset(
    source: Path | str,
    out: Path | str,
    settings: ImportSettings | None = None,
    *,
    visible: bool = True,
) -> Dataset:
    """Imports recordings into a new dataset: all of them, or none.

    Args:
        source: folder or ``.tar`` archive of the recordings.
        out: folder of the dataset to make.
        settings: see :class:`ImportSettings`.
        visible: show progress.

    Raises:
        ForethoughtError: the recordings cannot be read, or something is at ``out`` already.
    """
    source, out, settings = Path(source), Path(out), settings or ImportSettings()
    if out.exists():
        raise ForethoughtError(
            f"{out}: something is there already; choose another path, or remove it."
        )
    with unpacked(source) as root:
        name = detect(root, settings)
        recordings = FORMATS[name](root, settings)
        # Moved into place when whole; what an interrupted import left is written over.
        unfinished = out.with_name(out.name + ".importing")
        shutil.rmtree(unfinished, ignore_errors=True)
        _write(recordings, unfinished, _origin(source, name, settings), visible=visible)
    unfinished.rename(out)
    return open_dataset(out)


def _write(recordings: Source, path: Path, origin: dict[str, Any], *, visible: bool) -> None:
    episodes = track(
        recordings.episodes,
        total=recordings.num_episodes,
        description="importing",
        console=Console(stderr=True),
        disable=not visible,
    )
    writer = create(path, recordings.signature, encodings=recordings.encodings, origin=origin)
    with writer:
        for group in _groups(episodes):
            writer.append(group)


def _groups(episodes: Any) -> Iterator[Sequence[Episode]]:
    """Several small episodes a commit; a few at a time, since they are held in memory."""
    group: list[Episode] = []
    for episode in episodes:
        group.append(episode)
        if len(group) == COMMIT_EPISODES:
            yield group
            group = []
    yield group


def _origin(source: Path, name: str, settings: ImportSettings) -> dict[str, Any]:
    said = {key: value for key, value in asdict(settings).items() if value not in (None, False)}
    plain = {key: v.name if isinstance(v, Path) else v for key, v in said.items()}
    return {"format": name, "source": source.name, **plain}


__all__ = ["FORMATS", "ImportSettings", "Source", "detect", "import_dataset"]
