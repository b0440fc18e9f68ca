"""Rollouts that nothing was trained on, for guardrails to be calibrated on."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from forethought.config import register
from forethought.cost.calibration import Calibration
from forethought.data.store import Dataset, EpisodeArrays
from forethought.data.windows import WindowConfig, WindowSampler
from forethought.model import Model
from forethought.types import TASK, ForethoughtError, Past

MOST_NUMBERS = 4_000_000
"""Numbers of latents that are kept at most: sixteen megabytes."""
CHUNK = 256


@register
@dataclass(frozen=True, kw_only=True)
class CalibrationConfig:
    """What guardrails are calibrated on.

    Attributes:
        num_rollouts: drawn at random from held-out episodes; fewer where there are fewer.
        horizon: model steps of each, at most; as many as half of the episodes have where they are
            shorter.
    """

    num_rollouts: int = 4000
    horizon: int = 8


def probe_key(model: Model) -> str:
    """The key of the quantities that the model's probes read.

    Raises:
        ForethoughtError: it has no probes.
    """
    if not model.config.probes or not model.notes.get("probe_key"):
        raise ForethoughtError(
            "this model has no probes, so there are no quantities to calibrate. Train with a "
            "recipe that has probes, on data that hold what guardrails will be about."
        )
    return str(model.notes["probe_key"])


def episodes_for(
    model: Model, data: Dataset, episodes: Sequence[int] | None = None
) -> EpisodeArrays:
    """Episodes that the model was not trained on, as :func:`calibrate` takes them.

    Args:
        model: a trained model with probes.
        data: the dataset that it was trained on, or another one.
        episodes: which; None for those that training held out, or for all of another dataset.

    Raises:
        ForethoughtError: the data lack what the model needs, or training has seen an episode.
    """
    probe_key(model)
    own = data.path.name == model.notes.get("data")
    held_out = list(model.notes["held_out_episodes"]) if own else list(range(data.num_episodes))
    chosen = held_out if episodes is None else list(episodes)
    if seen := sorted(set(chosen) - set(held_out)):
        raise ForethoughtError(
            f"{data.path}: episode {seen[0]} is none to calibrate on: training has seen it, or "
            f"there is none. Choose among {held_out[:8]} ..., or give later data."
        )
    return arrays_of(model, data, chosen)


def arrays_of(model: Model, data: Dataset, episodes: Sequence[int]) -> EpisodeArrays:
    """Episodes with what a model perceives, and what its probes read where it has any.

    Raises:
        ForethoughtError: the data lack what the model needs.
    """
    key = probe_key(model) if model.config.probes else None
    check_recorded(model, data, key)
    keys = list(model.world_model.perception.keys)
    keys += [key] if key and key not in keys else []
    return data.load(episodes, keys=keys, image_size=model.image_size)


def check_recorded(model: Model, data: Dataset, key: str | None) -> None:
    """Refuses data that lack what the model perceives, or the quantities that its probes read.

    Args:
        model: a trained model.
        data: recordings.
        key: of the quantities; None where they are not needed.

    Raises:
        ForethoughtError: see above.
    """
    wanted = [*model.world_model.perception.keys, *([key] if key else [])]
    if missing := [k for k in wanted if not _has(data, k)]:
        raise ForethoughtError(
            f"{data.path} lacks {missing[0]!r}, which this model needs; it has "
            f"{sorted(data.signature.observation)}. Give data like those it was trained on."
        )
    if key and (names := data.signature.observation[key].names) != model.config.probes:
        raise ForethoughtError(
            f"{data.path}: {key!r} holds {list(names)}, the model's probes read "
            f"{list(model.config.probes)}. Give data like those it was trained on."
        )


def _has(data: Dataset, key: str) -> bool:
    return key == TASK or key in data.signature.observation


@torch.no_grad()
def calibrate(
    model: Model,
    arrays: EpisodeArrays,
    config: CalibrationConfig | None = None,
    *,
    seed: int = 0,
) -> Calibration:
    """Imagines what was done in recorded episodes, and puts beside it what came.

    Of a model with a latent variable the likeliest future is imagined.

    Args:
        model: a trained model with probes.
        arrays: episodes that no training saw, with what the model perceives and what its probes
            read.
        config: how much.
        seed: of the draw.

    Raises:
        ForethoughtError: the model has no probes, or episodes are shorter than one model step.
    """
    config = config or CalibrationConfig()
    sampler, horizon = _sampler(model, arrays, config)
    episodes, steps = sampler.starts()
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(episodes), generator=generator)[: config.num_rollouts]
    kept = MOST_NUMBERS // ((horizon + 1) * model.world_model.num_tokens * model.world_model.width)
    parts = []
    for begin in range(0, len(chosen), CHUNK):
        index = chosen[begin : begin + CHUNK]
        few = slice(max(0, min(len(index), kept - begin)))
        parts.append(_rolled(model, sampler, episodes[index], steps[index], few))
    imagined, recorded, actions, foreseen, seen = (
        torch.cat(part) for part in zip(*parts, strict=True)
    )
    return Calibration(
        names=model.config.probes,
        imagined=imagined,
        recorded=recorded,
        actions=actions,
        foreseen=foreseen,
        seen=seen,
    )


def _sampler(
    model: Model, arrays: EpisodeArrays, config: CalibrationConfig
) -> tuple[WindowSampler, int]:
    """Clips of what a predictor looks back at and what it foresees, and the horizon."""
    perception, block = model.config.world_model.perception, model.config.world_model.action_block
    before = model.world_model.predictor.window - 1
    history = (perception.frame_stack - 1) * perception.frame_gap
    usual = int(arrays.lengths.median()) if arrays.episodes else 0
    horizon = min(config.horizon, max(1, (usual - 1 - history) // block - before))
    windows = WindowConfig(
        length=before + 1 + horizon,
        action_block=block,
        frame_stack=perception.frame_stack,
        frame_gap=perception.frame_gap,
        whole_history=True,
    )
    with warnings.catch_warnings():
        # Episodes that are too short for a rollout are no loss here.
        warnings.simplefilter("ignore", UserWarning)
        return WindowSampler(arrays, windows), horizon


def _rolled(
    model: Model,
    sampler: WindowSampler,
    episodes: Int[Tensor, " n"],
    steps: Int[Tensor, " n"],
    kept: slice,
) -> tuple[Tensor, ...]:
    """The parts of a :class:`Calibration` for some clips; latents of those that are kept."""
    world_model, key = model.world_model, probe_key(model)
    block, before = model.config.world_model.action_block, world_model.predictor.window - 1
    windows = sampler.at(episodes, steps)
    device = model.device
    seen = {k: windows.observation[k].to(device) for k in world_model.perception.keys}
    latents, actions = world_model.encode(seen), windows.actions.to(device)
    standard = world_model.normalise(actions)
    past = Past(latents=latents[:, :before], actions=standard[:, :before]) if before else None
    foreseen = world_model.rollout(latents[:, before], standard[:, before:], past=past)
    now = sampler.arrays.offsets[episodes] + steps + before * block
    rows = now[:, None] + torch.arange((actions.shape[1] - before) * block + 1)
    imagined: Float[Tensor, "n h_plus_1 q"] = model.mlp_probe(foreseen)
    return (
        imagined.cpu(),
        sampler.arrays.observation[key][rows],
        windows.actions[:, before:],
        foreseen[kept].cpu(),
        latents[kept, before:].cpu(),
    )
