"""Intuitive physics by violation of expectation: matched clips, of which one cannot happen.

A video model that learned from possible clips alone; one with the same predictor that foresees
pixels; one that writes frames token by token; models with random weights; and what pixels and
optical flow say. Trained for about as long each, on the same clips.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from forethought import data, recipes, worlds
from forethought.baselines import CodedFramesConfig, FrameTransformerConfig, pixel_run, token_run
from forethought.data import Dataset
from forethought.evaluation.physics import BLOCKS, Summary
from forethought.evaluation.physics.results import PhysicsProtocol, PhysicsResults, evaluate_physics
from forethought.evaluation.report.physics_report import physics_report
from forethought.learning import TrainConfig
from forethought.learning.train import train
from harness import Benchmark, Figure, estimate, figure, main

PROTOCOL = PhysicsProtocol(pairs=200, untrained=3)
TOKEN_STEPS = 1500
PIXEL_SHARE = 0.8
"""Share of the steps: without an encoder to train each takes a little less, and learns a little
more numbers; the seconds are in the results."""


def tokens(run: TrainConfig) -> TrainConfig:
    """The same clips, written token by token: sixteen to a frame."""
    run = replace(
        run,
        world_model=replace(
            run.world_model,
            perception=replace(run.world_model.perception, frame_stack=1),
        ),
    )
    changed = token_run(
        run,
        num_steps=TOKEN_STEPS,
        encoder=CodedFramesConfig(patch=8, codes=1024, width=32),
        predictor=FrameTransformerConfig(width=96, depth=3, heads=4, window=19),
    )
    optimiser = replace(changed.objective.optimiser, batch_size=8)
    return replace(changed, objective=replace(changed.objective, optimiser=optimiser))


def pixels(run: TrainConfig) -> TrainConfig:
    """The same predictor, foreseeing the pixels of patches."""
    changed = pixel_run(run)
    optimiser = changed.objective.optimiser.scaled(PIXEL_SHARE)
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
    for seed in benchmark.seeds:
        config = replace(recipes.configure("physics", clips.signature), seed=seed)
        for name, changed in RUNS.items():
            run = benchmark.folder("runs", fresh=False) / f"{name.replace(' ', '_')}-{seed}"
            part = partial(measured, clips, changed(config), run, name)
            benchmark.part(f"{name}, seed {seed}", part)


def measured(
    clips: Dataset, config: TrainConfig, run: Path, name: str, _: Path
) -> Sequence[Figure]:
    """Trains a model, or finds it trained, and shows it the matched clips."""
    model = train(clips, config, run, resume=True)
    ours = name == "video model"
    protocol = PROTOCOL if ours else replace(PROTOCOL, untrained=0, controls=False)
    results = evaluate_physics(model, list(BLOCKS.values()), protocol)
    physics_report(run, results)
    figures = blocks(results, "model", name, goal=">= 0.9" if ours else None)
    for summary in Summary:
        if summary is not results.summary:
            figures += blocks(results, "model", name, summary=summary)
    figures.append(figure(f"{name}: seconds of training", trained_s(run), unit="s"))
    return figures + (controls(results) if ours else [])


def blocks(
    results: PhysicsResults,
    who: str,
    name: str,
    *,
    goal: str | None = None,
    summary: Summary | None = None,
) -> list[Figure]:
    """Accuracy on every block, pairs and sets."""
    kind = (summary or results.summary).value
    found = []
    for one in results.results[who]:
        label = f"{name}, {one.name}: pairs by {kind}"
        found.append(estimate(label, one.pairs[kind].to_json(), goal))
        if goal:
            sets = one.sets[kind].to_json()
            found.append(estimate(f"{name}, {one.name}: sets by {kind}", sets))
    return found


def controls(results: PhysicsResults) -> list[Figure]:
    """What pixels say, and models that have not learned, each over all pairs and block by block."""
    found = []
    for who in results.results:
        if who == "model":
            continue
        for summary in Summary:
            values = [one.pairs[summary.value].value for one in results.results[who]]
            label = f"{who}, {{}} block: pairs by {summary.value}"
            bounded = who in ("pixel difference",) or who.startswith("untrained")
            low, high = (0.45, 0.55) if who == "pixel difference" else (0.4, 0.6)
            found.append(
                figure(label.format("lowest"), min(values), f">= {low}" if bounded else None)
            )
            found.append(
                figure(label.format("highest"), max(values), f"<= {high}" if bounded else None)
            )
    return found


def trained_s(run: Path) -> float:
    """Seconds that a run took to train."""
    import json

    return float(json.loads((run / "train.json").read_text())["train_seconds"])


if __name__ == "__main__":
    np.seterr(all="raise", under="ignore")
    main("physics", measure)
