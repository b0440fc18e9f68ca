"""Do calibrated bounds cover as often as they say? On rollouts that nothing was calibrated on.

In simulated worlds as many fresh episodes as one likes can be had: each gives one rollout, so that
rollouts are independent and coverage has a binomial interval. Of real recordings there are few:
each in turn is left out, bounds are calibrated on the others, and the interval is over recordings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from forethought import data, recipes, worlds
from forethought.cost import (
    Calibration,
    Constraint,
    Guardrail,
    guardrail,
    keep_away,
    keep_out,
    limit,
    rate_limit,
)
from forethought.data import Dataset
from forethought.data.importers import ImportSettings, import_dataset
from forethought.evaluation.statistics import bootstrap_mean, wilson
from forethought.model import Model
from forethought.senses import sight_of
from guarded_worlds import GUARDED, PLACE, Guarded, fresh, rollouts, trained
from harness import Benchmark, Figure, estimate, main, recordings

RISKS = (0.01, 0.05)
MAPPINGS = Path(__file__).parent.parent / "examples" / "mappings"


@dataclass(frozen=True, kw_only=True)
class Simulated:
    """A world, and conditions of every kind that its quantities allow.

    Attributes:
        name: of the world and of its recipe.
        conditions: by name.
    """

    name: str
    conditions: Mapping[str, Guardrail]


def _rails(**conditions) -> dict[str, Guardrail]:
    return {
        name.replace("_", " "): guardrail(one, name=name.replace("_", " "))
        for name, one in conditions.items()
    }


def foreseen(world: Guarded) -> dict[str, Constraint]:
    """Conditions that foresight is needed for: those on actions alone are exact, and never wide."""
    done = set(worlds.make(world.name, 1).signature.action.names)
    return {name: one for name, one in world.conditions().items() if set(one.quantities) - done}


SIMULATED = (
    Simulated(
        name="two_rooms",
        conditions=_rails(
            limit=limit("position.x", below=52.0),
            box=keep_out({"position.x": (8.0, 20.0), "position.y": (26.0, 38.0)}),
            disc=keep_away(PLACE, (14.0, 32.0), distance=6.0),
            speed=rate_limit("position.y", at_most=11.0),
            one_of_two=limit("position.x", below=30.0) | limit("position.y", below=40.0),
            only_when=limit("position.y", above=16.0).only_when(limit("position.x", above=34.0)),
        ),
    ),
    *(Simulated(name=one.name, conditions=_rails(**foreseen(one))) for one in GUARDED),
)


def measure(benchmark: Benchmark) -> None:
    for world in SIMULATED:
        benchmark.part(f"{world.name}/", lambda _, world=world: simulated(benchmark, world))
    benchmark.part("f1tenth/", lambda folder: race_car(benchmark, folder))
    benchmark.part("cascaded_tanks/", lambda folder: tanks(benchmark, folder))


# ------------------------------------------------------------------------------- simulated


def simulated(benchmark: Benchmark, world: Simulated) -> Sequence[Figure]:
    figures = []
    for seed in benchmark.seeds:
        model = trained(world.name, seed)
        parts = [fresh(model, world.name, part) for part in (0, 1)]
        figures += covered(f"{world.name}, seed {seed}, ", world.conditions, model, *parts)
    return figures


def covered(
    prefix: str,
    conditions: Mapping[str, Guardrail],
    model: Model,
    calibration: Calibration,
    test: Calibration,
) -> list[Figure]:
    """Share of test rollouts whose true margin is at least the widened one, at every step."""
    figures = []
    for risk in RISKS:
        for name, (holds, mean) in coverage(conditions, model, calibration, test, risk).items():
            for step in range(holds.shape[1]):
                found = wilson(holds[:, step]).to_json()
                label = f"{prefix}{name}, risk {risk:g}, step {step + 1}: "
                figures += [
                    estimate(label + "covered", found, f">= {1 - risk:g} within the interval"),
                    estimate(
                        label + "not wider than needed",
                        found,
                        f"<= {1 - risk + 0.02:g} within the interval",
                    ),
                ]
            figures.append(
                Figure(
                    name=f"{prefix}{name}, risk {risk:g}: mean widening near it", value=float(mean)
                )
            )
    return figures


def coverage(
    conditions: Mapping[str, Guardrail],
    model: Model,
    calibration: Calibration,
    test: Calibration,
    risk: float,
) -> dict[str, tuple[np.ndarray, float]]:
    """By guardrail, ``(n, h)`` whether bounds hold, and how wide they are in the mean."""
    rails = [guardrail(one.constraint, name=name, risk=risk) for name, one in conditions.items()]
    sight = sight_of(model)
    bounds = calibration.bounds(rails, sight)
    imagined, came = test.margins(rails, sight)
    return {
        rail.name: (
            (
                came[rail.name]
                >= bounds[rail.name].bounds.widen(imagined[rail.name][:, None])[:, 0]
            ).numpy(),
            float(bounds[rail.name].bounds.near.mean()),
        )
        for rail in rails
    }


# ------------------------------------------------------------------------------- real


def race_car(benchmark: Benchmark, folder: Path) -> Sequence[Figure]:
    """Held-out recordings of a race car, of models trained on the others."""
    dataset = imported(benchmark, "f1tenth", "f1tenth", folder)
    figures = []
    for seed in benchmark.seeds:
        out = folder / f"run{seed}"
        model = recipes.train(
            dataset, recipe="vehicle_state", out=out, seed=seed, resume=True, visible=False
        )
        held_out = model.notes["held_out_episodes"]
        figures += left_out(f"f1tenth, seed {seed}, ", model, dataset, held_out)
    return figures


def tanks(benchmark: Benchmark, folder: Path) -> Sequence[Figure]:
    """The record for validation, in pieces, of a model trained on the one for estimation."""
    estimation, validation = (
        imported(benchmark, "cascaded_tanks", f"cascaded_tanks_{part}", folder, length=128)
        for part in ("estimation", "validation")
    )
    figures = []
    for seed in benchmark.seeds:
        out = folder / f"run{seed}"
        model = recipes.train(
            estimation, recipe="process", out=out, seed=seed, resume=True, visible=False
        )
        pieces = range(validation.num_episodes)
        figures += left_out(f"cascaded_tanks, seed {seed}, ", model, validation, pieces)
    return figures


def imported(
    benchmark: Benchmark, source: str, mapping: str, folder: Path, length: int | None = None
) -> Dataset:
    path = folder / mapping
    if path.exists():
        return data.open(path)
    settings = ImportSettings(mapping=MAPPINGS / f"{mapping}.yaml", episode_length=length)
    return import_dataset(recordings(benchmark) / source, path, settings, visible=False)


def left_out(prefix: str, model: Model, dataset: Dataset, episodes: Sequence[int]) -> list[Figure]:
    """Limits on every quantity, from both sides: coverage on each recording, calibrated on the
    others; the mean over recordings and its interval."""
    conditions = {}
    for name in model.config.probes:
        conditions |= {
            f"{name} below": guardrail(limit(name, below=0.0)),
            f"{name} above": guardrail(limit(name, above=0.0)),
        }
    apiece = [rollouts(model, dataset, [episode]) for episode in episodes]
    figures = []
    for risk in RISKS:
        shares: dict[str, list[float]] = {name: [] for name in conditions}
        for number, test in enumerate(apiece):
            others = joined([one for other, one in enumerate(apiece) if other != number])
            found = coverage(conditions, model, others, test, risk)
            for name, (holds, _) in found.items():
                shares[name].append(float(holds.mean()))
        for name, values in shares.items():
            content = bootstrap_mean(np.array(values)).to_json()
            label = f"{prefix}{name}, risk {risk:g}: covered, all steps"
            figures.append(estimate(label, content, f">= {1 - risk:g} within the interval"))
    return figures


def joined(parts: Sequence[Calibration]) -> Calibration:
    """The rollouts of several calibrations."""
    tensors = ("imagined", "recorded", "actions", "foreseen", "seen")
    return Calibration(
        names=parts[0].names,
        **{name: torch.cat([getattr(part, name) for part in parts]) for name in tensors},
    )


if __name__ == "__main__":
    main("conformal", measure)
