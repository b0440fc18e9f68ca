"""The page on intuitive physics, and its tables."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from forethought.evaluation.physics.measuring import Summary
from forethought.evaluation.physics.results import Example, PhysicsResults
from forethought.evaluation.report.drawings import BLUE, RED
from forethought.evaluation.report.page import (
    Card,
    Picture,
    Section,
    Table,
    embed_animation,
    embed_drawing,
    write_page,
)

WIDTH = 160
"""Pixels that a clip is enlarged to."""
FRAME_MS = 220


def physics_rows(
    results: PhysicsResults, *, summary: Summary | None = None, sets: bool = False
) -> tuple[list[str], list[list[str]]]:
    """Accuracy by block, of everyone who was asked: header and rows.

    Args:
        results: what was measured.
        summary: how the surprise of a clip is had; as was chosen where not said.
        sets: whether sums over sets of matched clips are compared, and not pairs.
    """
    kinds = [summary.value if summary else results.kind(who) for who in results.results]
    header = ["block", *results.results]
    rows = []
    for number, name in enumerate(results.says):
        blocks = [each[number] for each in results.results.values()]
        found = [one.sets if sets else one.pairs for one in blocks]
        cells = [one[kind].percent() for one, kind in zip(found, kinds, strict=True)]
        rows.append([name, *cells])
    return header, rows


def physics_report(run: Path, results: PhysicsResults) -> Path:
    """Writes ``physics.html``; returns its path."""
    kind = results.summary.value
    cards = [
        Card(
            value=f"{100 * one.pairs[kind].value:.0f} %",
            label=one.name.replace("_", " "),
            note=f"{100 * one.pairs[kind].low:.0f} to {100 * one.pairs[kind].high:.0f} %",
        )
        for one in results.results["model"]
    ]
    return write_page(
        run / "physics.html",
        title="Intuitive physics",
        lead=f"Of two clips that begin alike, is the impossible one the more surprising? "
        f"{results.data}. Who cannot tell is right in 50 %.",
        cards=cards,
        sections=[
            _tables(results),
            Section(
                title="What was shown",
                text="On the left what can happen, on the right what cannot; below, how surprised "
                "the model was.",
                gallery=[
                    picture
                    for one in results.examples
                    for picture in _shown(one, results.says[one.block])
                ],
            ),
        ],
        keep=True,
    )


def _tables(results: PhysicsResults) -> Section:
    tables = []
    for summary in (results.summary, *(one for one in Summary if one is not results.summary)):
        header, rows = physics_rows(results, summary=summary)
        tables.append(Table(header=[f"pairs, by {summary.value}", *header[1:]], rows=rows))
    header, rows = physics_rows(results, sets=True)
    tables.append(Table(header=[f"sets, by {results.summary.value}", *header[1:]], rows=rows))
    faults = results.faults()
    if faults:
        tables.append(
            Table(
                header=["not known", "what fails"],
                rows=[[name, one.value] for name, one in faults.items()],
            )
        )
    if results.choices:
        best = sorted(results.choices.items(), key=lambda one: -one[1])
        tables.append(
            Table(
                header=["surprise, chosen on validation clips", "mean accuracy"],
                rows=[[name, f"{100 * value:.1f} %"] for name, value in best],
            )
        )
    return Section(
        title="Accuracy by block",
        text=f"Surprise is the mean absolute error of foreseen latents ({results.surprise}). With "
        "95 % intervals (Wilson, for as many pairs as are independent). "
        "Sets sum it over the possible and over the impossible clips of "
        "a set of four, as IntPhys does. What fails is memory where a block is known as soon as "
        "nothing is hidden (judged one step ahead), and perception or foresight where it is not.",
        tables=tables,
    )


def _shown(example: Example, says: str) -> list[Picture]:
    title = example.block.replace("_", " ")
    animation = embed_animation(
        [
            _beside(first, second)
            for first, second in zip(example.possible, example.impossible, strict=True)
        ],
        f"{title}: {says}" if says else title,
        frame_ms=FRAME_MS,
    )
    figure, axis = plt.subplots(figsize=(3.2, 1.7), layout="constrained")
    for values, colour, label in zip(
        example.surprises, (BLUE, RED), ("possible", "impossible"), strict=True
    ):
        axis.plot(np.arange(len(values)), values, color=colour, label=label)
    axis.set_xlabel("moment")
    axis.set_ylabel("surprise")
    axis.legend(frameon=False)
    return [animation, embed_drawing(figure, f"{title}: surprise of both.")]


def _beside(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    large = [
        np.asarray(Image.fromarray(one).resize((WIDTH, WIDTH), Image.Resampling.NEAREST))
        for one in (first, second)
    ]
    return np.concatenate([large[0], np.full((WIDTH, 8, 3), 255, np.uint8), large[1]], axis=1)
