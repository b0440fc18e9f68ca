"""The data that flows through an agent, and the contracts of its replaceable parts.

Every shape is written once, here. The letters are the same everywhere:

    b  worlds or agents planned for at once      n  candidate action sequences
    t  time (model steps) in a recording         h  horizon (model steps imagined)
    f  frames stacked into one observation       k  tokens of a latent
    d  width of a token                          a  width of a model action

*World step* and *model step* differ: a model step spans ``action_block`` world steps, and a model
action is the concatenation of the actions taken in them.

This module imports nothing of the package. Everything in it is immutable.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

IMAGES = "observation.images."
"""Prefix of camera keys: ``observation.images.<camera>``, uint8, (height, width, 3)."""
STATE = "observation.state"
"""Key of the state vector (proprioception, sensors): float32."""
ACTION = "action"
"""Key of the action: float32 vector, or an integer for discrete actions."""
TASK = "task"
"""Key of the task text: in words where recorded, as bytes where encoded, see :func:`to_bytes`."""
TASK_BYTES = 128
"""Bytes of UTF-8 that a task is told in; zeros after its end."""

Observation = Mapping[str, np.ndarray]
"""What the sensors give at one instant, by LeRobot's keys; with a leading ``b`` where batched."""

Latents = Float[Tensor, "*batch k d"]
"""The state s: always tokens; a single vector is ``k = 1``."""


class ForethoughtError(ValueError):
    """An error in what the user gave: the message says what was found, expected, and what to do.

    The command line prints the message without a traceback and exits with code 2.
    """


# ------------------------------------------------------------------------------- signatures


@dataclass(frozen=True, kw_only=True)
class ArraySpec:
    """What one observation key holds.

    Attributes:
        shape: shape of one observation, without batch or time.
        dtype: NumPy name of the type: ``uint8`` for images, ``float32`` for vectors.
        names: a name for each entry of a vector (``position.x``), empty where unknown.
    """

    shape: tuple[int, ...]
    dtype: str
    names: tuple[str, ...] = ()


TASK_SPEC = ArraySpec(shape=(TASK_BYTES,), dtype="uint8")
"""What encoders are given of a task."""


def to_bytes(text: str, length: int = TASK_BYTES) -> np.ndarray:
    """Text as ``(length,)`` bytes of UTF-8, with zeros after its end.

    What does not fit is left out, whole characters at a time.
    """
    cut = text.replace("\0", "").encode()[:length].decode(errors="ignore").encode()
    return np.frombuffer(cut.ljust(length, b"\0"), np.uint8).copy()


def words_of(text: str) -> tuple[str, ...]:
    """The words of a text: lower case, without punctuation."""
    return tuple(re.findall(r"\w+", text.lower()))


@dataclass(frozen=True, kw_only=True)
class ActionSpec:
    """What an action is: a float vector in a box, or one of ``num_choices`` integers.

    Attributes:
        dim: width of a recorded action vector; 1 for discrete actions.
        low: smallest value per entry, in world units; empty for discrete actions.
        high: largest value per entry, in world units; empty for discrete actions.
        names: a name for each entry, empty where unknown.
        num_choices: number of discrete actions; 0 for continuous ones.
    """

    dim: int
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    names: tuple[str, ...] = ()
    num_choices: int = 0

    @property
    def discrete(self) -> bool:
        """Whether actions are integers."""
        return self.num_choices > 0

    @property
    def width(self) -> int:
        """Width of one action as the world model sees it (one-hot where discrete)."""
        return self.num_choices if self.discrete else self.dim


