"""The agent: perceive, remember, imagine, decide.

An agent acts for ``num_agents`` worlds at once. It holds what changes while it acts (the window of
observations, the plan under way, the generator); the model, the cost and the planner never change.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from forethought.actor.search import shift
from forethought.cost.terms import Cost, CostTerm, Sight
from forethought.memory.short_term import ObservationWindow
from forethought.model import Model
from forethought.types import (
    ArraySpec,
    Decision,
    ForethoughtError,
    Observation,
    Plan,
    Planner,
    PlanningProblem,
    WarmStart,
)


@dataclass(frozen=True)
class _Execution:
    """A plan under way.

    Attributes:
        plan: the plan.
        actions: ``(b, steps, dim)`` or ``(b, steps)``: the world actions of its model steps.
        step: world steps of it that were taken.
    """

    plan: Plan
    actions: np.ndarray
    step: int = 0


class Agent:
    """Chooses actions by imagining where they lead.

    Args:
        model: what the agent has learned of its world.
        cost: what it wants; a term, or a sum of terms.
        actor: the planner.
        num_agents: worlds it acts in at once (``b``).
        replan_every: world steps of a plan that are executed before the next search; None for
            one model step.
        deadline_s: seconds a search may take; None for no limit.
        seed: of the agent's generator: the same seed and observations give the same actions.

    Raises:
        ForethoughtError: ``replan_every`` is longer than the plan, or the goal does not fit.
    """

    def __init__(
        self,
        model: Model,
        *,
        cost: Cost | CostTerm,
        actor: Planner,
        num_agents: int = 1,
        replan_every: int | None = None,
        deadline_s: float | None = None,
        seed: int = 0,
    ) -> None:
        self.model = model.eval()
        self.cost = cost if isinstance(cost, Cost) else Cost(terms=(cost,))
        self.actor = actor
        self.num_agents = num_agents
        self.block = model.config.world_model.action_block
        self.replan_every = replan_every or self.block
        self.deadline_s = deadline_s
        self._specs = {
            key: model.signature.observation[key] for key in model.world_model.perception.keys
        }
        self._space = model.world_model.action_space
        self._generator = torch.Generator(device=model.device).manual_seed(seed)
        with torch.no_grad():
            self._score = self.cost.bind(
                Sight(
                    encode=self._encode_still,
                    rollout=self._rollout,
                    distance=model.distance,
                    space=self._space,
                    signature=model.signature,
                )
            )
        self.reset()

    def reset(self) -> None:
        """Forgets the episode: observations, plan and warm start."""
        perception = self.model.config.world_model.perception
        self._window = ObservationWindow(
            frame_stack=perception.frame_stack, frame_gap=perception.frame_gap
        )
        self._execution: _Execution | None = None

    def act(self, observation: Observation) -> Decision:
        """The next action of a single agent.

        Args:
            observation: what the sensors give now, by key; extra keys are ignored.

        Raises:
            ForethoughtError: a key is missing, has another shape or type, or holds NaN.
        """
        if self.num_agents != 1:
            raise ForethoughtError(
                f"act() is for one agent, this one has num_agents={self.num_agents}; use "
                "act_batch() with a leading dimension."
            )
        self._check(observation, batched=False)
        decision = self.act_batch({key: np.asarray(observation[key])[None] for key in self._specs})
        return replace(decision, action=decision.action[0])

    def act_batch(self, observation: Observation) -> Decision:
        """The next action of every agent, from observations ``(b, ...)`` per key.

        Raises:
            ForethoughtError: see :meth:`act`.
        """
        started = time.perf_counter()
        self._check(observation, batched=True)
        kept = {key: np.asarray(observation[key]) for key in self._specs}
        self._window = self._window.see(kept)
        surprise = np.full(self.num_agents, np.nan, dtype=np.float32)
        execution = self._execution
        if execution is None or execution.step >= self.replan_every:
            latents = self._perceive()
            surprise = self._surprise(execution, latents)
            execution = self._deliberate(latents, execution)
        action = execution.actions[:, execution.step]
        self._execution = replace(execution, step=execution.step + 1)
        return Decision(
            action=action,
            mode=2,
            plan=execution.plan,
            plan_step=execution.step,
            surprise=surprise,
            shielded=np.zeros(self.num_agents, dtype=bool),
            seconds=time.perf_counter() - started,
        )

    # ------------------------------------------------------------------------- perceive

    @torch.no_grad()
    def _perceive(self) -> Float[Tensor, "b k d"]:
        window = {k: v.to(self.model.device) for k, v in self._window.stacked().items()}
        return self.model.world_model.encode(window)

    @torch.no_grad()
    def _encode_still(self, observation: Observation) -> Float[Tensor, "b k d"]:
        """Latents of a still observation: the same frame for the whole window."""
        for key, spec in self._specs.items():
            _check_value("the goal", key, observation, spec, leading=(-1,))
        stack = self.model.config.world_model.perception.frame_stack
        frames = {
            key: torch.as_tensor(np.asarray(observation[key]), device=self.model.device)
            for key in self._specs
        }
        still = {
            key: value.unsqueeze(1).expand(-1, stack, *(-1,) * (value.ndim - 1))
            for key, value in frames.items()
        }
        return self.model.world_model.encode(still)

    @torch.no_grad()
    def _rollout(
        self, latents: Float[Tensor, "n k d"], actions: Float[Tensor, "n h a"]
    ) -> Float[Tensor, "n h_plus_1 k d"]:
        world_model = self.model.world_model
        return world_model.rollout(latents, world_model.normalise(actions))

    def _surprise(
        self, execution: _Execution | None, latents: Float[Tensor, "b k d"]
    ) -> np.ndarray:
        """Mean squared error of what was imagined for now; NaN between model steps."""
        steps, rest = divmod(execution.step, self.block) if execution else (0, 1)
        if execution is None or rest:
            return np.full(self.num_agents, np.nan, dtype=np.float32)
        expected = execution.plan.imagination.latents[:, 0, steps]
        return (latents - expected).square().mean((-1, -2)).cpu().numpy()

    # ------------------------------------------------------------------------- decide

    def _deliberate(
        self, latents: Float[Tensor, "b k d"], previous: _Execution | None
    ) -> _Execution:
        problem = PlanningProblem(
            imagine=lambda actions: self.model.world_model.imagine(latents, actions),
            score=self._score,
            space=self._space,
            num_worlds=self.num_agents,
        )
        plan = self.actor.plan(
            problem,
            generator=self._generator,
            warm_start=self._warm_start(previous),
            deadline_s=self.deadline_s,
        )
        actions = self._world_actions(plan.actions)
        if actions.shape[1] < self.replan_every:
            raise ForethoughtError(
                f"replan_every={self.replan_every} world steps is longer than the plan of "
                f"{actions.shape[1]}; raise the planner's horizon or lower replan_every."
            )
        return _Execution(plan=plan, actions=actions)

    def _warm_start(self, previous: _Execution | None) -> WarmStart | None:
        if previous is None:
            return None
        return shift(previous.plan, steps=previous.step // self.block)

    def _world_actions(self, actions: Float[Tensor, "b h a"]) -> np.ndarray:
        """Model actions taken apart: ``(b, h * block, dim)``, or ``(b, h * block)`` integers."""
        spec = self.model.signature.action
        steps = actions.unflatten(-1, (self.block, spec.width)).flatten(1, 2)
        if spec.discrete:
            return steps.argmax(-1).cpu().numpy()
        return steps.cpu().numpy()

    # ------------------------------------------------------------------------- checks

    def _check(self, observation: Observation, *, batched: bool) -> None:
        leading = (self.num_agents,) if batched else ()
        for key, spec in self._specs.items():
            _check_value("the observation", key, observation, spec, leading=leading)


def _check_value(
    what: str, key: str, observation: Observation, spec: ArraySpec, *, leading: tuple[int, ...]
) -> None:
    """Refuses what the model cannot have meant, naming the key. A leading -1 is any batch."""
    if key not in observation:
        raise ForethoughtError(
            f"{what} lacks {key!r}, which the model perceives; it has {sorted(observation)}."
        )
    value = np.asarray(observation[key])
    expected = (*leading, *spec.shape)
    fits = value.ndim == len(expected) and all(
        want in (-1, found) for want, found in zip(expected, value.shape, strict=True)
    )
    if not fits:
        raise ForethoughtError(
            f"{what}: {key!r} has shape {value.shape}, expected {expected}"
            f"{' (-1: any number)' if -1 in leading else ''}. Resize or crop it as the training "
            "data was."
        )
    if value.dtype != np.dtype(spec.dtype):
        raise ForethoughtError(
            f"{what}: {key!r} is {value.dtype}, expected {spec.dtype}; convert it with "
            f".astype({spec.dtype!r}) in the units of the training data."
        )
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        raise ForethoughtError(
            f"{what}: {key!r} holds NaN or infinite values; hold the last good reading, or stop."
        )
