"""``forethought distill``."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import tyro
from rich.console import Console

from forethought.cli.acting import SearchOptions
from forethought.cli.output import Answer, Common, table


@dataclass(frozen=True, kw_only=True)
class Arguments(Common):
    """Teach a policy to answer at once what the run's agent would plan (Mode 1)."""

    run: tyro.conf.Positional[Path]
    """Folder of the run."""
    out: Path
    """Folder of a new run: the same model, with the policy."""
    world: str | None = None
    """World to act in."""
    data: Path | None = None
    """Dataset whose episodes are replayed where there is no world."""
    search: tyro.conf.OmitArgPrefixes[SearchOptions] = field(default_factory=SearchOptions)
    """The search that is distilled. It may be thorough, since once it is its time is of no
    account."""
    clone: Path | None = None
    """Dataset whose recorded actions are learned from besides."""
    rounds: int | None = None
    """Rounds of acting and learning; the recipe's number where not said."""
    agents: int | None = None
    """Agents that act at once; the recipe's number where not said."""
    budget: int | None = None
    """World steps of their episodes; the recipe's number where not said."""
    steps: int | None = None
    """Steps of learning in a round; the recipe's number where not said."""
    seed: int = 0
    """Of weights, batches and agents."""
    resume: bool = False
    """Continue the distillation in --out."""
    threads: int | None = None
    """Threads that PyTorch uses; as many as there are cores where not said."""


def run(arguments: Arguments) -> Answer:
    """Distils, and leaves the model with its policy."""
    import torch

    from forethought import data, recipes
    from forethought.learning.distilling import distill
    from forethought.learning.folder import SUMMARY
    from forethought.model import load_model

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    model = load_model(arguments.run)
    recipe = recipes.get(model.notes["recipe"])
    usual = recipes.acting(recipe)
    acting = arguments.search.applied(usual)
    distill(
        model,
        acting.agent,
        _where(arguments),
        arguments.out,
        clone=None if arguments.clone is None else data.open(arguments.clone),
        # Labels of two searches are not to be mixed when it is resumed.
        name=" by ".join(
            [arguments.world or "", *([] if acting == usual else [str(acting.planner)])]
        ),
        config=_config(recipe.distilling, arguments),
        resume=arguments.resume,
        visible=not arguments.json,
    )
    summary = json.loads((arguments.out / SUMMARY).read_text())["distilled"]

    def show(console: Console) -> None:
        header = ["round", "decisions", "error of the policy that acted", "held-out error after"]
        rows = [
            [
                str(number),
                str(one["decisions"]),
                "-" if one["error_before"] is None else f"{one['error_before']:.3f}",
                f"{one['error']:.3f} (their mean: {one['of_the_mean']:.3f})",
            ]
            for number, one in enumerate(summary["rounds"], start=1)
        ]
        console.print(table(f"run {arguments.out}", header, rows))
        console.print(f"evaluate it with: forethought evaluate {arguments.out} --world ... --gated")

    return Answer(payload={"run": str(arguments.out), **summary}, show=show)


def _where(arguments: Arguments):
    """The world to act in, or the episodes to replay."""
    from forethought import data, worlds
    from forethought.types import ForethoughtError

    if (arguments.world is None) == (arguments.data is None):
        raise ForethoughtError(
            "distil where? Give --world NAME to act in, or --data DATA to replay, and not both."
        )
    if arguments.data is not None:
        return data.open(arguments.data)
    name = str(arguments.world)
    worlds.make(name, 1)
    return lambda count: worlds.make(name, count)


def _config(config, arguments: Arguments):
    """The recipe's, with what was said otherwise."""
    given = {
        "rounds": arguments.rounds,
        "num_agents": arguments.agents,
        "budget": arguments.budget,
    }
    changes = {name: value for name, value in given.items() if value is not None}
    if arguments.steps is not None:
        changes["optimiser"] = replace(config.optimiser, num_steps=arguments.steps)
    return replace(config, seed=arguments.seed, **changes)
