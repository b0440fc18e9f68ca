"""Success by how far the goal is: a table and a drawing, of the agent and of all beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from forethought.evaluation.planning import PlanningResults
from forethought.evaluation.report.drawings import plt, standing
from forethought.evaluation.report.page import Section, Table, embed_drawing
from forethought.evaluation.statistics import Estimate

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def distance_rows(results: PlanningResults) -> tuple[list[str], list[list[str]]]:
    """The table of success by distance: header and rows; no rows where distances are unknown."""
    if not results.agent.bands:
        return [], []
    hold = results.protocol.hold > 1
    counts = {name: pair[0].episodes for name, pair in results.agent.bands.items()}
    header = ["success by distance", *(f"{name} ({n})" for name, n in counts.items())]
    rows = [
        [label, *(one.outcome.bands[name][hold].percent() for name in counts)]
        for label, one in results.everyone()
    ]
    return header, rows


def distance_section(results: PlanningResults) -> list[Section]:
    """Success by distance, for a page; nothing where distances are unknown."""
    header, rows = distance_rows(results)
    if not rows:
        return []
    hold = results.protocol.hold > 1
    lines = [
        (label, {name: pair[hold] for name, pair in one.outcome.bands.items()})
        for label, one in results.everyone()
    ]
    told = results.protocol.tasks.to_json()
    between = "between start and goal in the recording" if "steps" in told else "of the true path"
    return [
        Section(
            title="By how far the goal is",
            text=f"World steps {between}; in brackets the tasks of each. Intervals are 95 % "
            "Wilson. A rate over all tasks is one of the mixture of distances that were drawn.",
            tables=[Table(header=header, rows=rows, strong=len(results.floors))],
            figures=[
                embed_drawing(
                    success_by_distance(lines, agent=len(results.floors)),
                    "Success by distance, with intervals.",
                )
            ],
        )
    ]


def success_by_distance(
    lines: Sequence[tuple[str, Mapping[str, Estimate]]], *, agent: int
) -> Figure:
    """Rates with intervals at each distance, a line for each of those who did the tasks.

    Args:
        lines: name and rates by distance, from the lowest floor to the highest ceiling.
        agent: which of them is the agent.
    """
    names = list(lines[0][1])
    figure, axis = plt.subplots(figsize=(2.6 + 0.95 * len(names), 2.8), layout="constrained")
    for index, (label, rates) in enumerate(lines):
        places = np.arange(len(names)) + 0.06 * (index - (len(lines) - 1) / 2)
        values, low, high = (
            100 * np.array([getattr(rates[name], end) for name in names])
            for end in ("value", "low", "high")
        )
        axis.errorbar(
            places,
            values,
            yerr=np.maximum([values - low, high - values], 0),
            fmt="o-",
            ms=4,
            lw=2.0 if index == agent else 1.2,
            capsize=2,
            color=standing(index, agent),
            label=label,
        )
    axis.set_xticks(np.arange(len(names)), names)
    axis.set_xlim(-0.4, len(names) - 0.6)
    axis.set_ylim(-3, 105)
    axis.set_ylabel("success, %")
    axis.set_xlabel("distance of the goal")
    axis.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return figure
