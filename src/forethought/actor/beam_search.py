"""Beam search for discrete actions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from forethought.actor.choices import as_actions, require_choices
from forethought.actor.search import Ranked, Search, fit_horizon
from forethought.types import (
    ActionSpace,
    ForethoughtError,
    Imagination,
    Plan,
    PlanningProblem,
    Scores,
    WarmStart,
)


@dataclass(frozen=True, kw_only=True)
class BeamSearch:
    """Grows plans model step by model step, and goes on with the best of them.

    After Lowerre (1976). A plan that has begun is as good as its energy so far; one that violates a
    guardrail is worse than any that does not. Of plans that have come to the same place only the
    best is gone on with, so that the beam holds as many places as it is wide: wide enough for all
    of them, it is dynamic programming (Bellman, 1957), and finds the shortest way there is.

    Narrow beams come first (Zhang, 1998, widens them in the same way): there is a whole plan early,
    and each that follows is at least as good. Before any, the warm start is weighed against holding
    each choice to the end.

    Attributes:
        horizon: model steps planned ahead.
        widths: plans that are gone on with, of one beam after the other.
        num_mixed: where a model step is several world steps: sequences of random choices that each
            plan is continued by, beside each choice held over the step.
        same: how near two places are the same, as a share of the way of a usual first step.
    """

    horizon: int = 8
    widths: tuple[int, ...] = (8, 64)
    num_mixed: int = 8
    same: float = 0.1

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
            ForethoughtError: actions are vectors, or the problem does not let one go on from what
                was imagined.
        """
        require_choices(problem.space, "BeamSearch")
        search = Search(problem, warm_start, deadline_s)
        search.offer(*search.evaluate(self._plain(problem, warm_start)))
        in_time = all(self._widened(search, width, generator) for width in self.widths)
        return search.best.plan(search.clock, in_time=in_time)

    def _widened(self, search: Search, width: int, generator: torch.Generator) -> bool:
        """Grows plans to the horizon with a beam of some width; whether there was time for it."""
        problem, clock, beam = search.problem, search.clock, None
        for step in range(self.horizon):
            options = self._options(problem.space, generator)
            count = len(options) * (width if step else 1)
            if not clock.time_for(count, part=1 / self.horizon):
                return False
            began = clock.seconds
            grown = _grown(problem, beam, options)
            scores = problem.score(grown)
            beam = grown.pick(self._best(grown, scores, width))
            clock.took(count, self.horizon * (clock.seconds - began))
            if step == self.horizon - 1:
                search.offer(grown, scores)
        return True

    def _plain(
        self, problem: PlanningProblem, warm_start: WarmStart | None
    ) -> Float[Tensor, "b n h a"]:
        """The warm start, and each choice held to the end."""
        held = _held(problem.space)[None, :, None]
        plans = held.expand(problem.num_worlds, -1, self.horizon, -1)
        if warm_start is None or warm_start.actions is None:
            return plans
        known = problem.space.project(fit_horizon(warm_start.actions, self.horizon))
        return torch.cat([known[:, None], plans], dim=1)

    def _options(self, space: ActionSpace, generator: torch.Generator) -> Float[Tensor, "m a"]:
        """What each plan is continued by."""
        if space.block == 1:
            return _held(space)
        shape = (self.num_mixed, space.block)
        drawn = torch.randint(
            space.num_choices, shape, generator=generator, device=generator.device
        ).to(space.low.device)
        return torch.cat([_held(space), as_actions(drawn, space)])

    def _best(self, grown: Imagination, scores: Scores, width: int) -> Int[Tensor, "b w"]:
        """The best plans so far, best first; those that a better one makes needless come last."""
        order = Ranked.of(scores, scores.energy.shape[1]).index
        needless = self._needless(grown.pick(order))
        return order.gather(1, needless.long().argsort(dim=1, stable=True))[:, :width]

    def _needless(self, grown: Imagination) -> Bool[Tensor, "b n"]:
        """Which of plans, best first, end where a better one does, in all outcomes."""
        states = grown.latents.unflatten(1, (-1, grown.num_outcomes)).transpose(2, 3).flatten(3)
        steps = (states[:, :, 1] - states[:, :, 0]).norm(dim=-1).mean(1)
        apart = torch.cdist(states[:, :, -1], states[:, :, -1])
        return (apart <= self.same * steps[:, None, None]).tril(-1).any(-1)


def _held(space: ActionSpace) -> Float[Tensor, "c a"]:
    """Each choice, held over a model step."""
    choices = torch.arange(space.num_choices, device=space.low.device)
    return as_actions(choices[:, None].expand(-1, space.block), space)


def _grown(
    problem: PlanningProblem, beam: Imagination | None, options: Float[Tensor, "m a"]
) -> Imagination:
    """Every plan of the beam, continued by every option; first steps where there is no beam yet."""
    if problem.go_on is None:
        raise ForethoughtError(
            "BeamSearch goes on from what was imagined, which this problem does not offer; give it "
            "`go_on`, or use CategoricalCEM."
        )
    b, m = problem.num_worlds, len(options)
    if beam is None:
        return problem.imagine(options[None, :, None].expand(b, -1, -1, -1))
    count = beam.actions.shape[1] // beam.num_outcomes
    each = torch.arange(count, device=options.device).repeat_interleave(m).expand(b, -1)
    further = options.repeat(count, 1)[None, :, None].expand(b, -1, -1, -1)
    return problem.go_on(beam.pick(each), further)
