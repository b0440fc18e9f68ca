"""What do latents hold, and does the agent's energy know how far it is?

Linear and MLP probes are fitted on frozen latents of some episodes and read every quantity that a
world or a recording offers out of those of others, beside the same probes on an untrained encoder
of the same form and on the sensors themselves, pictures made small. Latents that read no better
than these have learned nothing about the quantity.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from rich.console import Console
from torch import Tensor

from forethought.data.dataset import Dataset, EpisodeArrays
from forethought.data.windows import WindowConfig, WindowSampler
from forethought.evaluation.statistics import Estimate
from forethought.learning.latents import encode_rows
from forethought.model import Model, model_from_description
from forethought.types import ForethoughtError
from forethought.world_model.probes import (
    LinearProbe,
    MLPProbe,
    fit_linear_probe,
    fit_mlp_probe,
)

PICTURE_SIDE = 16
"""Pixels of a side to which pictures are made small where probes read them themselves."""
RIDGES = (1e-7, 1e-5, 1e-3, 1e-1)
"""Penalties tried, relative to the mean variance of what is read."""
RESAMPLES = 2000


@dataclass(frozen=True, kw_only=True)
class ProbingProtocol:
    """How probes are measured.

    Attributes:
        train_episodes: episodes that probes are fitted on, at most.
        held_out_episodes: episodes that they are measured on, at most.
        rows: rows that they are fitted on, at most, drawn at random.
        num_steps: steps of the MLP probes.
        seed: of rows, probes and the untrained encoder.
    """

    train_episodes: int = 120
    held_out_episodes: int = 60
    rows: int = 10_000
    num_steps: int = 1500
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What one kind of probe reads of one quantity out of one thing, in held-out episodes.

    Attributes:
        quantity: its name.
        source: what was read: the latents, an untrained encoder's, or the sensors.
        probe: linear or MLP.
        r2: share of its variance that is read; None for a quantity that never varies.
        rmse: root mean squared error, in the quantity's own unit.
    """

    quantity: str
    source: str
    probe: str
    r2: Estimate | None
    rmse: Estimate


