"""Animated episodes: what the agent saw, the plan it had in mind, and where it wanted to be."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from forethought.evaluation.planning import Trace

SCALE = 4
PLAN, GOAL, TRAIL = (224, 138, 30), (31, 138, 91), (37, 99, 176)


def episode_frames(
    trace: Trace, *, every: int = 2, longest: int = 150
) -> list[UInt8[np.ndarray, "height width 3"]]:
    """Frames of one episode, enlarged: beside the view stands the goal; the plan is drawn on.

    The plan is drawn where the trace holds positions in pixels (``position.x``, ``position.y``);
    elsewhere the view alone is shown. The episode is cut a little after the goal was met.

    Args:
        trace: the episode, with images.
        every: world steps between frames.
        longest: frames at most.
    """
    assert trace.images is not None and trace.goal is not None
    met = np.flatnonzero(trace.succeeded)
    end = min(len(trace.images), (int(met[0]) + 24) if len(met) else len(trace.images))
    steps = list(range(0, end, every))[:longest]
    return [_frame(trace, step) for step in steps]


def _frame(trace: Trace, step: int) -> UInt8[np.ndarray, "height width 3"]:
    assert trace.images is not None and trace.goal is not None
    view, goal = _enlarged(trace.images[step]), _enlarged(trace.goal)
    if {"position.x", "position.y"} <= trace.truth.keys():
        _draw_plan(view, trace, step)
    gap = np.full((view.height, 8, 3), 255, np.uint8)
    return np.concatenate([np.asarray(view), gap, np.asarray(goal)], axis=1)


def _enlarged(image: UInt8[np.ndarray, "height width 3"]) -> Image.Image:
    height, width = image.shape[:2]
    scale = max(1, SCALE * 64 // max(height, width))
    return Image.fromarray(image).resize((width * scale, height * scale), Image.Resampling.BICUBIC)


def _planned(trace: Trace, step: int) -> bool:
    """Whether there are places of a plan that is followed."""
    by_reflex = trace.modes is not None and trace.modes[step] == 1
    return {"position.x", "position.y"} <= trace.imagined.keys() and not by_reflex


def _draw_plan(view: Image.Image, trace: Trace, step: int) -> None:
    assert trace.images is not None
    scale = view.width / trace.images.shape[2]
    pen = ImageDraw.Draw(view)
    x, y = trace.truth["position.x"], trace.truth["position.y"]
    trail = [(scale * x[i], scale * y[i]) for i in range(step + 1)]
    if len(trail) > 1:
        pen.line(trail, fill=TRAIL, width=2)
    if {"position.x", "position.y"} <= trace.goal_truth.keys():
        gx, gy = scale * trace.goal_truth["position.x"], scale * trace.goal_truth["position.y"]
        radius = 4.5 * scale
        pen.ellipse((gx - radius, gy - radius, gx + radius, gy + radius), outline=GOAL, width=2)
    if _planned(trace, step):
        plan = [
            (scale * px, scale * py)
            for px, py in zip(
                trace.imagined["position.x"][step], trace.imagined["position.y"][step], strict=True
            )
        ]
        pen.line([trail[-1], *plan[1:]], fill=PLAN, width=3)
        for px, py in plan[1:]:
            pen.ellipse((px - 3, py - 3, px + 3, py + 3), fill=PLAN)