@dataclass(frozen=True, kw_only=True)
class Signature:
    """What a world, a dataset and a model must agree on.

    Attributes:
        observation: one spec per observation key.
        action: the action spec.
        rate_hz: world steps per second.
    """

    observation: Mapping[str, ArraySpec]
    action: ActionSpec
    rate_hz: float

    @property
    def cameras(self) -> tuple[str, ...]:
        """The keys that hold images."""
        return tuple(key for key in self.observation if key.startswith(IMAGES))

    def to_json(self) -> dict[str, Any]:
        """The signature as JSON types."""
        return {
            "observation": {key: asdict(spec) for key, spec in self.observation.items()},
            "action": asdict(self.action),
            "rate_hz": self.rate_hz,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Signature:
        """The inverse of :meth:`to_json`."""

        def tuples(fields: Mapping[str, Any]) -> dict[str, Any]:
            return {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}

        return cls(
            observation={
                key: ArraySpec(**tuples(spec)) for key, spec in content["observation"].items()
            },
            action=ActionSpec(**tuples(content["action"])),
            rate_hz=float(content["rate_hz"]),
        )


# ------------------------------------------------------------------------- recorded experience


@dataclass(frozen=True, kw_only=True)
class Episode:
    """One unbroken recording of ``T`` rows.

    ``action[i]`` is what was done between row ``i`` and row ``i + 1``; the last row's action led
    to nothing that was recorded and is never used.

    Attributes:
        observation: per key an array ``(T, ...)`` of the spec's shape and dtype.
        action: ``(T, dim)`` float32, or ``(T,)`` int64 where actions are discrete.
        task: what was being done, in words; empty where unknown.
    """

    observation: Mapping[str, np.ndarray]
    action: np.ndarray
    task: str = ""

    def __len__(self) -> int:
        return len(self.action)


@dataclass(frozen=True, kw_only=True)
class Windows:
    """A batch of clips cut from episodes, in model steps; none crosses an episode's end.

    Attributes:
        observation: per key ``(b, t, f, ...)``; images are uint8, vectors float32.
        actions: ``(b, t-1, a)`` model actions, in world units, one-hot where discrete.
        episode: ``(b,)`` index of the episode of each clip.
        step: ``(b,)`` row in its episode at which each clip begins.
    """

    observation: Mapping[str, Tensor]
    actions: Float[Tensor, "b t_minus_1 a"]
    episode: Int[Tensor, " b"]
    step: Int[Tensor, " b"]


# ------------------------------------------------------------------------- imagination and plans


@dataclass(frozen=True, kw_only=True)
class Past:
    """What came before the present: predictors with a window look back at it.

    Attributes:
        latents: ``(n, w, k, d)`` the latest earlier model steps, oldest first.
        actions: ``(n, w, a)`` the standardised model actions that were taken in them.
    """

    latents: Float[Tensor, "n w k d"]
    actions: Float[Tensor, "n w a"]

    def latest(self, steps: int) -> Past:
        """At most so many steps of it."""
        first = max(0, self.latents.shape[1] - steps)
        return Past(latents=self.latents[:, first:], actions=self.actions[:, first:])

    def repeated(self, times: int) -> Past:
        """Each of the ``n`` so many times in a row."""
        return Past(
            latents=self.latents.repeat_interleave(times, 0),
            actions=self.actions.repeat_interleave(times, 0),
        )


@dataclass(frozen=True, kw_only=True)
class Chance:
    """Which of the possible futures are imagined, where the world model has a latent variable.

    The same draws serve every candidate, so that candidates are compared in the same futures.

    Attributes:
        num_outcomes: futures imagined per candidate (``m``).
        seed: of the draws.
    """

    num_outcomes: int
    seed: int = 0

    def draws(self, horizon: int, num_variables: int) -> Float[Tensor, "m h v"]:
        """Uniform numbers in [0, 1), spread evenly over the outcomes of each step (stratified).

        Those of a step are the same however many steps follow.
        """
        generator = torch.Generator().manual_seed(self.seed)
        shape = (horizon, 2, self.num_outcomes, num_variables)
        order, within = torch.rand(shape, generator=generator).unbind(1)
        return ((order.argsort(1) + within) / self.num_outcomes).transpose(0, 1)


def gather(
    values: Shaped[Tensor, "b n ..."], index: Int[Tensor, "b m"]
) -> Shaped[Tensor, "b m ..."]:
    """Candidates by their index in each world."""
    if len(values) == 1:
        return values.index_select(1, index[0])
    wide = index.view(*index.shape, *[1] * (values.ndim - 2))
    return values.gather(1, wide.expand(*index.shape, *values.shape[2:]))


@dataclass(frozen=True, kw_only=True)
class Imagination:
    """Candidate action sequences and the latent states the world model expects from them.

    Where several futures of each candidate are imagined, they lie side by side: ``n`` counts
    candidates times outcomes.

    Attributes:
        latents: ``(b, n, h+1, k, d)``; index 0 of the horizon is the present.
        actions: ``(b, n, h, a)`` model actions, in world units.
        spread: ``(b, n, h)`` disagreement of an ensemble; None for a single model.
        num_outcomes: futures of each candidate.
    """

    latents: Float[Tensor, "b n h_plus_1 k d"]
    actions: Float[Tensor, "b n h a"]
    spread: Float[Tensor, "b n h"] | None = None
    num_outcomes: int = 1

    def pick(self, index: Int[Tensor, "b c"]) -> Imagination:
        """Some of the candidates, by their index in each world, with all their outcomes."""
        rows = self._rows(index)
        return self._each(lambda values: gather(values, rows))

    def put(self, index: Int[Tensor, "b c"], num_candidates: int) -> Imagination:
        """The inverse of :meth:`pick`: the candidates at their places among so many, which are NaN.

        Args:
            index: the place of each, in each world.
            num_candidates: that there are, these included.
        """
        rows = self._rows(index)
        worlds = torch.arange(len(index), device=index.device)[:, None]

        def among_all(values: Tensor) -> Tensor:
            count = num_candidates * self.num_outcomes
            places = values.new_full((len(values), count, *values.shape[2:]), torch.nan)
            return places.index_put((worlds, rows), values)

        return self._each(among_all)

    def _rows(self, index: Int[Tensor, "b c"]) -> Int[Tensor, "b c_times_m"]:
        """Where candidates lie, with all their outcomes."""
        if self.num_outcomes == 1:
            return index
        outcomes = torch.arange(self.num_outcomes, device=index.device)
        return (index[..., None] * self.num_outcomes + outcomes).flatten(1)

    def where(self, take: Bool[Tensor, " b"], other: Imagination) -> Imagination:
        """This imagination in the worlds to take, the other's in the rest."""

        def chosen(mine: Tensor, others: Tensor) -> Tensor:
            return torch.where(take.view(-1, *[1] * (mine.ndim - 1)), mine, others)

        spread = None
        if self.spread is not None and other.spread is not None:
            spread = chosen(self.spread, other.spread)
        return replace(
            self,
            latents=chosen(self.latents, other.latents),
            actions=chosen(self.actions, other.actions),
            spread=spread,
        )

    def detached(self) -> Imagination:
        """The same values, cut off from the graph that made them."""
        return self._each(lambda values: values.detach())

    def _each(self, change: Callable[[Tensor], Tensor]) -> Imagination:
        return replace(
            self,
            latents=change(self.latents),
            actions=change(self.actions),
            spread=None if self.spread is None else change(self.spread),
        )


@dataclass(frozen=True, kw_only=True)
class Scores:
    """What the cost makes of an imagination.

    Attributes:
        energy: ``(b, n)``, lower is better.
        terms: per cost term its weighted share ``(b, n)`` of the energy; they add up to it.
        margins: per guardrail ``(b, n, h)``, widened by what foresight may be wrong by; negative
            where violated.
        units: per guardrail a usual size of its margins, so that those of several can be added up.
        feasible: ``(b, n)`` whether every guardrail holds.
    """

    energy: Float[Tensor, "b n"]
    terms: Mapping[str, Float[Tensor, "b n"]]
    margins: Mapping[str, Float[Tensor, "b n h"]] = field(default_factory=dict)
    units: Mapping[str, float] = field(default_factory=dict)
    feasible: Bool[Tensor, "b n"]

    def violation(self) -> Float[Tensor, "b n"]:
        """By how much guardrails are violated over the horizon, each in its unit; zero for none."""
        total = torch.zeros_like(self.energy)
        for name, margin in self.margins.items():
            total = total + torch.relu(-margin).sum(-1) / self.units.get(name, 1.0)
        return total

    def each(self, change: Callable[[Tensor], Tensor]) -> Scores:
        """The same scores with every tensor changed alike."""
        return Scores(
            energy=change(self.energy),
            terms={name: change(value) for name, value in self.terms.items()},
            margins={name: change(value) for name, value in self.margins.items()},
            units=self.units,
            feasible=change(self.feasible),
        )


class PlanStatus(str, Enum):
    """How a search ended."""

    FOUND = "found"
    INFEASIBLE = "infeasible"
    OUT_OF_TIME = "out_of_time"


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How long the calls of a search take: so much each, and so much for each of its candidates.

    A call is one imagination with its scoring, and what a planner does about it until the next.

    Attributes:
        call_s: seconds of a call, however few candidates.
        candidate_s: seconds for each candidate of it, in all worlds together.
        slowest: how many times as long as foretold the slowest calls took of late.
        calls: how many were timed.
    """

    call_s: float
    candidate_s: float
    slowest: float = 2.0
    calls: int = 1

    @classmethod
    def first(cls, count: int, seconds: float) -> Pace:
        """What a single call tells: half of it may have been for its candidates."""
        return cls(call_s=seconds / 2, candidate_s=seconds / (2 * count))

    def seconds(self, count: int) -> float:
        """That a call of so many candidates is foretold to take."""
        return self.call_s + self.candidate_s * count

    def fitting(self, seconds: float) -> int:
        """How many candidates a call may have that is done in time even when it is slow."""
        return max(0, int((seconds / self.slowest - self.call_s) / self.candidate_s))

    def after(self, count: int, seconds: float) -> Pace:
        """Corrected by what a call took.

        The second call of another size tells the two parts apart. Each later one corrects half of
        its error by the least change of both parts, relative to what they take (Kaczmarz, 1937);
        what held up a single call is believed up to twice the time.
        """
        first = self.call_s / self.candidate_s
        if self.calls == 1 and count != round(first):
            each = (seconds - 2 * self.call_s) / (count - first)
            each = min(max(each, 0.02 * seconds / count), 0.98 * seconds / count)
            return Pace(call_s=seconds - each * count, candidate_s=each, calls=2)
        foretold = self.seconds(count)
        share = self.call_s / foretold
        error = 0.5 * (min(seconds / foretold, 2.0) - 1) / (share**2 + (1 - share) ** 2)
        slowest = max(min(seconds / foretold, 4.0), 1 + 0.99 * (self.slowest - 1))
        return Pace(
            call_s=self.call_s * (1 + error * share),
            candidate_s=self.candidate_s * (1 + error * (1 - share)),
            slowest=slowest,
            calls=self.calls + 1,
        )


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The actions chosen, with the evidence.

    Attributes:
        actions: ``(b, h, a)`` model actions, in world units.
        energy: ``(b,)`` energy of the chosen sequence.
        terms: per cost term its share ``(b,)`` of the energy.
        margins: per guardrail ``(b, h)``, widened; negative where violated.
        feasible: ``(b,)`` whether every guardrail holds.
        status: how the search ended; infeasible if it is so for any of the worlds.
        imagination: the chosen sequence as imagined: one candidate, with all its outcomes.
        num_iterations: rounds of search that were run.
        num_candidates: sequences imagined in all, per world, on every level.
        seconds: wall-clock time of the search.
        pace: how long the calls of the search took; None where nobody measured.
        above: the plan of the level above, whose first state this one seeks; None for a flat one.
    """

    actions: Float[Tensor, "b h a"]
    energy: Float[Tensor, " b"]
    terms: Mapping[str, Float[Tensor, " b"]]
    margins: Mapping[str, Float[Tensor, "b h"]]
    feasible: Bool[Tensor, " b"]
    status: PlanStatus
    imagination: Imagination
    num_iterations: int
    num_candidates: int
    seconds: float
    pace: Pace | None = None
    above: Plan | None = None


@dataclass(frozen=True, kw_only=True)
class Change:
    """Why another action left than the one that was planned.

    Attributes:
        agent: which of the agents.
        by: ``shield``, or the name of the fallback.
        reason: the guardrails at stake, with their margins.
        planned: the world action that was planned.
        action: the one that left.
    """

    agent: int
    by: str
    reason: str
    planned: np.ndarray
    action: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Decision:
    """One action leaving the agent, and why.

    Attributes:
        action: in world units: ``(dim,)`` float32, or an int64 scalar; leading ``b`` where batched.
        mode: 1 for reflex, 2 for deliberation; of several agents 1 where all act by reflex.
        plan: the plan behind the action, found now or at an earlier step; None for a reflex.
        plan_step: world steps since that plan was made, or since a reflex chose its actions.
        surprise: ``(b,)`` prediction error of the latest model step; NaN before there is one.
        shielded: ``(b,)`` whether the shield changed the action.
        seconds: wall-clock time of the decision.
        margins: ``(b,)`` per guardrail, as measured now; negative where it is violated already.
        changes: why other actions left than were planned, where they did.
        modes: ``(b,)`` the mode of each agent, where they may differ; None where all have the one.
    """

    action: np.ndarray
    mode: int
    plan: Plan | None
    plan_step: int
    surprise: np.ndarray
    shielded: np.ndarray
    seconds: float
    margins: Mapping[str, np.ndarray] = field(default_factory=dict)
    changes: tuple[Change, ...] = ()
    modes: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True)
