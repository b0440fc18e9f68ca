"""What is done where no plan keeps within the guardrails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor

from forethought.actor.cem import CEM
from forethought.types import ForethoughtError, Plan, Planner, PlanningProblem, WarmStart


@dataclass(frozen=True, kw_only=True)
class Predicament:
    """Where agents are of which some have no feasible plan.

    Attributes:
        problem: what was searched.
        plan: the plan that violates least, of every agent.
        last_action: ``(b, c)`` the world action that was done last; zero at the beginning.
        trail: ``(b, s, k, d)`` where they have been of late, oldest first, the present last.
        generator: the only source of randomness.
        deadline_s: seconds that there are to find a way out; None for no limit.
    """

    problem: PlanningProblem
    plan: Plan
    last_action: Float[Tensor, "b c"]
    trail: Float[Tensor, "b s k d"]
    generator: torch.Generator
    deadline_s: float | None = None


Fallback = Callable[[Predicament], Float[Tensor, "b h a"]]
"""From a predicament to model actions ``(b, h, a)`` for every agent; those that have a feasible
plan keep to it."""


@dataclass(frozen=True, kw_only=True)
class LeastViolation:
    """Does what violates least, as far as the search has found."""

    def __call__(self, predicament: Predicament) -> Float[Tensor, "b h a"]:
        """See :data:`Fallback`."""
        return predicament.plan.actions

    def __str__(self) -> str:
        return "violate least"


@dataclass(frozen=True, kw_only=True)
class Stop:
    """Does nothing: the allowed action that is nearest to zero."""

    def __call__(self, predicament: Predicament) -> Float[Tensor, "b h a"]:
        """See :data:`Fallback`."""
        return predicament.problem.space.project(torch.zeros_like(predicament.plan.actions))

    def __str__(self) -> str:
        return "stop"


@dataclass(frozen=True, kw_only=True)
class Hold:
    """Does again what was done last."""

    def __call__(self, predicament: Predicament) -> Float[Tensor, "b h a"]:
        """See :data:`Fallback`."""
        actions = predicament.plan.actions
        held = predicament.last_action.repeat(1, predicament.problem.space.block)
        return held[:, None].expand_as(actions).clone()

    def __str__(self) -> str:
        return "hold"


@dataclass(frozen=True, kw_only=True)
class Retreat:
    """Goes back along the way that it came, and violates as little as it can.

    Attributes:
        steps: world steps of the way that it means to undo.
        planner: searches the way back.
    """

    steps: int = 10
    planner: Planner = field(
        default_factory=lambda: CEM(horizon=2, num_samples=64, num_iterations=2, num_elites=8)
    )

    def __call__(self, predicament: Predicament) -> Float[Tensor, "b h a"]:
        """See :data:`Fallback`."""
        problem, trail = predicament.problem, predicament.trail
        assert problem.toward is not None
        earlier = trail[:, max(0, trail.shape[1] - 1 - self.steps)]
        plan = self.planner.plan(
            replace(problem, score=problem.toward(earlier), above=None),
            generator=predicament.generator,
            warm_start=WarmStart(pace=predicament.plan.pace),
            deadline_s=predicament.deadline_s,
        )
        return plan.actions

    def __str__(self) -> str:
        return f"retreat by {self.steps} steps"


def fall_back(fallback: Fallback, predicament: Predicament) -> Float[Tensor, "b h a"]:
    """Model actions of every agent: the fallback's for those without a feasible plan.

    Raises:
        ForethoughtError: the fallback gives another shape, or NaN.
    """
    planned = predicament.plan.actions
    actions = torch.as_tensor(fallback(predicament)).to(planned)
    fits = actions.ndim == 3 and actions[:, 0].shape == planned[:, 0].shape
    if not fits or not bool(actions.isfinite().all()):
        raise ForethoughtError(
            f"the fallback {fallback} gave shape {tuple(actions.shape)}; expected finite actions "
            f"of shape (agents, steps, width) = {tuple(planned.shape)}."
        )
    missing = planned.shape[1] - actions.shape[1]
    if missing > 0:
        actions = torch.cat([actions, actions[:, -1:].expand(-1, missing, -1)], dim=1)
    actions = predicament.problem.space.project(actions[:, : planned.shape[1]])
    return torch.where(predicament.plan.feasible[:, None, None], planned, actions)
