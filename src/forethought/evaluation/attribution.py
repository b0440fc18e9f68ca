"""Why did an episode fail? Each part of the agent is replaced in turn, and the episode run again.

Three parts can fail: the world model, whose place the true simulator takes; the objective, whose
place the true length of the way takes; and the search, whose place one of ten times the budget
takes. Failed episodes, and only these, are run again from the same seeds with every set of parts
replaced, and several times each, since a search draws noise. Who is to blame is told by
:mod:`.blame`.

A world that cannot be put back, or whose ways nobody knows, leaves the parts out that need it. What
the episodes themselves tell stands beside, and in place of what is left out: see :mod:`.evidence`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

from forethought.agent import Agent
from forethought.evaluation.blame import PARTS, Rates, Shares, shapley, subsets, verdicts
from forethought.evaluation.episode_log import EpisodeLog, Witness
from forethought.evaluation.evidence import Evidence, weigh
from forethought.evaluation.planning import Actor
from forethought.evaluation.simulated import (
    PLACE,
    ReplacedAgent,
    Replacement,
    Simulation,
    tells_places,
)
from forethought.types import Charted, ForethoughtError, Observation, Simulator, World

MakeSeededAgent = Callable[[Observation, int, int], Agent]
"""From goals ``(b, ...)``, the number of agents and a seed to an agent that seeks them."""


@dataclass(frozen=True, kw_only=True)
class AttributionConfig:
    """How failures are attributed.

    Attributes:
        budget: world steps in an episode, as where it failed.
        hold: world steps at the end for which the goal must be kept; 1 where it is enough to meet
            it at any time.
        repeats: runs of each failed episode with nothing replaced and with each part by itself,
            from other seeds of the agent than the one that failed.
        joint_repeats: runs with several parts replaced.
        seed: of the agent that failed.
        more: what the budget of the search is multiplied by.
        ahead: model steps that are foreseen along the way, for what episodes themselves tell.
        references: episodes that succeeded, at most, that failed ones are held against.
        most: failed episodes that are looked into, at most: the first ones.

    Raises:
        ForethoughtError: a number below what makes sense.
    """

    budget: int = 200
    hold: int = 1
    repeats: int = 5
    joint_repeats: int = 1
    seed: int = 0
    more: int = 10
    ahead: int = 3
    references: int = 40
    most: int = 100

    def __post_init__(self) -> None:
        for name in ("budget", "hold", "repeats", "joint_repeats", "more", "ahead", "most"):
            limit = 2 if name == "more" else 1
            if getattr(self, name) < limit:
                raise ForethoughtError(
                    f"{name}={getattr(self, name)}; attribution needs {limit} or more."
                )


@dataclass(frozen=True, kw_only=True)
class Attribution:
    """What failed episodes failed of.

    Attributes:
        world: name of the world.
        config: how it was found out.
        seeds: tasks of the failed episodes that were looked into.
        failed: failed episodes in all.
        parts: those that could be replaced.
        again: per episode, whether it failed again from the same seed of the agent, as it should.
        rates: by the parts replaced, the share of re-runs that succeeded, for each episode.
        evidence: what the episodes themselves tell.
        log: the failed episodes, step by step.
        ways: by the parts replaced, at most one, ``(t+1, b, 2)`` where the first re-run went.
    """

    world: str
    config: AttributionConfig
    seeds: tuple[int, ...]
    failed: int
    parts: tuple[str, ...]
    again: tuple[bool, ...]
    rates: Rates
    evidence: Evidence
    log: EpisodeLog = field(repr=False)
    ways: Mapping[tuple[str, ...], np.ndarray] = field(repr=False)

    @property
    def verdicts(self) -> list[str]:
        """Of each episode; see :mod:`forethought.evaluation.blame`."""
        return verdicts(self.rates, self.parts)

    @property
    def shares(self) -> Shares:
        """Over all of them, with intervals."""
        return Shares.of(self.rates, self.parts)

    def to_json(self) -> dict[str, Any]:
        """Everything but the steps, as JSON types."""
        values, said = shapley(self.rates, self.parts), self.verdicts
        shares = self.shares
        return {
            "world": self.world,
            "config": asdict(self.config),
            "failed": self.failed,
            "looked_into": len(self.seeds),
            "parts": list(self.parts),
            "shares": {name: one.to_json() for name, one in shares.named.items()},
            "shapley": {name: one.to_json() for name, one in shares.values.items()},
            "evidence": self.evidence.to_json(),
            "episodes": [
                {
                    "seed": seed,
                    "verdict": said[i],
                    "failed_again": self.again[i],
                    "solved": {named(r): float(rate[i]) for r, rate in self.rates.items()},
                    "shapley": {part: float(value[i]) for part, value in values.items()},
                    "evidence": self.evidence.of(i),
                }
                for i, seed in enumerate(self.seeds)
            ],
        }


def attribute(
    make_agent: MakeSeededAgent,
    make_world: Callable[[int], World],
    failed: Sequence[int],
    config: AttributionConfig | None = None,
    *,
    solved: Sequence[int] = (),
    visible: bool = True,
) -> Attribution:
    """Finds out what failed episodes failed of.

    Args:
        make_agent: builds an agent for goals, from a seed.
        make_world: builds a world of so many copies.
        failed: tasks that the agent failed at.
        config: how to find out.
        solved: tasks that it solved, whose episodes failed ones are held against.
        visible: show progress.

    Raises:
        ForethoughtError: no episode failed, or the agent has guardrails.
    """
    config = config or AttributionConfig()
    if not failed:
        raise ForethoughtError("no episode failed, so that there is nothing to attribute.")
    seeds = list(failed)[: config.most]
    stage = _Stage(make_agent, make_world, seeds, config)
    arms = {
        arm: config.repeats if len(arm) < 2 else config.joint_repeats
        for arm in subsets(stage.parts)
    }
    with Progress(console=Console(stderr=True), disable=not visible) as progress:
        task = progress.add_task("attribution", total=2 + sum(arms.values()))
        log = stage.witnessed(seeds)
        progress.advance(task)
        some = list(solved)[: config.references]
        reference = stage.witnessed(some) if some else None
        progress.advance(task)
        rates: dict[tuple[str, ...], np.ndarray] = {}
        ways: dict[tuple[str, ...], np.ndarray] = {}
        for arm, repeats in arms.items():
            met = []
            for number in range(repeats):
                flags, way = stage.run(arm, config.seed + 1 + number)
                met.append(_success(flags, config.hold))
                if number == 0 and len(arm) < 2:
                    ways[arm] = way
                progress.advance(task)
            rates[arm] = np.mean(met, axis=0)
    return Attribution(
        world=stage.world.name,
        config=config,
        seeds=tuple(seeds),
        failed=len(failed),
        parts=stage.parts,
        again=tuple((~_success(log.met, config.hold)).tolist()),
        rates=rates,
        evidence=weigh(log, reference, stage.calibration(), hold=config.hold),
        log=log,
        ways=ways,
    )


class _Stage:
    """Where episodes are run again, with one agent or another."""

    def __init__(
        self,
        make_agent: MakeSeededAgent,
        make_world: Callable[[int], World],
        seeds: Sequence[int],
        config: AttributionConfig,
    ) -> None:
        self.make_agent, self.config, self.seeds = make_agent, config, seeds
        self.world, self.copies = make_world(len(seeds)), make_world(1)
        self.world.reset(seeds)
        # Asked of an agent for one goal: binding a cost to many may take long.
        goal = {key: value[:1] for key, value in self.world.goal().items()}
        self.model = make_agent(goal, 1, config.seed).model
        known = isinstance(self.world, Charted) and tells_places(self.model)
        can = {"model": isinstance(self.world, Simulator), "objective": known, "search": True}
        self.parts = tuple(part for part in PARTS if can[part])

    def run(self, arm: Sequence[str], seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Whether goals were met at each step ``(t, b)``, and where the world was ``(t+1, b, 2)``.

        It ends when nothing can change any more.
        """
        observation = self.world.reset(self.seeds)
        agent = self.make_agent(self.world.goal(), len(self.seeds), seed)
        what = Replacement(
            model="model" in arm,
            objective="objective" in arm,
            budget=self.config.more if "search" in arm else 1,
        )
        replaced = ReplacedAgent(agent, self.world, self.copies, what)
        flags, truth = self._play(
            replaced, observation, replaced.leave if self.config.hold == 1 else None
        )
        return flags, _way(truth)

    def witnessed(self, seeds: Sequence[int]) -> EpisodeLog:
        """Episodes of the agent as it is, from the seed that it had."""
        observation = self.world.reset(seeds)
        goal = self.world.goal()
        agent = self.make_agent(goal, len(seeds), self.config.seed)
        placed = "model" in self.parts and set(PLACE) <= self.world.truth().keys()
        witness = Witness(
            agent,
            budget=self.config.more,
            ahead=self.config.ahead,
            simulation=Simulation(self.model, self.world, self.copies) if placed else None,
        )
        first = observation
        flags, truth = self._play(witness, observation)
        witness.see(self.world.observe())
        camera = next(iter(self.world.signature.cameras), None)
        shown = {} if camera is None else {"pictures": np.stack([first[camera], goal[camera]], 1)}
        return EpisodeLog(
            seeds=np.array(seeds),
            truth=truth,
            goal_truth={name: np.array(one) for name, one in self.world.goal_truth().items()},
            met=flags,
            lengths=self._lengths(truth),
            **witness.thought(),
            **shown,
        )

    def _play(
        self,
        agent: Actor,
        observation: Observation,
        leave: Callable[[np.ndarray], None] | None = None,
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Plays episodes; to their end, or until all are over where those may be left."""
        budget = self.config.budget
        flags = np.zeros((budget, self.world.num_worlds), dtype=bool)
        truth = [self._truth()]
        for step in range(budget):
            observation = self.world.step(agent.act_batch(observation).action)
            flags[step] = self.world.succeeded()
            truth.append(self._truth())
            over = np.asarray(flags.any(0))
            if leave and over.all():
                break
            if leave:
                leave(over)
        return flags, {name: np.stack([one[name] for one in truth]) for name in truth[0]}

    def _truth(self) -> dict[str, np.ndarray]:
        return {name: np.array(value) for name, value in self.world.truth().items()}

    def _lengths(self, truth: Mapping[str, np.ndarray]) -> np.ndarray:
        """True lengths of the way from every moment, by copy."""
        if not isinstance(self.world, Charted):
            return np.full(next(iter(truth.values())).shape, np.nan)
        goals = np.stack([self.world.goal_truth()[name] for name in PLACE], axis=-1)
        way = _way(truth)
        found = [self.world.lengths_from(i, way[:, i], goals[i]) for i in range(way.shape[1])]
        return np.stack(found, axis=1)

    def calibration(self) -> np.ndarray:
        """``(m, j)`` squared errors of held-out rollouts, so many model steps ahead; NaN beyond
        what was calibrated, and nothing where nothing was."""
        kept, ahead = self.model.calibration, self.config.ahead
        if kept is None:
            return np.zeros((0, ahead))
        errors = (kept.foreseen[:, 1:] - kept.seen[:, 1:]).square().mean((-1, -2)).cpu().numpy()
        padded = np.full((len(errors), max(ahead, errors.shape[1])), np.nan)
        padded[:, : errors.shape[1]] = errors
        return padded[:, :ahead]


def _success(flags: np.ndarray, hold: int) -> np.ndarray:
    """Per episode: kept at the end where that is asked for, met at some time elsewhere."""
    return np.asarray(flags[-hold:].all(0) if hold > 1 else flags.any(0))


def _way(truth: Mapping[str, np.ndarray]) -> np.ndarray:
    """``(t, b, 2)`` places; NaN where the world has none."""
    if not set(PLACE) <= truth.keys():
        return np.full((*next(iter(truth.values())).shape, 2), np.nan)
    return np.stack([truth[name] for name in PLACE], axis=-1)


def named(arm: Sequence[str]) -> str:
    """What was replaced, in words."""
    return " + ".join(arm) or "nothing"
