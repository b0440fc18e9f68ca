"""The agent: perceive, remember, imagine, decide.

An agent acts for ``num_agents`` worlds at once. It holds what changes while it acts (the window of
observations, the plan under way, the generator); the model, the cost and the planner never change.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from forethought.actor.clock import Timetable
from forethought.actor.gate import Gate
from forethought.actor.search import fork, paced, shift
from forethought.allocation import uninterrupted
from forethought.cost.goal import SubGoal
from forethought.cost.guardrail import Guardrail, allowed_actions
from forethought.cost.sight import Bounds, Sight
from forethought.cost.terms import Cost, CostTerm
from forethought.memory import Attempts, AttemptsConfig, ObservationWindow
from forethought.model import Model
from forethought.reflexes import Answer, Reflexes, foreseen_with, no_reflex
from forethought.safety import Safety, SafetyConfig
from forethought.senses import perceived, sight_of
from forethought.traces.records import DecisionRecord, Retrospect, TraceHeader
from forethought.traces.words import explain
from forethought.types import (
    Chance,
    Change,
    Decision,
    ForethoughtError,
    Imagination,
    Observation,
    Past,
    Plan,
    Planner,
    PlanningProblem,
    Proposer,
    Scores,
    WarmStart,
)
from forethought.world_model.fast import FastConfig, accelerate

REHEARSAL_S = 0.2
"""Seconds that each search of a rehearsal may take at least: enough to see how long calls take."""


@dataclass(frozen=True)
class _Execution:
    """A plan under way, or what reflexes chose.

    Attributes:
        plan: the plan; None where all act by reflex.
        actions: ``(b, steps, dim)`` or ``(b, steps)``: the world actions of its model steps.
        foreseen: ``(b, m, model steps + 1, k, d)`` what was imagined of them; None for nothing.
        reflexes: ``(b,)`` who acts by reflex.
        judged: whether the first step was held against the guardrails when it was chosen.
        changes: what the fallback did in place of it.
        step: world steps of it that were taken.
        until: world steps of it that are taken before the next decision is thought of.
        kept_to: ``(b,)`` whether what was done since is what was imagined.
    """

    plan: Plan | None
    actions: np.ndarray
    foreseen: Tensor | None
    reflexes: np.ndarray
    judged: bool
    kept_to: np.ndarray
    until: int
    changes: tuple[Change, ...] = ()
    step: int = 0


@dataclass(frozen=True, kw_only=True)
class ReuseConfig:
    """When an agent goes on with its plan for another model step instead of searching anew.

    Guardrails must hold now with room to spare besides.

    Attributes:
        surprise: of the model step that has just ended, in every world, that is no cause to search.
        longest: world steps of a plan that are executed at most.
    """

    surprise: float
    longest: int


class Agent:
    """Chooses actions by imagining where they lead.

    Args:
        model: what the agent has learned of its world.
        cost: what it wants; a term, or a sum of terms.
        actor: the planner.
        guardrails: what must hold, each with its risk; those of the cost, and these.
        safety: how it keeps within them: fallback, shield, bounds that follow what is seen.
        num_agents: worlds it acts in at once (``b``).
        replan_every: world steps of a plan that are executed before the next search; None for
            one model step.
        reuse: when it goes on with its plan after that; None to search each time.
        deadline_s: seconds a decision may take, from the observation coming in to the action
            leaving; None for no limit. With a deadline, a decision is rehearsed at once, since the
            first calls of PyTorch take many times as long as later ones.
        num_outcomes: futures imagined per candidate, where the model has a latent variable; what
            they count is for the cost to say (``cost.at(Worst())``).
        proposals: where candidates come from that compete in the search; None for nowhere.
        attempts: when an imagined step counts as tried in vain; None to keep no account. Which cost
            terms heed it is theirs to say (``roadmap_goal`` does).
        gate: when the model's policy answers in place of a search; None to search always.
        fast: how it may perceive and imagine faster; None to do so as the model was trained. With
            guardrails it perceives as trained, and so does the shield imagine.
        seed: of the agent's generator: the same seed and observations give the same actions.
        now: what time it is, in seconds; deadlines are kept by this clock.

    Raises:
        ForethoughtError: ``replan_every`` is longer than the plan, or no whole number of model
            steps where plans are reused, or the goal does not fit, or there is a gate and no
            policy, or a cost that it was not made for.
    """

    def __init__(
        self,
        model: Model,
        *,
        cost: Cost | CostTerm,
        actor: Planner,
        guardrails: Sequence[Guardrail] = (),
        safety: SafetyConfig | None = None,
        num_agents: int = 1,
        replan_every: int | None = None,
        reuse: ReuseConfig | None = None,
        deadline_s: float | None = None,
        num_outcomes: int = 1,
        proposals: Proposer | None = None,
        attempts: AttemptsConfig | None = None,
        gate: Gate | None = None,
        fast: FastConfig | None = None,
        seed: int = 0,
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.model = model.eval()
        self.world_model = accelerate(model.world_model, fast) if fast else model.world_model
        self.cost = (cost if isinstance(cost, Cost) else Cost(terms=(cost,))).guarded(guardrails)
        self.actor = actor
        self.num_agents = num_agents
        self.block = model.config.world_model.action_block
        self.replan_every = replan_every or self.block
        self.reuse = self._checked_reuse(reuse)
        self.deadline_s = deadline_s
        self._time = Timetable(deadline_s, now)
        self.num_outcomes = self._checked_outcomes(num_outcomes)
        self._proposals = proposals
        self._account = attempts
        self._space = allowed_actions(
            self.cost.guardrails, model.world_model.action_space, model.signature.action
        )
        with torch.no_grad():
            self._sight = replace(
                sight_of(model),
                in_vain=lambda: self._attempts.in_vain if self._attempts else (),
                bounds=lambda name, horizon: self._bounds(name, horizon),
            )
            self._safety = self._guarded(safety or SafetyConfig())
        self._known: WarmStart | None = None
        self._reflexes: Reflexes | None = None
        self._begin(seed)
        if deadline_s is not None:
            self._rehearse(deadline_s)
            self._begin(seed)
        self._reflexes = self._gated(gate) if gate else None

    @property
    def sight(self) -> Sight:
        """What its cost knows of it."""
        return self._sight

    @torch.no_grad()
    def _begin(self, seed: int) -> None:
        """As new, but for how long things are known to take."""
        self._generator = torch.Generator(device=self.model.device).manual_seed(seed)
        self._score = self.cost.bind(self._sight)
        self._level_scores: list[Callable[[Imagination], Scores]] = []
        self._execution: _Execution | None = None
        self._retrospect = Retrospect(self.model.read if self.model.config.probes else None)
        self.reset()

    def reset(self) -> None:
        """Forgets the episode: observations, plan and warm start."""
        if self._safety:
            self._safety.reset()
        self._retrospect.reset()
        perception = self.model.config.world_model.perception
        # What a predictor with a window looks back at: earlier model steps, and what was done.
        self._memory = (self.model.world_model.predictor.window - 1) * self.block
        self._window = ObservationWindow(
            frame_stack=perception.frame_stack,
            frame_gap=perception.frame_gap,
            memory=self._memory,
        )
        self._attempts = self._account and Attempts(
            config=self._account, distance=self.model.distance
        )
        self._taken: tuple[np.ndarray, ...] = ()
        # What was perceived at world steps that a predictor may look back at.
        self._moment, self._encoded = 0, dict[int, Tensor]()
        self._execution = None

    @torch.no_grad()
    def seek(self, cost: Cost | CostTerm) -> None:
        """Wants something else from now on.

        What it remembers stays; the plan under way is dropped. Guardrails are those that the agent
        was made with, whatever the cost brings along.

        Args:
            cost: what it wants.
        """
        wanted = cost if isinstance(cost, Cost) else Cost(terms=(cost,))
        self.cost = replace(wanted, guardrails=self.cost.guardrails)
        self._score, self._level_scores = self.cost.bind(self._sight), []
        self._execution = None
        if self._reflexes:
            self._reflexes = self._gated(self._reflexes.gate)

    def forget_plan(self) -> None:
        """Drops what is under way, for worlds in which something else was done.

        What was seen stays; the next decision begins from nothing but that.
        """
        self._execution = None

    @uninterrupted
    def act(self, observation: Mapping[str, Any]) -> Decision:
        """The next action of a single agent.

        Args:
            observation: what the sensors give now, by key; extra keys are ignored. The task is
                given in words, or as bytes. A key may be absent, or None, where the model was
                trained with ``PerceptionConfig.missing`` above zero.

        Raises:
            ForethoughtError: a key is missing, has another shape or type, or holds NaN.
        """
        if self.num_agents != 1:
            raise ForethoughtError(
                f"act() is for one agent, this one has num_agents={self.num_agents}; use "
                "act_batch() with a leading dimension."
            )
        self._time.begin()
        seen = perceived(self.model, "the observation", observation, leading=())
        decision = self._decide({key: value[None] for key, value in seen.items()})
        return replace(self._retrospect.note(decision, self.cost), action=decision.action[0])

    @uninterrupted
    def act_batch(self, observation: Mapping[str, Any]) -> Decision:
        """The next action of every agent, from observations ``(b, ...)`` per key.

        Raises:
            ForethoughtError: see :meth:`act`.
        """
        self._time.begin()
        decision = self._decide(
            perceived(self.model, "the observation", observation, leading=(self.num_agents,))
        )
        return self._retrospect.note(decision, self.cost)

    def _decide(self, seen: Observation) -> Decision:
        self._window, self._moment = self._window.see(seen), self._moment + 1
        oldest = self._moment - self._memory
        self._encoded = {m: latents for m, latents in self._encoded.items() if m >= oldest}
        surprise = np.full(self.num_agents, np.nan, dtype=np.float32)
        execution = self._execution
        latents = self._guarded_view(seen)
        over = execution is None or execution.step >= execution.until
        if execution is None or over or self._vetoed(latents, execution):
            latents = self._perceive() if latents is None else latents
            surprise = self._surprise(execution, latents)
            execution = self._continued(execution, surprise) or self._chosen(
                latents, surprise, execution
            )
        action, changes = self._shielded(latents, execution)
        if self._memory:
            self._taken = (*self._taken, action)[-self._memory :]
        shielded = np.zeros(self.num_agents, dtype=bool)
        shielded[[change.agent for change in changes]] = True
        self._execution = replace(
            execution, step=execution.step + 1, kept_to=execution.kept_to & ~shielded
        )
        margins = self._margins()
        if execution.step == 0:
            self._time.ended()
        return Decision(
            action=action,
            mode=1 if execution.reflexes.all() else 2,
            plan=execution.plan,
            plan_step=execution.step,
            surprise=surprise,
            shielded=shielded,
            seconds=self._time.seconds,
            margins=margins,
            changes=execution.changes + changes,
            modes=np.where(execution.reflexes, 1, 2) if self._reflexes else None,
        )

    def _rehearse(self, deadline_s: float) -> None:
        """Acts on nothing: once so that it was done, once more to see how long things take.

        That nothing comes about as foreseen is no warning.
        """
        specs = self.model.signature.observation
        blank = {
            key: np.zeros((self.num_agents, *specs[key].shape), specs[key].dtype)
            for key in self.model.world_model.perception.keys
        }
        for _ in range(2):
            self._known, self._time = None, Timetable(max(deadline_s, REHEARSAL_S), self._time.now)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                for _ in range(self.replan_every + 1):
                    self.act_batch(blank)
            self.reset()
        self._time.deadline_s = deadline_s

    # ------------------------------------------------------------------------- explain

    @property
    def header(self) -> TraceHeader:
        """What all records of its decisions have in common."""
        return TraceHeader(
            signature=self.model.signature,
            num_agents=self.num_agents,
            action_block=self.block,
            deadline_s=self.deadline_s,
            cost=str(self.cost),
            actor=str(self.actor),
            notes=self.model.notes,
        )

    def records(self) -> tuple[DecisionRecord, ...]:
        """Its latest decision as numbers and words, for each agent; none before the first."""
        return self._retrospect.records()

    def usual(self, agent: int = 0) -> list[float]:
        """Surprises of an agent before its latest decision, oldest first."""
        return self._retrospect.usual(agent)

    def explain(self, *, agent: int = 0) -> str:
        """Why it decided as it did last: what it wants, what was weighed, and what changed it.

        ``evaluation.report.decision_picture`` draws the same.

        Raises:
            ForethoughtError: it has not decided anything, or there is no such agent.
        """
        records = self.records()
        if not 0 <= agent < len(records):
            raise ForethoughtError(
                f"agent {agent}: there are decisions of {len(records)} agents, counted from zero; "
                "let it act first, and name one of them."
            )
        return explain(records[agent], self.header, self.usual(agent))

    # ------------------------------------------------------------------------- keep safe

    def _guarded(self, config: SafetyConfig) -> Safety | None:
        """What keeps it within its guardrails; None without any."""
        rails = self.cost.guardrails
        if not rails:
            return None
        return Safety(config, self.model, rails, self._sight, self.num_agents)

    def _guarded_view(self, seen: Observation) -> Float[Tensor, "b k d"] | None:
        """What is perceived now, which guardrails have to know at every world step."""
        if not self._safety:
            return None
        latents = self._perceive()
        self._safety.see(latents, seen)
        return latents

    def _bounds(self, name: str, horizon: int, steps: int = 1) -> Bounds:
        """By how much a guardrail is widened, for imagined steps of so many model steps."""
        assert self._safety
        return self._safety.bounds(name, horizon, steps)

    def _margins(self) -> dict[str, np.ndarray]:
        """Of every guardrail, as measured now."""
        if not self._safety:
            return {}
        return {name: margin.cpu().numpy() for name, margin in self._safety.margins().items()}

    @torch.no_grad()
    def _fallen_back(
        self,
        problem: PlanningProblem,
        plan: Plan,
        generator: torch.Generator,
        deadline_s: float | None,
    ) -> _Execution:
        """The plan, or what the fallback does for agents without a feasible one."""
        planned = self._world_actions(plan.actions)
        feasible = plan.feasible.cpu().numpy()
        execution = _Execution(
            plan=plan,
            actions=planned,
            foreseen=plan.imagination.latents,
            reflexes=no_reflex(self.num_agents),
            # The search has imagined its first step from here, and judged it by the shield's bound.
            judged=self.num_outcomes == 1 and self.world_model is self.model.world_model,
            kept_to=feasible,
            until=self.replan_every,
        )
        if not self._safety or feasible.all():
            return execution
        chosen = self._safety.fall_back(problem, plan, generator, deadline_s)
        actions = self._world_actions(chosen)
        changes = tuple(
            Change(
                agent=int(agent),
                by=str(self._safety.config.fallback),
                reason=reason({n: m[agent].amin() for n, m in plan.margins.items()}),
                planned=planned[agent, 0],
                action=actions[agent, 0],
            )
            for agent in np.flatnonzero(~feasible)
        )
        return replace(execution, actions=actions, changes=changes)

    @torch.no_grad()
    def _shielded(
        self, latents: Float[Tensor, "b k d"] | None, execution: _Execution
    ) -> tuple[np.ndarray, tuple[Change, ...]]:
        """The action that leaves, and what the shield changed about it."""
        step = execution.step
        action = execution.actions[:, step]
        if not self._safety or latents is None:
            return action, ()
        if step == 0 and execution.kept_to.all() and execution.judged:
            self._done(action)
            return action, ()
        verdict = self._safety.check(self._problem(latents), self._ahead(execution))
        changes: tuple[Change, ...] = ()
        if verdict is not None and bool(verdict.changed.any()):
            allowed = self._world_actions(verdict.actions[:, None])[:, 0]
            changes = tuple(
                Change(
                    agent=int(agent),
                    by="shield",
                    reason=reason({n: m[agent] for n, m in verdict.margins.items()}),
                    planned=action[agent],
                    action=allowed[agent],
                )
                for agent in verdict.changed.nonzero()[:, 0].tolist()
            )
            changed = verdict.changed.cpu().numpy()
            action = np.where(changed if action.ndim == 1 else changed[:, None], allowed, action)
        self._done(action)
        return action, changes

    def _ahead(self, execution: _Execution) -> Float[Tensor, "b a"]:
        """The model action that begins now; what is chosen last goes on where it ends."""
        steps = np.arange(execution.step, execution.step + self.block)
        return self._model_actions(
            execution.actions[:, np.minimum(steps, execution.actions.shape[1] - 1)]
        )

    def _done(self, action: np.ndarray) -> None:
        assert self._safety
        self._safety.do(self._model_actions(action[:, None]))

    # ------------------------------------------------------------------------- perceive

    @torch.no_grad()
    def _perceive(self, steps_ago: int = 0) -> Float[Tensor, "b k d"]:
        moment = self._moment - steps_ago
        if moment not in self._encoded:
            window = self._window.stacked(steps_ago)
            seen = {key: value.to(self.model.device) for key, value in window.items()}
            world_model = (self.model if self._safety else self).world_model
            self._encoded[moment] = world_model.encode(seen)
        return self._encoded[moment]

    @torch.no_grad()
    def _past(self) -> Past | None:
        """The model steps before the present one, as many as there are up to the window."""
        steps = len(self._taken) // self.block
        if not steps:
            return None
        ago = [self.block * step for step in range(steps, 0, -1)]
        spec = self.model.signature.action
        taken = torch.as_tensor(np.stack(self._taken[-steps * self.block :], axis=1))
        if spec.discrete:
            taken = torch.nn.functional.one_hot(taken, spec.num_choices).float()
        actions = taken.to(self.model.device).unflatten(1, (steps, self.block)).flatten(2)
        return Past(
            latents=torch.stack([self._perceive(steps_ago) for steps_ago in ago], dim=1),
            actions=self.model.world_model.normalise(actions),
        )

    def _surprise(
        self, execution: _Execution | None, latents: Float[Tensor, "b k d"]
    ) -> np.ndarray:
        """Mean squared error of what was imagined for now; NaN between model steps, and where
        something else was done than was imagined.

        Of several outcomes the nearest counts: the energy, minimised over the latent variable.
        """
        steps, rest = divmod(execution.step, self.block) if execution else (0, 1)
        if execution is None or execution.foreseen is None or rest:
            return np.full(self.num_agents, np.nan, dtype=np.float32)
        expected = execution.foreseen[:, :, steps]
        error = (latents[:, None] - expected).square().mean((-1, -2))
        nearest = error.min(1).values.cpu().numpy()
        return np.where(execution.kept_to, nearest, np.nan).astype(np.float32)

    @torch.no_grad()
    def _look_back(self, latents: Float[Tensor, "b k d"], execution: _Execution | None) -> None:
        """Whether what the agents set out for has come any nearer."""
        if self._attempts and execution and execution.plan:
            for _ in range(execution.step // self.block):
                self._attempts = self._attempts.arrive(latents)

    @torch.no_grad()
    def _set_out(self, latents: Float[Tensor, "b k d"], plan: Plan) -> None:
        """What the plan of the highest level comes to first is what the agents now set out for."""
        if not self._attempts:
            return
        number = -1
        while plan.above is not None:
            plan, number = plan.above, number + 1
        above = self.model.hierarchy.levels[number] if self.model.hierarchy else None
        steps = above.steps if above and number >= 0 else 1
        self._attempts = self._attempts.set_out(
            latents, plan.imagination.latents[:, 0, 1], steps=steps
        )

    # ------------------------------------------------------------------------- decide

    def _continued(self, execution: _Execution | None, surprise: np.ndarray) -> _Execution | None:
        """The plan for a model step more; None where there is cause to search."""
        if self.reuse is None or execution is None:
            return None
        until = execution.step + self.block
        left = until <= min(self.reuse.longest, execution.actions.shape[1])
        calm = (surprise <= self.reuse.surprise).all()
        safe = all((margin > 0).all() for margin in self._margins().values())
        return replace(execution, until=until) if left and calm and safe else None

    def _chosen(
        self,
        latents: Float[Tensor, "b k d"],
        surprise: np.ndarray,
        previous: _Execution | None,
    ) -> _Execution:
        """By reflex where the gate and the shield let it, else by a search."""
        if self._reflexes is None:
            return self._deliberate(latents, previous)
        answer = self._reflexes.answer(
            latents, surprise, generator=self._generator, hurried=self._hurried()
        )
        answer = self._unopposed(latents, answer)
        if not answer.taken.any():
            return self._deliberate(latents, previous, answer)
        imagined = self._foreseen(latents, answer) if self._reflexes.gate.heeds_surprise else None
        if answer.taken.all():
            self._time.answered()
            return _Execution(
                plan=None,
                actions=self._world_actions(answer.actions),
                foreseen=imagined,
                reflexes=answer.taken,
                judged=self._reflexes.gate.deliberates,
                kept_to=answer.taken.copy(),
                until=self._reflexes.steps,
            )
        return self._mixed(self._deliberate(latents, previous, answer), answer, imagined)

    def _mixed(self, planned: _Execution, answer: Answer, imagined: Tensor | None) -> _Execution:
        """Reflexes where they were taken, the plan elsewhere."""
        reflex, taken = self._world_actions(answer.actions), answer.taken
        assert planned.foreseen is not None
        steps = min(reflex.shape[1], planned.actions.shape[1])
        who = taken.reshape(-1, *[1] * (reflex.ndim - 1))
        return replace(
            planned,
            actions=np.where(who, reflex[:, :steps], planned.actions[:, :steps]),
            foreseen=foreseen_with(taken, imagined, planned.foreseen),
            reflexes=taken,
            kept_to=planned.kept_to | taken,
            changes=tuple(change for change in planned.changes if not taken[change.agent]),
        )

    @torch.no_grad()
    def _foreseen(self, latents: Float[Tensor, "b k d"], answer: Answer) -> Tensor:
        """What is imagined of as many steps of reflexes as are acted out before anyone looks."""
        assert self._reflexes
        steps = max(self._reflexes.gate.chunk, -(-self.replan_every // self.block))
        return self._problem(latents).imagine(answer.actions[:, None, :steps]).latents

    def _unopposed(self, latents: Float[Tensor, "b k d"], answer: Answer) -> Answer:
        """The same, taken only by those whose first step the shield lets through as it is."""
        if not answer.taken.any():
            return answer
        opposed = self._opposed(latents, answer.actions[:, 0])
        return replace(answer, taken=answer.taken & ~opposed)

    def _opposed(
        self, latents: Float[Tensor, "b k d"], proposed: Float[Tensor, "b a"]
    ) -> np.ndarray:
        """Whose next model action the shield would change, where that is cause to deliberate."""
        if not self._safety or not self._reflexes or not self._reflexes.gate.deliberates:
            return no_reflex(self.num_agents)
        verdict = self._safety.check(self._problem(latents), proposed)
        assert verdict is not None
        return verdict.changed.cpu().numpy()

    def _vetoed(self, latents: Float[Tensor, "b k d"] | None, execution: _Execution) -> bool:
        """Whether the shield would change what a reflex that is under way does next."""
        if latents is None or not execution.reflexes.any():
            return False
        return bool((self._opposed(latents, self._ahead(execution)) & execution.reflexes).any())

    def _hurried(self) -> bool:
        """Whether a search would have no time for as many candidates as the gate asks for."""
        left, pace = self._time.for_search(), self._known and self._known.pace
        assert self._reflexes
        if left is None or pace is None:
            return False
        return pace.fitting(left) < self._reflexes.gate.fewest

    def _gated(self, gate: Gate) -> Reflexes:
        """What answers at once, tried out once so that it is no slower when it counts."""
        if self._safety and self._safety.config.shield is None:
            raise ForethoughtError(
                "a gate with guardrails needs the shield, which checks reflexes: no search does. "
                "Leave SafetyConfig.shield as it is, or leave out the gate."
            )
        reflexes = Reflexes(
            self.model,
            self.cost,
            self._sight,
            gate,
            space=self._space,
            num_agents=self.num_agents,
            replan_every=self.replan_every,
        )
        world_model = self.model.world_model
        blank = world_model.low.new_zeros(
            self.num_agents, world_model.num_tokens, world_model.width
        )
        aside = torch.Generator(device=self.model.device)
        reflexes.answer(blank, np.zeros(self.num_agents, np.float32), generator=aside)
        return reflexes

    def _deliberate(
        self,
        latents: Float[Tensor, "b k d"],
        previous: _Execution | None,
        answer: Answer | None = None,
    ) -> _Execution:
        self._look_back(latents, previous)
        problem = self._with_levels(self._problem(latents), latents)
        for_search, for_fallback = fork(self._generator), fork(self._generator)
        plan = self.actor.plan(
            problem,
            generator=for_search,
            warm_start=self._warm_start(previous, answer),
            deadline_s=self._time.for_search(),
        )
        if plan.actions.shape[1] * self.block < self.replan_every:
            raise ForethoughtError(
                f"replan_every={self.replan_every} world steps is longer than the plan of "
                f"{plan.actions.shape[1] * self.block}; raise the planner's horizon or lower "
                "replan_every."
            )
        execution = self._fallen_back(problem, plan, for_fallback, self._time.searched())
        self._time.decided()
        self._known = paced(plan)
        self._set_out(latents, plan)
        return execution

    def _problem(self, latents: Float[Tensor, "b k d"]) -> PlanningProblem:
        """What is searched from here, on the lowest level."""
        past, chance = self._past(), self._chance()
        world_model = self.world_model
        imagine = world_model.imagine
        return PlanningProblem(
            imagine=lambda actions: imagine(latents, actions, past=past, chance=chance),
            score=self._score,
            space=self._space,
            num_worlds=self.num_agents,
            go_on=partial(world_model.go_on, past=past, chance=chance),
            follow=partial(world_model.follow, past=past),
            propose=None if self._proposals is None else partial(self._proposed, latents),
            sketch=self._sketched(latents, past),
            toward=self._toward,
            now=self._time.now,
        )

    def _sketched(
        self, latents: Float[Tensor, "b k d"], past: Past | None
    ) -> Callable[[Float[Tensor, "b n h a"]], Imagination] | None:
        """How candidates are imagined more cheaply, where the model has a sketch."""
        sketch, normalise = self.model.sketch, self.model.world_model.normalise
        return sketch and partial(sketch.imagine, latents, normalise=normalise, past=past)

    def _proposed(
        self, latents: Float[Tensor, "b k d"], number: int, horizon: int, generator: torch.Generator
    ) -> Float[Tensor, "b n h a"]:
        """So many candidates of a horizon that come from elsewhere, checked."""
        assert self._proposals is not None
        actions = self._proposals(latents, number=number, horizon=horizon, generator=generator)
        expected = (self.num_agents, number, horizon, self._space.dim)
        if tuple(actions.shape) != expected or not bool(actions.isfinite().all()):
            raise ForethoughtError(
                f"the proposals are of shape {tuple(actions.shape)}; expected finite model actions "
                f"(agents, proposals, horizon, width) = {expected}."
            )
        return actions

    def _with_levels(
        self, problem: PlanningProblem, latents: Float[Tensor, "b k d"]
    ) -> PlanningProblem:
        """The same problem by the clocks of the levels above as well, where the model has any."""
        if self.model.hierarchy is None:
            return problem
        above: PlanningProblem | None = None
        for number, level in reversed(list(enumerate(self.model.hierarchy.levels))):
            above = PlanningProblem(
                imagine=partial(level.imagine, latents),
                score=partial(self._score_states, number),
                space=level.space,
                num_worlds=self.num_agents,
                follow=level.follow,
                toward=self._toward_by_states,
                above=above,
                now=self._time.now,
            )
        return replace(problem, above=above)

    def _score_states(self, number: int, imagination: Imagination) -> Scores:
        """What a level above makes of what it imagines; bound when a planner first asks for it."""
        self._level_scores = self._level_scores or self._bound_to_levels()
        return self._level_scores[number](imagination)

    def _bound_to_levels(self) -> list[Callable[[Imagination], Scores]]:
        """The cost as each level above sees it."""
        assert self.model.hierarchy is not None
        states = self.cost.of_states()
        return [
            states.bind(
                replace(
                    self._sight,
                    space=level.space,
                    steps=level.steps,
                    acts=False,
                    bounds=partial(self._bounds, steps=level.steps),
                )
            )
            for level in self.model.hierarchy.levels
        ]

    def _toward(self, latents: Float[Tensor, "b k d"]) -> Callable[[Imagination], Scores]:
        """A sub-goal for the lowest level, and what else the cost asks."""
        return self.cost.on_the_way_to(SubGoal(target=latents)).bind(self._sight)

    def _toward_by_states(self, latents: Float[Tensor, "b k d"]) -> Callable[[Imagination], Scores]:
        """The same for a level between, which knows no actions."""
        cost = self.cost.on_the_way_to(SubGoal(target=latents)).of_states()
        return cost.bind(self._sight)

    def _chance(self) -> Chance | None:
        """The futures of one search: the same for all its candidates, others at the next."""
        if self.model.world_model.latent_variable is None:
            return None
        seed = torch.randint(2**31, (), generator=self._generator, device=self.model.device)
        return Chance(num_outcomes=self.num_outcomes, seed=int(seed))

    def _warm_start(self, previous: _Execution | None, answer: Answer | None) -> WarmStart | None:
        """What is left of the plan before; what the policy answers where reflexes followed it."""
        if answer is not None and (previous is None or previous.reflexes.any()):
            return replace(self._known or WarmStart(), actions=answer.actions)
        if previous is None or previous.plan is None:
            return self._known
        return shift(previous.plan, steps=previous.step // self.block)

    def _world_actions(self, actions: Float[Tensor, "b h a"]) -> np.ndarray:
        """Model actions taken apart: ``(b, h * block, dim)``, or ``(b, h * block)`` integers."""
        spec = self.model.signature.action
        steps = actions.unflatten(-1, (self.block, spec.width)).flatten(1, 2)
        if spec.discrete:
            return steps.argmax(-1).cpu().numpy()
        return steps.cpu().numpy()

    def _model_actions(self, actions: np.ndarray) -> Float[Tensor, "b a"]:
        """World actions ``(b, steps, dim)`` or ``(b, steps)`` as one vector."""
        spec = self.model.signature.action
        vectors = torch.as_tensor(actions)
        if spec.discrete:
            vectors = torch.nn.functional.one_hot(vectors, spec.num_choices).float()
        return vectors.flatten(1).to(self.model.device)

    # ------------------------------------------------------------------------- checks

    def _checked_reuse(self, reuse: ReuseConfig | None) -> ReuseConfig | None:
        if reuse is not None and self.replan_every % self.block:
            raise ForethoughtError(
                f"with reuse, surprise is measured at the end of model steps of {self.block} world "
                f"steps; found replan_every={self.replan_every}, give a multiple of {self.block}."
            )
        return reuse

    def _checked_outcomes(self, num_outcomes: int) -> int:
        if num_outcomes > 1 and self.model.world_model.latent_variable is None:
            raise ForethoughtError(
                f"num_outcomes={num_outcomes}, but this model foresees one future: it has no "
                "latent variable. Train with WorldModelConfig.latent_variable, or give 1."
            )
        return num_outcomes


def reason(margins: Mapping[str, Tensor]) -> str:
    """The guardrails at stake, worst first, in a few words."""
    worst = sorted((float(margin), name) for name, margin in margins.items())
    return "; ".join(f"{name} by {-margin:.3g}" for margin, name in worst if margin < 0)
