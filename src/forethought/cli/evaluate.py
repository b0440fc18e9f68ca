"""``forethought evaluate``."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro
from rich.console import Console

from forethought.cli.acting import ActingOptions
from forethought.cli.output import Answer, Common, table

if TYPE_CHECKING:
    from forethought.data import Dataset
    from forethought.evaluation.planning import PlanningProtocol
    from forethought.evaluation.references import Reference
    from forethought.model import Model
    from forethought.types import World


@dataclass(frozen=True, kw_only=True)
class Arguments(Common):
    """Planning success on held-out tasks, beside floors and an oracle ceiling on the same tasks."""

    run: tyro.conf.Positional[Path]
    """Folder of the run."""
    world: str
    """Name of the world."""
    episodes: int | None = None
    """Tasks; the recipe's number where not said."""
    budget: int | None = None
    """World steps in an episode; the recipe's number where not said."""
    seed: int | None = None
    """Tasks are drawn from seeds from here on."""
    distances: tuple[float, ...] = ()
    """World steps of the true path to the goal: as many tasks of each, e.g. 25 50 75."""
    steps: tuple[int, ...] = ()
    """World steps between start and goal in held-out recorded episodes, with --data: as many of
    each."""
    like_stable_worldmodel: bool = False
    """The protocol of stable-worldmodel, with --data: 50 starts from all recordings, goals 25 steps
    later, 50 steps to touch them; what that leaves out is said beside it."""
    data: Path | None = None
    """Dataset that the run was trained on: for recorded tasks, and to clone behaviour from."""
    floors: tuple[Literal["random", "still", "cloning"], ...] = ("random",)
    """Who does the same tasks to be done better than: random actions, doing nothing, behaviour
    cloned from --data (trained once, kept in the run)."""
    cloning_steps: int | None = None
    """Training steps of the cloned behaviour; 3000 where not said."""
    ceiling: bool = True
    """Let the world's oracle do the same tasks."""
    simulator: bool = False
    """Let the same search do the same tasks with the true simulator for its model; this takes as
    long as it takes to act all candidates out."""
    name: str = ""
    """Part of the names of the files that are written, to keep several evaluations of a run."""
    acting: tyro.conf.OmitArgPrefixes[ActingOptions] = field(default_factory=ActingOptions)
    """How the agent acts."""


def run(arguments: Arguments) -> Answer:
    """Evaluates, and writes results and report into the run."""
    from forethought import recipes, worlds
    from forethought.evaluation import Oracle, evaluate
    from forethought.evaluation.report import distance_rows, evaluate_report, outcome_rows
    from forethought.evaluation.true_simulator import TrueSimulator
    from forethought.model import load_model, note_measured, write_safely

    model = load_model(arguments.run)
    recipe = recipes.get(model.notes["recipe"])
    acting = arguments.acting.search.applied(recipes.acting(recipe))
    gate = arguments.acting.reflex.gate(model, arguments.run)
    data = _data(arguments)

    def make_world(count: int) -> World:
        return worlds.make(arguments.world, count)

    ceilings: list[Reference] = [Oracle()] if arguments.ceiling else []
    if arguments.simulator:
        ceilings.append(
            TrueSimulator(make_agent=partial(acting.agent, model), make_world=make_world)
        )
    results = evaluate(
        lambda goals, count: acting.agent(model, goals, count, gate=gate),
        make_world,
        _protocol(recipe.planning, model, data, arguments),
        floors=_floors(model, data, arguments),
        ceilings=ceilings,
        visible=not arguments.json,
    )
    # What acted is kept beside what it did, so that failures are looked into with the same agent.
    acted = {**arguments.acting.to_json(), "planner": str(acting.planner)}
    payload = {**results.to_json(), "acting": acted}
    name = "-".join(["evaluate", *filter(None, [arguments.name])])
    write_safely(arguments.run / f"{name}.json", json.dumps(payload, indent=2).encode())
    note_measured(arguments.run, "planning", {_label(arguments): results.headline()})
    report = evaluate_report(arguments.run, results, name)
    header, rows = outcome_rows(results)

    def show(console: Console) -> None:
        held_out = "held-out " if results.tasks.held_out else ""
        title = f"{arguments.world}, {len(results.seeds)} {held_out}tasks"
        console.print(table(title, header, rows))
        if (by_distance := distance_rows(results))[1]:
            console.print(table("", *by_distance))
        for remark in results.remarks():
            console.print(f"note: {remark}")
        ms = results.decision_ms
        console.print(f"decision {ms['median']:.1f} ms (99th percentile {ms['p99']:.1f})")
        console.print(f"report {report}")

    return Answer(payload={**payload, "report": str(report)}, show=show)


