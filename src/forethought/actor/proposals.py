"""Candidates that come from elsewhere than the search, and compete in it.

Proposals of a policy make a search start from what is usual; the search corrects what the policy
gets wrong (Argenson and Dulac-Arnold, 2021; Hansen et al., 2022).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from forethought.actor.search import Box
from forethought.types import ActionSpace, PlanningProblem


def with_proposals(
    units: Float[Tensor, "b n h a"],
    problem: PlanningProblem,
    share: float,
    generator: torch.Generator,
) -> Float[Tensor, "b n h a"]:
    """Candidates in box units, of which a share is exchanged for proposals, where there are any.

    The first candidate, which is what a search begins with, always stays. Proposals are spread
    evenly over the others: however few there is time for, they have their share.

    Args:
        units: candidates.
        problem: which may know proposals.
        share: of the candidates that are exchanged.
        generator: the only source of randomness.
    """
    _, n, h, _ = units.shape
    count = min(n - 1, round(share * n))
    if problem.propose is None or not count:
        return units
    proposed = Box.of(problem.space).units(problem.propose(count, h, generator))
    mixed = units.clone()
    mixed[:, 1:][:, spread_evenly(count, n - 1)] = proposed.clamp(-1, 1)
    return mixed


def spread_evenly(count: int, number: int) -> Bool[Tensor, " number"]:
    """So many of a number marked, so that its first part has its share, wherever it ends."""
    marked = torch.arange(number + 1) * count // number
    return marked.diff() > 0


Policy = Callable[[Float[Tensor, "n k d"], Float[Tensor, "n k d"]], Float[Tensor, "n a"]]
"""From latents and the latents of a goal to model actions, in world units."""
Step = Callable[[Float[Tensor, "n s k d"], Float[Tensor, "n s a"]], Float[Tensor, "n k d"]]
"""What follows the last of consecutive states under the action of each: ``WorldModel.step``."""


@dataclass(frozen=True, kw_only=True)
class PolicyProposals:
    """What a policy (Mode 1) would do, rolled out in imagination with noise.

    Implements :class:`forethought.types.Proposer`. The first proposal for each world is the
    policy's own, without noise. A policy that perceives for itself, as those of
    :mod:`forethought.baselines` do, cannot be asked about imagined states; it has to take the
    latents of the world model.

    .. code-block:: python

        world = model.world_model
        proposals = PolicyProposals(
            policy=policy, goal=agent.sight.encode(goal), step=world.step, space=world.action_space
        )

    Attributes:
        policy: from latents and the goal's to model actions.
        goal: ``(b, k, d)`` the latents of each world's goal, or ``(1, k, d)`` for all.
        step: imagines one model step.
        space: the actions allowed.
        noise: standard deviation of what is added to the policy's actions, relative to half the
            range of each. Of discrete actions it is added to how much the policy is for each.
    """

    policy: Policy
    goal: Float[Tensor, "b k d"]
    step: Step
    space: ActionSpace
    noise: float = 0.3

    @torch.no_grad()
    def __call__(
        self,
        latents: Float[Tensor, "b k d"],
        *,
        number: int,
        horizon: int,
        generator: torch.Generator,
    ) -> Float[Tensor, "b n h a"]:
        """See the class; the noise is the same for all worlds."""
        b, box = len(latents), Box.of(self.space)
        shape = (number, horizon, self.space.dim)
        noise = torch.randn(shape, generator=generator, device=generator.device).to(latents)
        noise[0] = 0
        shaken = (self.noise * box.half * noise).repeat(b, 1, 1)
        goal = self.goal.to(latents).expand(b, -1, -1).repeat_interleave(number, 0)
        states, actions = [latents.repeat_interleave(number, 0)], []
        for shake in shaken.unbind(1):
            actions.append(self.space.project(self.policy(states[-1], goal) + shake))
            states.append(self.step(torch.stack(states, 1), torch.stack(actions, 1)))
        return torch.stack(actions, 1).unflatten(0, (b, number))
