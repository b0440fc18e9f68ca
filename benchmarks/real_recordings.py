"""Import, check, train, predict and report on a real recording, shared by their benchmarks."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

from forethought import recipes
from forethought.data.check import Severity, check
from forethought.data.importers import ImportSettings, import_dataset
from forethought.evaluation import PredictionResults, predict
from forethought.evaluation.report import predict_report, train_report
from harness import Benchmark, figure


def measure_recording(
    benchmark: Benchmark, label: str, source: Path, settings: ImportSettings, recipe: str
) -> list[PredictionResults]:
    """The whole job for every seed; returns what was measured, for goals to be set on."""
    folder = benchmark.folder(label)
    dataset = import_dataset(source, folder / "data", settings, visible=False)
    findings = check(dataset)
    benchmark.add(
        figure(f"{label}: rows imported", dataset.num_rows),
        figure(
            f"{label}: errors found in the data",
            sum(f.severity is Severity.ERROR for f in findings),
        ),
    )
    results = []
    for seed in benchmark.seeds:
        run = folder / f"seed{seed}"
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            model = recipes.train(dataset, recipe=recipe, out=run, seed=seed, visible=False)
        found = predict(model, dataset, recipes.get(recipe).prediction, visible=False)
        train_report(run, dataset)
        predict_report(run, found)
        summary = json.loads((run / "train.json").read_text())
        prefix = f"{label}, seed {seed}: "
        benchmark.add(
            figure(prefix + "training", summary["train_seconds"], unit="s"),
            figure(
                prefix + "symptoms of collapse", len(summary["diagnostics"]["findings"]), "<= 0"
            ),
        )
        results.append(found)
    return results


def add_state_figures(benchmark: Benchmark, label: str, results: list[PredictionResults]) -> None:
    """State recordings: better than copy, extrapolation, ridge; worse for shuffled actions."""
    for seed, found in zip(benchmark.seeds, results, strict=True):
        for h in found.horizons:
            prefix = f"{label}, seed {seed}, {h.steps} steps: "
            best = min(1.0, h.linear, h.ridge)
            benchmark.add(
                figure(prefix + "model over copy", h.quantities, f"< {best:.6f}", n=found.clips),
                figure(prefix + "linear extrapolation over copy", h.linear),
                figure(prefix + "ridge over copy", h.ridge),
                figure(
                    prefix + "shuffled over copy", h.quantities_shuffled, f"> {h.quantities:.6f}"
                ),
            )
        for r in found.recoveries:
            prefix = f"{label}, seed {seed}, action recovered over {r.steps} steps: "
            benchmark.add(
                figure(prefix + "plan", r.plan, f"< {min(r.mean, r.ridge):.6f}", n=found.clips),
                figure(prefix + "inverse model alone", r.proposal),
                figure(prefix + "ridge", r.ridge),
                figure(prefix + "mean action", r.mean),
            )


def add_image_figures(benchmark: Benchmark, label: str, results: list[PredictionResults]) -> None:
    """Image recordings: better than copy in latent and probe space, and splices found."""
    for seed, found in zip(benchmark.seeds, results, strict=True):
        for h in found.horizons:
            prefix = f"{label}, seed {seed}, {h.steps} frames: "
            goal = "< 1" if h.steps in (5, 10) else None
            benchmark.add(
                figure(prefix + "latent over copy", h.latent, goal, n=found.clips),
                figure(prefix + "probe over copy", h.probed, goal, n=found.clips),
                figure(prefix + "change read by the probe, over copy", h.quantities),
                figure(prefix + "change read by ridge, over copy", h.ridge),
                figure(prefix + "latent shuffled over copy", h.latent_shuffled),
            )
        prefix = f"{label}, seed {seed}: "
        benchmark.add(
            figure(prefix + "splice AUROC", found.splice_auroc, ">= 0.9", n=found.clips),
            figure(prefix + "splice AUROC of the change alone", found.splice_auroc_copy),
        )
