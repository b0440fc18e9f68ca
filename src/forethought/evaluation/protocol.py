"""How goal reaching is measured: where tasks come from, how long they may take, what counts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from forethought.data.store import Dataset
from forethought.evaluation.tasks import DrawnTasks, RecordedTasks, Tasks
from forethought.types import ForethoughtError


@dataclass(frozen=True, kw_only=True)
class PlanningProtocol:
    """How goal reaching is measured.

    Attributes:
        episodes: tasks; each is a start and a goal that no training saw.
        budget: world steps in an episode.
        hold: the goal counts as kept at the end if it holds for this many last steps.
        seed: tasks are drawn from seeds from here on; recording uses small ones.
        tasks: where they come from.
        bands: world steps of the true path between which tasks are reported apart, where the tasks
            say nothing of how far their goals are and the world knows.
        traces: episodes of which every step is kept, for pictures.
        latency_decisions: decisions timed with a single agent.

    Raises:
        ForethoughtError: no episode, no step to act in, or a goal held for longer than one may act.
    """

    episodes: int = 200
    budget: int = 200
    hold: int = 1
    seed: int = 1_000_000
    tasks: Tasks = field(default_factory=DrawnTasks)
    bands: tuple[float, ...] = (25, 50, 75, 100)
    traces: int = 6
    latency_decisions: int = 100

    def __post_init__(self) -> None:
        least = {"episodes": 1, "budget": 1, "hold": 1, "traces": 0, "latency_decisions": 1}
        for name, limit in least.items():
            if getattr(self, name) < limit:
                raise ForethoughtError(
                    f"PlanningProtocol: {name}={getattr(self, name)}; expected {limit} or more."
                )
        if self.hold > self.budget:
            raise ForethoughtError(
                f"PlanningProtocol: a goal is to be held for hold={self.hold} steps of a budget of "
                f"{self.budget}; give a longer budget, or a shorter hold."
            )

    def to_json(self) -> dict[str, Any]:
        """The protocol as JSON types."""
        names = ("episodes", "budget", "hold", "seed", "bands", "traces", "latency_decisions")
        content = {name: getattr(self, name) for name in names}
        return {**content, "bands": list(self.bands), "tasks": self.tasks.to_json()}


def stable_worldmodel(
    data: Dataset, *, steps: int = 25, budget: int = 50, episodes: int = 50, seed: int = 42
) -> PlanningProtocol:
    """The protocol of stable-worldmodel, for figures that can be set beside its tables.

    Starts are moments of the very recordings that were trained on, goals what the same episode came
    to 25 steps later, with 50 steps to get there; 50 of them, drawn as its script draws them;
    success is to touch the goal once, and starts that satisfy it already count. What such a figure
    leaves out stands beside it: ``PlanningResults.remarks``.

    Source: ``scripts/plan/eval_wm.py`` and its configurations in galilai-group/stable-worldmodel
    (2026), equal for all four of its worlds.

    Args:
        data: what the agent was trained on.
        steps: between start and goal.
        budget: world steps in an episode.
        episodes: tasks.
        seed: of their drawing.
    """
    tasks = RecordedTasks(data=data, episodes=None, steps=(steps,), keep_solved=True)
    return PlanningProtocol(episodes=episodes, budget=budget, seed=seed, tasks=tasks)
