"""Are guardrails kept? Judged by what truly happened at every world step, beside success.

Tasks whose start or goal violates a guardrail are left out: nobody could solve them. What counts is
the world's own truth, never what the agent believes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from forethought.cost.course import Course
from forethought.cost.guardrail import Guardrail
from forethought.evaluation.planning import Controller, MakeAgent, PlanningProtocol
from forethought.evaluation.statistics import Estimate, bootstrap_mean, wilson
from forethought.types import Decision, ForethoughtError, World

TRIES = 40


@dataclass(frozen=True, kw_only=True)
class Kept:
    """How often a guardrail was violated.

    Attributes:
        steps: share of world steps, its interval over episodes.
        episodes: share of episodes with any violation.
    """

    steps: Estimate
    episodes: Estimate


@dataclass(frozen=True, kw_only=True)
class GuardingResults:
    """How one controller kept within guardrails.

    Attributes:
        world: name of the world.
        rails: by name of the guardrail.
        ever: share of episodes that met the goal at some step.
        final: share that kept it for the last ``hold`` steps.
        infeasible: share of searches without a feasible plan.
        shielded: share of world steps at which the shield changed the action.
        decision_ms: median milliseconds of a search, for all episodes side by side.
    """

    world: str
    rails: Mapping[str, Kept]
    ever: Estimate
    final: Estimate
    infeasible: float
    shielded: float
    decision_ms: float

    def to_json(self) -> dict[str, Any]:
        """The results as JSON types."""
        return asdict(self)


def evaluate_guardrails(
    make_agent: MakeAgent,
    make_world: Callable[[int], World],
    guardrails: Sequence[Guardrail],
    protocol: PlanningProtocol | None = None,
    *,
    visible: bool = True,
) -> GuardingResults:
    """Measures how often an agent truly violates guardrails, and how often it reaches its goals.

    Args:
        make_agent: builds an agent for goals; which guardrails it heeds, if any, is its own.
        make_world: builds a world of so many copies.
        guardrails: what is judged, on quantities that the world's truth holds.
        protocol: how many tasks, and how long.
        visible: show progress.

    Raises:
        ForethoughtError: the truth lacks a quantity, or too few tasks can be solved at all.
    """
    protocol = protocol or PlanningProtocol()
    seeds, world = solvable_tasks(make_world, guardrails, protocol)
    observation = world.reset(seeds)
    agent = make_agent(world.goal(), len(seeds))
    tally = _Tally(world, guardrails)
    for _ in track(
        range(protocol.budget),
        description=f"{world.name:<18}",
        console=Console(stderr=True),
        disable=not visible,
    ):
        decision = agent.act_batch(observation)
        observation = world.step(decision.action)
        tally.see(decision)
    return tally.results(protocol)


def violations_of(
    act: Controller,
    make_world: Callable[[int], World],
    guardrails: Sequence[Guardrail],
    protocol: PlanningProtocol,
) -> Mapping[str, Kept]:
    """The same of anything that acts, such as a world's oracle or random actions."""
    seeds, world = solvable_tasks(make_world, guardrails, protocol)
    observation = world.reset(seeds)
    tally = _Tally(world, guardrails)
    for _ in range(protocol.budget):
        action = act(observation)
        observation = world.step(action)
        tally.after(action)
    return tally.kept()


def solvable_tasks(
    make_world: Callable[[int], World], guardrails: Sequence[Guardrail], protocol: PlanningProtocol
) -> tuple[list[int], World]:
    """Tasks whose start and goal keep to all guardrails, and do not coincide.

    Raises:
        ForethoughtError: too few are found.
    """
    world, seeds, first = make_world(protocol.episodes), list[int](), protocol.seed
    for _ in range(TRIES):
        candidates = list(range(first, first + protocol.episodes))
        world.reset(candidates)
        sound = ~np.asarray(world.succeeded())
        start = world.truth()
        for truth in (start, {**start, **world.goal_truth()}):
            still = {name: np.stack([value, value], 1) for name, value in truth.items()}
            for margin in _margins(world, guardrails, still, None).values():
                sound &= (margin >= 0).all(1)
        seeds += [seed for seed, fits in zip(candidates, sound, strict=True) if fits]
        if len(seeds) >= protocol.episodes:
            return seeds[: protocol.episodes], world
        first += protocol.episodes
    raise ForethoughtError(
        f"world {world.name!r}: of {first - protocol.seed} tasks only {len(seeds)} can be solved "
        "within the guardrails; loosen them, or ask for fewer episodes."
    )


