"""Intuitive physics by violation of expectation: matched clips, of which one cannot happen.

A video model that learned from possible clips alone; one with the same predictor that foresees
pixels; one that writes frames token by token; models with random weights; and what pixels and
optical flow say. Each is trained for about as long, on the same clips.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from forethought import data, recipes, worlds
from forethought.baselines import CodedFramesConfig, FrameTransformerConfig, pixel_run, token_run
from forethought.data import Dataset
from forethought.evaluation.physics import BLOCKS, Summary
from forethought.evaluation.physics.results import (
    BARE,
    MODEL,
    PhysicsProtocol,
    PhysicsResults,
    evaluate_physics,
)
from forethought.evaluation.report.physics_report import physics_report
from forethought.learning import TrainConfig
from forethought.learning.train import train
from harness import Benchmark, Figure, estimate, figure, main

PROTOCOL = PhysicsProtocol(pairs=200, untrained=3)
PIXEL_SHARE = 0.85
"""Share of the steps of pixels: three times as many numbers take longer to be foreseen."""
TOKEN_STEPS = 15_000
"""Steps of tokens, for about as long a training; the seconds of each are in the results."""


def pixels(run: TrainConfig) -> TrainConfig:
    """The same predictor, foreseeing the pixels of patches."""
    changed = pixel_run(run)
    optimiser = changed.objective.optimiser.scaled(PIXEL_SHARE)
    return replace(changed, objective=replace(changed.objective, optimiser=optimiser))


def tokens(run: TrainConfig) -> TrainConfig:
    """The same clips, written token by token: sixteen to a frame."""
    changed = token_run(
        run,
        num_steps=TOKEN_STEPS,
        encoder=CodedFramesConfig(patch=8, codes=1024, width=32),
        predictor=FrameTransformerConfig(width=96, depth=3, heads=4, window=10),
    )
    optimiser = replace(changed.objective.optimiser, batch_size=8)
    return replace(changed, objective=replace(changed.objective, optimiser=optimiser))


RUNS: dict[str, Callable[[TrainConfig], TrainConfig]] = {
    "video model": lambda run: run,
    "pixels": pixels,
    "tokens": tokens,
}


def recorded(benchmark: Benchmark) -> Dataset:
    """Clips of what can happen, as the recipe says."""
    wanted = recipes.get("physics").recording
    assert wanted is not None
    return data.record(
        worlds.make(wanted.world, wanted.num_worlds),
        benchmark.folder("clips", fresh=False) / "data",
        num_episodes=wanted.num_episodes,
        episode_length=wanted.episode_length,
        resume=True,
    )


def measure(benchmark: Benchmark) -> None:
    clips = recorded(benchmark)
    for name, changed in RUNS.items():
        for seed in benchmark.seeds if name == "video model" else benchmark.seeds[:1]:
            config = replace(recipes.configure("physics", clips.signature), seed=seed)
            run = benchmark.folder("runs", fresh=False) / f"{name.replace(' ', '_')}-{seed}"
            part = partial(measured, clips, changed(config), run, f"{name}, seed {seed}")
            benchmark.part(f"{name}, seed {seed}", part)


def measured(clips: Dataset, config: TrainConfig, run: Path, who: str, _: Path) -> Sequence[Figure]:
    """Trains a model, or finds it trained, and shows it the matched clips."""
    model = train(clips, config, run, resume=True)
    ours, first = who.startswith("video model"), who == "video model, seed 0"
    protocol = PROTOCOL if first else replace(PROTOCOL, untrained=0, controls=False)
    results = evaluate_physics(model, list(BLOCKS.values()), protocol)
    physics_report(run, results)
    figures = blocks(results, who, goal=">= 0.9" if ours else None)
    figures.append(figure(f"{who}, all: seconds of training", trained_s(run), unit="s"))
    return figures + (controls(results, who) if first else [])


def blocks(results: PhysicsResults, who: str, *, goal: str | None) -> list[Figure]:
    """Accuracy on every block: of pairs, of sets of matched clips, and of clips one by one.

    Surprise and its summary are those that were best on validation clips; where nothing is hidden,
    each frame is foreseen from all before it.
    """
    kind, found = results.summary.value, []
    pairs = [one.pairs[kind] for one in results.results[MODEL]]
    for one, bare in zip(results.results[MODEL], results.results[BARE], strict=True):
        label = f"{who}, {one.name}"
        found.append(estimate(f"{label}: pairs", one.pairs[kind].to_json(), goal))
        found.append(estimate(f"{label}: sets", one.sets[kind].to_json()))
        found.append(figure(f"{label}: AUROC of single clips", one.single[kind]))
        seen = bare.pairs[results.kind(BARE)]
        found.append(estimate(f"{label}: pairs, nothing hidden", seen.to_json()))
    return [*found, figure(f"{who}, all: pairs", sum(one.value for one in pairs) / len(pairs))]


def controls(results: PhysicsResults, who: str) -> list[Figure]:
    """What pixels say, and models that have not learned: on the worst and the best block."""
    bounds = {"pixel difference": (0.45, 0.55)}
    found = []
    for asked in sorted(results.results.keys() - {MODEL, BARE}):
        low, high = bounds.get(asked, (0.4, 0.6))
        strict = asked in bounds or asked.startswith("untrained")
        for summary in Summary:
            values = [one.pairs[summary.value].value for one in results.results[asked]]
            for end, value, goal in (
                ("lowest", min(values), f">= {low}"),
                ("highest", max(values), f"<= {high}"),
            ):
                label = f"{who}, {asked}, {end} block: pairs by {summary.value}"
                found.append(figure(label, value, goal if strict else None))
    return found


def trained_s(run: Path) -> float:
    """Seconds that a run took to train."""
    return float(json.loads((run / "train.json").read_text())["train_seconds"])


if __name__ == "__main__":
    np.seterr(all="raise", under="ignore")
    main("physics", measure, seeds=3)
