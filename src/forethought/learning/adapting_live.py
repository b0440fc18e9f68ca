"""Adapting a run to a world by acting in it, and measuring what that came to."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from forethought import data
from forethought.agent import Agent
from forethought.config import register
from forethought.cost.calibration import Calibration
from forethought.data.dataset import Dataset
from forethought.learning.adapting import AdaptingConfig, Anchors, adaptable
from forethought.learning.adapting_agent import AdaptingAgent
from forethought.learning.calibrating import CalibrationConfig, arrays_of, calibrate, episodes_for
from forethought.model import Model
from forethought.types import ForethoughtError, Observation, World

FIRST_LIVED = 3_000_000
"""Seed of the first task that is lived."""
TASKS = 2
"""Seed of the recording of held-out tasks: others than are lived, or recorded by seeds 0 and 1."""


@runtime_checkable
class MakeAgent(Protocol):
    """Makes agents that seek goal observations ``(b, ...)``, such as ``Acting.agent``."""

    def __call__(self, model: Model, goals: Observation, num_agents: int, /) -> Agent:
        """One agent for so many worlds."""
        ...


@register
@dataclass(frozen=True, kw_only=True)
class LiveAdaptingConfig:
    """How a run is adapted by acting.

    Attributes:
        adapting: how, in each world step.
        steps: world steps that are lived, one task after another.
        budget: world steps of a task.
        hold: world steps at the end of a task that are spent at the goal where it is solved.
        tasks: that are measured before and after, by agents that do not adapt; with what is
            recorded of the latter, calibration follows.
        seed: of the tasks.

    Raises:
        ForethoughtError: a number that cannot be.
    """

    adapting: AdaptingConfig = field(default_factory=AdaptingConfig)
    steps: int = 2000
    budget: int = 150
    hold: int = 10
    tasks: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "tasks", "hold"):
            if getattr(self, name) < 1:
                raise ForethoughtError(f"adapting: {name}={getattr(self, name)}; give 1 or more.")
        if self.budget < self.hold:
            raise ForethoughtError(
                f"adapting: budget={self.budget} is shorter than hold={self.hold}, so that no task "
                "could be solved; give a longer one."
            )


@dataclass(frozen=True, kw_only=True)
class LiveReport:
    """What adapting by acting came to.

    Attributes:
        before: share of held-out tasks that the run solves in this world.
        after: that the adapted one solves.
        adapted: whether another version acts than the original.
        shift: pixels by which pictures are moved before they are encoded.
        took_over: world steps at which another version took over.
        ms: milliseconds of adapting in a world step: median and 99th percentile.
        seconds: that all of it took.
    """

    before: float
    after: float
    adapted: bool
    shift: tuple[int, int]
    took_over: tuple[int, ...]
    ms: tuple[float, float]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The report as JSON types."""
        told = asdict(self)
        return {name: list(v) if isinstance(v, tuple) else v for name, v in told.items()}


def adapt_in(
    model: Model,
    make: Callable[[int], World],
    agent: MakeAgent,
    older: Dataset,
    config: LiveAdaptingConfig | None = None,
    *,
    told: Callable[[int], None] = lambda step: None,
) -> tuple[Model, LiveReport]:
    """A copy of a model that has followed the world while it acted there.

    Calibration follows: where the model had one, and something was changed, the copy is calibrated
    on held-out tasks that it acts in afterwards.

    Args:
        model: a trained model; it is left as it is.
        make: the world as it is now, in so many copies.
        agent: how agents plan.
        older: recordings like those it was trained on, for replay; the training data will do, of
            which held-out episodes are taken.
        config: how.
        told: called after each world step with how many were lived.

    Raises:
        ForethoughtError: the model cannot be adapted, the world is not the model's, or the data
            lack what it needs.
    """
    config, began = config or LiveAdaptingConfig(), time.perf_counter()
    own, one = config.adapting, make(1)
    _check_same(model, one)
    adapted = adaptable(model, history=own.history, rank=own.rank)
    anchors = Anchors.of(adapted, episodes_for(model, older), seed=own.seed)
    one.reset([FIRST_LIVED + config.seed])
    acting = AdaptingAgent(agent(adapted, one.goal(), 1), anchors, own)
    before, _ = _solved(model, make, agent, config)
    took_over, taken = _live(acting, one, agent, config, told)
    changed, after = acting.adapter.acting != 0, before
    if changed:
        after, adapted.calibration = _solved(adapted, make, agent, config)
    return adapted, LiveReport(
        before=before,
        after=after,
        adapted=changed,
        shift=acting.adapter.version.shift,
        took_over=tuple(took_over),
        ms=(float(np.median(taken)), float(np.quantile(taken, 0.99))),
        seconds=time.perf_counter() - began,
    )


def _check_same(model: Model, world: World) -> None:
    """Refuses a world that the model was not trained for."""
    known, here = model.signature, world.signature
    keys = set(model.world_model.perception.keys)
    if here.action != known.action or not keys <= set(here.observation):
        raise ForethoughtError(
            f"world {world.name!r} has actions {here.action} and {sorted(here.observation)}; this "
            f"run takes {known.action} and {sorted(keys)}. Give the world that it was trained for."
        )


def _live(
    acting: AdaptingAgent,
    world: World,
    agent: MakeAgent,
    config: LiveAdaptingConfig,
    told: Callable[[int], None],
) -> tuple[list[int], list[float]]:
    """One task after another: when another version took over, and milliseconds of adapting."""
    took_over, taken, seen = [], [], world.observe()
    for step in range(config.steps):
        if step % config.budget == 0:
            seen = world.reset([FIRST_LIVED + config.seed + step // config.budget])
            acting.reset()
            acting.seek(agent(acting.model, world.goal(), 1).cost)
        seen = world.step(acting.act_batch(seen).action)
        assert acting.last is not None
        taken.append(1000 * acting.last.seconds)
        if acting.last.took_over is not None:
            took_over.append(step)
        told(step + 1)
    return took_over, taken


class _Solving:
    """An agent that is recorded while it solves tasks.

    Attributes:
        met: ``(b,)`` of each row whether goals were met.
    """

    def __init__(self, model: Model, agent: MakeAgent) -> None:
        self.met: list[np.ndarray] = []
        self._model, self._agent = model, agent

    def __call__(self, world: World, seed: int) -> Callable[[Observation], np.ndarray]:
        """Begins the tasks that the world has been reset to."""
        agent = self._agent(self._model, world.goal(), world.num_worlds)

        def act(seen: Observation) -> np.ndarray:
            self.met.append(world.succeeded())
            return agent.act_batch(seen).action

        return act


def _solved(
    model: Model, make: Callable[[int], World], agent: MakeAgent, config: LiveAdaptingConfig
) -> tuple[float, Calibration | None]:
    """Share of held-out tasks that are solved; a calibration on them where the model has one."""
    solving = _Solving(model, agent)
    with tempfile.TemporaryDirectory() as folder:
        tasks = data.record(
            make(config.tasks),
            Path(folder) / "tasks",
            num_episodes=config.tasks,
            episode_length=config.budget,
            seed=TASKS + config.seed,
            visible=False,
            behaviour=solving,
        )
        share = float(np.stack(solving.met)[-config.hold :].all(0).mean())
        if model.calibration is None:
            return share, None
        arrays = arrays_of(model, tasks, range(config.tasks))
        own = CalibrationConfig(horizon=model.calibration.horizon)
        return share, calibrate(model, arrays, own, seed=config.adapting.seed)
