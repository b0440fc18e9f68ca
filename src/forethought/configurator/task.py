"""A task: what an agent is to reach, within what, and how it searches."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from functools import partial

from forethought import recipes
from forethought.actor import (
    CEM,
    ICEM,
    MPPI,
    BeamSearch,
    CategoricalCEM,
    Fallback,
    Gradient,
    Halving,
    Hierarchical,
    LeastViolation,
    Mixed,
    ParallelGradient,
    PredictiveSampling,
    ProjectedGradient,
    Rung,
    Screened,
    Sketched,
)
from forethought.agent import Agent, ReuseConfig
from forethought.configurator.effort import fitted, seconds_of
from forethought.configurator.goals import Leg, ShownGoal
from forethought.configurator.settings import Following, Gating, Recalling
from forethought.cost.guardrail import Guardrail
from forethought.cost.region import RegionGoal
from forethought.cost.terms import Cost, CostTerm
from forethought.model import Model
from forethought.recipes.recipe import Acting, usual_acting
from forethought.safety import SafetyConfig
from forethought.types import ForethoughtError, Planner
from forethought.world_model.fast import FastConfig

FLAT = (
    CEM,
    ICEM,
    MPPI,
    BeamSearch,
    CategoricalCEM,
    ParallelGradient,
    Gradient,
    PredictiveSampling,
    ProjectedGradient,
)
"""Planners that look ahead by themselves."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """What is to be different about a planner; None leaves a number as it is.

    Attributes:
        planner: another one in place of it, which looks ahead as far; None for itself.
        horizon: model steps planned ahead.
        samples: candidates in a round.
        iterations: rounds.
        elites: candidates that the next round is drawn around.
        screened: share of the candidates that the model's sketch lets through; None for all.
        halving: where candidates are judged on the way.

    Raises:
        ForethoughtError: a number below one.
    """

    planner: Planner | None = None
    horizon: int | None = None
    samples: int | None = None
    iterations: int | None = None
    elites: int | None = None
    screened: float | None = None
    halving: tuple[Rung, ...] = ()

    def __post_init__(self) -> None:
        for name in ("horizon", "samples", "iterations", "elites"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ForethoughtError(
                    f"search: {name}={value}; expected 1 or more. Leave it out for the recipe's."
                )

    def applied(self, planner: Planner) -> Planner:
        """The same planner with these numbers; of a hierarchical one, the lowest level.

        Of a mixed one both parts get the horizon, and the first the rest.

        Raises:
            ForethoughtError: the planner has no such number, or no rounds of candidates to sift.
        """
        if isinstance(planner, Hierarchical):
            return replace(planner, lower=self.applied(planner.lower))
        if self.planner is not None:
            as_far = replace(self, planner=None, horizon=self.horizon or planner_horizon(planner))
            return as_far.applied(self.planner)
        if isinstance(planner, Mixed):
            second = Search(horizon=self.horizon).applied(planner.second)
            return replace(planner, first=self.applied(planner.first), second=second)
        if isinstance(planner, Halving | Screened | Sketched):
            return replace(planner, planner=self.applied(planner.planner))
        said = {
            "horizon": self.horizon,
            "num_samples": self.samples,
            "num_iterations": self.iterations,
            "num_elites": self.elites,
        }
        changes = {name: value for name, value in said.items() if value is not None}
        known = {one.name for one in fields(planner)}  # type: ignore[arg-type]
        needed = {"num_samples"} if self.screened or self.halving else set()
        if unknown := sorted((changes.keys() | needed) - known):
            raise ForethoughtError(
                f"planner: {type(planner).__name__} has no {unknown[0]!r}, it has {sorted(known)}. "
                "Leave it out of the task, or train by a recipe that plans otherwise."
            )
        return self._sifted(replace(planner, **changes))  # type: ignore[type-var]

    def _sifted(self, planner: Planner) -> Planner:
        """The planner within what drops candidates."""
        if self.screened:
            planner = Screened(planner=planner, share=self.screened)  # type: ignore[arg-type]
        if self.halving:
            planner = Halving(planner=planner, rungs=self.halving)  # type: ignore[arg-type]
        return planner


def planner_horizon(planner: Planner) -> int | None:
    """Model steps that a planner looks ahead on the lowest level; None where it does not say."""
    if isinstance(planner, Hierarchical):
        return planner_horizon(planner.lower)
    if isinstance(planner, Mixed):
        return planner_horizon(planner.first)
    if isinstance(planner, Halving | Screened | Sketched):
        return planner_horizon(planner.planner)
    return planner.horizon if isinstance(planner, FLAT) else None


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What a decision may take.

    Attributes:
        deadline_s: seconds from the observation coming in to the action leaving; None for no limit.
        replan_every: world steps of a plan that are executed; None for what the recipe says.
        reuse: when the plan goes on without a search; None for never.
        fast: how imagination may be computed faster; None for as the model was trained.
    """

    deadline_s: float | None = None
    replan_every: int | None = None
    reuse: ReuseConfig | None = None
    fast: FastConfig | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """What an agent is to do.

    Attributes:
        goal: what is to be reached.
        legs: several goals in their order, of which ``goal`` is the first; none where it is alone.
        terms: what else counts.
        guardrails: what must hold, whatever it costs.
        fallback: what is done where no plan keeps within them.
        search: what is to be different about the planner of the model's recipe.
        budget: what a decision may take.
        mode: when reflexes answer in place of a search; None for never.
        memory: what was lived through and competes in searches; None for nothing.
        adaptation: how the agent follows its world; None where it does not.
    """

    goal: ShownGoal | RegionGoal
    legs: tuple[Leg, ...] = ()
    terms: tuple[CostTerm, ...] = ()
    guardrails: tuple[Guardrail, ...] = ()
    fallback: Fallback = field(default_factory=LeastViolation)
    search: Search = field(default_factory=Search)
    budget: Budget = field(default_factory=Budget)
    mode: Gating | None = None
    memory: Recalling | None = None
    adaptation: Following | None = None

    def acting(self, model: Model) -> Acting:
        """How agents with this model plan for this task.

        As the model's recipe says, or as usual where that plans nothing.

        Raises:
            ForethoughtError: no recipe of that name, a planner without a number that is said, or
                no sketch to screen by.
        """
        if self.search.screened and model.sketch is None:
            raise ForethoughtError(
                "planner.screened: this model has no sketch to screen candidates by. Leave it out "
                "of the task, or train with TrainConfig.sketch."
            )
        name = model.notes.get("recipe")
        usual = (recipes.get(name).acting if name else None) or usual_acting(model.signature)
        return replace(usual, planner=self.search.applied(usual.planner))

    def cost(self, model: Model) -> Cost:
        """What the agent wants."""
        sought: Cost | CostTerm
        if isinstance(self.goal, ShownGoal):
            sought = self.acting(model).goal(observation=self.goal.observation)
        else:
            sought = self.goal
        cost = sought if isinstance(sought, Cost) else Cost(terms=(sought,))
        return cost + Cost(terms=self.terms, guardrails=self.guardrails)

    def agent(self, model: Model, *, num_agents: int = 1, seed: int = 0) -> Agent:
        """An agent that comes to the first goal, and adapts to nothing; :func:`agent_for` gives one
        that does all that the task says.

        With a deadline, and where the task does not say how many candidates and rounds there are,
        it searches as thoroughly as the machine can in the time; see :func:`fitted`.

        Args:
            model: a trained model; calibrated, where there are guardrails.
            num_agents: worlds that it acts in at once.
            seed: of the agent's generator.

        Raises:
            ForethoughtError: the task asks for what this model does not know;
                :func:`check_task` says all that is wrong at once.
        """
        acting, deadline_s = self.acting(model), self.budget.deadline_s
        make = partial(
            Agent,
            model,
            cost=self.cost(model),
            safety=SafetyConfig(fallback=self.fallback),
            num_agents=num_agents,
            replan_every=self.budget.replan_every or acting.replan_every,
            reuse=self.budget.reuse,
            fast=self.budget.fast,
            num_outcomes=acting.num_outcomes,
            attempts=acting.attempts,
            gate=self.mode.gate(model) if self.mode else None,
            proposals=self.memory.proposals(model) if self.memory else None,
            seed=seed,
        )
        planner = acting.planner
        if deadline_s is not None and not (self.search.samples or self.search.iterations):
            planner = fitted(planner, lambda one: seconds_of(make(actor=one)), deadline_s)
        return make(actor=planner, deadline_s=deadline_s)
