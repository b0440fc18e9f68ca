"""Improved CEM for real-time planning."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from forethought.actor.proposals import with_proposals
from forethought.actor.search import Gaussian, Search
from forethought.types import Plan, PlanningProblem, WarmStart


@dataclass(frozen=True, kw_only=True)
class ICEM:
    """CEM with coloured noise, kept elites and fewer samples each round (Pinneri et al., 2020).

    Attributes:
        horizon: model steps planned ahead.
        num_samples: candidates in the first round.
        num_iterations: rounds.
        num_elites: candidates that the Gaussian is refitted to.
        initial_std: of the first Gaussian, relative to half the range of each action.
        smallest_std: below which it does not fall.
        colour: exponent of the noise's spectrum over the horizon: 0 white, 1 pink, 2 red; higher
            means longer pushes in one direction.
        decay: factor by which rounds shrink.
        kept_share: share of the elites that compete again in the next round.
        momentum: share of the old Gaussian that is kept at each refit.
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
    colour: float = 1.0
    decay: float = 1.25
    kept_share: float = 0.3
    momentum: float = 0.1
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
        kept = belief.mean[:, None]
        for iteration in search.rounds(self.num_iterations):
            count = max(2 * self.num_elites, round(self.num_samples * self.decay**-iteration))
            # The same in all worlds, as in :func:`forethought.actor.cem.sample`.
            shape = (1, count, problem.space.dim, self.horizon)
            noise = coloured_noise(shape, self.colour, generator).transpose(2, 3)
            drawn = torch.addcmul(belief.mean[:, None], belief.std[:, None], noise.to(belief.mean))
            units = torch.cat([kept, drawn], 1).clamp_(-1, 1)
            if iteration == 0:
                units = with_proposals(units, problem, self.proposed_share, generator)
            elites, _ = search.elites(units, self.num_elites)
            belief = self._refit(belief, elites)
            survivors = max(1, round(self.kept_share * elites.shape[1]))
            kept = torch.cat([belief.mean[:, None], elites[:, :survivors]], 1)
        return search.plan()

    def _refit(self, belief: Gaussian, elites: Float[Tensor, "b e h a"]) -> Gaussian:
        new = Gaussian.of(elites)
        return Gaussian(
            mean=new.mean.lerp(belief.mean, self.momentum),
            std=new.std.lerp(belief.std, self.momentum),
        ).wider(self.smallest_std)


def coloured_noise(
    shape: tuple[int, ...], colour: float, generator: torch.Generator
) -> Float[Tensor, "*shape"]:
    """Unit-variance noise with power falling as frequency to the ``-colour`` along the last axis.

    Made in the frequency domain (Timmer and Koenig, 1995).
    """
    length = shape[-1]
    white = torch.randn(shape, generator=generator, device=generator.device)
    if length < 2 or colour == 0:
        return white
    spectrum = torch.fft.rfft(white)
    frequency = torch.fft.rfftfreq(length, device=white.device).clamp_min(1 / length)
    coloured = torch.fft.irfft(spectrum * frequency ** (-colour / 2), n=length)
    gains = frequency ** (-colour)
    doubled = torch.full_like(gains, 2.0)
    doubled[0] = 1.0
    if length % 2 == 0:
        doubled[-1] = 1.0
    return coloured / (gains * doubled).sum().div(length).sqrt()
