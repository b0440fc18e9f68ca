"""Task files read and checked: every error names file, line and key, and says what to write."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from pydantic import ValidationError

from forethought.configurator.agent_parts import PLANNERS, BudgetPart, PlannerPart
from forethought.configurator.goals import ShownGoal
from forethought.configurator.task import Budget, Search, Task
from forethought.configurator.task_file import GoalPart, TaskPart
from forethought.cost.region import RegionGoal
from forethought.cost.shown import named_goal
from forethought.marked_yaml import line_of, read_yaml
from forethought.types import ForethoughtError, Observation

EXAMPLES = {
    "goal": "goal: {image: goal.png}",
    "goals": "goals: [{image: goal.png, within: 2.0, seconds: 20}, {state: [1], within: 1.0}]",
    "within": "within: 2.0",
    "reached": "reached: {position.x: [30, 34]}",
    "seconds": "seconds: 20",
    "otherwise": "otherwise: stop",
    "image": "image: goal.png",
    "remembered": "remembered: {path: memories/rooms, label: dock, day: 2026-11-17}",
    "words": "words: go to the top right corner",
    "state": "state: [0.5, 0.1]",
    "quantities": "quantities: {position.x: 52, position.y: 20}",
    "region": "region: {position.x: [40, 60], position.y: [null, 30]}",
    "terms": "terms: {effort: 0.1}",
    "guardrails": "guardrails: [{limit: {quantity: position.x, below: 52}, risk: 0.01}]",
    "limit": "limit: {quantity: position.x, below: 52}",
    "keep_out": "keep_out: {position.x: [10, 20], position.y: [null, 30]}",
    "keep_away": "keep_away: {place: [position.x, position.y], point: [20, 30], distance: 6}",
    "apart": "apart: {first: [position.x], second: [wall.x], distance: 3}",
    "rate": "rate: {quantity: position.x, at_most: 12}",
    "any": "any: [{limit: {quantity: position.x, below: 30}}]",
    "all": "all: [{limit: {quantity: position.x, below: 30}}]",
    "only_when": "only_when: {limit: {quantity: position.x, above: 30}}",
    "risk": "risk: 0.01",
    "fallback": "fallback: stop",
    "retreat": "retreat: {steps: 10}",
    "planner": "planner: {horizon: 4, samples: 64, iterations: 2, elites: 8}",
    "halving": "halving: [{steps: 1, share: 0.5}]",
    "screened": "screened: 0.25",
    "name": "name: cem",
    "budget": "budget: {deadline_ms: 20, replan_every: 5}",
    "reuse": "reuse: {surprise: 0.05, longest: 10}",
    "fast": "fast: exact",
    "mode": "mode: gated",
    "gated": "gated: {share: 0.98, chunk: 2}",
    "reflexes": "reflexes: {chunk: 2}",
    "memory": "memory: {path: memories/rooms, label: dock}",
    "adaptation": "adaptation: {recorded: datasets/rooms, seconds_per_step: 0.05}",
}
"""How each key is written, for errors about it."""


def read_task(path: Path | str) -> Task:
    """A task from its file.

    Args:
        path: a YAML or JSON file; pictures that it names lie beside it.

    Raises:
        ForethoughtError: what is wrong with it, each with its line, its key, and what to write.
    """
    path = Path(path)
    content, tree = read_yaml(path, "task file")
    try:
        part = TaskPart.model_validate(content)
    except ValidationError as error:
        told = [_told(path, tree, one) for one in error.errors()]  # type: ignore[arg-type]
        raise ForethoughtError("\n".join(told)) from error
    legs = tuple(
        one.build_leg(_goal(path, tree, one, "goals", number))
        for number, one in enumerate(part.goals)
    )
    alone = None if part.goal is None else _goal(path, tree, part.goal, "goal")
    return Task(
        goal=alone or legs[0].goal,
        legs=legs,
        terms=part.build_terms(),
        guardrails=tuple(one.build_guardrail() for one in part.guardrails),
        fallback=part.fallback.build(),
        search=_search(part.planner),
        budget=_budget(part.budget),
        mode=part.mode.build(),
        memory=None if part.memory is None else part.memory.build(path.parent),
        adaptation=None if part.adaptation is None else part.adaptation.build(path.parent),
    )


def task_schema() -> dict[str, Any]:
    """The JSON Schema of task files, for editors."""
    return {"title": "Forethought task", **TaskPart.model_json_schema()}


def _budget(part: BudgetPart) -> Budget:
    return Budget(
        deadline_s=None if part.deadline_ms is None else part.deadline_ms / 1000,
        replan_every=part.replan_every,
        reuse=None if part.reuse is None else part.reuse.build(),
        fast=part.build_fast(),
    )


def _search(part: PlannerPart) -> Search:
    return Search(
        planner=None if part.name is None else PLANNERS[part.name](),
        horizon=part.horizon,
        samples=part.samples,
        iterations=part.iterations,
        elites=part.elites,
        screened=part.screened,
        halving=tuple(one.build() for one in part.halving),
    )


def _goal(
    path: Path, tree: yaml.Node | None, part: GoalPart, *where: str | int
) -> ShownGoal | RegionGoal:
    region = part.build_region()
    if region is not None:
        return region
    if part.words is not None:
        return ShownGoal(observation=named_goal(words=part.words))
    if part.state is not None:
        return ShownGoal(observation=named_goal(state=np.array(part.state, np.float32)))
    kind = "remembered" if part.image is None else "image"
    try:
        return ShownGoal(observation=_observation(path.parent, part))
    except ForethoughtError as error:
        key = ".".join(map(str, (*where, kind)))
        line = line_of(tree, (*where, kind))
        raise ForethoughtError(f"{path}:{line}: {key}: {error}") from error


def _observation(folder: Path, part: GoalPart) -> Observation:
    """What lies beside the task file: a picture, or what was seen once."""
    if part.remembered is not None:
        return part.remembered.observation(folder)
    assert part.image is not None
    return named_goal(image=_picture(folder / part.image))


def _picture(path: Path) -> np.ndarray:
    """A picture as uint8 ``(height, width, 3)``."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ForethoughtError(
            "reading a picture needs Pillow; install it with `pip install forethought[data]`."
        ) from error
    try:
        with Image.open(path) as picture:
            return np.array(picture.convert("RGB"))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise ForethoughtError(
            f"found {str(path)!r}, expected a picture beside the task file ({error}). Save the "
            "goal as PNG, as large as the training data's pictures."
        ) from error


