"""How thoroughly to search in the time there is, measured on the machine at hand."""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from forethought.agent import Agent
from forethought.types import Planner

MOST_ROUNDS = 30
"""Rounds beyond which elites have long agreed."""
FEWEST = 16
"""Candidates of a round at least."""
SHARE = 0.7
"""Of the time there is; the rest is for rounds that take longer than usual."""
REPEATS = 5


@dataclass(frozen=True, kw_only=True)
class Effort:
    """What a search is given.

    Attributes:
        samples: candidates in a round.
        iterations: rounds.
    """

    samples: int
    iterations: int


def fitted(planner: Planner, measure: Callable[[Planner], float], deadline_s: float) -> Planner:
    """A planner with as many rounds of as many candidates as there is time for.

    First come rounds, up to :data:`MOST_ROUNDS`; where not even one is done in time, it gets fewer
    candidates. Planners without rounds of candidates stay as they are: the deadline ends them.

    Args:
        planner: to begin from, with the candidates that a round should have.
        measure: seconds that a decision by a planner takes.
        deadline_s: seconds that it may take.
    """
    if not {"num_samples", "num_iterations"} <= {one.name for one in fields(planner)}:  # type: ignore[arg-type]
        return planner
    samples: int = vars(planner)["num_samples"]
    effort = _effort(samples, lambda effort: measure(_given(planner, effort)), SHARE * deadline_s)
    return _given(planner, effort)


def _effort(samples: int, seconds: Callable[[Effort], float], time_s: float) -> Effort:
    one = seconds(Effort(samples=samples, iterations=1))
    if one > time_s:
        while samples > FEWEST and one > time_s:
            samples = max(FEWEST, samples // 2)
            one = seconds(Effort(samples=samples, iterations=1))
        return Effort(samples=samples, iterations=1)
    three = seconds(Effort(samples=samples, iterations=3))
    each = max((three - one) / 2, 1e-6)
    return Effort(samples=samples, iterations=1 + min(MOST_ROUNDS - 1, int((time_s - one) / each)))


def _given(planner: Any, effort: Effort) -> Planner:
    changes = {"num_samples": effort.samples, "num_iterations": effort.iterations}
    if "num_elites" in {one.name for one in fields(planner)}:
        changes["num_elites"] = min(planner.num_elites, max(1, effort.samples // 2))
    return replace(planner, **changes)


def seconds_of(agent: Agent) -> float:
    """Of a decision on observations of nothing, median; calls that are the first are left out.

    That nothing comes about as foreseen is no warning.
    """
    specs = agent.model.signature.observation
    blank = {
        key: np.zeros((agent.num_agents, *specs[key].shape), specs[key].dtype)
        for key in agent.model.world_model.perception.keys
    }
    taken: list[float] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        while len(taken) < REPEATS + 1:
            decision = agent.act_batch(blank)
            if decision.plan_step == 0:
                taken.append(decision.seconds)
    return statistics.median(taken[1:])
