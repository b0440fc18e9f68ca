"""The pages on what failed episodes failed of: one for all, and one for each of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import torch

from forethought.evaluation.attribution import Attribution, MakeSeededAgent, named
from forethought.evaluation.blame import PARTS, shapley
from forethought.evaluation.evidence import RANGES
from forethought.evaluation.report import drawings
from forethought.evaluation.report.page import (
    Card,
    Picture,
    Section,
    Table,
    embed_drawing,
    write_page,
)
from forethought.evaluation.report.reports import Mapped
from forethought.evaluation.simulated import PLACE
from forethought.model import write_safely
from forethought.senses import encode_still
from forethought.types import Imagination, World

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDER = "attribution"
RESULTS = "attribution.json"
LOG = "episodes.npz"
SHOWN_PLANS = 8

SAYINGS = {
    "model": "model error",
    "objective": "objective error",
    "search": "search error",
    "several": "several, not told apart",
    "none": "none of the parts replaced",
    "luck": "luck",
}
"""How verdicts are called."""
REPLACED = {
    "model": "the true simulator for the model",
    "objective": "the true length of the way for the objective",
    "search": "a search of more budget for the search",
}
ASKED = {
    "model": "held-out errors of foresight below those along the way",
    "objective": "pairs of moments of which the nearer was judged worse",
    "search": "of what plans had to gain, left for more search",
}


def write_attribution(
    run: Path,
    found: Attribution,
    make_agent: MakeSeededAgent,
    make_world: Callable[[int], World],
) -> Path:
    """Writes results, the episodes and all pages into ``attribution`` of a run, in place of earlier
    ones.

    Args:
        run: folder of the run.
        found: what failures failed of.
        make_agent: as it was given to :func:`forethought.evaluation.attribution.attribute`.
        make_world: likewise.

    Returns:
        The path of the first page.
    """
    folder = run / FOLDER
    folder.mkdir(exist_ok=True)
    for earlier in folder.glob(_file("*")):
        earlier.unlink()
    found.log.save(folder / LOG)
    write_safely(folder / RESULTS, json.dumps(found.to_json(), indent=2).encode())
    world = make_world(1)
    for index, seed in enumerate(found.seeds):
        _failure_page(folder / _file(seed), found, index, make_agent, world)
    return _overview(folder / "index.html", found)


def share_rows(found: Attribution) -> tuple[list[str], list[list[str]]]:
    """The table of shares: header and rows."""
    verdicts = found.verdicts
    rows = [
        [SAYINGS[name], str(verdicts.count(name)), share.percent()]
        for name, share in found.shares.named.items()
    ]
    return ["failed of", "episodes", "share of failures (95 %)"], rows


# ------------------------------------------------------------------------------- all of them


def _overview(path: Path, found: Attribution) -> Path:
    header, rows = share_rows(found)
    left_out = [part for part in PARTS if part not in found.parts]
    warnings = [
        f"The {part} could not be replaced in this world; what episodes themselves tell is all "
        "that is known of it."
        for part in left_out
    ]
    changed = found.again.count(False)
    if changed:
        warnings.append(
            f"{changed} of {len(found.again)} episodes did not fail again from the same seed: what "
            "acts here is not quite what was evaluated."
        )
    return write_page(
        path,
        keep=True,
        title=f"Why episodes failed in {found.world}",
        lead=f"{found.failed} episodes failed; {len(found.seeds)} were run again with parts of the "
        "agent replaced.",
        cards=[
            Card(value=f"{100 * one.value:.0f} %", label=SAYINGS[name], note=one.percent())
            for name, one in found.shares.named.items()
        ],
        sections=[
            Section(
                title="Shares",
                text="An episode failed of the part whose replacement mends it. Luck: with other "
                "noise in the search the agent as it is succeeds.",
                tables=[Table(header=header, rows=rows), _shapley_table(found)],
                warnings=warnings,
            ),
            Section(
                title="What the episodes themselves tell",
                text="Without running anything otherwise: three estimates, medians over episodes. "
                "Beyond its limit an estimate names its part.",
                tables=[_evidence_table(found)],
            ),
            Section(
                title="Episodes",
                links=[
                    (_file(seed), f"task {seed}: {SAYINGS[verdict]}")
                    for seed, verdict in zip(found.seeds, found.verdicts, strict=True)
                ],
            ),
        ],
    )


def _shapley_table(found: Attribution) -> Table:
    return Table(
        header=("part", "adds to success, when replaced (Shapley value)"),
        rows=[
            (part, f"{one.value:.2f} ({one.low:.2f} to {one.high:.2f})")
            for part, one in found.shares.values.items()
        ],
    )


def _evidence_table(found: Attribution) -> Table:
    told = found.evidence.to_json()
    return Table(
        header=("part", "share of", "failed", "succeeded", "usual", "limit", "episodes named"),
        rows=[
            (
                part,
                ASKED[part],
                _number(told["failed"][part]),
                _number(told["succeeded"][part]),
                f"{RANGES[part][0]:g}",
                f"{RANGES[part][1]:g}",
                str(found.evidence.verdicts.count(part)),
            )
            for part in PARTS
        ],
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _file(seed: int | str) -> str:
    return f"failure_{seed}.html"


# ------------------------------------------------------------------------------- one of them


def _failure_page(
    path: Path, found: Attribution, index: int, make_agent: MakeSeededAgent, world: World
) -> Path:
    verdict, seed = found.verdicts[index], found.seeds[index]
    told = found.evidence.of(index)
    pictures = [*_pictures(found, index), *_charts(found, seed, make_agent, world)]
    return write_page(
        path,
        title=f"Task {seed} in {found.world}: {SAYINGS[verdict]}",
        lead=_why(verdict),
        sections=[
            Section(
                title="Parts replaced",
                text="The share of re-runs that succeeded.",
                tables=[_rates_table(found, index), _values_table(found, index)],
            ),
            Section(
                title="What happened",
                figures=pictures,
                text="The failed episode itself, and where the agent went with one part replaced.",
            ),
            Section(
                title="What the episode itself tells",
                text=f"By this alone: {told['verdict']}.",
                tables=[
                    Table(
                        header=("part", "share of", "here", "limit"),
                        rows=[
                            (part, ASKED[part], _number(told[part]), f"{RANGES[part][1]:g}")
                            for part in PARTS
                        ],
                    )
                ],
                links=[("index.html", "all failures")],
            ),
        ],
    )


def _why(verdict: str) -> str:
    if verdict == "luck":
        return "The agent as it is succeeds in at least half of the re-runs, with other noise."
    if verdict == "none":
        return (
            "Nothing that was replaced mends it, not even all parts together: it cannot be done "
            "in the time, or perception, memory or the horizon fail."
        )
    if verdict == "several":
        return "Several parts mend it, and what each adds does not tell them apart."
    return f"With {REPLACED[verdict]} it succeeds, or that adds most to success."


def _rates_table(found: Attribution, index: int) -> Table:
    return Table(
        header=("replaced", "succeeded"),
        rows=[(named(arm), f"{100 * rate[index]:.0f} %") for arm, rate in found.rates.items()],
    )


def _values_table(found: Attribution, index: int) -> Table:
    values = shapley(found.rates, found.parts)
    return Table(
        header=("part", "Shapley value"),
        rows=[(part, f"{value[index]:.2f}") for part, value in values.items()],
    )


def _pictures(found: Attribution, index: int) -> list[Picture]:
    shown = [embed_drawing(_course(found, index), "Over the world steps of the failed episode.")]
    if len(found.log.pictures) and np.isfinite(found.ways[()]).all():
        ground = found.log.pictures[index, 0]
        ways = {"as it is": found.log, **{named(arm): None for arm in found.ways if arm}}
        paths = [_place(found, index), *(way[:, index] for arm, way in found.ways.items() if arm)]
        goal = np.array([found.log.goal_truth[name][index] for name in PLACE])
        shown = [
            embed_drawing(
                _ways(ground, dict(zip(ways, paths, strict=True)), goal),
                "Where it went: in the failed episode, and with one part replaced. A star marks "
                "the goal.",
            ),
            embed_drawing(
                _plans(ground, found, index, goal),
                "Where plans were headed (orange), and where the same actions would truly have led "
                "(blue), along the way that was taken (grey).",
            ),
            *shown,
        ]
    return shown


def _place(found: Attribution, index: int) -> np.ndarray:
    return np.stack([found.log.truth[name][:, index] for name in PLACE], axis=-1)


def _ways(ground: np.ndarray, paths: Mapping[str, np.ndarray], goal: np.ndarray) -> Figure:
    figure, axes = plt.subplots(
        1, len(paths), figsize=(2.7 * len(paths), 2.9), layout="constrained", squeeze=False
    )
    for axis, (title, path) in zip(axes[0], paths.items(), strict=True):
        _ground(axis, ground)
        axis.plot(*path.T, color=drawings.BLUE, lw=1.6)
        axis.plot(*path[0], "o", color=drawings.BLUE, ms=5)
        axis.plot(*goal, "*", color=drawings.GREEN, ms=13, mec="white")
        axis.set_title(title, loc="left", fontsize=9)
    return figure


def _plans(ground: np.ndarray, found: Attribution, index: int, goal: np.ndarray) -> Figure:
    figure, axis = plt.subplots(figsize=(4.2, 4.2), layout="constrained")
    _ground(axis, ground)
    axis.plot(*_place(found, index).T, color=drawings.GREY, lw=1)
    count = len(found.log.searched)
    for search in np.unique(np.linspace(0, count - 1, SHOWN_PLANS).astype(int)):
        came, thought = found.log.came[search, index], found.log.places[search, index]
        axis.plot(*came.T, color=drawings.BLUE, lw=1.6)
        axis.plot(*thought.T, "o--", color=drawings.ORANGE, lw=1.4, ms=3)
    axis.plot(*goal, "*", color=drawings.GREEN, ms=15, mec="white")
    return figure


def _ground(axis: Any, ground: np.ndarray) -> None:
    height, width = ground.shape[:2]
    axis.imshow(ground, extent=(0, width, height, 0), alpha=0.55)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.grid(False)


def _course(found: Attribution, index: int) -> Figure:
    """Way to go, what more search adds, and errors of foresight."""
    log = found.log
    figure, axes = plt.subplots(1, 3, figsize=(9.6, 2.5), layout="constrained")
    axes[0].plot(log.lengths[:, index], color=drawings.GREEN, label="true length of the way")
    twin = axes[0].twinx()
    twin.plot(log.worth[:, index], color=drawings.ORANGE, lw=1.2)
    twin.grid(False)
    axes[0].plot([], [], color=drawings.ORANGE, label="energy of being there")
    axes[0].legend(frameon=False, fontsize=7)
    for values, colour, label in (
        (log.idle, drawings.GREY, "doing nothing"),
        (log.energy, drawings.ORANGE, "the plan"),
        (log.more, drawings.BLUE, "with more search"),
    ):
        axes[1].plot(log.searched, values[:, index], color=colour, lw=1.3, label=label)
    axes[1].set_title("energy", loc="left", fontsize=9)
    axes[1].legend(frameon=False, fontsize=7)
    for step, colour in zip(range(log.foreseen.shape[2]), drawings.COLOURS, strict=False):
        axes[2].plot(log.foreseen[:, index, step], color=colour, lw=1, label=f"{step + 1} ahead")
    axes[2].set_title("error of foresight, model steps", loc="left", fontsize=9)
    axes[2].legend(frameon=False, fontsize=7)
    for axis in axes:
        axis.set_xlabel("world step")
    return figure


@torch.no_grad()
def _charts(
    found: Attribution, seed: int, make_agent: MakeSeededAgent, world: World
) -> Sequence[Picture]:
    """The energy of being anywhere, beside the true length of the way; nothing without a map."""
    if not isinstance(world, Mapped) or not world.signature.cameras:
        return ()
    world.reset([seed])
    agent = make_agent(world.goal(), 1, found.config.seed)
    camera, points = world.signature.cameras[0], world.free_grid(0)
    latents = encode_still(agent.model, {camera: world.images_at(0, points)})
    space = agent.model.world_model.action_space
    still = ((space.low + space.high) / 2).expand(1, len(points), 1, -1)
    states = latents[None, :, None].expand(-1, -1, 2, -1, -1)
    energy = agent.cost.bind(agent.sight)(Imagination(latents=states, actions=still)).energy[0]
    goal = np.array([world.goal_truth()[name][0] for name in PLACE])
    maps = [
        ("energy of being there", energy.cpu().numpy()),
        ("true length of the way", world.lengths_from(0, points, goal)),
    ]
    drawing = drawings.distance_map(world.observe()[camera][0], points, maps, goal)
    return (embed_drawing(drawing, "What the objective asks for, and how far it truly is."),)