@dataclass(frozen=True, kw_only=True)
class ProbingResults:
    """What latents hold.

    Attributes:
        data: name of what was recorded.
        protocol: how it was measured.
        perceived: quantities that the agent's own sensors tell it.
        train_rows: rows that probes were fitted on.
        held_out_rows: rows that they were measured on.
        readings: of every quantity, from every source, by every probe.
    """

    data: str
    protocol: ProbingProtocol
    perceived: tuple[str, ...]
    train_rows: int
    held_out_rows: int
    readings: tuple[Reading, ...]

    def of(self, quantity: str, source: str, probe: str) -> Reading:
        """One reading."""
        wanted = (quantity, source, probe)
        return next(one for one in self.readings if (one.quantity, one.source, one.probe) == wanted)

    @property
    def quantities(self) -> tuple[str, ...]:
        """Names of the quantities, in their order."""
        return tuple(dict.fromkeys(reading.quantity for reading in self.readings))

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON types."""
        return {**asdict(self), "perceived": list(self.perceived)}


LATENTS, UNTRAINED, SENSORS = "latents", "untrained encoder", "sensors"
SOURCES = (LATENTS, UNTRAINED, SENSORS)
LINEAR, MLP = "linear", "MLP"
PROBES = (LINEAR, MLP)


def probe_latents(
    model: Model,
    data: Dataset,
    protocol: ProbingProtocol | None = None,
    *,
    train: Sequence[int],
    held_out: Sequence[int],
    visible: bool = True,
) -> ProbingResults:
    """Fits probes on some episodes and measures them on others.

    Args:
        model: whose latents are read.
        data: recordings with quantities: every sensor that is a vector, and a world's truth.
        protocol: how to measure.
        train: episodes that probes are fitted on.
        held_out: episodes that they are measured on.
        visible: say what is being done.

    Raises:
        ForethoughtError: recordings without quantities, no episodes, or the same in both parts.
    """
    protocol = protocol or ProbingProtocol()
    train, held_out = train[: protocol.train_episodes], held_out[: protocol.held_out_episodes]
    _refuse_overlap(train, held_out)
    names = quantity_names(data)
    status = Console(stderr=True, quiet=not visible).status("probing")
    readings: list[Reading] = []
    with status:
        first, second = (_load(model, data, part) for part in (train, held_out))
        draw = torch.Generator().manual_seed(protocol.seed)
        rows = torch.randperm(_count(first), generator=draw)[: protocol.rows]
        targets, true = quantities_of(first)[rows], quantities_of(second)
        groups, episode = _episode_of(first)[rows], _episode_of(second)
        for source, see in _sources(model, protocol.seed).items():
            status.update(f"probing {source}")
            probes = _fitted(see(first)[rows], targets, groups, protocol)
            seen = see(second)
            for probe_name, probe in probes.items():
                with torch.no_grad():
                    read = probe(seen)
                errors = held_out_errors(read.numpy(), true.numpy(), episode.numpy())
                for name, (r2, rmse) in zip(names, errors, strict=True):
                    readings.append(
                        Reading(quantity=name, source=source, probe=probe_name, r2=r2, rmse=rmse)
                    )
    return ProbingResults(
        data=data.path.name,
        protocol=protocol,
        perceived=_perceived(model, data),
        train_rows=len(rows),
        held_out_rows=len(true),
        readings=tuple(readings),
    )


# ------------------------------------------------------------------------------- quantities


def _vectors(data: Dataset | EpisodeArrays) -> list[str]:
    return [
        key
        for key, spec in data.signature.observation.items()
        if spec.dtype == "float32" and len(spec.shape) == 1
    ]


def _names_of(data: Dataset, key: str) -> tuple[str, ...]:
    spec = data.signature.observation[key]
    return spec.names or tuple(f"{key}[{i}]" for i in range(spec.shape[0]))


def quantity_names(data: Dataset) -> tuple[str, ...]:
    """Every quantity that recordings offer: entries of their vectors, a world's truth among them.

    Raises:
        ForethoughtError: there is none.
    """
    names = tuple(name for key in _vectors(data) for name in _names_of(data, key))
    if not names:
        raise ForethoughtError(
            f"{data.path}: no quantity to be read, its sensors are "
            f"{sorted(data.signature.observation)}. Record a world that tells the truth, or data "
            "with a vector such as observation.state."
        )
    return names


def quantities_of(arrays: EpisodeArrays) -> Float[Tensor, "rows q"]:
    """The quantities of every row, in the order of :func:`quantity_names`."""
    return torch.cat([arrays.observation[key] for key in _vectors(arrays)], dim=1)


def _perceived(model: Model, data: Dataset) -> tuple[str, ...]:
    own = [key for key in _vectors(data) if key in model.world_model.perception.keys]
    return tuple(name for key in own for name in _names_of(data, key))


def _load(model: Model, data: Dataset, episodes: Sequence[int]) -> EpisodeArrays:
    keys = list(dict.fromkeys([*model.world_model.perception.keys, *_vectors(data)]))
    return data.load(list(episodes), keys=keys, image_size=model.image_size)


def _count(arrays: EpisodeArrays) -> int:
    return int(arrays.offsets[-1])


def _episode_of(arrays: EpisodeArrays) -> Int[Tensor, " rows"]:
    """Which of the loaded episodes each row is of."""
    return torch.repeat_interleave(torch.arange(len(arrays.episodes)), arrays.lengths)


def _refuse_overlap(train: Sequence[int], held_out: Sequence[int]) -> None:
    both = sorted(set(train) & set(held_out))
    if both or not train or not held_out:
        raise ForethoughtError(
            f"probes are fitted on {len(train)} episodes and measured on {len(held_out)}, "
            f"{len(both)} of them the same; give one or more of each, and none in both."
        )


# ------------------------------------------------------------------------------- what is read


def _sources(
    model: Model, seed: int
) -> dict[str, Callable[[EpisodeArrays], Float[Tensor, "rows k d"]]]:
    """What probes read, from episodes."""
    fresh = untrained(model, seed)
    return {
        LATENTS: lambda arrays: encode_rows(model.world_model, arrays),
        UNTRAINED: lambda arrays: encode_rows(fresh.world_model, arrays),
        SENSORS: lambda arrays: sensor_rows(model, arrays),
    }


def untrained(model: Model, seed: int) -> Model:
    """A model of the same form and with the same normalisation that has learned nothing."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = model_from_description(model.description(), where="the model")
    known = {k: v for k, v in model.state_dict().items() if "normaliser" in k}
    fresh.load_state_dict({**fresh.state_dict(), **known})
    return fresh.eval()