def _told(path: Path, tree: yaml.Node | None, error: Mapping[str, Any]) -> str:
    """One error of pydantic's: file, line, key, what was found, what was expected, the remedy."""
    context = error.get("ctx", {})
    where = [*error["loc"], *context.get("at", ())]
    key = ".".join(map(str, where)) or "the whole file"
    return (
        f"{path}:{line_of(tree, where)}: {key}: {_wrong(error, context)}{_remedy(where, context)}"
    )


def _wrong(error: Mapping[str, Any], context: Mapping[str, Any]) -> str:
    found = "nothing" if error["input"] is None else repr(error["input"])
    found = found if len(found) <= 80 else f"{found[:77]}..."
    if error["type"] == "wrong":
        return str(context["message"])
    if error["type"] == "missing":
        return f"found nothing, expected it in {found}."
    if "error" in context:
        return str(context["error"])
    expected = error["msg"].removeprefix("Input should be ")
    if error["type"] in ("model_type", "dict_type", "model_attributes_type"):
        expected = "a mapping, key: value"
    return f"found {found}, expected {expected[0].lower()}{expected[1:]}."


def _remedy(where: list[int | str], context: Mapping[str, Any]) -> str:
    """How what is nearest around the place is written."""
    around = [part for part in where if part in EXAMPLES]
    if not around:
        return f" Write for example `{EXAMPLES['goal']}`."
    return f" Write for example `{EXAMPLES[str(around[-1])]}`."