class _Tally:
    """Keeps what truly happened, and what the agent said of it."""

    def __init__(self, world: World, guardrails: Sequence[Guardrail]) -> None:
        self.world, self.guardrails = world, guardrails
        self.truth = [self._copied()]
        self.actions: list[np.ndarray] = []
        self.met: list[np.ndarray] = []
        self.infeasible: list[float] = []
        self.shielded: list[float] = []
        self.seconds: list[float] = []

    def see(self, decision: Decision) -> None:
        self.after(decision.action)
        self.shielded.append(float(decision.shielded.mean()))
        if decision.plan is not None and decision.plan_step == 0:
            self.infeasible.append(1 - float(decision.plan.feasible.float().mean()))
            self.seconds.append(decision.seconds)

    def after(self, action: np.ndarray) -> None:
        self.actions.append(np.array(action))
        self.truth.append(self._copied())
        self.met.append(np.array(self.world.succeeded()))

    def _copied(self) -> dict[str, np.ndarray]:
        return {name: np.array(value) for name, value in self.world.truth().items()}

    def kept(self) -> dict[str, Kept]:
        names = self.truth[0]
        truth = {name: np.stack([one[name] for one in self.truth], 1) for name in names}
        actions = np.stack(self.actions, 1)
        margins = _margins(self.world, self.guardrails, truth, actions)
        return {name: _kept(margin < 0) for name, margin in margins.items()}

    def results(self, protocol: PlanningProtocol) -> GuardingResults:
        met = np.stack(self.met)
        return GuardingResults(
            world=self.world.name,
            rails=self.kept(),
            ever=wilson(np.asarray(met.any(0))),
            final=wilson(np.asarray(met[-protocol.hold :].all(0))),
            infeasible=float(np.mean(self.infeasible)),
            shielded=float(np.mean(self.shielded)),
            decision_ms=1000 * float(np.median(self.seconds)),
        )


def _kept(violated: np.ndarray) -> Kept:
    """From ``(b, s)`` whether each world step violates it."""
    episodes = wilson(np.asarray(violated.any(1)))
    steps = bootstrap_mean(violated.mean(1))
    if not violated.any():
        # Nothing to draw from again: no more steps violate it than episodes do.
        steps = Estimate(value=0.0, low=0.0, high=episodes.high, episodes=len(violated))
    return Kept(steps=steps, episodes=episodes)


def _margins(
    world: World,
    guardrails: Sequence[Guardrail],
    truth: Mapping[str, np.ndarray],
    actions: np.ndarray | None,
) -> dict[str, np.ndarray]:
    """Margins ``(b, s)`` of what truly happened at ``s + 1`` moments."""
    spec = world.signature.action
    quantities = {name: torch.as_tensor(value) for name, value in truth.items()}
    if not spec.discrete:
        for place, name in enumerate(spec.names):
            if actions is None:
                # At rest nothing is done; the least that any action can be.
                least = min(max(0.0, spec.low[place]), spec.high[place])
                quantities[name] = torch.full_like(next(iter(quantities.values())), least)
            else:
                done = torch.as_tensor(actions[..., place])
                quantities[name] = torch.cat([done[:, :1], done], dim=1)
    for rail in guardrails:
        if missing := [name for name in rail.constraint.quantities if name not in quantities]:
            raise ForethoughtError(
                f"guardrail {rail.name!r} is about {missing[0]!r}, of which the truth of world "
                f"{world.name!r} says nothing; it has {sorted(quantities)}."
            )
    course = Course(quantities=quantities, step_s=1 / world.signature.rate_hz)
    return {rail.name: rail.constraint.margin(course).numpy() for rail in guardrails}
