"""Encoders, predictors and regularisers side by side, one changed at a time, in three worlds.

Training is told in seconds of the processor, from opening the recording to the last probe, so that
other work on the machine counts for little. The rooms with a fixed wall are trained as their recipe
says. The arm is shortened to 600 of its recipe's 1,500 steps and measured on 50 tasks, the rooms
with random walls to 800 of 2,000 and measured on 30. Shortened figures compare, and say little of
how good a recipe is.

Parts can be run by themselves, e.g. ``python benchmarks/encoders.py --resume --only reacher/``;
what is finished of the others is taken as it is.
"""

from __future__ import annotations

import json
import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from encoder_changes import Change, of_a_grid, of_one_vector
from forethought import data, recipes, worlds
from forethought.data import Dataset
from forethought.evaluation.planning import evaluate
from forethought.learning.folder import SUMMARY
from forethought.learning.train import CollapseWarning, train
from forethought.model import Model
from harness import Benchmark, Figure, estimate, figure, main
from heads import photographic, small
from rollouts import PLACE, rollout_errors

HORIZONS = (1, 5, 10, 20)


@dataclass(frozen=True, kw_only=True)
class Study:
    """What is measured in one world.

    Attributes:
        world: its name, and its recipe's.
        changes: by name.
        episodes: recorded.
        rows: of each; enough for the longest horizon behind the longest history.
        tasks: in which success is measured.
        steps: of pretraining; None for the recipe's.
        place: the quantities that are coordinates.
        unit: of the place.
        scale: units in one of the world's.
    """

    world: str
    changes: dict[str, Change]
    episodes: int
    rows: int
    tasks: int
    steps: int | None = None
    place: tuple[str, str] = PLACE
    unit: str = "px"
    scale: float = 1.0


STUDIES = (
    Study(world="two_rooms", changes=of_one_vector(16), episodes=600, rows=126, tasks=100),
    Study(
        world="reacher",
        changes=of_one_vector(32),
        episodes=600,
        rows=80,
        tasks=50,
        steps=600,
        place=("fingertip.x", "fingertip.y"),
        unit="mm",
        scale=1000.0,
    ),
    Study(
        world="two_rooms_random",
        changes=of_a_grid(),
        episodes=800,
        rows=120,
        tasks=30,
        steps=800,
    ),
)


def measure(benchmark: Benchmark) -> None:
    warnings.simplefilter("ignore", CollapseWarning)
    for seed in benchmark.seeds:
        for study in STUDIES:
            for number, name in enumerate(study.changes):
                benchmark.part(
                    f"{study.world}/{seed}-{number}",
                    lambda folder, study=study, name=name, seed=seed: variant(
                        study, name, seed, recorded(benchmark, study), folder
                    ),
                )
        benchmark.part(f"heads/{seed}-small", lambda _, seed=seed: small(seed))
        benchmark.part(f"heads/{seed}-photographic", lambda _, seed=seed: photographic(seed))


def recorded(benchmark: Benchmark, study: Study) -> Dataset:
    """The recording of a world; all variants learn from one."""
    recording = recipes.get(study.world).recording
    assert recording is not None
    return data.record(
        worlds.make(study.world, recording.num_worlds),
        benchmark.folder(f"{study.world}/data", fresh=False) / "episodes.lance",
        num_episodes=study.episodes,
        episode_length=study.rows,
        resume=True,
        visible=False,
    )


def variant(study: Study, name: str, seed: int, episodes: Dataset, folder: Path) -> list[Figure]:
    """Trains one, and measures it."""
    steps = f", {study.steps} steps" if study.steps else ""
    prefix = f"{study.world}{steps}, seed {seed}, {name}: "
    config = recipes.configure(study.world, episodes.signature, seed=seed, steps=study.steps)
    started = time.process_time()
    model = train(episodes, study.changes[name](config), folder / "run", visible=False)
    spent = time.process_time() - started
    return [
        figure(prefix + "training", spent, unit="s"),
        *state(prefix, study, folder / "run"),
        *(
            figure(f"{prefix}off after {horizon} blocks", study.scale * wrong, unit=study.unit)
            for horizon, wrong in rollout_errors(model, episodes, HORIZONS, study.place).items()
        ),
        *success(prefix, study, model),
    ]


def state(prefix: str, study: Study, run: Path) -> list[Figure]:
    """What the latents hold, and how many of their dimensions are used."""
    summary = json.loads((run / SUMMARY).read_text())
    health, probes = summary["diagnostics"], summary["probes"]
    columns = [probes["names"].index(one) for one in study.place]

    def explained(kind: str) -> float:
        return float(np.mean([probes[kind][column] for column in columns]))

    return [
        figure(prefix + "R2 of the place, linear probe", explained("linear_r2")),
        figure(prefix + "R2 of the place, MLP probe", explained("mlp_r2")),
        figure(prefix + "effective rank", health["effective_rank"]),
        figure(prefix + "symptoms of collapse", len(health["findings"])),
    ]


def success(prefix: str, study: Study, model: Model) -> list[Figure]:
    """How often the agent reaches its goals, as its recipe measures it."""
    recipe = recipes.get(study.world)
    acting = recipes.acting(recipe)
    results = evaluate(
        lambda goals, count: acting.agent(model, goals, count),
        lambda count: worlds.make(study.world, count),
        replace(recipe.planning, episodes=study.tasks, latency_decisions=5),
        visible=False,
    )
    headline = results.headline()
    figures = [estimate(prefix + "success", headline["agent"])]
    if "across" in results.agent.groups:
        across, _ = results.agent.groups["across"]
        figures.append(estimate(prefix + "success across", across.to_json()))
    return [*figures, estimate(prefix + "success of random actions", headline["floor"])]


if __name__ == "__main__":
    main("encoders", measure)
