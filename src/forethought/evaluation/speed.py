"""How fast an agent thinks on this machine, beside what the machine can do."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import Tensor

from forethought.agent import Agent
from forethought.evaluation.planning import Setting, searches
from forethought.evaluation.roofline import (
    Peaks,
    Work,
    measure_peaks,
    rollout_work,
    seconds,
)
from forethought.model import Model
from forethought.types import Decision, Observation, Past, Plan, Signature
from forethought.world_model.fast import FastConfig, accelerate
from forethought.world_model.world_model import WorldModel

MakeAgent = Callable[[Model, Observation], Agent]
"""From a model and goal observations ``(1, ...)`` to one agent that seeks them."""


@dataclass(frozen=True, kw_only=True)
class SpeedProtocol:
    """How speed is measured.

    Attributes:
        decisions: searches that are timed.
        seconds: after which no other search, and no other rollout, is begun.
        least: searches and rollouts that are timed however long they take.
        left_out: searches before them that are not counted: the machine is cold, and a predictor
            with a window has not seen as much as it can look back at.
        budget: world steps of an episode.
        seed: tasks are drawn from seeds from here on.
    """

    decisions: int = 200
    seconds: float = 20.0
    least: int = 3
    left_out: int = 3
    budget: int = 200
    seed: int = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One way to compute the same model.

    Attributes:
        name: what tables call it.
        model: which does.
        arithmetic: of its matrix products: ``float32`` or ``bfloat16``.
    """

    name: str
    model: Model
    arithmetic: str = "float32"


@dataclass(frozen=True, kw_only=True)
class Speed:
    """How fast one variant is.

    Attributes:
        variant: its name.
        arithmetic: of its matrix products.
        decision_ms: milliseconds of a decision with a search: median and 99th percentile.
        decisions: that were timed.
        iterations: rounds of one search.
        candidates: imagined in a round.
        horizon: model steps of each.
        rollout_ms: milliseconds, median, to imagine the candidates of a round.
        steps_per_s: imagined latent steps a second.
        flop_per_step: floating-point operations of one of them.
        bytes_per_step: that have to be moved for it at least.
        gemm_peak: operations a second of large matrix products in the same arithmetic.
        bandwidth: bytes a second between processor and memory.
    """

    variant: str
    arithmetic: str
    decision_ms: Mapping[str, float]
    decisions: int
    iterations: int
    candidates: int
    horizon: int
    rollout_ms: float
    steps_per_s: float
    flop_per_step: float
    bytes_per_step: float
    gemm_peak: float
    bandwidth: float

    @property
    def flop_per_s(self) -> float:
        """Floating-point operations a second while imagining."""
        return self.steps_per_s * self.flop_per_step

    @property
    def gemm_share(self) -> float:
        """Share of what matrix products alone reach on this machine."""
        return self.flop_per_s / self.gemm_peak

    @property
    def bandwidth_share(self) -> float:
        """Share of what the memory can give."""
        return self.steps_per_s * self.bytes_per_step / self.bandwidth

    @property
    def roofline_share(self) -> float:
        """Share of the fastest that the machine allows: one means that nothing can be faster."""
        return max(self.gemm_share, self.bandwidth_share)

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON types."""
        names = ("flop_per_s", "gemm_share", "bandwidth_share", "roofline_share")
        return {**asdict(self), **{name: getattr(self, name) for name in names}}


@dataclass(frozen=True, kw_only=True)
class SpeedResults:
    """The variants of one model, on one machine.

    Attributes:
        peaks: what the machine can do.
        variants: how fast each is.
    """

    peaks: Peaks
    variants: tuple[Speed, ...]

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON types."""
        return {
            "machine": asdict(self.peaks),
            "variants": [speed.to_json() for speed in self.variants],
        }


AS_TRAINED = "as trained"


def variants(model: Model) -> tuple[Variant, ...]:
    """The ways to compute a model on its device: as it was trained, and with the units that are
    fastest there, in float32 and in any precision, where those are others."""
    found = {AS_TRAINED: Variant(name=AS_TRAINED, model=model)}
    for exact in (True, False):
        world_model = accelerate(model.world_model, FastConfig(exact=exact))
        name = world_model.report.chosen
        arithmetic = "bfloat16" if "bfloat16" in name else "float32"
        by = Variant(name=name, model=_computed_by(model, world_model), arithmetic=arithmetic)
        found.setdefault(name, by)
    return tuple(found.values())


def _computed_by(model: Model, world_model: WorldModel) -> Model:
    """The same model with another world model in it."""
    twin = copy.copy(model)
    twin._modules = {**model._modules, "world_model": world_model}
    return twin


def measure_speed(
    variants: Sequence[Variant],
    make_agent: MakeAgent,
    make_setting: Callable[[], Setting],
    protocol: SpeedProtocol | None = None,
    *,
    visible: bool = True,
) -> SpeedResults:
    """Measures what the machine can do, then how fast each variant decides and imagines.

    Rollouts of the variants are timed in turns, so that a busy machine slows all alike.

    Args:
        variants: of one model, the one as it was trained first; all on one device.
        make_agent: builds an agent on one of them.
        make_setting: where it acts.
        protocol: how to measure.
        visible: say what is being done.
    """
    protocol = protocol or SpeedProtocol()
    console = Console(stderr=True, quiet=not visible)
    device = variants[0].model.device
    with console.status("measuring the machine"):
        peaks = measure_peaks(device)
    plans, decided = [], []
    for variant in variants:
        with console.status(f"{variant.name}: timing decisions"):
            decisions = _timed_decisions(variant.model, make_agent, make_setting(), protocol)
        plans.append(_plan(decisions[-1]))
        decided.append([decision.seconds for decision in decisions])
    rounds = [_Round.of(variant.model, plans[0]) for variant in variants]
    with console.status("timing rollouts"):
        rolled = _in_turns([round_.imagine for round_ in rounds], device, protocol)
    return SpeedResults(
        peaks=peaks,
        variants=tuple(
            _speed(*one, work_of=variants[0].model, peaks=peaks)
            for one in zip(variants, rounds, plans, decided, rolled, strict=True)
        ),
    )


