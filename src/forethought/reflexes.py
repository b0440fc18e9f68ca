"""What answers for an agent at once, and when that will do.

Joins the policy of a model (Mode 1), the goal that a cost seeks, and the gate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from forethought.actor.gate import Gate
from forethought.cost.shown import latents_of
from forethought.cost.sight import Sight
from forethought.cost.terms import Cost
from forethought.model import Model
from forethought.policy import Policy
from forethought.types import ActionSpace, ForethoughtError


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the policy says, and who may act on it.

    Attributes:
        actions: ``(b, c, a)`` model actions, in world units.
        taken: ``(b,)`` which agents the gate lets act by reflex.
    """

    actions: Float[Tensor, "b c a"]
    taken: Bool[np.ndarray, " b"]


class Reflexes:
    """Answers for ``b`` agents.

    Args:
        model: whose policy answers.
        cost: says what is sought.
        sight: the agents' own.
        gate: when a reflex will do.
        space: the actions allowed.
        num_agents: ``b``.
        replan_every: world steps that whoever deliberates acts on a plan.

    Raises:
        ForethoughtError: the model has no policy, the cost shows no goal or more than one, or the
            policy answers fewer steps than are to be acted out.
    """

    def __init__(
        self,
        model: Model,
        cost: Cost,
        sight: Sight,
        gate: Gate,
        *,
        space: ActionSpace,
        num_agents: int,
        replan_every: int,
    ) -> None:
        if model.policy is None:
            raise ForethoughtError(
                "a gate is between a policy and a search, and this model has no policy. Make one "
                "with `forethought distill RUN --world WORLD --out RUN2`, or leave the gate out."
            )
        self.policy: Policy = model.policy
        self.gate, self._space, self._num_agents = gate, space, num_agents
        self._half = (self.policy.high - self.policy.low) / 2
        block, answered = model.config.world_model.action_block, self.policy.config.chunk
        needed = max(gate.chunk, -(-replan_every // block))
        if needed > answered:
            raise ForethoughtError(
                f"the policy answers {answered} model steps of {block} world steps, and "
                f"{needed} are to be acted out (chunk={gate.chunk}, replan_every={replan_every}). "
                "Lower both, or distil with PolicyConfig(chunk=...)."
            )
        if gate.jitter and model.signature.action.discrete:
            raise ForethoughtError(
                f"a gate with jitter={gate.jitter}, which shakes pushes, and actions that are "
                "choices; give jitter=0."
            )
        self.steps, self._block = gate.chunk * block, block
        self._goals = sought(cost, sight).expand(num_agents, -1, -1)

    def answer(
        self,
        latents: Float[Tensor, "b k d"],
        surprise: Float[np.ndarray, " b"],
        *,
        generator: torch.Generator,
        hurried: bool = False,
    ) -> Answer:
        """What to do next, and for whom that will do.

        Args:
            latents: now.
            surprise: of the model step that has just ended; NaN where there is none.
            generator: of what reflexes are shaken by.
            hurried: there is no time for a search.
        """
        reflex = self.policy.answer(latents, self._goals)
        everyone = np.ones(self._num_agents, dtype=bool)
        if self.gate.deliberates and not hurried:
            everyone = self.gate.opens(reflex.spread.cpu().numpy(), surprise)
        actions = reflex.actions
        if self.gate.jitter:
            actions = actions + self.gate.jitter * self._shaken(actions, generator)
        return Answer(actions=self._space.project(actions), taken=everyone)

    def _shaken(
        self, actions: Float[Tensor, "b c a"], generator: torch.Generator
    ) -> Float[Tensor, "b 1 a"]:
        """A push for each agent, the same at every world step, in units of half the box."""
        width = actions.shape[-1] // self._block
        push = torch.randn(
            len(actions), 1, 1, width, generator=generator, device=generator.device
        ).to(actions)
        return push.expand(-1, -1, self._block, -1).flatten(2) * self._half


def sought(cost: Cost, sight: Sight) -> Float[Tensor, "_ k d"]:
    """The latents of the goal that a cost shows, one for all agents or one for each.

    Raises:
        ForethoughtError: it shows none, or more than one.
    """
    terms = [term for term in cost.terms if term.shows]
    if len(terms) != 1:
        raise ForethoughtError(
            "a policy seeks one goal that is shown as an observation (goal, roadmap_goal); this "
            f"cost has {len(terms)} such terms among {[term.name for term in cost.terms]}. Leave "
            "the gate out to search for what it asks."
        )
    return latents_of(terms[0].shows, sight)


def no_reflex(num_agents: int) -> Bool[np.ndarray, " b"]:
    """None of the agents acts by reflex."""
    return np.zeros(num_agents, dtype=bool)


def foreseen_with(
    taken: Bool[np.ndarray, " b"],
    reflex: Float[Tensor, "b 1 s k d"] | None,
    planned: Float[Tensor, "b m t k d"],
) -> Float[Tensor, "b m u k d"]:
    """What is imagined to come about: by reflex where those were taken, by plan elsewhere.

    NaN for reflexes of which nothing was imagined.
    """
    take = torch.as_tensor(taken, device=planned.device).view(-1, 1, 1, 1, 1)
    if reflex is None:
        return planned.masked_fill(take, torch.nan)
    steps = min(reflex.shape[2], planned.shape[2])
    return torch.where(take, reflex[:, :, :steps], planned[:, :, :steps])
