"""Importers: LeRobot datasets, Donkeycar tubs, CSV and Parquet recordings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.progress import track

from forethought.data.importers.donkeycar import read_donkeycar
from forethought.data.importers.lerobot import read_lerobot
from forethought.data.importers.source import ImportSettings, Source
from forethought.data.importers.table import read_table
from forethought.data.store import Dataset, create, open
from forethought.types import ForethoughtError

Importer = Callable[[Path, ImportSettings], Source]


def detect(source: Path, settings: ImportSettings) -> Importer:
    """Which importer reads ``source``, told from what is in it.

    Raises:
        ForethoughtError: nothing there, or nothing that is known.
    """
    if not source.exists():
        raise ForethoughtError(f"{source}: no such file or folder.")
    if settings.mapping is not None:
        return read_table
    if (source / "meta" / "info.json").exists():
        return read_lerobot
    archive = source.is_file() and source.name.endswith((".tar", ".tar.gz", ".tgz"))
    if archive or (source / "manifest.json").exists() or list(source.glob("*/manifest.json")):
        return read_donkeycar
    if (source.is_dir() and any(source.rglob("*.csv"))) or any(source.rglob("*.parquet")):
        return read_table
    raise ForethoughtError(
        f"{source}: not recognised. A LeRobot dataset has meta/info.json, a Donkeycar tub "
        "manifest.json; CSV and Parquet recordings need --mapping FILE."
    )


def import_dataset(
    source: Path | str,
    out: Path | str,
    settings: ImportSettings | None = None,
    *,
    visible: bool = True,
) -> Dataset:
    """Imports recordings into a new dataset.

    Args:
        source: folder or archive of the recordings.
        out: folder of the dataset to make.
        settings: see :class:`ImportSettings`.
        visible: show progress.

    Raises:
        ForethoughtError: the recordings cannot be read, or something is at ``out`` already.
    """
    source, out, settings = Path(source), Path(out), settings or ImportSettings()
    importer = detect(source, settings)
    if out.exists():
        raise ForethoughtError(f"{out}: something is there already; choose another path.")
    recordings = importer(source, settings)
    episodes = track(
        recordings.episodes,
        total=recordings.num_episodes,
        description="importing",
        console=Console(stderr=True),
        disable=not visible,
    )
    with create(out, recordings.signature, encodings=recordings.encodings) as writer:
        for episode in episodes:
            writer.append([episode])
    return open(out)


__all__ = ["ImportSettings", "Source", "detect", "import_dataset"]
