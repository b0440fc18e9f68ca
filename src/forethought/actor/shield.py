"""The shield: the last check on the single action that leaves.

It knows no plan and trusts none: from what is seen now, one step is imagined, and an action that
may cross a guardrail within it is exchanged for the nearest one that does not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from forethought.actor.search import Box, Ranked, evaluate
from forethought.types import PlanningProblem, axis_pushes


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the shield makes of proposed actions.

    Attributes:
        actions: ``(b, a)`` model actions that may leave.
        changed: ``(b,)`` whether they differ from what was proposed.
        margins: ``(b,)`` by guardrail, of what was proposed; negative where it would be crossed.
        safe: ``(b,)`` whether what leaves is within every guardrail; where nothing is, it is what
            crosses least.
    """

    actions: Float[Tensor, "b a"]
    changed: Bool[Tensor, " b"]
    margins: dict[str, Float[Tensor, " b"]]
    safe: Bool[Tensor, " b"]


@dataclass(frozen=True, kw_only=True)
class Shield:
    """Exchanges an action that may cross a guardrail for the nearest that does not.

    Considered are the proposed action, weaker versions of it, and pushes along every axis.

    Attributes:
        shares: strengths of the weaker versions, relative to the proposed action.
        strengths: of the pushes along axes, relative to the largest allowed.
    """

    shares: tuple[float, ...] = (0.75, 0.5, 0.25, 0.0)
    strengths: tuple[float, ...] = (1.0, 0.5)

    @torch.no_grad()
    def check(self, problem: PlanningProblem, proposed: Float[Tensor, "b a"]) -> Verdict:
        """The actions that may leave.

        Args:
            problem: imagines one model step from what is seen now, and judges it.
            proposed: model actions: what leaves now, and what would follow within the step.
        """
        box = Box.of(problem.space)
        proposed = problem.space.project(proposed)
        wanted = box.units(proposed)
        units = self._candidates(wanted, problem.space.block)
        _, scores = evaluate(problem, box.actions(units)[:, :, None])
        away = (units - wanted[:, None]).square().sum(-1)
        chosen = Ranked.of(replace(scores, energy=away), 1).index[:, 0]
        worlds = torch.arange(len(chosen), device=chosen.device)
        changed = chosen != 0
        actions = box.actions(units)[worlds, chosen]
        return Verdict(
            actions=torch.where(changed[:, None], actions, proposed),
            changed=changed,
            margins={name: margin[:, 0, 0] for name, margin in scores.margins.items()},
            safe=scores.feasible[worlds, chosen],
        )

    def _candidates(self, wanted: Float[Tensor, "b a"], block: int) -> Float[Tensor, "b n a"]:
        """What is proposed first, then what could take its place, in units of the box."""
        shares = wanted.new_tensor((1.0, *self.shares))
        weaker = wanted[:, None] * shares[:, None]
        pushes = axis_pushes(wanted.shape[1] // block).to(wanted)
        held = torch.cat([strength * pushes for strength in self.strengths]).repeat(1, block)
        return torch.cat([weaker, held.expand(len(wanted), -1, -1)], dim=1)
