"""The pictures of a report, each a function of data to a matplotlib figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float, UInt8

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, RED, GREY = "#2563b0", "#e08a1e", "#1f8a5b", "#c0392b", "#8a97a8"
PURPLE = "#7b4fb0"
COLOURS = (BLUE, ORANGE, GREEN, GREY, RED)

plt.rcParams.update(
    {
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": "#b8c2cf",
        "axes.grid": True,
        "grid.color": "#eef1f5",
        "axes.axisbelow": True,
        "svg.fonttype": "none",
        "figure.dpi": 110,
    }
)


def learning_curves(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Loss, what it is made of, and the health of the latents, over the steps of each stage."""
    world = [row for row in rows if row["stage"] == "world_model"]
    critic = [row for row in rows if row["stage"] == "critic"]
    panels = 4 if critic else 3
    figure, axes = plt.subplots(1, panels, figsize=(3.1 * panels, 2.6), layout="constrained")
    _curve(axes[0], world, ("loss", "prediction"), "world model", log=True)
    _curve(axes[1], world, ("copy_ratio", "rollout_ratio"), "error relative to copy", log=True)
    axes[1].axhline(1, color=RED, lw=0.8, ls="--")
    _curve(axes[2], world, ("effective_rank",), "effective rank")
    if critic:
        _curve(axes[3], critic, ("loss",), "critic loss", log=True)
    return figure


def _curve(
    axis: Any,
    rows: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    title: str,
    *,
    log: bool = False,
) -> None:
    for name, colour in zip(names, (BLUE, ORANGE, GREEN), strict=False):
        points = [(row["step"], row[name]) for row in rows if name in row]
        if points:
            axis.plot(
                *zip(*points, strict=True), color=colour, lw=1.4, label=name.replace("_", " ")
            )
    axis.set_title(title, loc="left", fontsize=9)
    axis.set_xlabel("step")
    if log:
        axis.set_yscale("log")
    if len(names) > 1:
        axis.legend(frameon=False, fontsize=8)


def latent_map(
    latents: Float[np.ndarray, "n d"], quantities: Mapping[str, Float[np.ndarray, " n"]]
) -> Figure:
    """The first two principal components, coloured by each quantity."""
    centred = latents - latents.mean(0)
    _, singular, basis = np.linalg.svd(centred, full_matrices=False)
    points = centred @ basis[:2].T
    shown = list(quantities.items())[:3]
    figure, axes = plt.subplots(
        1, len(shown) + 1, figsize=(3.2 * (len(shown) + 1), 2.9), layout="constrained"
    )
    for axis, (name, values) in zip(axes, shown, strict=False):
        dots = axis.scatter(*points.T, c=values, s=4, cmap="viridis", rasterized=True)
        figure.colorbar(dots, ax=axis, shrink=0.85)
        axis.set_title(name, loc="left", fontsize=9)
        axis.set_xlabel("component 1")
        axis.set_ylabel("component 2")
    share = singular**2 / np.sum(singular**2)
    axes[-1].bar(np.arange(1, len(share[:32]) + 1), share[:32], color=BLUE)
    axes[-1].set_yscale("log")
    axes[-1].set_title("share of variance by component", loc="left", fontsize=9)
    return figure


def imagined_paths(
    background: UInt8[np.ndarray, "height width 3"],
    true: Float[np.ndarray, "n t 2"],
    imagined: Float[np.ndarray, "n t 2"],
) -> Figure:
    """Recorded paths of held-out clips, and the same imagined from their first frame."""
    figure, axis = plt.subplots(figsize=(4.6, 4.6), layout="constrained")
    height, width = background.shape[:2]
    axis.imshow(background, extent=(0, width, height, 0), alpha=0.55)
    for path, dream in zip(true, imagined, strict=True):
        axis.plot(*path.T, color=BLUE, lw=1.6)
        axis.plot(*dream.T, color=ORANGE, lw=1.4, ls="--")
        axis.plot(*path[0], "o", color=BLUE, ms=4)
    axis.plot([], [], color=BLUE, label="recorded")
    axis.plot([], [], color=ORANGE, ls="--", label="imagined from the first frame")
    axis.legend(frameon=True, fontsize=8, loc="upper right")
    _bare(axis)
    return figure


def distance_map(
    background: UInt8[np.ndarray, "height width 3"],
    points: Float[np.ndarray, "n 2"],
    maps: Sequence[tuple[str, Float[np.ndarray, " n"]]],
    goal: Float[np.ndarray, " 2"],
) -> Figure:
    """Distance to one goal from everywhere, by several measures side by side."""
    figure, axes = plt.subplots(
        1, len(maps), figsize=(3.7 * len(maps), 3.4), layout="constrained", squeeze=False
    )
    height, width = background.shape[:2]
    for axis, (title, values) in zip(axes[0], maps, strict=True):
        axis.imshow(background, extent=(0, width, height, 0), alpha=0.35)
        shades = axis.tricontourf(*points.T, values, levels=18, cmap="magma_r", alpha=0.85)
        figure.colorbar(shades, ax=axis, shrink=0.8)
        axis.plot(*goal, "*", color=GREEN, ms=15, mec="white")
        axis.set_title(title, loc="left", fontsize=9)
        _bare(axis)
    return figure


