"""The reports of a training run, of planning, and of the demo."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from rich.console import Console

from forethought.data.record import TRUTH
from forethought.data.store import Dataset, EpisodeArrays
from forethought.data.windows import WindowConfig, WindowSampler
from forethought.evaluation.planning import Outcome, PlanningResults, Trace
from forethought.evaluation.report import drawings
from forethought.evaluation.report.animation import episode_frames
from forethought.evaluation.report.distances import distance_section
from forethought.evaluation.report.page import (
    Card,
    Picture,
    Section,
    Table,
    embed_animation,
    embed_drawing,
    write_page,
)
from forethought.evaluation.statistics import Estimate, rank_correlation
from forethought.learning.folder import METRICS, SUMMARY
from forethought.learning.metrics import read_metrics
from forethought.model import Model, load_model
from forethought.types import World

POSITION = ("position.x", "position.y")


@runtime_checkable
class Mapped(Protocol):
    """A world whose camera can be imagined with the agent anywhere, for maps."""

    def images_at(self, index: int, points: np.ndarray) -> np.ndarray:
        """What the camera would see with the agent at each point."""
        ...

    def free_grid(self, index: int, spacing: float = 2.0) -> np.ndarray:
        """Places where the agent can be."""
        ...

    def lengths_from(self, index: int, points: np.ndarray, goal: np.ndarray) -> np.ndarray:
        """True path lengths to a goal."""
        ...


# ------------------------------------------------------------------------------- training


def train_report(run: Path, data: Dataset) -> Path:
    """Writes ``report.html`` of a training run; returns its path."""
    model = load_model(run)
    summary = json.loads((run / SUMMARY).read_text())
    return write_page(
        run / "report.html",
        keep=True,
        title=f"Training: {model.notes['recipe']}",
        lead=f"A world model of {summary['parameters']:,} parameters, learned from "
        f"{data.num_rows:,} recorded steps in {data.num_episodes} episodes without rewards or "
        "labels. Everything below is measured on held-out episodes.",
        cards=training_cards(summary),
        sections=training_sections(run, model, data, summary),
    )


def training_cards(summary: Mapping[str, Any]) -> list[Card]:
    """The headline figures of a training run."""
    health = summary["diagnostics"]
    return [
        Card(value=f"{summary['train_seconds']:.0f} s", label="training"),
        Card(value=f"{health['effective_rank']:.1f}", label="effective rank of the latent"),
        Card(
            value=f"{health['rollout_ratio']:.3f}",
            label="prediction error over a clip",
            note='"nothing changes" is 1',
        ),
        Card(value=f"{health['inverse_r2']:.2f}", label="R2 of actions read from latents"),
    ]


def training_sections(
    run: Path, model: Model, data: Dataset, summary: Mapping[str, Any]
) -> list[Section]:
    """Curves, health, latents, and imagination against what was recorded."""
    rows = read_metrics(run / METRICS)
    health = summary["diagnostics"]
    sections = [
        Section(
            title="How learning went",
            text="The loss alone says little: a collapsed model has a low one. Error relative to "
            "copy and effective rank tell whether there is anything to predict.",
            figures=[embed_drawing(drawings.learning_curves(rows), "Learning curves by stage.")],
            warnings=health["findings"],
            tables=[_health_table(health)],
        )
    ]
    if model.config.probes:
        sections += _latent_sections(model, data, summary)
    return sections


def _health_table(health: Mapping[str, Any]) -> Table:
    return Table(
        header=("measure on held-out clips", "value", "healthy"),
        rows=[
            ("effective rank", f"{health['effective_rank']:.2f}", "above 1.5"),
            ("variance within episodes", f"{health['within_share']:.1%}", "above 5 %"),
            (
                "action read from latents, R2",
                f"{health['inverse_r2']:.3f}",
                "either this above 0.05",
            ),
            (
                "error saved by the right actions",
                f"{health['action_gain']:.1%}",
                "or this above 5 %",
            ),
            ("error against copy, one model step", f"{health['copy_ratio']:.3f}", "below 1"),
            ("error against copy, whole clip", f"{health['rollout_ratio']:.3f}", "below 1"),
        ],
    )


def _latent_sections(model: Model, data: Dataset, summary: Mapping[str, Any]) -> list[Section]:
    key = model.notes["probe_key"]
    arrays = _held_out(model, data, key)
    clips, latents, imagined = _clips(model, arrays, horizon=8, count=400)
    quantities = _quantities_at(arrays, clips, key, model)
    names = [*model.config.probes][:3]
    pictures = [
        embed_drawing(
            drawings.latent_map(
                latents[:, 0].flatten(1).numpy(), {n: quantities[n][:, 0] for n in names}
            ),
            "Latents of held-out frames: the two largest principal components, coloured by what "
            "the probes are asked for, and the spectrum.",
        )
    ]
    sections = [
        Section(
            title="What the latent holds",
            text="Probes are trained on frozen latents and tested on held-out episodes. Nothing "
            "that acts ever sees these quantities.",
            figures=pictures,
            tables=[_probe_table(summary["probes"])],
        )
    ]
    seen = bool(model.signature.cameras)
    if seen and set(POSITION) <= set(model.config.probes) and key == TRUTH:
        sections.append(_paths_section(model, arrays, quantities, imagined))
    return sections


def _probe_table(probes: Mapping[str, Any]) -> Table:
    def said(r2: float | None) -> str:
        return "never varies" if r2 is None else f"{r2:.4f}"

    return Table(
        header=("quantity", "linear probe R2", "MLP probe R2"),
        rows=[
            (name, said(linear), said(nonlinear))
            for name, linear, nonlinear in zip(
                probes["names"], probes["linear_r2"], probes["mlp_r2"], strict=True
            )
        ],
    )


def _paths_section(
    model: Model,
    arrays: EpisodeArrays,
    quantities: Mapping[str, np.ndarray],
    imagined: torch.Tensor,
) -> Section:
    shown = 7
    with torch.no_grad():
        read = model.read(imagined[:shown])
    true = np.stack([quantities[name][:shown] for name in POSITION], -1)
    dream = np.stack([read[name].numpy() for name in POSITION], -1)
    camera = model.signature.cameras[0]
    background = arrays.observation[camera][0].numpy()
    return Section(
        title="Imagined against real",
        text="From the first frame of held-out clips alone, the model imagines where the recorded "
        "actions lead; probes read the positions out of its latents.",
        figures=[
            embed_drawing(
                drawings.imagined_paths(background, true, dream),
                "Recorded paths and the same actions imagined, eight model steps ahead.",
            )
        ],
    )


def _held_out(model: Model, data: Dataset, key: str) -> EpisodeArrays:
    keys = list(dict.fromkeys([*model.world_model.perception.keys, key]))
    return data.load(model.notes["held_out_episodes"], keys=keys, image_size=model.image_size)


@torch.no_grad()
def _clips(
    model: Model, arrays: EpisodeArrays, *, horizon: int, count: int
) -> tuple[Any, torch.Tensor, torch.Tensor]:
    config = model.config.world_model
    window = WindowConfig(
        length=horizon + 1,
        action_block=config.action_block,
        frame_stack=config.perception.frame_stack,
        frame_gap=config.perception.frame_gap,
    )
    clips = WindowSampler(arrays, window).sample(count, torch.Generator().manual_seed(1))
    latents = model.world_model.encode(dict(clips.observation))
    imagined = model.world_model.rollout(latents[:, 0], model.world_model.normalise(clips.actions))
    return clips, latents, imagined


def _quantities_at(
    arrays: EpisodeArrays, clips: Any, key: str, model: Model
) -> dict[str, np.ndarray]:
    """Quantities along clips, ``(n, t)`` by name."""
    place = {episode: i for i, episode in enumerate(arrays.episodes)}
    first = arrays.offsets[torch.tensor([place[int(e)] for e in clips.episode])] + clips.step
    length = clips.actions.shape[1] + 1
    moments = first[:, None] + torch.arange(length) * model.config.world_model.action_block
    values = arrays.observation[key][moments].numpy()
    return {name: values[..., i] for i, name in enumerate(model.config.probes)}


# ------------------------------------------------------------------------------- planning


def outcome_rows(results: PlanningResults) -> tuple[list[str], list[list[str]]]:
    """The table of planning results: header and rows."""
    groups = list(results.agent.groups)
    header = ["controller", "success", "at the end", *groups, "steps to goal", "efficiency"]
    return header, [_outcome_row(n, one.outcome, groups) for n, one in results.everyone()]


def _outcome_row(name: str, outcome: Outcome, groups: Sequence[str]) -> list[str]:
    def number(estimate: Estimate, form: str) -> str:
        return format(estimate.value, form) if estimate.episodes else "-"

    return [
        name,
        outcome.ever.percent(),
        outcome.final.percent(),
        *(outcome.groups[group][0].percent() for group in groups),
        number(outcome.steps, ".1f"),
        number(outcome.efficiency, ".2f"),
    ]


def evaluate_report(run: Path, results: PlanningResults, name: str = "evaluate") -> Path:
    """Writes ``evaluate.html``, or a page of another name; returns its path."""
    return write_page(
        run / f"{name}.html",
        keep=True,
        title=f"Planning in {results.world}",
        lead=_said_of_tasks(results),
        cards=planning_cards(results),
        sections=planning_sections(results),
    )


def _said_of_tasks(results: PlanningResults) -> str:
    """What the tasks are, and who did them."""
    held_out = "held-out " if results.tasks.held_out else ""
    unsolved = "" if results.tasks.solved.any() else ", none of which starts at its goal"
    others = [label for label, _ in results.everyone() if label != "agent"]
    beside = f" The same tasks were done by: {', '.join(others)}." if others else ""
    return f"{len(results.seeds)} {held_out}tasks{unsolved}.{beside}"


def planning_cards(results: PlanningResults) -> list[Card]:
    """The headline figures of planning."""
    ever = results.agent.ever
    cards = [
        Card(
            value=f"{100 * ever.value:.1f} %",
            label="success",
            note=f"95 % interval {100 * ever.low:.1f} to {100 * ever.high:.1f}",
        )
    ]
    for name, (group, _) in results.agent.groups.items():
        cards.append(
            Card(value=f"{100 * group.value:.1f} %", label=name, note=f"{group.episodes} tasks")
        )
    cards.append(
        Card(
            value=f"{results.decision_ms['median']:.1f} ms",
            label="a decision",
            note=f"99th percentile {results.decision_ms['p99']:.1f} ms",
        )
    )
    return cards


def planning_sections(results: PlanningResults) -> list[Section]:
    """The table with floor and ceiling, and episodes to watch."""
    header, rows = outcome_rows(results)
    bars = [
        (
            one.name,
            {
                "all": _triple(one.outcome.ever),
                **{name: _triple(ever) for name, (ever, _) in one.outcome.groups.items()},
            },
        )
        for _, one in results.everyone()
    ]
    budget, hold = results.protocol.budget, results.protocol.hold
    sections = [
        Section(
            title="Results",
            text=f"Success: the goal was met within {budget} steps; at the end: it held for the "
            f"last {hold} of them. Intervals are 95 % Wilson. Efficiency is shortest possible over "
            "taken steps, where the goal was met.",
            tables=[Table(header=header, rows=rows, strong=len(results.floors))],
            figures=[
                embed_drawing(
                    drawings.success_bars(bars, agent=len(results.floors)),
                    "Success by kind of task.",
                )
            ],
            warnings=results.remarks(),
        ),
        *distance_section(results),
    ]
    gallery = _gallery(results)
    if gallery:
        sections.append(
            Section(
                title="Episodes",
                text="Drawn by lot, failures first where there are any, and played again. Left "
                "what the camera sees, right the goal image. Orange: the plan under way, "
                "as imagined; blue: the way so far; green: the goal.",
                gallery=gallery,
            )
        )
    return [*sections, *_weighed_section(results)]


def _weighed_section(results: PlanningResults) -> list[Section]:
    """What the plans of some episodes were weighed by; nothing of who does not plan."""
    shown = [trace for trace in results.traces if trace.terms][:4]
    if not shown:
        return []
    drawing = drawings.weighed([one.terms for one in shown], [one.margins for one in shown])
    return [
        Section(
            title="What the plans were weighed by",
            text="The shares of each cost term in the energy of the plan under way, what lies "
            "beyond its end included where a critic of future cost is heeded; below zero a "
            "guardrail is violated in the plan.",
            figures=[embed_drawing(drawing, "The first of these episodes, step by step.")],
        )
    ]


def _triple(estimate: Estimate) -> tuple[float, float, float]:
    return estimate.value, estimate.low, estimate.high


def _gallery(results: PlanningResults) -> list[Picture]:
    return [
        embed_animation(episode_frames(trace), _caption(results, trace))
        for trace in results.traces
        if trace.images is not None and trace.goal is not None
    ]


def _caption(results: PlanningResults, trace: Trace) -> str:
    """Which task it is, how it ended, and whether it had ended so when it was measured."""
    met = np.flatnonzero(trace.succeeded)
    kind = f", {trace.group}" if trace.group else ""
    end = f"met after {met[0] + 1} steps" if len(met) else "not met"
    if trace.seed is None:
        return f"An episode{kind}: {end}."
    before = results.ever[results.seeds.index(trace.seed)]
    again = "" if before == bool(len(met)) else f" (when measured: {'met' if before else 'not'})"
    return f"Task {trace.seed}{kind}: {end}{again}."


# ------------------------------------------------------------------------------- the critic


def critic_section(model: Model, world: World, seed: int) -> Section | None:
    """The critic's map of distances to one goal, beside latent distance and the truth."""
    if not isinstance(world, Mapped) or model.critic is None:
        return None
    world.reset([seed])
    camera = model.signature.cameras[0]
    goal = np.array([world.goal_truth()[name][0] for name in POSITION])
    points = world.free_grid(0)
    with torch.no_grad():
        stacked = torch.from_numpy(world.images_at(0, points))[:, None]
        stack = model.config.world_model.perception.frame_stack
        seen = model.world_model.encode({camera: stacked.expand(-1, stack, -1, -1, -1)})
        target = torch.from_numpy(world.goal()[camera])[:, None]
        aim = model.world_model.encode({camera: target.expand(-1, stack, -1, -1, -1)})
        aim = aim.expand_as(seen)
        learned = model.critic(seen, aim).numpy()
        latent = (seen - aim).square().mean((-1, -2)).sqrt().numpy()
    true = world.lengths_from(0, points, goal)
    maps = [
        ("critic: model steps", learned),
        ("latent distance", latent),
        ("true path length, pixels", true),
    ]
    background = world.images_at(0, np.array([[-50.0, -50.0]]))[0]
    return Section(
        title="What the critic foresees",
        text="Steps to the goal (star) from everywhere. Latent distance looks through the wall; "
        "the critic, learned from the same recordings, goes through the door. Rank correlation "
        f"with the true path length: critic {rank_correlation(learned, true):.3f}, latent "
        f"distance {rank_correlation(latent, true):.3f}.",
        figures=[
            embed_drawing(drawings.distance_map(background, points, maps, goal), "Distance maps.")
        ],
    )


# ------------------------------------------------------------------------------- the demo


def demo_report(
    run: Path, data: Dataset, world: World, results: PlanningResults, steps: Sequence[str]
) -> Path:
    """Writes the one page of the demo; returns its path.

    Args:
        run: folder of the run.
        data: what was recorded.
        world: the world, for maps.
        results: of planning.
        steps: what was done, one sentence each.
    """
    with Console(stderr=True).status("drawing"):
        model = load_model(run)
        summary = json.loads((run / SUMMARY).read_text())
        critic = critic_section(model, world, results.protocol.seed + 1)
        sections = [
            Section(title="What was done", text=" ".join(steps)),
            *planning_sections(results),
            *([critic] if critic else []),
            *training_sections(run, model, data, summary),
        ]
        return write_page(
            run / "report.html",
            title=f"It watched {results.world}, and now plans in it",
            lead="From pixels and actions alone, without rewards or labels: a world model, a "
            "sense of distance, and plans made by imagining.",
            cards=[*planning_cards(results), *training_cards(summary)[:1]],
            sections=sections,
        )
