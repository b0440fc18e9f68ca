"""The cross-entropy method."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from forethought.actor.proposals import with_proposals
from forethought.actor.search import Gaussian, Search
from forethought.types import Plan, PlanningProblem, WarmStart, unit_pushes


@dataclass(frozen=True, kw_only=True)
class CEM:
    """Draws candidates from a Gaussian and refits it to the best of them (Rubinstein, 1999).

    The mean is always among the candidates, so a warm start is never lost; the plan is the best
    candidate of all rounds.

    Attributes:
        horizon: model steps planned ahead.
        num_samples: candidates in a round.
        num_iterations: rounds.
        num_elites: candidates that the Gaussian is refitted to.
        initial_std: of the first Gaussian, relative to half the range of each action.
        smallest_std: below which it does not fall.
        shared_noise: share of the noise's variance that is the same for all world steps of a model
            action: longer pushes go further.
        held_share: share of the first round's candidates that hold one push of full strength, in a
            random direction, over the whole horizon.
        proposed_share: share of the first round's candidates that are proposals, where the agent
            has any.
        settled: ends the search of a world whose elites lie no further from their mean than this,
            relative to half the range of each action; above ``smallest_std``. None runs all rounds.
    """

    horizon: int = 8
    num_samples: int = 128
    num_iterations: int = 3
    num_elites: int = 16
    initial_std: float = 0.7
    smallest_std: float = 0.05
    shared_noise: float = 0.0
    held_share: float = 0.0
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
        """See :class:`forethought.types.Planner`."""
        search = Search(problem, warm_start, deadline_s, settled=self.settled)
        belief = search.box.initial(problem.num_worlds, self.horizon, self.initial_std, warm_start)
        elites = None
        for iteration in search.rounds(self.num_iterations):
            if elites is not None:
                belief = Gaussian.of(elites).wider(self.smallest_std)
            units = sample(
                belief, self.num_samples, generator, problem.space.block, self.shared_noise
            )
            if iteration == 0:
                units = self._with_pushes(units, problem.space.block, generator)
                units = with_proposals(units, problem, self.proposed_share, generator)
            elites, _ = search.elites(units, self.num_elites)
        return search.plan()

    def _with_pushes(
        self, units: Float[Tensor, "b n h a"], block: int, generator: torch.Generator
    ) -> Float[Tensor, "b n h a"]:
        """The last candidates replaced by pushes that are held."""
        count = round(self.held_share * units.shape[1])
        if not count:
            return units
        b, _, h, a = units.shape
        pushes = unit_pushes((1, count), a // block, generator).to(units)
        held = pushes[:, :, None].repeat(b, 1, h, block)
        return torch.cat([units[:, :-count], held], dim=1)


def sample(
    belief: Gaussian,
    num_samples: int,
    generator: torch.Generator,
    block: int = 1,
    shared_noise: float = 0.0,
) -> Float[Tensor, "b n h a"]:
    """Candidates in box units, cut off at its ends; the first is the mean.

    The noise is the same in all worlds, so that what is found for one does not depend on which
    others are planned for beside it.
    """
    _, h, a = belief.mean.shape
    noise = torch.randn(1, num_samples, h, a, generator=generator, device=generator.device)
    if shared_noise:
        shape = (1, num_samples, h, a // block)
        one = torch.randn(shape, generator=generator, device=generator.device)
        noise = shared_noise**0.5 * one.repeat(1, 1, 1, block) + (1 - shared_noise) ** 0.5 * noise
    noise[:, 0] = 0
    drawn = torch.addcmul(belief.mean[:, None], belief.std[:, None], noise.to(belief.mean))
    return drawn.clamp_(-1, 1)
