"""Which of several ways to compute a world model is the fastest here, and agrees with it.

How long each takes belongs to the machine and is remembered in a file. Whether it agrees belongs to
the weights, and is looked at each time.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from forethought.types import ForethoughtError
from forethought.world_model.world_model import WorldModel

EXACT_ERROR = 1e-4
"""Relative error of energies that float32 may have, whatever the order of its sums."""
GOALS = 8
"""Places that candidates are compared by."""
REPEATS = 3
FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A way to compute a world model.

    Attributes:
        name: of it.
        exact: whether all is in float32.
        build: the world model computed so; raises :class:`ForethoughtError` where it cannot be.
    """

    name: str
    exact: bool
    build: Callable[[], WorldModel]


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How like the world model's own an imagination is.

    Attributes:
        error: root mean squared error of energies, relative to them.
        elites: share of the best tenth found among the best tenth.
    """

    error: float
    elites: float


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What was found of one kind.

    Attributes:
        name: of the kind.
        seconds: of imagining all candidates; infinitely many where it cannot be used.
        agreement: None where it was not looked at, since another was faster or it cannot be used.
        refused: why it was not chosen; empty where it was, or was only slower.
    """

    name: str
    seconds: float = math.inf
    agreement: Agreement | None = None
    refused: str = ""

    def __str__(self) -> str:
        taken = "" if self.seconds == math.inf else f", {1000 * self.seconds:.1f} ms"
        found = ""
        if self.agreement is not None:
            found = f", error {self.agreement.error:.1e}, elites {self.agreement.elites:.1%}"
        return f"{self.name}{taken}{found}{self.refused and ': ' + self.refused}"


@dataclass(frozen=True, kw_only=True)
class TuningReport:
    """What was tried, and what was chosen.

    Attributes:
        chosen: name of the kind.
        trials: of all kinds, fastest first.
        remembered: whether the times are from an earlier tuning.
        notes: what the fast units could not take over.
    """

    chosen: str
    trials: tuple[Trial, ...]
    remembered: bool
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"{self.chosen} was chosen", *map(str, self.trials), *self.notes]
        return "\n  ".join(lines)


# ------------------------------------------------------------------------------- agreement