class ActionSpace:
    """The model actions a planner may choose from, and the nearest allowed one to any vector.

    Attributes:
        low: ``(a,)`` smallest value per entry of a model action.
        high: ``(a,)`` largest value per entry.
        num_choices: for discrete actions the width of each one-hot group; 0 for continuous ones.
        block: world actions in one model action.
    """

    low: Float[Tensor, " a"]
    high: Float[Tensor, " a"]
    num_choices: int = 0
    block: int = 1

    @property
    def dim(self) -> int:
        """Width of a model action."""
        return self.low.shape[0]

    def project(self, actions: Float[Tensor, "*batch a"]) -> Float[Tensor, "*batch a"]:
        """The nearest allowed actions: clipped to the box, or one-hot at each group's largest.

        Gradients pass straight through the discrete choice (Bengio et al., 2013).
        """
        if not self.num_choices:
            return actions.clamp(self.low, self.high)
        groups = actions.unflatten(-1, (-1, self.num_choices))
        chosen = torch.nn.functional.one_hot(groups.argmax(-1), self.num_choices).to(actions.dtype)
        return (chosen + groups - groups.detach()).flatten(-2)


def unit_pushes(
    shape: tuple[int, ...], dim: int, generator: torch.Generator
) -> Float[Tensor, "*shape dim"]:
    """World actions of full strength in random directions, in units of the box."""
    drawn = torch.randn(*shape, dim, generator=generator, device=generator.device)
    return torch.nn.functional.normalize(drawn, dim=-1)


