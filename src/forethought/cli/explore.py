"""``forethought explore``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import tyro

from forethought.cli.output import Answer, Common


@dataclass(frozen=True, kw_only=True)
class Arguments(Common):
    """Record episodes of a world by curiosity: where a world model does not know what comes.

    A share of the episodes is the world's own exploring. A world model, an ensemble, learns of
    what there is; agents plan toward where its members disagree; and so on, in rounds. Killed and
    called again it goes on.
    """

    world: tyro.conf.Positional[str]
    """Name of the world, see `forethought worlds`."""
    recipe: str
    """How the world model is trained in each round, see `forethought recipes`."""
    out: Path
    """Folder of the dataset."""
    runs: Path
    """Folder of the runs, one of each round."""
    episodes: int = 600
    """Episodes in all."""
    length: int = 100
    """Rows of each episode."""
    rounds: int = 3
    """Times that a world model learns before more is collected."""
    members: int = 5
    """Of the ensemble."""
    steps: int | None = None
    """Training steps of each round; the recipe's where not said."""
    worlds: int = 50
    """Copies that are recorded in lockstep."""
    seed: int = 0
    """Of everything."""


def run(arguments: Arguments) -> Answer:
    """Explores."""
    from forethought import recipes, worlds
    from forethought.learning.exploring import ExplorationConfig, explore

    recipes.get(arguments.recipe)  # Before any work: there is one of that name.
    config = ExplorationConfig(
        num_episodes=arguments.episodes,
        episode_length=arguments.length,
        rounds=arguments.rounds,
        members=arguments.members,
    )
    dataset = explore(
        worlds.make(arguments.world, min(arguments.worlds, config.until(0))),
        arguments.out,
        partial(recipes.configure, arguments.recipe, steps=arguments.steps),
        arguments.runs,
        config,
        seed=arguments.seed,
        visible=not arguments.json,
    )
    payload = {
        "data": str(arguments.out),
        "runs": str(arguments.runs),
        "episodes": dataset.num_episodes,
        "by_curiosity": dataset.num_episodes - config.until(0),
    }
    return Answer(
        payload=payload,
        show=lambda console: console.print(
            f"{dataset.num_episodes} episodes in {arguments.out}, {payload['by_curiosity']} of "
            "them by curiosity"
        ),
    )
