"""The cross-entropy method for discrete actions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from forethought.actor.choices import as_actions, require_choices
from forethought.actor.proposals import spread_evenly, with_proposals
from forethought.actor.search import Search, fit_horizon
from forethought.types import ActionSpace, Plan, PlanningProblem, WarmStart


@dataclass(frozen=True, kw_only=True)
class CategoricalCEM:
    """Draws each world action by probabilities of its own, and refits them to the best candidates.

    The cross-entropy method on choices, with smoothed updates (Rubinstein, 1999; de Boer et al.,
    2005). The likeliest choices are always among the candidates, so a warm start is never lost; the
    plan is the best candidate of all rounds.

    Attributes:
        horizon: model steps planned ahead.
        num_samples: candidates in a round.
        num_iterations: rounds.
        num_elites: candidates that the probabilities are refitted to.
        kept_share: share of the elites that compete again in the next round.
        momentum: share of the old probabilities that is kept at each refit.
        smallest: probability that is shared evenly among the choices, so that none dies.
        confidence: probability that the first round gives to what a warm start says.
        held_share: share of the candidates whose world actions in one model step are drawn with one
            number: while their probabilities are alike, one choice is held over the step.
        proposed_share: share of the first round's candidates that are proposals, where the agent
            has any.
        settled: ends the search of a world whose elites lie no further from their mean than this,
            a choice being 1 and the others -1 (root mean square). None runs all rounds.
    """

    horizon: int = 8
    num_samples: int = 128
    num_iterations: int = 4
    num_elites: int = 16
    kept_share: float = 0.3
    momentum: float = 0.4
    smallest: float = 0.1
    confidence: float = 0.5
    held_share: float = 0.5
    proposed_share: float = 0.25
    settled: float | None = None

    @torch.no_grad()
    def plan(
        self,
        problem: PlanningProblem,
        *,
        generator: torch.Generator,
        warm_start: WarmStart | None = None,
        deadline_s: float | None = None,
    ) -> Plan:
        """See :class:`forethought.types.Planner`.

        Raises:
            ForethoughtError: actions are vectors.
        """
        require_choices(problem.space, "CategoricalCEM")
        search = Search(problem, warm_start, deadline_s, settled=self.settled)
        belief = self._initial(problem, warm_start)
        kept: tuple[Float[Tensor, "b e h a"], ...] = ()
        for iteration in search.rounds(self.num_iterations):
            units = search.box.units(self._drawn(belief, problem.space, generator))
            if iteration == 0:
                units = with_proposals(units, problem, self.proposed_share, generator)
            units = torch.cat([units[:, :1], *kept, units[:, 1:]], dim=1)
            elites, _ = search.elites(units, self.num_elites)
            kept = (elites[:, : round(self.kept_share * self.num_elites)],)
            chosen = search.box.actions(elites).unflatten(-1, (-1, problem.space.num_choices))
            belief = self._floored(chosen.mean(1).lerp(belief, self.momentum))
        return search.plan()

    def _initial(
        self, problem: PlanningProblem, warm_start: WarmStart | None
    ) -> Float[Tensor, "b h s c"]:
        """All choices alike, but for what a warm start says."""
        space = problem.space
        shape = (problem.num_worlds, self.horizon, space.block, space.num_choices)
        alike = space.low.new_ones(shape) / space.num_choices
        if warm_start is None or warm_start.actions is None:
            return alike
        said = fit_horizon(warm_start.actions, self.horizon).view(shape)
        belief = alike.lerp(said, self.confidence)
        return belief / belief.sum(-1, keepdim=True)

    def _floored(self, belief: Float[Tensor, "b h s c"]) -> Float[Tensor, "b h s c"]:
        return (1 - self.smallest) * belief + self.smallest / belief.shape[-1]

    def _drawn(
        self, belief: Float[Tensor, "b h s c"], space: ActionSpace, generator: torch.Generator
    ) -> Float[Tensor, "b n h a"]:
        """Candidates, drawn with the same numbers in all worlds; the first is the likeliest."""
        _, h, s, _ = belief.shape
        shape = (self.num_samples, h, s)
        numbers = torch.rand(shape, generator=generator, device=generator.device).to(belief)
        count = round(self.held_share * self.num_samples)
        held = spread_evenly(count, self.num_samples).to(belief.device)
        numbers = torch.where(held[:, None, None], numbers[..., :1], numbers)
        passed = belief.cumsum(-1)[:, None, ..., :-1] <= numbers[..., None]
        choices = passed.sum(-1)
        choices[:, 0] = belief.argmax(-1)
        return as_actions(choices, space)
