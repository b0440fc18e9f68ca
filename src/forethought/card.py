"""The card that travels with a shared model: what it is, what was measured, how to use it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from huggingface_hub import ModelCard, ModelCardData

from forethought.types import ActionSpec, Signature

MEASURED = "measured"
"""Key of a model's notes that holds what was measured of it, by kind."""

_HEALTH = {
    "effective_rank": "dimensions of the latent in use",
    "within_share": "share of the variance within episodes",
    "inverse_r2": "actions read from successive latents, R2",
    "action_gain": "error saved by the right actions",
    "copy_ratio": "one step ahead, error over that of copying",
    "rollout_ratio": "a clip ahead, error over that of copying",
    "alignment": "alignment of successive latents",
    "uniformity": "uniformity on the sphere",
}


def model_card(
    *, signature: Signature, notes: Mapping[str, Any], makeup: Mapping[str, Any], parameters: int
) -> ModelCard:
    """A card from what the model itself knows; figures that were never measured are left out.

    Args:
        signature: observations and actions.
        notes: how the model came to be, and under ``measured`` what was measured of it.
        makeup: its parts by name, each as its settings in words.
        parameters: how many there are.
    """
    data = ModelCardData(
        library_name="forethought",
        pipeline_tag="robotics",
        tags=["world-model", "jepa", "planning"],
    )
    name = notes.get("recipe", "world model")
    sections = [
        f"---\n{data.to_yaml()}\n---",
        f"# {name}: a world model to plan with",
        "Trained by joint-embedding prediction on logged observations and actions, without rewards "
        "or labels. An agent plans with it by imagining where actions lead.",
        _use(signature),
        "## What it perceives and does\n\n" + _table(["key", "form"], _forms(signature)),
        f"## Make-up\n\n{parameters:,} parameters.\n\n"
        + _table(["part", "settings"], list(makeup.items())),
        *_measured(notes.get(MEASURED, {})),
        "## How it came to be\n\n" + _table(["note", "value"], _origin(notes)),
    ]
    return ModelCard("\n\n".join(sections) + "\n", ignore_metadata_errors=False)


def _use(signature: Signature) -> str:
    goal = "image=frame" if len(signature.cameras) == 1 else "observation=goal_observation"
    return (
        "```python\n"
        "import forethought as ft\n\n"
        'model = ft.Model.from_pretrained("owner/name")  # or the folder of a run\n'
        f"cost = ft.cost.goal({goal})\n"
        "agent = ft.Agent(model, cost=cost, actor=ft.actor.CEM(horizon=4))\n"
        "decision = agent.act(observation)\n"
        "```"
    )


def _forms(signature: Signature) -> Iterable[tuple[str, str]]:
    for key, spec in signature.observation.items():
        names = f": {', '.join(spec.names)}" if spec.names else ""
        yield key, f"{spec.dtype} {spec.shape}{names}"
    yield "action", _action(signature.action)
    yield "rate", f"{signature.rate_hz:g} Hz"


def _action(spec: ActionSpec) -> str:
    if spec.discrete:
        return f"one of {spec.num_choices}"
    ends = zip(spec.low, spec.high, strict=True)
    return f"{spec.dim} numbers" + "".join(f", {low:g} to {high:g}" for low, high in ends)


def _measured(measured: Mapping[str, Any]) -> Iterable[str]:
    if training := measured.get("training"):
        health = training["diagnostics"]
        rows = [(label, f"{health[key]:.3f}") for key, label in _HEALTH.items() if key in health]
        rows.append(("training", f"{training['train_seconds']:.0f} s"))
        yield "## Health on held-out episodes\n\n" + _table(["measure", "value"], rows)
        for finding in health["findings"]:
            yield f"> **Warning.** {finding}"
        if probes := training.get("probes"):
            linear, mlp = _shares(probes["linear_r2"]), _shares(probes["mlp_r2"])
            rows = zip(probes["names"], linear, mlp, strict=True)
            yield "## Quantities read from the latent, R2 on held-out episodes\n\n" + _table(
                ["quantity", "linear", "MLP"], rows
            )
    if planning := measured.get("planning"):
        rows = [
            (
                world,
                *(
                    _percent(found[who]) if who in found else "-"
                    for who in ("agent", "floor", "ceiling")
                ),
            )
            for world, found in planning.items()
        ]
        yield "## Goals reached on held-out tasks\n\n" + _table(
            ["world", "agent", "random floor", "oracle ceiling"], rows
        )


def _origin(notes: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for key in ("recipe", "data", "seed", "forethought"):
        if key in notes:
            yield key, str(notes[key])
    yield "episodes held out", str(len(notes.get("held_out_episodes", ())))


def _shares(values: Sequence[float | None]) -> list[str]:
    return ["never varies" if value is None else f"{value:.3f}" for value in values]


def _percent(found: Mapping[str, float]) -> str:
    low, high = 100 * found["low"], 100 * found["high"]
    return f"{100 * found['value']:.1f} % ({low:.1f} to {high:.1f}), n = {found['episodes']}"


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [f"| {' | '.join(header)} |", "|" + "---|" * len(header)]
    lines += [f"| {' | '.join(str(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines)