def _data(arguments: Arguments) -> Dataset | None:
    """The recordings, where they are needed."""
    from forethought import data
    from forethought.types import ForethoughtError

    asked = [
        name
        for name, needed in {
            "--steps": arguments.steps,
            "--like-stable-worldmodel": arguments.like_stable_worldmodel,
            "--floors cloning": "cloning" in arguments.floors,
        }.items()
        if needed
    ]
    if asked and arguments.data is None:
        raise ForethoughtError(
            f"{asked[0]} takes recordings: give --data with the dataset that the run was trained "
            "on."
        )
    return data.open(arguments.data) if asked and arguments.data is not None else None


def _protocol(
    usual: PlanningProtocol, model: Model, data: Dataset | None, arguments: Arguments
) -> PlanningProtocol:
    """The recipe's protocol, with what was said otherwise."""
    from forethought.evaluation import RecordedTasks, TasksAtDistance, stable_worldmodel
    from forethought.types import ForethoughtError

    chosen = (arguments.distances, arguments.steps, arguments.like_stable_worldmodel)
    if sum(map(bool, chosen)) > 1:
        raise ForethoughtError(
            "--distances, --steps and --like-stable-worldmodel each say where tasks come from; "
            "give one of them."
        )
    if arguments.distances:
        usual = replace(usual, tasks=TasksAtDistance(distances=arguments.distances))
    if data is not None and arguments.steps:
        held_out = tuple(model.notes["held_out_episodes"])
        recorded = RecordedTasks(data=data, episodes=held_out, steps=arguments.steps)
        usual = replace(usual, tasks=recorded)
    if data is not None and arguments.like_stable_worldmodel:
        usual = replace(
            stable_worldmodel(data),
            traces=usual.traces,
            latency_decisions=usual.latency_decisions,
        )
    given = {"episodes": arguments.episodes, "budget": arguments.budget, "seed": arguments.seed}
    return replace(usual, **{key: value for key, value in given.items() if value is not None})


def _floors(model: Model, data: Dataset | None, arguments: Arguments) -> list[Reference]:
    """Who was asked to do the same tasks."""
    from forethought.evaluation import HoldStill, RandomActions
    from forethought.evaluation.cloned import cloned

    found: list[Reference] = []
    for name in arguments.floors:
        if name == "random":
            found.append(RandomActions())
        elif name == "still":
            found.append(HoldStill())
        elif data is not None:
            found.append(
                cloned(
                    arguments.run,
                    model,
                    data,
                    steps=arguments.cloning_steps,
                    visible=not arguments.json,
                )
            )
    return found


def _label(arguments: Arguments) -> str:
    """How the run's card calls what was measured."""
    reflex = arguments.acting.reflex
    by_mode = ", Mode 1" if reflex.reflexes else ", gated" if reflex.gated else ""
    told = [f", {arguments.name}"] if arguments.name else []
    if arguments.distances:
        told.append(f", goals {' '.join(f'{d:g}' for d in arguments.distances)} steps away")
    if arguments.steps:
        told.append(f", goals {' '.join(map(str, arguments.steps))} steps later in recordings")
    if arguments.like_stable_worldmodel:
        told.append(", as stable-worldmodel measures")
    return arguments.world + by_mode + "".join(told)