def success_bars(
    outcomes: Sequence[tuple[str, Mapping[str, tuple[float, float, float]]]], *, agent: int = 1
) -> Figure:
    """Success by kind of task, for floors, agent and ceilings, with intervals.

    Args:
        outcomes: name and rates by kind of task, from the lowest floor to the highest ceiling.
        agent: which of them is the agent.
    """
    groups = list(outcomes[0][1])
    figure, axis = plt.subplots(figsize=(1.6 + 1.5 * len(groups), 2.6), layout="constrained")
    width = 0.8 / len(outcomes)
    for index, (name, values) in enumerate(outcomes):
        places = np.arange(len(groups)) + width * (index - (len(outcomes) - 1) / 2)
        heights = np.array([values[group][0] for group in groups]) * 100
        low = np.array([values[group][1] for group in groups]) * 100
        high = np.array([values[group][2] for group in groups]) * 100
        errors = np.nan_to_num([heights - low, high - heights])
        axis.bar(places, heights, width=0.94 * width, color=standing(index, agent), label=name)
        axis.errorbar(
            places,
            heights,
            yerr=np.maximum(errors, 0),
            fmt="none",
            ecolor="#1c2430",
            lw=1,
            capsize=2,
        )
    axis.set_xticks(np.arange(len(groups)), groups)
    axis.set_ylim(0, 108)
    axis.set_ylabel("success, %")
    axis.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def standing(index: int, agent: int) -> str:
    """The colour of one of those who did the same tasks: floors, the agent, ceilings."""
    if index < agent:
        return (GREY, ORANGE, RED)[index % 3]
    return BLUE if index == agent else (GREEN, PURPLE)[(index - agent - 1) % 2]


def error_by_horizon(horizons: Sequence[Mapping[str, float]], *, space: str) -> Figure:
    """Error relative to copy against the horizon, for the model and its baselines."""
    lines = {
        "quantities": (
            ("model", "quantities", BLUE),
            ("model, actions shuffled", "quantities_shuffled", RED),
            ("linear extrapolation", "linear", ORANGE),
            ("ridge with actions", "ridge", GREEN),
        ),
        "latent": (
            ("model", "latent", BLUE),
            ("model, actions shuffled", "latent_shuffled", RED),
            ("linear extrapolation", "latent_linear", ORANGE),
        ),
    }[space]
    figure, axis = plt.subplots(figsize=(4.4, 2.9), layout="constrained")
    steps = [row["steps"] for row in horizons]
    for label, key, colour in lines:
        axis.plot(steps, [row[key] for row in horizons], "o-", color=colour, ms=4, label=label)
    axis.axhline(1, color=GREY, lw=1, ls="--", label="copy")
    axis.set_yscale("log")
    axis.set_xlabel("world steps ahead")
    axis.set_ylabel("squared error relative to copy")
    axis.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def recorded_against_predicted(
    names: Sequence[str],
    seconds: Float[np.ndarray, " t"],
    recorded: Float[np.ndarray, "n t q"],
    predicted: Float[np.ndarray, "n t q"],
) -> Figure:
    """Quantities of some held-out clips, as they went and as foreseen from the first moment."""
    count, shown = len(recorded), min(4, len(names))
    figure, axes = plt.subplots(
        shown,
        count,
        figsize=(2.9 * count, 1.5 * shown),
        layout="constrained",
        squeeze=False,
        sharex=True,
    )
    for row in range(shown):
        for column in range(count):
            axis = axes[row, column]
            axis.plot(seconds, recorded[column, :, row], color=BLUE, lw=1.5)
            axis.plot(seconds, predicted[column, :, row], color=ORANGE, lw=1.4, ls="--")
            axis.tick_params(labelsize=7)
        axes[row, 0].set_ylabel(names[row], fontsize=8)
    for axis in axes[-1]:
        axis.set_xlabel("s")
    axes[0, 0].plot([], [], color=BLUE, label="recorded")
    axes[0, 0].plot([], [], color=ORANGE, ls="--", label="foreseen")
    axes[0, 0].legend(frameon=False, fontsize=7)
    return figure


