"""The page of what latents hold, and of how energy goes with the true way."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np

from forethought.evaluation.grounding import GroundingResults
from forethought.evaluation.probing import (
    LATENTS,
    LINEAR,
    MLP,
    SENSORS,
    UNTRAINED,
    ProbingResults,
    Reading,
)
from forethought.evaluation.report import drawings
from forethought.evaluation.report.page import Card, Section, Table, embed_drawing, write_page
from forethought.evaluation.statistics import Estimate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = (
    (LATENTS, LINEAR),
    (LATENTS, MLP),
    (UNTRAINED, LINEAR),
    (UNTRAINED, MLP),
    (SENSORS, LINEAR),
    (SENSORS, MLP),
)


def probe_report(run: Path, probing: ProbingResults, grounding: GroundingResults | None) -> Path:
    """Writes ``probe.html`` into a run; returns its path."""
    header, rows = probe_rows(probing)
    sections = [
        Section(
            title="What the latents hold",
            text="Held-out R2: the share of a quantity's variance that a probe reads, with "
            "bootstrap intervals over episodes; below, the root mean squared error in the "
            "quantity's own unit. Beside the latents: an untrained encoder of the same form, and "
            "the sensors themselves, pictures made small. A quantity marked * is perceived by the "
            "agent's own sensors.",
            tables=[
                Table(header=header, rows=rows),
                Table(header=["root mean squared error", *header[1:]], rows=error_rows(probing)),
            ],
        )
    ]
    cards = []
    if grounding is not None:
        sections.append(_ranks_section(grounding))
        cards = [
            Card(
                value=f"{grounding.ranks[0].energy.value:.3f}",
                label="rank of path length under the energy",
                note=f"latent distance {grounding.ranks[0].latent.value:.3f}",
            )
        ]
    return write_page(
        run / "probe.html",
        keep=True,
        title=f"What latents hold: {probing.data}",
        lead=f"Probes fitted on {probing.train_rows:,} rows and measured on "
        f"{probing.held_out_rows:,} of other episodes. Nothing that acts sees these quantities.",
        cards=cards,
        sections=sections,
    )


def probe_rows(results: ProbingResults) -> tuple[list[str], list[list[str]]]:
    """The table of held-out R2: header and rows."""
    header = ["quantity", *(f"{source}, {probe}" for source, probe in COLUMNS)]
    rows = [
        [
            quantity + (" *" if quantity in results.perceived else ""),
            *(_r2(results.of(quantity, *column)) for column in COLUMNS),
        ]
        for quantity in results.quantities
    ]
    return header, rows


def error_rows(results: ProbingResults) -> list[list[str]]:
    """Held-out errors, with the same columns."""
    return [
        [quantity, *(_interval(results.of(quantity, *column).rmse) for column in COLUMNS)]
        for quantity in results.quantities
    ]


def rank_rows(results: GroundingResults) -> tuple[list[str], list[list[str]]]:
    """The table of rank correlations: header and rows."""
    header = ["pairs", "number", "energy", "distance of latents"]
    rows = [
        [one.pairs, str(one.energy.episodes), _interval(one.energy), _interval(one.latent)]
        for one in results.ranks
    ]
    return header, rows


def _r2(reading: Reading) -> str:
    return "never varies" if reading.r2 is None else _interval(reading.r2, ".4f")


def _interval(estimate: Estimate, form: str = ".3g") -> str:
    if np.isnan(estimate.value):
        return "never varies"
    value, low, high = (format(one, form) for one in (estimate.value, estimate.low, estimate.high))
    return f"{value} ({low} to {high})"


def _ranks_section(results: GroundingResults) -> Section:
    header, rows = rank_rows(results)
    return Section(
        title="Energy and the true way",
        text="Spearman's rank correlation of the energy of standing still at the start of a task "
        "with the length of the shortest path to its goal, beside that of the distance of "
        "latents; over all pairs, by thirds of the true length, and by kind of task. Within a "
        "third lengths differ less, so that ranks are harder to tell.",
        tables=[Table(header=header, rows=rows)],
        figures=[embed_drawing(energies_drawing(results), "A dot for each pair.")],
    )


def energies_drawing(results: GroundingResults) -> Figure:
    """Energy and latent distance against the true length."""
    figure, axes = plt.subplots(1, 2, figsize=(7.4, 2.9), layout="constrained")
    for axis, values, name, colour in (
        (axes[0], results.energies, "energy", drawings.BLUE),
        (axes[1], results.latents, "distance of latents", drawings.ORANGE),
    ):
        axis.scatter(results.lengths, values, s=6, color=colour, alpha=0.6, rasterized=True)
        axis.set_xlabel("shortest path, world steps")
        axis.set_title(name, loc="left", fontsize=9)
    return figure
