"""Predictive sampling: the best of noisy copies of the plan there is."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from forethought.actor.proposals import with_proposals
from forethought.actor.search import Search
from forethought.types import ActionSpace, Plan, PlanningProblem, WarmStart


@dataclass(frozen=True, kw_only=True)
class PredictiveSampling:
    """Adds noise to the plan there is and takes the best of the copies (Howell et al., 2022).

    The simplest search there is, and one round a decision: the warm start carries what was found
    from one to the next. The plan without noise is always among the candidates.

    Attributes:
        horizon: model steps planned ahead.
        num_samples: copies in a round.
        num_iterations: rounds, each around the best of the one before.
        std: of the noise, relative to half the range of each action.
        num_knots: control points of the noise, evenly spread over the world steps of the horizon,
            between which it goes in straight lines; 1 adds the same at all steps, None has one for
            each.
        proposed_share: share of the first round's candidates that are proposals, where the agent
            has any.
    """

    horizon: int = 8
    num_samples: int = 128
    num_iterations: int = 1
    std: float = 0.5
    num_knots: int | None = None
    proposed_share: float = 0.25

    @torch.no_grad()
    def plan(
        self,
        problem: PlanningProblem,
        *,
        generator: torch.Generator,
        warm_start: WarmStart | None = None,
        deadline_s: float | None = None,
    ) -> Plan:
        """See :class:`forethought.types.Planner`."""
        search = Search(problem, warm_start, deadline_s)
        nominal = search.box.initial(problem.num_worlds, self.horizon, self.std, warm_start).mean
        for iteration in search.rounds(self.num_iterations):
            noise = self._noise(problem.space, generator).to(nominal)
            units = (nominal[:, None] + noise).clamp_(-1, 1)
            if iteration == 0:
                units = with_proposals(units, problem, self.proposed_share, generator)
            elites, _ = search.elites(units, 1)
            nominal = elites[:, 0]
        return search.plan()

    def _noise(self, space: ActionSpace, generator: torch.Generator) -> Float[Tensor, "n h a"]:
        """The same for all worlds; the first is none."""
        steps, dim = self.horizon * space.block, space.dim // space.block
        shape = (self.num_samples, dim, steps if self.num_knots is None else self.num_knots)
        knots = self.std * torch.randn(shape, generator=generator, device=generator.device)
        knots[0] = 0
        lines = torch.nn.functional.interpolate(
            knots, size=steps, mode="linear", align_corners=True
        )
        return lines.transpose(1, 2).reshape(self.num_samples, self.horizon, space.dim)