def histogram(groups: Mapping[str, Float[np.ndarray, " n"]], *, label: str) -> Figure:
    """Overlaid histograms on a logarithmic axis."""
    figure, axis = plt.subplots(figsize=(4.6, 2.5), layout="constrained")
    joined = np.concatenate(list(groups.values()))
    positive = joined[joined > 0]
    edges = np.geomspace(positive.min(), positive.max() * 1.001, 50)
    for (name, values), colour in zip(groups.items(), (BLUE, RED, GREEN), strict=False):
        axis.hist(values, edges, color=colour, alpha=0.6, label=name)
    axis.set_xscale("log")
    axis.set_xlabel(label)
    axis.legend(frameon=False, fontsize=8)
    return figure


def weighed(
    terms: Sequence[Mapping[str, Float[np.ndarray, " t"]]],
    margins: Sequence[Mapping[str, Float[np.ndarray, " t"]]],
) -> Figure:
    """What plans were weighed by over some episodes, one a column: the shares of cost terms above,
    the margins of guardrails, where there are any, below."""
    kinds = {"share in the energy": terms, "least margin": margins}
    shown = {label: lines for label, lines in kinds.items() if lines[0]}
    count, rows = len(terms), len(shown)
    figure, axes = plt.subplots(
        rows,
        count,
        figsize=(1.2 + 2.4 * count, 1.9 * rows),
        layout="constrained",
        squeeze=False,
        sharex=True,
        sharey="row",
    )
    for row, (label, episodes) in enumerate(shown.items()):
        for axis, lines in zip(axes[row], episodes, strict=True):
            for (name, values), colour in zip(lines.items(), cycle(COLOURS), strict=False):
                axis.plot(values, color=colour, lw=1.3, label=name)
            axis.tick_params(labelsize=7)
        axes[row, 0].set_ylabel(label, fontsize=8)
        axes[row, -1].legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    for axis in axes[-1]:
        axis.set_xlabel("world step", fontsize=8)
    for axis in axes[1:].flat:
        axis.axhline(0, color=RED, lw=0.8, ls="--")
    return figure


def decided(
    quantities: Mapping[str, Float[np.ndarray, "m t"]],
    ways: Float[np.ndarray, "m t 2"] | None,
    terms: Mapping[str, float],
    margins: Mapping[str, Float[np.ndarray, " h"]],
    *,
    background: UInt8[np.ndarray, "height width 3"] | None = None,
    extent: tuple[float, float, float, float] | None = None,
) -> Figure:
    """One plan: where it leads (a line for each outcome), what terms had of its energy, and the
    margins of guardrails along it, each where there is any."""
    drawn = [bool(ways is not None or background is not None or quantities), bool(terms)]
    drawn.append(bool(margins))
    count = sum(drawn)
    figure, axes = plt.subplots(
        1, count, figsize=(3.6 * count, 3.4), layout="constrained", squeeze=False
    )
    left = list(axes[0])
    if drawn[0] and (ways is not None or background is not None):
        _ways(left.pop(0), ways, background, extent)
    elif drawn[0]:
        axis = left.pop(0)
        for (name, outcomes), colour in zip(quantities.items(), cycle(COLOURS), strict=False):
            axis.plot(outcomes.T, color=colour, lw=1.3)
            axis.plot([], [], color=colour, label=name)
        axis.set_xlabel("model step")
        axis.legend(frameon=False, fontsize=8)
    if drawn[1]:
        axis = left.pop(0)
        axis.barh(list(terms), list(terms.values()), height=0.6, color=BLUE)
        axis.set_ylim(max(2.5, len(terms) - 0.5), -0.5)
        axis.set_title("share in the energy", loc="left", fontsize=9)
    if drawn[2]:
        axis = left.pop(0)
        for (name, values), colour in zip(margins.items(), cycle(COLOURS), strict=False):
            axis.plot(np.arange(1, len(values) + 1), values, "o-", ms=3, color=colour, label=name)
        axis.axhline(0, color=RED, lw=0.8, ls="--")
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.set_title("margin planned", loc="left", fontsize=9)
        axis.set_xlabel("model step")
        axis.legend(frameon=False, fontsize=8)
    return figure


def _ways(
    axis: Any,
    ways: Float[np.ndarray, "m t 2"] | None,
    background: UInt8[np.ndarray, "height width 3"] | None,
    extent: tuple[float, float, float, float] | None,
) -> None:
    """Imagined ways over a picture; a dot where they begin, a star where they end."""
    if background is not None:
        height, width = background.shape[:2]
        axis.imshow(background, extent=extent or (0, width, height, 0), alpha=0.8)
        _bare(axis)
    for way in () if ways is None else ways:
        axis.plot(*way.T, color=ORANGE, lw=1.6)
        axis.plot(*way[0], "o", color=BLUE, ms=5)
        axis.plot(*way[-1], "*", color=ORANGE, ms=9, mec="white")
    axis.set_aspect("equal")
    axis.set_title("imagined", loc="left", fontsize=9)


def _bare(axis: Any) -> None:
    axis.set_xticks([])
    axis.set_yticks([])
    axis.grid(False)
    for spine in axis.spines.values():
        spine.set_visible(False)
