"""The page of a sweep: a curve for each factor, what each looks like, and what fails."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np

from forethought.evaluation.report import drawings
from forethought.evaluation.report.page import (
    Card,
    Picture,
    Section,
    Table,
    embed_animation,
    embed_drawing,
    write_page,
)
from forethought.evaluation.shifts import Curve, Point, Rates, ShiftResults, weak_points
from forethought.evaluation.statistics import Estimate
from forethought.types import World
from forethought.worlds.factors import Factor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 4
LOOKED_AFTER = 12
"""World steps of the oracle after which a shifted world is pictured."""
GREW = 2.0
"""Errors of so many times what they are as recorded have grown."""


def shift_report(run: Path, results: ShiftResults, make_world: Callable[[int], World]) -> Path:
    """Writes ``shifts.html`` into a run; returns its path.

    Args:
        run: folder of the run.
        results: the sweep.
        make_world: makes the world as recorded, for pictures.
    """
    count = len(results.seeds)
    sections = [
        _curves_section(results),
        _scores_section(results),
        *_failures_section(results),
        *_pictures_section(results, make_world),
    ]
    return write_page(
        run / "shifts.html",
        keep=True,
        title=f"Shifts of {results.world}",
        lead=f"The same {count} held-out tasks at every point, in worlds that differ from the "
        "recorded one in one thing, by degrees, and in all of them at once.",
        cards=_cards(results),
        sections=sections,
    )


def score_rows(results: ShiftResults) -> tuple[list[str], list[list[str]]]:
    """The table of scores: header and rows, the least robust first, all at once last."""
    header = ["factor", "what differs", "robustness", "kept at the end"]
    header += ["success half way", "at reference", "kept at reference"]
    ordered = sorted(results.curves, key=lambda curve: np.nan_to_num(curve.score.ever.value))
    rows = [
        _score_row(curve) for curve in (*ordered, *([results.together] if results.together else []))
    ]
    return header, rows


def said(score: Estimate) -> str:
    """A score with its interval, for tables."""
    if math.isnan(score.value):
        return "no skill to keep"
    return f"{score.value:.2f} ({score.low:.2f} to {score.high:.2f})"


def failing(point: Point, recorded: Point) -> str:
    """What fails at a point, as far as readings tell: what has come to be read wrong, the worst
    first. Who misreads the present is wrong about what comes of it, too."""
    now, then = point.errors, recorded.errors
    if now is None or then is None:
        return "not read"
    grown = {
        "the present is misread": _growth(now.present, then.present),
        "the goal is misread": _growth(now.goal, then.goal),
        "actions do not do what is foreseen": _growth(now.change, then.change),
    }
    worst = sorted(grown.items(), key=lambda one: -one[1])
    told = [f"{what} ({times:.1f} times)" for what, times in worst if times >= GREW]
    return "; ".join(told) or "none of these: the search, or what it takes for near"


def _growth(now: Mapping[str, float], then: Mapping[str, float]) -> float:
    """The largest growth of any quantity's error; what never varied as recorded is read without
    error there, and says nothing."""
    known = [name for name in now if then.get(name, 0.0) > 1e-6]
    return max((now[name] / then[name] for name in known), default=1.0)


# ------------------------------------------------------------------------------- parts of the page


def _cards(results: ShiftResults) -> list[Card]:
    recorded = results.recorded.agent.rates()
    cards = [
        Card(
            value=f"{100 * recorded.ever.value:.0f} %",
            label="success as recorded",
            note=f"kept at the end {100 * recorded.final.value:.0f} %",
        ),
        _score_card("robustness, one factor at a time", results.score),
    ]
    if results.together:
        cards.append(_score_card("robustness, all at once", results.together.score))
    return cards


def _score_card(label: str, score: Rates) -> Card:
    return Card(
        value="-" if math.isnan(score.ever.value) else f"{score.ever.value:.2f}",
        label=label,
        note=f"of goals kept at the end {said(score.final)}",
    )


def _score_row(curve: Curve) -> list[str]:
    middle, last = (curve.points[place].agent.rates() for place in (len(curve.points) // 2, -1))
    return [
        curve.factor.name,
        f"{curve.factor.description}, to {curve.factor.reference:g} {curve.factor.unit}",
        said(curve.score.ever),
        said(curve.score.final),
        middle.ever.percent(),
        last.ever.percent(),
        last.final.percent(),
    ]


def _curves_section(results: ShiftResults) -> Section:
    return Section(
        title="Success against what differs",
        text="Blue: the agent, goals met at some step, and dashed those kept at the end; grey: "
        "random actions; green: the oracle, which sees the truth of the shifted world but does not "
        "know that actions do something else. Bands are 95 % Wilson intervals. Where green falls "
        "as well, the task itself has become harder.",
        figures=[embed_drawing(curves_drawing(results), "A curve for each factor.")],
    )


def _scores_section(results: ShiftResults) -> Section:
    header, rows = score_rows(results)
    return Section(
        title="Robustness",
        text="The area under what is kept, from the world as recorded to the factor's reference, "
        "each strength standing for the range below it. "
        "What is kept is the agent's skill over its skill as recorded; skill is (success - floor) "
        "/ (1 - floor), the share of what random actions miss that the agent gets. 1: nothing is "
        "lost; 0: like random actions. Intervals are of a bootstrap over tasks.",
        tables=[Table(header=header, rows=rows)],
    )


def _failures_section(results: ShiftResults) -> list[Section]:
    weak = weak_points(results)
    if not weak:
        return []
    rows = [
        (
            curve.factor.name,
            f"{point.strength:g} {curve.factor.unit}",
            point.agent.rates().ever.percent(),
            point.agent.rates().final.percent(),
            f"{100 * np.mean(point.ceiling.ever):.0f} %",
            failing(point, results.recorded),
        )
        for curve, point in weak
    ]
    return [
        Section(
            title="What fails",
            text="Where less than 80 % of the success is left, at some step or at the end. Probes "
            "read the present, the goal, and what is foreseen out of the agent's latents while it "
            f"acts; in brackets by how much their errors have grown, where by {GREW:g} times or "
            "more. Late and lost observations count as a present that is misread.",
            tables=[
                Table(
                    header=("factor", "strength", "agent", "at the end", "oracle", "what fails"),
                    rows=rows,
                )
            ],
        )
    ]


def _pictures_section(results: ShiftResults, make_world: Callable[[int], World]) -> list[Section]:
    if not make_world(1).signature.cameras:
        return []
    gallery = [
        _strip(curve.factor, make_world, results.seeds[0]) for curve in results.every_curve()
    ]
    return [
        Section(
            title="What the agent sees",
            text=f"The first task after {LOOKED_AFTER} world steps of the oracle, from the world "
            "as recorded on the left to the factor's reference on the right.",
            gallery=gallery,
        )
    ]


def _strip(factor: Factor, make_world: Callable[[int], World], seed: int) -> Picture:
    """One task at each strength, side by side."""
    frames = [
        _looked_at(factor.world(make_world(1), strength), seed)
        for strength in (0.0, *factor.strengths())
    ]
    gap = np.full((frames[0].shape[0], 4, 3), 255, np.uint8)
    parts = [part for frame in frames for part in (frame, gap)][:-1]
    strip = np.concatenate(parts, axis=1).repeat(2, axis=0).repeat(2, axis=1)
    told = ", ".join(f"{strength:g}" for strength in (0.0, *factor.strengths()))
    return embed_animation([strip], f"{factor.name}: {told} {factor.unit}.")


def _looked_at(world: World, seed: int) -> np.ndarray:
    seen = world.reset([seed])
    for _ in range(LOOKED_AFTER):
        seen = world.step(world.oracle())
    return seen[world.signature.cameras[0]][0]


# ------------------------------------------------------------------------------- the drawing


def curves_drawing(results: ShiftResults) -> Figure:
    """A panel for each factor: success of agent, floor and ceiling against its strength."""
    curves = results.every_curve()
    rows = math.ceil(len(curves) / COLUMNS)
    figure, axes = plt.subplots(
        rows,
        COLUMNS,
        figsize=(2.6 * COLUMNS, 2.1 * rows),
        layout="constrained",
        squeeze=False,
        sharey=True,
    )
    for axis, curve in zip(axes.flat, curves, strict=False):
        _panel(axis, curve)
    for axis in axes.flat[len(curves) :]:
        axis.set_visible(False)
    for axis in axes[:, 0]:
        axis.set_ylabel("success, %")
    return figure


def _panel(axis: Any, curve: Curve) -> None:
    strengths = [point.strength for point in curve.points]
    agent = [point.agent.rates() for point in curve.points]
    lines = (
        ([np.mean(point.floor.ever) for point in curve.points], drawings.GREY, "-"),
        ([np.mean(point.ceiling.ever) for point in curve.points], drawings.GREEN, "-"),
        ([one.final.value for one in agent], drawings.BLUE, "--"),
        ([one.ever.value for one in agent], drawings.BLUE, "-"),
    )
    for line, colour, style in lines:
        axis.plot(strengths, 100 * np.array(line), style, marker="o", ms=3, lw=1.4, color=colour)
    for which in ("ever", "final"):
        ends = [getattr(one, which) for one in agent]
        low, high = [100 * one.low for one in ends], [100 * one.high for one in ends]
        axis.fill_between(strengths, low, high, color=drawings.BLUE, alpha=0.12, lw=0)
    axis.set_title(f"{curve.factor.name}  {curve.score.ever.value:.2f}", loc="left", fontsize=9)
    axis.set_xlabel(curve.factor.unit, fontsize=8)
    axis.set_ylim(-3, 105)