@torch.no_grad()
def sensor_rows(
    model: Model, arrays: EpisodeArrays, *, batch_size: int = 512
) -> Float[Tensor, "rows 1 d"]:
    """What the model's own sensors give at every row, its frames side by side; pictures small."""
    perception = model.config.world_model.perception
    window = WindowConfig(
        length=1,
        action_block=1,
        frame_stack=perception.frame_stack,
        frame_gap=perception.frame_gap,
    )
    sampler = WindowSampler(arrays, window)
    keys = model.world_model.perception.keys
    parts = []
    for episodes, steps in sampler.rows(batch_size):
        seen = sampler.at(episodes, steps).observation
        parts.append(torch.cat([_small(seen[key][:, 0]) for key in keys], dim=1))
    return torch.cat(parts).unsqueeze(1)


def _small(values: Tensor) -> Float[Tensor, "b d"]:
    """Frames ``(b, f, ...)`` as one vector each."""
    if values.ndim < 5:
        return values.flatten(1).float()
    pictures = values.flatten(0, 1).permute(0, 3, 1, 2).float() / 255
    side = min(PICTURE_SIDE, *pictures.shape[-2:])
    small = torch.nn.functional.adaptive_avg_pool2d(pictures, side)
    return small.reshape(len(values), -1)


def _fitted(
    features: Float[Tensor, "rows k d"],
    targets: Float[Tensor, "rows q"],
    groups: Int[Tensor, " rows"],
    protocol: ProbingProtocol,
) -> Mapping[str, LinearProbe | MLPProbe]:
    generator = torch.Generator().manual_seed(protocol.seed)
    return {
        LINEAR: linear_probe(features, targets, groups),
        MLP: fit_mlp_probe(features, targets, generator=generator, num_steps=protocol.num_steps),
    }


def linear_probe(
    features: Float[Tensor, "rows k d"],
    targets: Float[Tensor, "rows q"],
    groups: Int[Tensor, " rows"],
) -> LinearProbe:
    """A ridge regression with the penalty, for each quantity, that does best on a fifth of the
    episodes, so that neither latents nor pixels are put at a disadvantage by their scale.

    Args:
        features: what is read.
        targets: the quantities.
        groups: the episode of each row.
    """
    kept = torch.isin(groups, groups.unique()[::5])
    if bool(kept.all()):
        kept = torch.arange(len(groups)) < len(groups) // 5
    tried = [fit_linear_probe(features[~kept], targets[~kept], ridge=one) for one in RIDGES]
    errors = [(probe(features[kept]) - targets[kept]).square().mean(0) for probe in tried]
    best = torch.stack(errors).argmin(0)
    chosen = LinearProbe(features[0].numel(), targets.shape[1])
    for place in best.unique().tolist():
        probe = fit_linear_probe(features, targets, ridge=RIDGES[place])
        chosen.weight[:, best == place] = probe.weight[:, best == place]
        chosen.bias[best == place] = probe.bias[best == place]
    return chosen


# ------------------------------------------------------------------------------- errors


def held_out_errors(
    read: Float[np.ndarray, "rows q"],
    true: Float[np.ndarray, "rows q"],
    episode: Int[np.ndarray, " rows"],
    *,
    seed: int = 0,
) -> list[tuple[Estimate | None, Estimate]]:
    """Explained variance and root mean squared error of each quantity, with bootstrap intervals.

    Rows of an episode are alike, so that whole episodes are drawn again.

    Args:
        read: what probes read.
        true: what was.
        episode: of each row, counted from 0.
        seed: of the draws.

    Returns:
        For each quantity its R2 (None where it never varies) and its error.
    """
    count = int(episode.max()) + 1
    draws = np.random.default_rng(seed).integers(count, size=(RESAMPLES, count))
    times = np.stack([np.bincount(draw, minlength=count) for draw in draws])
    picked = np.concatenate([np.ones((1, count)), times])
    rows = picked @ np.bincount(episode, minlength=count)
    results = []
    for column in range(true.shape[1]):
        # Centred, so that squares of large numbers do not swallow their differences.
        y = true[:, column].astype(float) - true[:, column].mean(dtype=float)
        missed = np.square(read[:, column].astype(float) - true[:, column])
        squares, sums, misses = (
            picked @ np.bincount(episode, weights, minlength=count)
            for weights in (np.square(y), y, missed)
        )
        rmse = np.sqrt(misses / rows)
        varies = true[:, column].max() > true[:, column].min()
        spread = np.maximum(squares - sums**2 / rows, 1e-12)
        r2 = _estimate(1 - misses / spread, count) if varies else None
        results.append((r2, _estimate(rmse, count)))
    return results


def _estimate(values: Float[np.ndarray, " m"], episodes: int) -> Estimate:
    """The first value, with the percentiles of the others."""
    low, high = np.percentile(values[1:], [2.5, 97.5])
    return Estimate(value=float(values[0]), low=float(low), high=float(high), episodes=episodes)
