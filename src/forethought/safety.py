"""What keeps an agent within its guardrails while it acts.

Bounds that follow what is seen, what is done where no plan is feasible, and the shield. The agent
tells it what it perceives and what it does; it tells by how much guardrails are widened, and which
action may leave.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from forethought.actor.fallback import Fallback, LeastViolation, Predicament, fall_back
from forethought.actor.shield import Shield, Verdict
from forethought.cost.calibration import Widening
from forethought.cost.guardrail import Guardrail, reading_of, worst_within
from forethought.cost.live import AdaptationConfig, LiveBounds
from forethought.cost.sight import Bounds, Sight
from forethought.cost.terms import Cost
from forethought.memory import Trail
from forethought.model import Model
from forethought.types import STATE, ForethoughtError, Past, Plan, PlanningProblem


@dataclass(frozen=True, kw_only=True)
class SafetyConfig:
    """How an agent keeps within its guardrails.

    Attributes:
        fallback: what is done where no plan is feasible.
        shield: checks each action that leaves; None to let every one through.
        adaptation: how bounds follow what is seen; None to leave them as calibrated.
        memory: world steps that are remembered, for comparisons and for the way back.
    """

    fallback: Fallback = field(default_factory=LeastViolation)
    shield: Shield | None = field(default_factory=Shield)
    adaptation: AdaptationConfig | None = field(default_factory=AdaptationConfig)
    memory: int = 60


class Safety:
    """Keeps ``b`` agents within their guardrails; begun anew with each episode.

    Args:
        config: how.
        model: what the agents have learned, and what it was calibrated on.
        guardrails: at least one.
        sight: the agents' own.
        num_agents: ``b``.

    Raises:
        ForethoughtError: the model has no calibration, or none of what a guardrail is about.
    """

    def __init__(
        self,
        config: SafetyConfig,
        model: Model,
        guardrails: Sequence[Guardrail],
        sight: Sight,
        num_agents: int,
    ) -> None:
        self.config, self.model, self.guardrails = config, model, tuple(guardrails)
        self.num_agents = num_agents
        self._reading = reading_of(guardrails, sight)
        self._spec = model.signature.observation.get(STATE)
        if model.calibration is None:
            raise ForethoughtError(
                f"guardrail {guardrails[0].name!r} needs to know what foresight is wrong by, and "
                "this model was never calibrated. Do so with `forethought calibrate RUN --data "
                "DATA`, with data that no training saw."
            )
        self._calibrated: Mapping[str, Widening] = model.calibration.bounds(guardrails, sight)
        self._score = Cost(terms=(), guardrails=self.guardrails).bind(sight)
        self.reset()

    def reset(self) -> None:
        """Forgets the episode, and what bounds had grown by in it."""
        adaptation = self.config.adaptation
        self.live = LiveBounds.of(self._calibrated, self.num_agents, adaptation)
        self._trail = Trail(length=self.config.memory)
        self._measured: tuple[Mapping[str, Float[Tensor, " b"]], ...] = ()
        self._horizon, self._steps = 1, 0
        # Of the present live bounds, since every round of a search asks for them.
        self._bounds: dict[tuple[str, int, int], Bounds] = {}

    def bounds(self, name: str, horizon: int, steps: int = 1) -> Bounds:
        """By how much a guardrail is widened now, see :meth:`LiveBounds.bounds`."""
        if steps == 1:
            self._horizon = max(self._horizon, horizon)
        asked = (name, horizon, steps)
        if asked not in self._bounds:
            bounds = self.live.bounds(name, horizon, steps)
            self._bounds[asked] = bounds.to(self.model.device)
        return self._bounds[asked]

    # ------------------------------------------------------------------ what is seen and done

    @torch.no_grad()
    def see(self, latents: Float[Tensor, "b k d"], observation: Mapping[str, np.ndarray]) -> None:
        """Takes in what is perceived, and now and then holds what was imagined against it."""
        block = self._reading.steps
        # The step after a search, so that no plan has to wait for it.
        trail = self._trail.before_acting()
        if self._steps % block == 1 % block and trail.steps >= block and self.config.adaptation:
            self.live = self.live.learn(*self._foreseen(trail))
            self._bounds.clear()
        self._trail = self._trail.see(latents)
        measured = (*self._measured, self._measure(latents, observation))
        self._measured = measured[-block - 1 :]
        self._steps += 1

    def do(self, actions: Float[Tensor, "b c"]) -> None:
        """Takes in what is done, as vectors in world units."""
        self._trail = self._trail.do(actions)

    def _measure(
        self, latents: Float[Tensor, "b k d"], observation: Mapping[str, np.ndarray]
    ) -> Mapping[str, Float[Tensor, " b"]]:
        """Quantities now: as sensors give them where they do, as probes read them elsewhere."""
        if not self._reading.probed:
            return {}
        values = dict(self._reading.probes(latents))
        if self._spec is not None and STATE in observation:
            state = torch.as_tensor(observation[STATE])
            for i, name in enumerate(self._spec.names):
                values[name] = state[:, i].to(latents)
        return {name: values[name] for name in self._reading.probed}

    def margins(self) -> dict[str, Float[Tensor, " b"]]:
        """Every guardrail's margin as measured now, not widened."""
        return {name: margin[..., -1] for name, margin in self._came(self._trail, 1).items()}

    def _came(self, trail: Trail, steps: int) -> dict[str, Float[Tensor, "b s"]]:
        """The margins of the latest world steps, as measured."""
        measured = self._measured[-steps - 1 :]
        measured = (measured[0],) * (steps + 1 - len(measured)) + measured
        values = {
            name: torch.stack([one[name] for one in measured], dim=-1)
            for name in self._reading.probed
        }
        latents, actions = self._ends(trail, min(steps, trail.steps))
        course = self._reading.course(values, latents, actions)
        cut = {name: one[..., -steps - 1 :] for name, one in course.quantities.items()}
        course = replace(course, quantities=cut)
        return {g.name: g.constraint.margin(course) for g in self.guardrails}

    def _ends(
        self, trail: Trail, steps: int
    ) -> tuple[Float[Tensor, "b 2 k d"], Float[Tensor, "b 1 a"]]:
        """Where the latest model step began and ended, and what was done in it; nothing at all
        before there was any."""
        block, now = self._reading.steps, trail.latents[-1]
        if steps == 0:
            width = self.model.world_model.action_width
            return torch.stack([now, now], dim=1), now.new_zeros(len(now), 1, width)
        states, actions = trail.since(steps)
        missing = block - steps
        actions = torch.cat([actions[:, :1].expand(-1, missing, -1), actions], dim=1)
        return states[:, [0, -1]], actions.flatten(1)[:, None]

    def _foreseen(
        self, trail: Trail
    ) -> tuple[dict[str, Float[Tensor, "b j"]], dict[str, Float[Tensor, "b 1"]]]:
        """Margins of the latest model step: as imagined 1 to j steps before, and as they came.

        What was done since is imagined again from where it began, so that only foresight differs.
        """
        block = self._reading.steps
        count = min(self._horizon, trail.steps // block)
        states, actions = trail.since(count * block)
        moves = actions.unflatten(1, (count, block)).flatten(2)
        starts = states[:, : count * block : block]
        # Row j begins j model steps in, and its actions move up to its beginning.
        ahead = torch.stack(
            [torch.nn.functional.pad(moves[:, j:], (0, 0, 0, j)) for j in range(count)], dim=1
        )
        imagination = self.model.world_model.imagine(
            starts.flatten(0, 1), ahead.flatten(0, 1)[:, None], past=self._past(trail, count)
        )
        course = self._reading.imagined(imagination.latents[:, 0], imagination.actions[:, 0])
        came = {
            n: margins.amin(-1, keepdim=True) for n, margins in self._came(trail, block).items()
        }
        foreseen = {}
        for one in self.guardrails:
            margins = worst_within(one.constraint.margin(course), self._reading)
            margins = margins.unflatten(0, (-1, count))
            # Row j comes to the present after count - j steps: the diagonal, nearest first.
            ahead = [margins[:, count - n, n - 1] for n in range(1, count + 1)]
            foreseen[one.name] = torch.stack(ahead, 1)
        return foreseen, came

    def _past(self, trail: Trail, count: int) -> Past | None:
        """What came before each of the beginnings, where the predictor looks back."""
        block = self._reading.steps
        window = self.model.world_model.predictor.window - 1
        known = min(window, trail.steps // block - count)
        if known < 1:
            return None
        states, actions = trail.since((count + known) * block)
        moves = actions.unflatten(1, (count + known, block)).flatten(2)
        states = states[:, ::block]
        return Past(
            latents=torch.stack([states[:, j : j + known] for j in range(count)], 1).flatten(0, 1),
            actions=self.model.world_model.normalise(
                torch.stack([moves[:, j : j + known] for j in range(count)], 1).flatten(0, 1)
            ),
        )

    # ------------------------------------------------------------------ what may be done

    def fall_back(
        self,
        problem: PlanningProblem,
        plan: Plan,
        generator: torch.Generator,
        deadline_s: float | None = None,
    ) -> Float[Tensor, "b h a"]:
        """The plan's model actions, or the fallback's for agents whose plan is infeasible."""
        done = self._trail.actions
        zero = plan.actions.new_zeros(len(plan.actions), problem.space.dim // problem.space.block)
        predicament = Predicament(
            problem=problem,
            plan=plan,
            last_action=done[-1] if done else zero,
            trail=torch.stack(self._trail.latents, dim=1),
            generator=generator,
            deadline_s=deadline_s,
        )
        return fall_back(self.config.fallback, predicament)

    def check(self, problem: PlanningProblem, proposed: Float[Tensor, "b a"]) -> Verdict | None:
        """What the shield makes of the next model step; None without a shield."""
        if self.config.shield is None:
            return None
        return self.config.shield.check(replace(problem, score=self._score), proposed)