def axis_pushes(dim: int) -> Float[Tensor, "n dim"]:
    """World actions of full strength along each axis, forth then back, in units of the box."""
    forth = torch.eye(dim)
    return torch.stack([forth, -forth], dim=1).flatten(0, 1)


@dataclass(frozen=True, kw_only=True)
class PlanningProblem:
    """All that a planner is told: it never sees a model.

    Attributes:
        imagine: rolls candidate model actions ``(b, n, h, a)`` through the world model.
        score: turns the imagination into energies.
        space: which actions are allowed.
        num_worlds: ``b``.
        go_on: imagines further from where an imagination ended, under more model actions
            ``(b, n, h2, a)`` of each candidate: the imagination of both parts, as ``imagine`` gives
            it; None where that is not offered.
        follow: what each of many assumed states ``(b, n, h, k, d)`` leads to under its action
            ``(b, n, h, a)``, in one batched call; the first of them is the present. Differentiable.
            None where that is not offered.
        propose: candidates that come from elsewhere than the search: so many model action sequences
            ``(b, n, h, a)`` of a horizon; None where there are none. See :class:`Proposer`.
        sift: imagines and scores candidates of which only the best so many are wanted; the others
            may come back as NaN, with the worst of scores. None where all are imagined.
        sketch: ``imagine`` by a cheaper and coarser model, which foresees one future of each
            candidate; None where there is none.
        toward: energies of coming to given latents ``(b, k, d)`` instead, for plans that are made
            on several levels; None where there is one.
        above: the same problem by the slower clock of the level above; None on the highest.
        now: what time it is, in seconds; deadlines are kept by this clock.
    """

    imagine: Callable[[Float[Tensor, "b n h a"]], Imagination]
    score: Callable[[Imagination], Scores]
    space: ActionSpace
    num_worlds: int
    go_on: Callable[[Imagination, Float[Tensor, "b n h2 a"]], Imagination] | None = None
    follow: (
        Callable[[Float[Tensor, "b n h k d"], Float[Tensor, "b n h a"]], Float[Tensor, "b n h k d"]]
        | None
    ) = None
    propose: Callable[[int, int, torch.Generator], Float[Tensor, "b n h a"]] | None = None
    sift: Callable[[Float[Tensor, "b n h a"], int], tuple[Imagination, Scores]] | None = None
    sketch: Callable[[Float[Tensor, "b n h a"]], Imagination] | None = None
    toward: Callable[[Float[Tensor, "b k d"]], Callable[[Imagination], Scores]] | None = None
    above: PlanningProblem | None = None
    now: Callable[[], float] = time.perf_counter