class Judge:
    """Compares imaginations with those of a world model.

    Random candidates start from a random observation. Their energies are squared distances of where
    they end from where other random candidates end.

    Args:
        world_model: the reference.
        candidates: sequences.
        horizon: model steps of each.
    """

    @torch.no_grad()
    def __init__(self, world_model: WorldModel, *, candidates: int, horizon: int) -> None:
        generator = torch.Generator().manual_seed(0)
        space = world_model.action_space
        shares = torch.rand(1, candidates + GOALS, horizon, space.dim, generator=generator)
        actions = space.project(space.low + (space.high - space.low) * shares.to(space.low))
        self.observation = _any_observation(world_model, generator)
        self.actions = actions[:, :candidates]
        others = actions[:, candidates:]
        self.goals = world_model.imagine(self._present(world_model), others).latents[0, :, -1]
        self.expected = self._energies(world_model)

    @torch.no_grad()
    def agreement(self, world_model: WorldModel) -> Agreement:
        """How like the reference it is."""
        found, expected = self._energies(world_model), self.expected
        error = (found - expected).square().mean()
        # Where all end where the goals are, energies are zero, and what is equal is equal still.
        error = error / expected.square().mean() if error != 0 else error
        best = max(1, expected.shape[1] // 10)
        chosen = [energies.topk(best, largest=False).indices for energies in (found, expected)]
        kept = (chosen[0][:, :, None] == chosen[1][:, None]).any(1).double().mean()
        return Agreement(error=float(error.sqrt()), elites=float(kept))

    @property
    def can_tell(self) -> bool:
        """Whether it makes a difference to the reference what is done."""
        return bool((self.expected.std(1) > 1e-6 * self.expected.mean(1)).all())

    @torch.no_grad()
    def seconds(self, models: Mapping[str, WorldModel]) -> dict[str, float]:
        """How long each takes to imagine the candidates; measured in turns, the least of each."""
        presents = {name: self._present(model) for name, model in models.items()}
        taken: dict[str, list[float]] = {name: [] for name in models}
        for _ in range(1 + REPEATS):
            for name, model in models.items():
                started = time.perf_counter()
                # Reading a number waits for devices that answer later.
                float(model.imagine(presents[name], self.actions).latents[0, 0, -1].sum())
                taken[name].append(time.perf_counter() - started)
        return {name: min(times[1:]) for name, times in taken.items()}

    def _present(self, world_model: WorldModel) -> Float[Tensor, "1 k d"]:
        return world_model.encode(self.observation)

    def _energies(self, world_model: WorldModel) -> Float[Tensor, "g n"]:
        ends = world_model.imagine(self._present(world_model), self.actions).latents[0, :, -1]
        ends, goals = ends.flatten(1).double(), self.goals.flatten(1).double()
        return (ends - goals[:, None]).square().sum(-1)


def _any_observation(world_model: WorldModel, generator: torch.Generator) -> dict[str, Tensor]:
    """Noise as the sensors would show it, standing still."""
    perception = world_model.perception
    frames, device = perception.config.frame_stack, world_model.low.device
    observation = {}
    for key in perception.keys:
        spec = world_model.signature.observation[key]
        if spec.dtype == "uint8":
            seen = torch.randint(0, 256, spec.shape, generator=generator, dtype=torch.uint8)
        else:
            seen = perception.in_world_units(key, torch.randn(spec.shape, generator=generator))
        observation[key] = seen.to(device).expand(1, frames, *spec.shape)
    return observation


# ------------------------------------------------------------------------------- choice


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What agreement is asked for.

    Attributes:
        elites: least share of the best tenth.
        error: largest error of energies; of kinds that are exact :data:`EXACT_ERROR` at most.
    """

    elites: float
    error: float

    def objection(self, kind: Kind, judge: Judge, found: Agreement) -> str:
        """What is wrong with a kind; empty for nothing."""
        error = min(self.error, EXACT_ERROR) if kind.exact else self.error
        if not kind.exact and not judge.can_tell:
            return "what is done makes no difference to this model, so that it cannot be judged"
        # Asked this way round, what is no number is too large as well.
        if not found.error <= error:
            return f"energies may be off by {error:.1e}"
        return "" if found.elites >= self.elites else f"{self.elites:.1%} of elites are asked for"


def tune(
    kinds: Sequence[Kind], judge: Judge, limits: Limits, memory: Memory | None
) -> tuple[WorldModel, TuningReport]:
    """The fastest kind that agrees, and what was found.

    Args:
        kinds: to choose from; the first is the reference itself.
        judge: of their agreement.
        limits: of it.
        memory: of times measured earlier; None to measure anew.
    """
    seconds = memory.read([kind.name for kind in kinds]) if memory else None
    remembered = seconds is not None
    if seconds is None:
        seconds = _measured(kinds, judge)
        if memory:
            memory.write(seconds)
    chosen, trials = None, []
    for kind in sorted(kinds, key=lambda kind: seconds[kind.name]):
        if chosen and seconds[kind.name] < math.inf:
            trials.append(Trial(name=kind.name, seconds=seconds[kind.name]))
            continue
        asked = None if kind is kinds[0] else limits
        model, trial = _tried(kind, seconds[kind.name], judge, asked)
        trials.append(trial)
        if model is not None:
            chosen = model, kind.name
    assert chosen, "the reference is never refused"
    report = TuningReport(chosen=chosen[1], trials=tuple(trials), remembered=remembered)
    return chosen[0], report


def _measured(kinds: Sequence[Kind], judge: Judge) -> dict[str, float]:
    """Seconds of each kind; infinitely many of those that cannot be used."""
    models = {}
    for kind in kinds:
        with suppress(ForethoughtError):
            models[kind.name] = kind.build()
    return {**dict.fromkeys((kind.name for kind in kinds), math.inf), **judge.seconds(models)}


def _tried(
    kind: Kind, seconds: float, judge: Judge, limits: Limits | None
) -> tuple[WorldModel | None, Trial]:
    """The model where it may be chosen, and what was found of it.

    Args:
        kind: what is tried.
        seconds: that it takes.
        judge: of its agreement.
        limits: of it; None for the reference, which may be chosen even where its energies are no
            numbers.
    """
    try:
        model = kind.build()
    except ForethoughtError as reason:
        return None, Trial(name=kind.name, refused=str(reason))
    if seconds == math.inf and limits:
        refused = "it could not be used when this machine was measured; delete the times to repeat"
        return None, Trial(name=kind.name, refused=refused)
    found = judge.agreement(model)
    objection = limits.objection(kind, judge, found) if limits else ""
    trial = Trial(name=kind.name, seconds=seconds, agreement=found, refused=objection)
    return (None if objection else model), trial


# ------------------------------------------------------------------------------- memory


class Memory:
    """Times measured on this machine, in one small file for each make of model.

    A file that is damaged or of another make is measured anew; where none can be written, a warning
    says so.

    Args:
        make: what the times depend on besides the machine, in JSON types.
        folder: of the files.
    """

    def __init__(self, make: Mapping[str, Any], folder: Path) -> None:
        self.key = {
            "format": FORMAT,
            "processor": processor(),
            "instructions": torch.backends.cpu.get_cpu_capability(),
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            **make,
        }
        name = hashlib.sha256(json.dumps(self.key, sort_keys=True).encode()).hexdigest()[:16]
        self.path = folder / f"{name}.json"

    def read(self, names: Sequence[str]) -> dict[str, float] | None:
        """Seconds of each kind, infinitely many of what is of no use; None if any is unknown."""
        try:
            content = json.loads(self.path.read_text())
            if content["key"] != json.loads(json.dumps(self.key)):
                return None
            known = content["seconds"]
            return {name: math.inf if known[name] is None else float(known[name]) for name in names}
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, seconds: Mapping[str, float]) -> None:
        """Remembers them."""
        known = {name: None if value == math.inf else value for name, value in seconds.items()}
        partial = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(json.dumps({"key": self.key, "seconds": known}, indent=2))
            os.replace(partial, self.path)
        except OSError as error:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            warnings.warn(
                f"{self.path}: what was measured cannot be kept ({error}), and will be measured "
                "again next time. Make room, or set XDG_CACHE_HOME to another folder.",
                stacklevel=2,
            )


def cache_folder() -> Path:
    """``forethought/speed`` in the user's cache, wherever XDG_CACHE_HOME says that this is."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(given) if os.path.isabs(given) else Path.home() / ".cache"
    return root / "forethought" / "speed"


def processor() -> str:
    """The processor's name."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