class Noise:
    """Where there is no world: random observations of a signature, whatever is done.

    How long thinking takes does not depend on what is seen.

    Args:
        signature: of the observations.
        seed: of their numbers.
    """

    def __init__(self, signature: Signature, seed: int = 0) -> None:
        self.signature = signature
        self._random = np.random.default_rng(seed)

    def reset(self, seeds: Sequence[int]) -> Observation:
        """See :class:`forethought.types.World`."""
        self._random = np.random.default_rng(seeds[0])
        return self.observe()

    def goal(self) -> Observation:
        """See :class:`forethought.types.World`."""
        return self.observe()

    def step(self, actions: np.ndarray) -> Observation:
        """See :class:`forethought.types.World`."""
        return self.observe()

    def observe(self) -> Observation:
        """See :class:`forethought.types.World`."""
        return {
            key: self._random.integers(0, 256, (1, *spec.shape), dtype=np.uint8)
            if spec.dtype == "uint8"
            else self._random.standard_normal((1, *spec.shape)).astype(spec.dtype)
            for key, spec in self.signature.observation.items()
        }


# ------------------------------------------------------------------------------- decisions


def _timed_decisions(
    model: Model, make_agent: MakeAgent, setting: Setting, protocol: SpeedProtocol
) -> list[Decision]:
    """Decisions with a search, as many as are asked for or as there is time."""
    found = searches(
        lambda goals, _: make_agent(model, goals),
        setting,
        budget=protocol.budget,
        seed=protocol.seed,
    )
    for _ in range(protocol.left_out):
        next(found)
    return list(_while_time(found, protocol))


def _while_time(items: Iterator[Any], protocol: SpeedProtocol) -> Iterator[Any]:
    started = time.perf_counter()
    for number, item in enumerate(items, start=1):
        yield item
        in_time = time.perf_counter() - started < protocol.seconds
        if number >= protocol.decisions or (number >= protocol.least and not in_time):
            return


def _plan(decision: Decision) -> Plan:
    assert decision.plan is not None
    return decision.plan


# ------------------------------------------------------------------------------- rollouts


@dataclass(frozen=True, kw_only=True)
class _Round:
    """The candidates of one round of a search, on random latents.

    Attributes:
        model: which imagines them.
        latents: the present.
        actions: the candidates.
        past: as much as the predictor looks back at; None where it does not.
    """

    model: Model
    latents: Tensor
    actions: Tensor
    past: Past | None

    @classmethod
    def of(cls, model: Model, plan: Plan) -> _Round:
        """As many as the planner imagined on average."""
        world_model = model.world_model
        candidates = max(1, plan.num_candidates // plan.num_iterations)
        steps = world_model.predictor.window - 1
        generator = torch.Generator(device=model.device).manual_seed(0)

        def drawn(*sizes: int) -> Tensor:
            return torch.randn(*sizes, generator=generator, device=model.device)

        shape = (world_model.num_tokens, world_model.width)
        width = world_model.action_width
        past = Past(latents=drawn(1, steps, *shape), actions=drawn(1, steps, width))
        return cls(
            model=model,
            latents=drawn(1, *shape),
            actions=drawn(1, candidates, plan.actions.shape[1], width),
            past=past if steps else None,
        )

    @torch.no_grad()
    def imagine(self) -> None:
        """Imagines them all."""
        self.model.world_model.imagine(self.latents, self.actions, past=self.past)


def _in_turns(
    calls: Sequence[Callable[[], None]], device: torch.device, protocol: SpeedProtocol
) -> list[list[float]]:
    """Seconds of each call, each time."""
    for call in calls:
        call()
    turns = iter(lambda: [seconds(call, device) for call in calls], None)
    return [list(times) for times in zip(*_while_time(turns, protocol), strict=True)]


def _speed(
    variant: Variant,
    round_: _Round,
    plan: Plan,
    decided: list[float],
    rolled: list[float],
    *,
    work_of: Model,
    peaks: Peaks,
) -> Speed:
    candidates, horizon = round_.actions.shape[1:3]
    work = _work(work_of, round_, variant.arithmetic)
    taken, steps = statistics.median(rolled), candidates * horizon
    milliseconds = 1000 * np.array(decided)
    return Speed(
        variant=variant.name,
        arithmetic=variant.arithmetic,
        decision_ms={
            "median": float(np.median(milliseconds)),
            "p99": float(np.percentile(milliseconds, 99)),
        },
        decisions=len(decided),
        iterations=plan.num_iterations,
        candidates=candidates,
        horizon=horizon,
        rollout_ms=1000 * taken,
        steps_per_s=steps / taken,
        flop_per_step=work.flop / steps,
        bytes_per_step=work.bytes / steps,
        gemm_peak=peaks.of(variant.arithmetic),
        bandwidth=peaks.bandwidth,
    )


def _work(model: Model, round_: _Round, arithmetic: str) -> Work:
    """Counted on the model as it was trained: every variant has to do it."""
    candidates, horizon = round_.actions.shape[1:3]
    return rollout_work(
        model.world_model,
        candidates=candidates,
        horizon=horizon,
        past_steps=round_.past.actions.shape[1] if round_.past else 0,
        width=2 if arithmetic == "bfloat16" else 4,
    )
