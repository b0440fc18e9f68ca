"""The report on prediction, and its tables."""

from __future__ import annotations

from pathlib import Path

from forethought.evaluation.prediction import PredictionResults
from forethought.evaluation.report import drawings
from forethought.evaluation.report.page import (
    Card,
    Picture,
    Section,
    Table,
    embed_drawing,
    write_page,
)


def prediction_rows(
    results: PredictionResults,
) -> list[tuple[str, list[str], list[list[str]]]]:
    """The tables of prediction: title, header, rows."""
    errors = [
        [
            f"{h.steps} ({h.seconds:.2g} s)",
            f"{h.quantities:.4f}",
            f"{h.quantities_shuffled:.3f}",
            f"{h.linear:.3f}",
            f"{h.ridge:.4f}",
            f"{h.probed:.4f}",
            f"{h.latent:.4f}",
            f"{h.latent_shuffled:.3f}",
            f"{h.latent_linear:.3f}",
        ]
        for h in results.horizons
    ]
    recoveries = [
        [str(r.steps), f"{r.plan:.4f}", f"{r.proposal:.4f}", f"{r.ridge:.4f}", f"{r.mean:.3f}"]
        for r in results.recoveries
    ]
    return [
        (
            "Squared error of the change over that of copy (1)",
            [
                "steps ahead",
                "model",
                "shuffled actions",
                "linear",
                "ridge",
                "model (probed)",
                "model (latent)",
                "shuffled (latent)",
                "linear (latent)",
            ],
            errors,
        ),
        (
            "Recovered action, squared error",
            ["steps between", "plan", "inverse model alone", "ridge", "mean action"],
            recoveries,
        ),
        (
            "Spliced against untouched clips, AUROC",
            ["surprise", "size of the change (control)"],
            [[f"{results.splice_auroc:.3f}", f"{results.splice_auroc_copy:.3f}"]],
        ),
    ]


def predict_report(run: Path, results: PredictionResults) -> Path:
    """Writes ``predict.html``; returns its path."""
    longest = results.horizons[-1]
    cards = [
        Card(
            value=f"{longest.quantities:.4f}",
            label=f"error {longest.steps} steps ahead",
            note=f"ridge {longest.ridge:.4f}, copy 1",
        ),
        Card(value=f"{results.splice_auroc:.3f}", label="AUROC of surprise on splices"),
        *(
            Card(
                value=f"{r.plan:.3f}",
                label=f"recovered action, {r.steps} steps",
                note=f"ridge {r.ridge:.3f}, mean {r.mean:.2f}",
            )
            for r in results.recoveries[:1]
        ),
    ]
    return write_page(
        run / "predict.html",
        keep=True,
        title=f"Prediction on {results.data}",
        lead=f"{results.clips} clips of held-out episodes.",
        cards=cards,
        sections=_sections(results),
    )


def _sections(results: PredictionResults) -> list[Section]:
    errors, recoveries, splices = (
        Table(header=header, rows=rows) for _, header, rows in prediction_rows(results)
    )
    return [
        Section(
            title="Open-loop prediction",
            text="Told the actions, the model foresees how the quantities change; 1 is the "
            'error of "nothing changes". A model that uses its actions gets worse when they '
            "are shuffled.",
            tables=[errors],
            gallery=_curves(results),
        ),
        Section(
            title="Recorded and foreseen",
            text="Four held-out clips, in standard units, foreseen from their first moment.",
            figures=[_examples(results)],
        ),
        Section(
            title="Planning recovers what was done",
            text="Given the moment now and one later, which actions lie between? Error of the "
            "first; guessing the mean scores about 1.",
            tables=[recoveries],
        ),
        Section(
            title="Surprise",
            text="Prediction error one model step ahead, on untouched clips and on clips that "
            "were cut into another moment.",
            tables=[splices],
            figures=[_surprises(results)],
        ),
    ]


def _curves(results: PredictionResults) -> list[Picture]:
    horizons = [vars(h) for h in results.horizons]
    return [
        embed_drawing(drawings.error_by_horizon(horizons, space=space), f"{space.capitalize()}.")
        for space in ("quantities", "latent")
    ]


def _examples(results: PredictionResults) -> Picture:
    shown = results.examples
    drawing = drawings.recorded_against_predicted(
        results.quantities, shown["seconds"], shown["recorded"], shown["predicted"]
    )
    return embed_drawing(drawing, "The first quantities of four clips.")


def _surprises(results: PredictionResults) -> Picture:
    groups = {name: results.examples[name] for name in ("untouched", "spliced")}
    return embed_drawing(
        drawings.histogram(groups, label="surprise"), "Surprise of held-out clips."
    )
