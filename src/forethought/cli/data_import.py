"""``forethought data import``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from forethought.cli.output import Answer, Common


@dataclass(frozen=True, kw_only=True)
class Arguments(Common):
    """Bring in LeRobot datasets, Donkeycar tubs, CSV and Parquet with a mapping file."""

    source: tyro.conf.Positional[Path]
    """Folder or archive of the recordings."""
    data: tyro.conf.Positional[Path]
    """Folder of the dataset to make."""
    mapping: Path | None = None
    """For CSV and Parquet: the file that says which columns are what."""
    episodes: tuple[int, ...] = ()
    """Episodes to take; all where not said."""
    image_size: tuple[int, int] | None = None
    """Height and width that images are reduced to; their own where not said."""
    episode_length: int | None = None
    """Cut long recordings into episodes of so many rows."""
    state_only: bool = False
    """Leave the cameras out."""
    frames: Path | None = None
    """For LeRobot: an .npz of JPEG frames to use in place of the videos."""
    rate_hz: float | None = None
    """Rows per second, for recordings that do not say."""


def run(arguments: Arguments) -> Answer:
    """Imports."""
    from forethought.data.importers import ImportSettings, import_dataset

    dataset = import_dataset(
        arguments.source,
        arguments.data,
        ImportSettings(
            mapping=arguments.mapping,
            episodes=arguments.episodes or None,
            image_size=arguments.image_size,
            episode_length=arguments.episode_length,
            state_only=arguments.state_only,
            frames=arguments.frames,
            rate_hz=arguments.rate_hz,
        ),
        visible=not arguments.json,
    )
    payload = {
        "data": str(arguments.data),
        "episodes": dataset.num_episodes,
        "rows": dataset.num_rows,
    }
    return Answer(
        payload=payload,
        show=lambda console: console.print(
            f"{dataset.num_episodes} episodes, {dataset.num_rows} rows in {arguments.data}"
        ),
    )
