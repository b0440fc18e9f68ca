"""``forethought record``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from forethought.cli.output import Answer, Common


@dataclass(frozen=True, kw_only=True)
class Arguments(Common):
    """Record episodes of a world, explored without any goal."""

    world: tyro.conf.Positional[str]
    """Name of the world, see `forethought worlds`."""
    out: Path
    """Folder of the dataset."""
    episodes: int = 600
    """Episodes in all."""
    length: int = 100
    """Rows of each episode."""
    worlds: int = 50
    """Copies that are recorded in lockstep."""
    seed: int = 0
    """Of the starts and the behaviour."""
    resume: bool = False
    """Add what is missing to the dataset at --out."""


def run(arguments: Arguments) -> Answer:
    """Records."""
    from forethought import data, worlds

    world = worlds.make(arguments.world, min(arguments.worlds, max(1, arguments.episodes)))
    dataset = data.record(
        world,
        arguments.out,
        num_episodes=arguments.episodes,
        episode_length=arguments.length,
        seed=arguments.seed,
        resume=arguments.resume,
        visible=not arguments.json,
    )
    payload = {
        "data": str(arguments.out),
        "episodes": dataset.num_episodes,
        "rows": dataset.num_rows,
    }
    return Answer(
        payload=payload,
        show=lambda console: console.print(
            f"{dataset.num_episodes} episodes, {dataset.num_rows} rows in {arguments.out}"
        ),
    )
