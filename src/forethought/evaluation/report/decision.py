"""A picture of one decision: where it leads, and what was weighed."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import UInt8

from forethought.evaluation.report import drawings
from forethought.traces.records import DecisionRecord
from forethought.types import ForethoughtError

PLACE = ("position.x", "position.y")


def decision_picture(
    record: DecisionRecord,
    path: Path | str,
    *,
    background: UInt8[np.ndarray, "height width 3"] | None = None,
    place: tuple[str, str] = PLACE,
    extent: tuple[float, float, float, float] | None = None,
) -> Path:
    """Draws the imagined way over the camera's picture, the shares of terms, and margins.

    Where probes know no place, the quantities that they do know are drawn over the plan.

    Args:
        record: of a decision with a plan.
        path: of the PNG to write.
        background: what the camera saw.
        place: the quantities that tell where it is, across and down.
        extent: left, right, bottom and top of the picture in units of the place; in pixels where
            not said.

    Raises:
        ForethoughtError: there was no plan.
    """
    plan = record.plan
    if plan is None:
        raise ForethoughtError(
            f"step {record.step} of episode {record.episode} was a reflex, with no plan to draw; "
            "name a step where the agent deliberated."
        )
    known = set(place) <= plan.quantities.keys()
    ways = np.stack([np.array(plan.quantities[name]) for name in place], -1) if known else None
    quantities = {name: np.array(values) for name, values in plan.quantities.items()}
    figure = drawings.decided(
        {} if known else quantities,
        ways,
        plan.terms,
        {name: np.array(margins) for name, margins in plan.margins.items()},
        background=background,
        extent=extent,
    )
    figure.savefig(path, format="png", dpi=150)
    plt.close(figure)
    return Path(path)
