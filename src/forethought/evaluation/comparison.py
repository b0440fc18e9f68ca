"""Two evaluations side by side, task by task: do they differ, and by how much?"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from forethought.evaluation.significance import (
    LEVEL,
    Difference,
    detectable,
    difference,
    of_means,
)
from forethought.evaluation.statistics import Estimate, wilson
from forethought.evaluation.tasks import DrawnTasks
from forethought.types import ForethoughtError

EVALUATION = "evaluate.json"
"""The file in a run's folder that an evaluation leaves."""
OF_REPORTS = ("traces", "latency_decisions", "bands")
"""Fields of a protocol that no outcome depends on."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """An evaluation as it was written down.

    Attributes:
        name: how tables call it.
        world: name of the world.
        protocol: by field, without those that no outcome depends on.
        tasks: seed and, of recorded ones, episode and row of each task.
        ever: ``(n,)`` whether the agent met the goal.
        final: ``(n,)`` whether it kept it at the end.
        steps: ``(n,)`` world steps until it first met it; NaN where it never did or nobody noted.
        parts: masks ``(n,)`` of distances and kinds of tasks.
    """

    name: str
    world: str
    protocol: Mapping[str, Any]
    tasks: tuple[Any, ...]
    ever: Bool[np.ndarray, " n"]
    final: Bool[np.ndarray, " n"]
    steps: Float[np.ndarray, " n"]
    parts: Mapping[str, Bool[np.ndarray, " n"]]

    @property
    def counted(self) -> Bool[np.ndarray, " n"]:
        """The success that counts: at the end where the protocol asks to hold the goal."""
        return self.final if self.protocol["hold"] > 1 else self.ever


def read_evaluation(path: Path | str) -> Evaluation:
    """An evaluation from a run's folder, or from a file that ``forethought evaluate`` wrote.

    Raises:
        ForethoughtError: there is none, or it is damaged.
    """
    path = Path(path)
    file = path / EVALUATION if path.is_dir() else path
    if not file.exists():
        raise ForethoughtError(
            f"{file}: no evaluation here. Make one with `forethought evaluate {path} --world ...`, "
            "or give the file that it wrote."
        )
    try:
        content = json.loads(file.read_text())
        episodes = content["episodes"]
        protocol = {k: v for k, v in content["protocol"].items() if k not in OF_REPORTS}
        # Before protocols said so, worlds drew all tasks.
        protocol.setdefault("tasks", DrawnTasks().to_json())
        return Evaluation(
            name=str(path),
            world=content["world"],
            protocol=protocol,
            tasks=tuple((e["seed"], *(e.get("origin") or ())) for e in episodes),
            ever=np.array([e["ever"] for e in episodes], bool),
            final=np.array([e["final"] for e in episodes], bool),
            steps=np.array([e.get("steps") or np.nan for e in episodes], float),
            parts={
                name: np.array([name in (*e["bands"], *e["groups"]) for e in episodes])
                for name in (*content.get("bands", ()), *content.get("groups", ()))
            },
        )
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ForethoughtError(
            f"{file}: not an evaluation, or a damaged one ({type(error).__name__}: {error}). Make "
            "it again with `forethought evaluate`."
        ) from error


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure of both sides.

    Attributes:
        name: what it is.
        first: of the first side, over all its runs.
        second: of the second.
        difference: second less first.
    """

    name: str
    first: Estimate
    second: Estimate
    difference: Difference

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        parts = {"first": self.first, "second": self.second, "difference": self.difference}
        return {"name": self.name, **{name: part.to_json() for name, part in parts.items()}}


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two sides compared.

    Attributes:
        world: name of the world.
        runs: of each side.
        rows: the success that counts first, then the other one, then by distance and kind of task.
        steps: world steps to the goal, on tasks that all runs solved; of single runs only.
        detectable: the least difference in success that would most likely have been found; NaN
            where nobody can tell.
        verdict: what follows, in words.
        caution: what does not follow; empty for nothing.
    """

    world: str
    runs: tuple[tuple[str, ...], tuple[str, ...]]
    rows: tuple[Row, ...]
    steps: Difference | None
    detectable: float
    verdict: str
    caution: str

    @property
    def differs(self) -> bool:
        """Whether the success that counts is called different."""
        return self.rows[0].difference.differs

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "world": self.world,
            "first": list(self.runs[0]),
            "second": list(self.runs[1]),
            "rows": [row.to_json() for row in self.rows],
            "steps": None if self.steps is None else self.steps.to_json(),
            "detectable": None if np.isnan(self.detectable) else self.detectable,
            "differs": self.differs,
            "verdict": self.verdict,
            "caution": self.caution,
        }


def compare(first: Sequence[Evaluation], second: Sequence[Evaluation]) -> Comparison:
    """Compares two evaluations of the same tasks, or several of each side.

    With one on each side the question is whether these two runs differ; with more, that differ by
    their training seed, whether the ways they were made do
    (:mod:`~forethought.evaluation.significance`).

    Args:
        first: one side.
        second: the other.

    Raises:
        ForethoughtError: a side is empty or holds a run twice, or world, protocol or tasks differ.
    """
    everyone = [*first, *second]
    if not first or not second:
        raise ForethoughtError("give at least one evaluation for each side.")
    for side in (first, second):
        names = [one.name for one in side]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ForethoughtError(
                f"{twice[0]} is given twice on one side; runs of a side are several trainings, not "
                "one counted again. Give each once."
            )
    for other in everyone[1:]:
        _refuse_other_tasks(everyone[0], other)
    every_task = np.ones(len(first[0].tasks), bool)
    hold = first[0].protocol["hold"] > 1
    rows = [_row("success at the end" if hold else "success", first, second, every_task, hold)]
    other_name = "met at some step" if hold else "at the end"
    rows.append(_row(other_name, first, second, every_task, not hold))
    rows += [_row(name, first, second, mask, hold) for name, mask in first[0].parts.items()]
    single = len(first) == len(second) == 1
    steps = _steps(first[0], second[0]) if single else None
    found = detectable(len(every_task), _apart(first[0], second[0])) if single else np.nan
    return Comparison(
        world=first[0].world,
        runs=(tuple(e.name for e in first), tuple(e.name for e in second)),
        rows=tuple(rows),
        steps=steps,
        detectable=found,
        verdict=" ".join([_verdict(rows[0], single, found), *_also(rows[1], steps)]),
        caution=_caution(rows[0].difference, single),
    )


def _refuse_other_tasks(one: Evaluation, other: Evaluation) -> None:
    """Raises where two evaluations cannot be compared task by task."""
    mine, others = ({"world": e.world, **e.protocol} for e in (one, other))
    for name in dict.fromkeys((*mine, *others)):
        if mine.get(name) != others.get(name):
            raise ForethoughtError(
                f"{name} differs: {mine.get(name)!r} in {one.name}, {others.get(name)!r} in "
                f"{other.name}. Evaluate both alike: `forethought evaluate` with the same --world, "
                "--episodes, --budget, --seed and choice of tasks."
            )
    apart = [i for i, (a, b) in enumerate(zip(one.tasks, other.tasks, strict=False)) if a != b]
    if apart or len(one.tasks) != len(other.tasks):
        where = f"from task {apart[0] + 1} on" if apart else "in their number"
        raise ForethoughtError(
            f"the tasks of {one.name} and {other.name} differ {where}, though their protocols do "
            "not: the world draws others than it did. Evaluate both again with this version."
        )


def _row(
    name: str,
    first: Sequence[Evaluation],
    second: Sequence[Evaluation],
    mask: Bool[np.ndarray, " n"],
    final: bool,
) -> Row:
    sides = [
        np.stack([(e.final if final else e.ever)[mask] for e in side]) for side in (first, second)
    ]
    one, two = (wilson(side.ravel()) for side in sides)
    return Row(name=name, first=one, second=two, difference=difference(*sides))


def _apart(one: Evaluation, two: Evaluation) -> float:
    """Share of tasks that one of two runs alone solved."""
    return float((one.counted != two.counted).mean())


def _steps(one: Evaluation, two: Evaluation) -> Difference | None:
    """World steps to the goal on tasks that both solved; None where nobody noted them."""
    both = np.isfinite(one.steps) & np.isfinite(two.steps)
    return of_means(one.steps[both], two.steps[both]) if both.any() else None


def _verdict(row: Row, single: bool, least: float) -> str:
    found = row.difference
    points = 100 * found.value
    if found.differs:
        better = "second" if points > 0 else "first"
        who = f"the {better} run" if single else f"the {better} side"
        return f"{row.name}: {who} is better, by {abs(points):.1f} points (p = {found.p:.2g})."
    told = f"{row.name}: not told apart by {found.episodes} tasks (p = {found.p:.2g})"
    if single and not np.isnan(least):
        return f"{told}; a difference of {100 * least:.0f} points would most likely have been."
    if not single:
        return f"{told}; what may be between them: {_points(found.low)} to {_points(found.high)}."
    return f"{told}; so few tasks tell nothing apart."


def _also(other: Row, steps: Difference | None) -> list[str]:
    """What further measures tell apart; of two of them, each at half the level."""
    said = []
    if (gap := other.difference).p < LEVEL / 2:
        said.append(f"But {other.name}: {_points(gap.value)} (p = {gap.p:.2g}).")
    if steps is not None and steps.p < LEVEL / 2:
        said.append(
            f"Where both met the goal the second took {steps.value:+.1f} steps "
            f"({steps.low:+.1f} to {steps.high:+.1f})."
        )
    return said


def _points(share: float) -> str:
    return f"{100 * share:+.1f} points"


def _caution(found: Difference, single: bool) -> str:
    if not single:
        return ""
    if found.differs:
        return (
            "This is about these two runs. Runs that differ only by their training seed differ "
            "too: to tell two ways of training apart, give three or more runs of each "
            "(--runs-a, --runs-b)."
        )
    return "One run on each side tells about these runs, not about how they were made."