@dataclass(frozen=True, kw_only=True)
class WarmStart:
    """What one search hands to the next.

    Attributes:
        actions: ``(b, h, a)`` the model actions that were left when the head of the sequence was
            executed, already shifted to begin now; None where there are none.
        pace: how long calls take; None where it is not known.
        above: what the search of the level above handed on; None for a flat one.
    """

    actions: Float[Tensor, "b h a"] | None = None
    pace: Pace | None = None
    above: WarmStart | None = None


# ------------------------------------------------------------------------- contracts


@runtime_checkable
class Encoder(Protocol):
    """Perception of one observation key: ``(n, f, ...)`` to tokens ``(n, k, d)``."""

    def __call__(self, values: Tensor) -> Float[Tensor, "n k d"]:
        """See the class."""
        ...


@runtime_checkable
class Predictor(Protocol):
    """The world's next latent, from the latest model steps and the actions taken in them.

    Attributes:
        window: steps that it looks at; it must answer for fewer as well, oldest first.
        num_members: networks that answer; of an ensemble the batch is split into so many equal
            parts, one for each.
    """

    window: int
    num_members: int

    def __call__(
        self, latents: Float[Tensor, "n w k d"], actions: Float[Tensor, "n w a"]
    ) -> Float[Tensor, "n k d"]:
        """See the class; actions are standardised."""
        ...


