"""What is left of the two-rooms agent where the world is not as recorded; what its latents hold.

    python benchmarks/shifts.py [--resume]

The demo's agent, trained from nothing, does the same hundred tasks in worlds that differ from the
recorded one: in one factor after the other, at four strengths each, and in all of them at once.
Beside success stand the oracle under the same shift, which sees the truth and does not know that
actions do something else, and by how many pixels the agent misreads where it is, where its goal
is, and how far its actions will take it, so that it can be told what fails.

Then probes read every quantity that the world offers out of the latents of fresh episodes, beside
an untrained encoder and the pictures themselves, and the rank of the true path length under the
agent's energy is taken over 400 tasks.

Last, the same recipe learns from clips that are moved by up to four pixels and lit otherwise, each
by its own draw, and its agent is swept along the factors that this may be of use for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from forethought import data, recipes, worlds
from forethought.evaluation.grounding import ground
from forethought.evaluation.probing import probe_latents
from forethought.evaluation.report.probe_report import probe_report
from forethought.evaluation.report.shift_report import shift_report
from forethought.evaluation.shifts import Curve, Point, Rates, ShiftResults, settled, sweep
from forethought.evaluation.statistics import Estimate
from forethought.learning import JEPAConfig
from forethought.learning.augmentation import AugmentationConfig
from forethought.learning.train import train
from forethought.model import Model, load_model
from forethought.recipes.demo import run_demo
from forethought.types import World
from forethought.worlds.factors import factors_of
from harness import Benchmark, Figure, estimate, figure, main

WORLD = "two_rooms"
PIXELS = ("position.x", "position.y")
EPISODES, FITTED = 90, 60
AUGMENTATION = AugmentationConfig(shift=4, brightness=0.5)
OF_USE_FOR = ("light", "contrast", "camera", "noise", "specks")
SEED_EXPLORED = 7


def make_world(count: int) -> World:
    return worlds.make(WORLD, count)


def rates(name: str, found: Rates) -> list[Figure]:
    return [
        estimate(f"{name}: met at some step", found.ever.to_json()),
        estimate(f"{name}: kept at the end", found.final.to_json()),
    ]


def misread(name: str, what: str, errors: dict[str, float]) -> Figure:
    """The root mean square of both coordinates."""
    both = np.array([errors[one] for one in PIXELS])
    return figure(f"{name}: {what}", float(np.sqrt(np.mean(both**2))), unit="px")


def point_figures(seed: int, name: str, unit: str, point: Point) -> list[Figure]:
    """A point of a curve."""
    strength = f"{name} {point.strength:g} {unit}".strip()
    label = f"{WORLD}, each strength, seed {seed}, {strength}"
    figures = rates(label, point.agent.rates())
    figures.append(estimate(f"{label}: oracle", point.ceiling.rates().ever.to_json()))
    figures.append(estimate(f"{label}: random", point.floor.rates().ever.to_json()))
    if point.errors is not None:
        figures += [
            misread(label, "present misread", dict(point.errors.present)),
            misread(label, "goal misread", dict(point.errors.goal)),
            misread(label, "step misforeseen", dict(point.errors.change)),
        ]
    return figures


def curve_figures(seed: int, curve: Curve) -> list[Figure]:
    factor = curve.factor
    figures = rates(f"{WORLD}, robustness, seed {seed}, {factor.name}", curve.score)
    for point in curve.points[1:]:
        figures += point_figures(seed, factor.name, factor.unit, point)
    return figures


def swept(folder: Path, model: Model, who: str, names: Sequence[str] = ()) -> ShiftResults:
    """Sweeps an agent, and leaves the page beside its points; those that are there are taken."""
    recipe = recipes.get(WORLD)
    acting = recipes.acting(recipe)
    results = sweep(
        lambda goals, count: acting.agent(model, goals, count),
        make_world,
        factors_of(make_world(1), names),
        settled(recipe.planning),
        model=model,
        kept=folder / "shifts.points.json",
        who=who,
        resume=True,
        visible=False,
    )
    shift_report(folder, results, make_world)
    return results


def shifted(folder: Path, model: Model, seed: int) -> list[Figure]:
    results = swept(folder, model, f"seed {seed}")
    mean = f"{WORLD}, robustness, seed {seed}, mean over factors, one at a time"
    return [
        *rates(mean, results.score),
        *point_figures(seed, "as recorded", "", results.recorded),
        *(one for curve in results.every_curve() for one in curve_figures(seed, curve)),
    ]


def augmented(folder: Path, seed: int) -> list[Figure]:
    recording = data.open(folder / "demo" / "data")
    config = recipes.configure(WORLD, recording.signature, seed=seed)
    assert isinstance(config.objective, JEPAConfig)
    objective = replace(config.objective, augmentation=AUGMENTATION)
    model = train(
        recording,
        replace(config, objective=objective),
        folder / "augmented",
        resume=True,
        visible=False,
    )
    results = swept(folder / "augmented", model, f"augmented, seed {seed}", OF_USE_FOR)
    overall = f"{WORLD}, robustness of augmented training, seed {seed}"
    return [
        *rates(f"{overall}, success as recorded", results.recorded.agent.rates()),
        *(one for c in results.curves for one in rates(f"{overall}, {c.factor.name}", c.score)),
    ]


def probed(folder: Path, model: Model, seed: int) -> list[Figure]:
    dataset = data.record(
        worlds.make(WORLD, 30),
        folder / "explored",
        num_episodes=EPISODES,
        episode_length=100,
        seed=SEED_EXPLORED,
        resume=True,
        visible=False,
    )
    probing = probe_latents(
        model, dataset, train=range(FITTED), held_out=range(FITTED, EPISODES), visible=False
    )
    acting = recipes.acting(recipes.get(WORLD))
    grounding = ground(lambda goals, count: acting.agent(model, goals, count), make_world)
    probe_report(folder, probing, grounding)
    figures: list[Figure] = []
    for reading in probing.readings:
        if reading.r2 is not None:
            label = f"{WORLD}, probes, seed {seed}, {reading.quantity}, {reading.source}"
            figures += [
                estimate(f"{label}: {reading.probe} R2", reading.r2.to_json()),
                of_pixels(f"{label}: {reading.probe} error", reading.rmse),
            ]
    for ranks in grounding.ranks:
        label = f"{WORLD}, rank of path length, seed {seed}, {ranks.pairs}"
        figures += [
            estimate(f"{label}: energy", ranks.energy.to_json()),
            estimate(f"{label}: latent distance", ranks.latent.to_json()),
        ]
    return figures


def of_pixels(name: str, error: Estimate) -> Figure:
    return figure(name, error.value, unit="px", low=error.low, high=error.high, n=error.episodes)


def measure(benchmark: Benchmark) -> None:
    """Trains the demo's agent, shifts its world, and probes it."""
    for seed in benchmark.seeds:
        folder = benchmark.folder(f"seed{seed}")
        if not (folder / "demo" / "results.json").exists():
            run_demo(WORLD, folder / "demo", seed=seed, visible=False)
        model = load_model(folder / "demo" / "run")
        benchmark.part(f"probes{seed}", lambda _, f=folder, m=model, s=seed: probed(f, m, s))
        benchmark.part(f"shifts{seed}", lambda _, f=folder, m=model, s=seed: shifted(f, m, s))
        benchmark.part(f"augmented{seed}", lambda _, f=folder, s=seed: augmented(f, s))


if __name__ == "__main__":
    main("shifts", measure)
