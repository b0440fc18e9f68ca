"""The table of claims as a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from forethought.evaluation.claims import Judged, Support, Verdict, Weighed
from forethought.evaluation.report.drawings import GREEN, GREY, RED
from forethought.evaluation.report.page import Card, Section, Table, embed_drawing, write_page

COLOURS = {Support.FOR: GREEN, Support.AGAINST: RED, Support.OPEN: GREY}


def claims_page(path: Path, judged: Sequence[Judged]) -> Path:
    """Writes every claim with its verdict, what it predicted and what was measured.

    Args:
        path: of the page.
        judged: the claims.
    """
    return write_page(
        path,
        title="The claims, tested",
        lead="What the architecture claims, what each claim predicts of an experiment, and what "
        "came out. A claim holds where all of its intervals lie where they were predicted, for "
        "three trained models at the least. Negative results stay in.",
        cards=[
            Card(value=str(sum(one.verdict is verdict for one in judged)), label=str(verdict))
            for verdict in Verdict
        ],
        sections=[overview(judged), *(claim_section(one) for one in judged if one.weighed)],
    )


def overview(judged: Sequence[Judged]) -> Section:
    """The verdicts in one table."""
    rows = [
        (
            one.claim.says,
            str(one.verdict),
            one.because,
            ", ".join(map(str, one.seeds)),
            "; ".join(one.commands),
        )
        for one in judged
    ]
    header = ("claim", "verdict", "because", "seeds", "command")
    return Section(title="Verdicts", tables=[Table(header=header, rows=rows)])


def claim_section(one: Judged) -> Section:
    """One claim: its predictions with intervals."""
    rows = [
        (
            weighed.prediction.says + ("" if weighed.prediction.decides else " (not heeded)"),
            f"{weighed.span.value:.3g}",
            f"{weighed.span.low:.3g} to {weighed.span.high:.3g}",
            weighed.prediction.threshold(),
            str(weighed.support),
        )
        for weighed in one.weighed
    ]
    return Section(
        title=f"{one.claim.says} {one.verdict}".replace(". ", ": "),
        text=f"{one.claim.source}. {one.claim.note}".strip(),
        tables=[
            Table(header=("predicted", "measured", "interval", "should be", "speaks"), rows=rows)
        ],
        figures=[embed_drawing(intervals(one.weighed), "Green speaks for the claim, red against.")],
    )


def intervals(weighed: Sequence[Weighed]) -> Figure:
    """Each prediction's interval against where it should lie (shaded)."""
    drawing, axes = plt.subplots(
        len(weighed), 1, figsize=(7, 0.75 * len(weighed) + 0.3), squeeze=False, layout="constrained"
    )
    for axis, one in zip(axes[:, 0], weighed, strict=True):
        span, prediction = one.span, one.prediction
        limit = prediction.at_least if prediction.at_least is not None else prediction.at_most
        assert limit is not None
        axis.plot([span.low, span.high], [0, 0], color=COLOURS[one.support], lw=3)
        axis.plot(span.value, 0, "o", color=COLOURS[one.support])
        axis.axvline(limit, color=GREY, lw=1, ls="--")
        left, right = axis.get_xlim()
        wanted = (limit, right) if prediction.at_least is not None else (left, limit)
        axis.axvspan(*wanted, color=GREEN, alpha=0.08)
        axis.set_xlim(left, right)
        axis.set_yticks([])
        axis.set_title(prediction.says, fontsize=8, loc="left")
    return drawing