@runtime_checkable
class Regulariser(Protocol):
    """Keeps latents from collapsing: a scalar loss on encoded clips.

    Args:
        latents: ``(b, t, k, d)`` encoded clips.
        actions: ``(b, t-1, a)`` normalised actions between them.
        generator: the only source of randomness.
    """

    def __call__(
        self,
        latents: Float[Tensor, "b t k d"],
        actions: Float[Tensor, "b t_minus_1 a"],
        generator: torch.Generator,
    ) -> Float[Tensor, ""]:
        """See the class."""
        ...


@runtime_checkable
class Distance(Protocol):
    """How far apart two latents are, e.g. in steps: ``(..., k, d)`` twice to ``(...)``.

    Leading dimensions broadcast, so that a goal which many states share is looked at once.
    """

    def __call__(self, start: Tensor, goal: Tensor) -> Tensor:
        """See the class."""
        ...


@runtime_checkable
class Proposer(Protocol):
    """Where candidates come from that no search would draw: recorded actions, a policy.

    Args:
        latents: ``(b, k, d)`` the present of each world.
        number: of sequences for each world.
        horizon: model steps of each.
        generator: the only source of randomness.
    """

    def __call__(
        self,
        latents: Float[Tensor, "b k d"],
        *,
        number: int,
        horizon: int,
        generator: torch.Generator,
    ) -> Float[Tensor, "b n h a"]:
        """Model actions, in world units; what is not allowed is projected by the planner."""
        ...


@runtime_checkable
class Planner(Protocol):
    """Searches actions of low energy.

    Args:
        problem: what to imagine with and how to score.
        generator: the only source of randomness.
        warm_start: the previous answer, shifted; None at the start of an episode.
        deadline_s: seconds after which the best plan so far is returned; None for no limit.
    """

    def plan(
        self,
        problem: PlanningProblem,
        *,
        generator: torch.Generator,
        warm_start: WarmStart | None = None,
        deadline_s: float | None = None,
    ) -> Plan:
        """See the class."""
        ...


@runtime_checkable
class World(Protocol):
    """``num_worlds`` copies of an environment in lockstep, with what evaluation needs.

    A task is a start and a goal, drawn by :meth:`reset` from a seed. Observations never carry
    what only an evaluator may know; :meth:`truth` does.
    """

    name: str
    signature: Signature
    num_worlds: int

    def reset(self, seeds: Sequence[int]) -> Observation:
        """Begin a new task per copy; returns observations ``(b, ...)``. Same seed, same task."""
        ...

    def step(self, actions: np.ndarray) -> Observation:
        """Apply one action ``(b, dim)`` (or ``(b,)`` int64) per copy; returns ``(b, ...)``."""
        ...

    def observe(self) -> Observation:
        """What the sensors give now, ``(b, ...)``."""
        ...

    def goal(self) -> Observation:
        """What the sensors would give at the goal, ``(b, ...)``."""
        ...

    def succeeded(self) -> np.ndarray:
        """``(b,)`` whether each copy satisfies its goal now."""
        ...

    def truth(self) -> Mapping[str, np.ndarray]:
        """Hidden physical quantities by name, ``(b,)`` each, for probes and pictures only."""
        ...

    def goal_truth(self) -> Mapping[str, np.ndarray]:
        """Those of the quantities that the goal fixes, ``(b,)`` each, for pictures only."""
        ...

    def groups(self) -> Mapping[str, np.ndarray]:
        """``(b,)`` masks of task kinds that are reported apart, e.g. ``across`` rooms."""
        ...

    def oracle(self) -> np.ndarray:
        """Actions ``(b, dim)`` of the best known controller, which sees the truth."""
        ...

    def path_length(self) -> np.ndarray:
        """``(b,)`` true cost-to-go in world steps from here to the goal; NaN where unknown."""
        ...

    def explore(self, seed: int) -> Callable[[Observation], np.ndarray]:
        """Begins a goal-free episode for recording, from wherever suits it, in every copy.

        Returns the behaviour: observations to random, persistent actions. Call :meth:`reset`
        before and :meth:`observe` after, since exploring may begin elsewhere than a task.
        """
        ...


@runtime_checkable
class Telling(Protocol):
    """A world that says in words what came about, as people write it beside their logs."""

    def told(self) -> Sequence[str]:
        """``b`` sentences: what each copy has come to since its reset; empty where nothing is said.

        The same at the same place after the same reset.
        """
        ...


@runtime_checkable
class Placeable(Protocol):
    """A world that can be put into a state that was recorded, with a recorded state as its goal."""

    def place(self, start: Mapping[str, np.ndarray], goal: Mapping[str, np.ndarray]) -> Observation:
        """Puts every copy where :meth:`World.truth` once was; returns observations ``(b, ...)``.

        Call :meth:`World.reset` before, with as many seeds: what truth does not tell, such as
        chance, is the seed's. All else that depends on start and goal, groups and path lengths too,
        is as if a task had been drawn so.

        Args:
            start: quantities by name, ``(b,)`` each, as ``truth`` gave them.
            goal: those at the goal.

        Raises:
            ForethoughtError: the truth of such a world does not say all that a task takes.
        """
        ...


@runtime_checkable
class Resting(Protocol):
    """A world in which there is an action of doing nothing that its signature does not tell."""

    def rest(self) -> np.ndarray:
        """Actions ``(b, dim)``, or ``(b,)`` int64 where discrete, that leave things as they are."""
        ...


Snapshot = Mapping[str, np.ndarray]
"""Where copies of a world are, and their tasks: arrays ``(b, ...)`` by name. Rows may be repeated,
picked and saved like those of any array."""


@runtime_checkable
class Simulator(Protocol):
    """A world that can be put back to where it was, in as many copies as one likes.

    The same actions from the same snapshot give the same observations and truth, bit for bit.
    """

    def snapshot(self) -> Snapshot:
        """Where every copy is, and its task."""
        ...

    def restore(self, snapshot: Snapshot) -> None:
        """Puts the world there; it has as many copies as the snapshot has rows."""
        ...

    def advance(self, actions: np.ndarray) -> None:
        """As ``step``, without looking: no observation is made."""
        ...


@runtime_checkable
class Charted(Protocol):
    """A world whose true ways are known, from any place to any other."""

    def lengths_from(self, index: int, points: np.ndarray, goal: np.ndarray) -> np.ndarray:
        """``(n,)`` lengths of the shortest ways from points ``(n, 2)`` to a goal, in copy
        ``index``; places are ``position.x`` and ``position.y`` of the world's truth."""
        ...
