"""Does the model foresee what was recorded? For data that have no simulator.

On held-out episodes: open-loop prediction against "nothing changes", against linear extrapolation
and against ridge regression with the actions; the same with shuffled actions, which must be worse;
whether planning towards what came next recovers what was done; and whether surprise finds spliced
clips.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from rich.console import Console
from torch import Tensor

from forethought.data.store import Dataset, EpisodeArrays
from forethought.evaluation.clips import Clips, cut_clips
from forethought.evaluation.recovery import Recovery, recover
from forethought.evaluation.statistics import Estimate, auroc, bootstrap_mean
from forethought.learning.ridge import fit_ridge
from forethought.model import Model
from forethought.types import ForethoughtError
from forethought.world_model.probes import LinearProbe, fit_linear_probe

NUM_COMPONENTS = 16


@dataclass(frozen=True, kw_only=True)
class PredictionProtocol:
    """How prediction is measured.

    Attributes:
        horizons: world steps ahead; each a multiple of the model's action block.
        recoveries: world steps over which actions are recovered; likewise.
        clips: held-out clips at most.
        train_clips: clips that baselines and probes are fitted on at most.
        seed: of the clips.
    """

    horizons: tuple[int, ...] = (5, 10)
    recoveries: tuple[int, ...] = (5,)
    clips: int = 2000
    train_clips: int = 12_000
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class HorizonErrors:
    """Errors at one horizon over those of copy: the squared error of "nothing changes" is 1.

    Attributes:
        steps: world steps ahead.
        seconds: the same in seconds.
        latent: of the model's latents.
        latent_linear: of latents extrapolated linearly.
        latent_shuffled: of the model's latents under another clip's actions.
        quantities: of the change of the quantities, read by a linear probe.
        quantities_shuffled: the same under another clip's actions.
        probed: of the quantities as the probe reads them from latents alone, where copying reads
            the present latent: what an agent that has no other sensor knows of them.
        linear: of quantities extrapolated linearly.
        ridge: of ridge regression from what the sensors gave and the actions.
    """

    steps: int
    seconds: float
    latent: float
    latent_linear: float
    latent_shuffled: float
    quantities: float
    quantities_shuffled: float
    probed: float
    linear: float
    ridge: float


@dataclass(frozen=True, kw_only=True)
class PredictionResults:
    """What a model makes of held-out recordings.

    Attributes:
        data: name of the dataset.
        protocol: how it was measured.
        clips: held-out clips measured.
        quantities: names of the quantities.
        horizons: errors by horizon.
        recoveries: recovered actions by horizon.
        splice_auroc: how well surprise separates spliced from untouched clips: 0.5 is chance.
        splice_auroc_copy: the same for the size of the change alone, as a control.
        surprise: mean surprise of untouched clips, with its interval.
        examples: arrays for pictures: ``seconds``, ``recorded``, ``predicted``, ``untouched``,
            ``spliced``.
    """

    data: str
    protocol: PredictionProtocol
    clips: int
    quantities: tuple[str, ...]
    horizons: tuple[HorizonErrors, ...]
    recoveries: tuple[Recovery, ...]
    splice_auroc: float
    splice_auroc_copy: float
    surprise: Estimate
    examples: Mapping[str, np.ndarray] = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """Everything but the examples, as JSON types."""
        content = {
            name: getattr(self, name)
            for name in ("data", "clips", "splice_auroc", "splice_auroc_copy")
        }
        return {
            **content,
            "protocol": asdict(self.protocol),
            "quantities": list(self.quantities),
            "horizons": [asdict(errors) for errors in self.horizons],
            "recoveries": [asdict(recovery) for recovery in self.recoveries],
            "surprise": asdict(self.surprise),
        }


def predict(
    model: Model,
    data: Dataset,
    protocol: PredictionProtocol | None = None,
    *,
    episodes: Sequence[int] | None = None,
    visible: bool = True,
) -> PredictionResults:
    """Measures open-loop prediction on held-out episodes.

    Args:
        model: a trained model.
        data: the dataset that it was trained on.
        protocol: how to measure.
        episodes: episodes to measure on; those that training held out where not said.
        visible: say what is being done.

    Raises:
        ForethoughtError: the data do not fit the model, or episodes are too short.
    """
    protocol = protocol or PredictionProtocol()
    horizons = _in_model_steps(model, protocol)
    held_out_ids, train_ids = _episodes(model, data, episodes)
    console = Console(stderr=True, quiet=not visible)
    with console.status("encoding recordings"):
        names, train, held_out = _load(
            model, data, protocol, train_ids, held_out_ids, max(horizons)
        )
        probe = fit_linear_probe(train.latents[:, 1], train.quantities[:, 1])
    generator = torch.Generator().manual_seed(protocol.seed)
    with console.status("predicting"):
        ahead = _rollout(model, held_out, held_out.future())
        order = torch.randperm(len(held_out.latents), generator=generator)
        shuffled = _rollout(model, held_out, held_out.future()[order])
        errors = tuple(
            _horizon(model, train, held_out, ahead, shuffled, probe, horizon)
            for horizon in horizons
        )
        untouched, spliced, control = _surprises(model, held_out, generator)
    with console.status("recovering actions"):
        block = model.config.world_model.action_block
        recoveries = tuple(
            recover(model, train, held_out, steps // block, generator)
            for steps in protocol.recoveries
        )
    return PredictionResults(
        data=data.path.name,
        protocol=protocol,
        clips=len(held_out.latents),
        quantities=names,
        horizons=errors,
        recoveries=recoveries,
        splice_auroc=auroc(spliced, untouched),
        splice_auroc_copy=auroc(control[1], control[0]),
        surprise=bootstrap_mean(untouched),
        examples={
            **_examples(model, held_out, ahead, probe),
            "untouched": untouched,
            "spliced": spliced,
        },
    )


# ------------------------------------------------------------------------------- recordings


def _in_model_steps(model: Model, protocol: PredictionProtocol) -> list[int]:
    block = model.config.world_model.action_block
    for steps in (*protocol.horizons, *protocol.recoveries):
        if steps % block:
            raise ForethoughtError(
                f"a horizon of {steps} world steps is no multiple of the model's action_block "
                f"{block}; choose horizons such as {block}, {2 * block}, {4 * block}."
            )
    return [steps // block for steps in protocol.horizons]


def _episodes(
    model: Model, data: Dataset, episodes: Sequence[int] | None
) -> tuple[list[int], list[int]]:
    """Episodes to measure on, and the others."""
    chosen = list(model.notes["held_out_episodes"] if episodes is None else episodes)
    if outside := [e for e in chosen if not 0 <= e < data.num_episodes]:
        raise ForethoughtError(
            f"{data.path}: episode {outside[0]} was asked for, there are {data.num_episodes}. "
            "Give the dataset that the model was trained on, or --episodes."
        )
    taken = set(chosen)
    return chosen, [e for e in range(data.num_episodes) if e not in taken]


def _load(
    model: Model,
    data: Dataset,
    protocol: PredictionProtocol,
    train_ids: list[int],
    held_out_ids: list[int],
    horizon: int,
) -> tuple[tuple[str, ...], Clips, Clips]:
    keys = list(model.world_model.perception.keys)
    probe_key = model.notes.get("probe_key")
    wanted = [*keys, *([probe_key] if probe_key and probe_key not in keys else [])]
    cameras = [k for k in keys if len(model.signature.observation[k].shape) == 3]
    size = model.image_size
    train = data.load(train_ids, keys=wanted, image_size=size)
    held_out = data.load(held_out_ids, keys=wanted, image_size=size)
    names, first, second = _quantities(model, train, held_out, probe_key, cameras)
    draw = torch.Generator().manual_seed(protocol.seed)
    return (
        names,
        cut_clips(model, train, first, horizon=horizon, most=protocol.train_clips, generator=draw),
        cut_clips(model, held_out, second, horizon=horizon, most=protocol.clips, generator=draw),
    )


def _quantities(
    model: Model,
    train: EpisodeArrays,
    held_out: EpisodeArrays,
    probe_key: str | None,
    cameras: list[str],
) -> tuple[tuple[str, ...], Float[Tensor, "rows q"], Float[Tensor, "rows2 q"]]:
    """Standardised quantities of every row: the probes', or the main components of the picture."""
    if probe_key:
        values = [arrays.observation[probe_key] for arrays in (train, held_out)]
        names = model.config.probes
    else:
        basis, centre = _picture_components(train.observation[cameras[0]])
        values = [
            (arrays.observation[cameras[0]].flatten(1).float() - centre) @ basis
            for arrays in (train, held_out)
        ]
        names = tuple(f"picture component {i + 1}" for i in range(basis.shape[1]))
    mean, std = values[0].mean(0), values[0].std(0)
    scale = torch.where(std > 1e-6, std, torch.ones_like(std))
    return names, (values[0] - mean) / scale, (values[1] - mean) / scale


def _picture_components(images: Tensor) -> tuple[Float[Tensor, "p q"], Float[Tensor, " p"]]:
    pixels = images[:: max(1, len(images) // 2000)].flatten(1).float()
    centre = pixels.mean(0)
    _, _, basis = torch.svd_lowrank(pixels - centre, q=NUM_COMPONENTS, niter=4)
    return basis, centre


# ------------------------------------------------------------------------------- errors


@torch.no_grad()
def _rollout(
    model: Model, clips: Clips, actions: Float[Tensor, "n h a"]
) -> Float[Tensor, "n h_plus_1 k d"]:
    return model.world_model.rollout(clips.latents[:, 1], actions)


def _horizon(
    model: Model,
    train: Clips,
    clips: Clips,
    ahead: Float[Tensor, "n h_plus_1 k d"],
    shuffled: Float[Tensor, "n h_plus_1 k d"],
    probe: LinearProbe,
    horizon: int,
) -> HorizonErrors:
    now, then = clips.latents[:, 1], clips.latents[:, 1 + horizon]
    change = clips.quantities[:, 1 + horizon] - clips.quantities[:, 1]
    extrapolated = horizon * (clips.quantities[:, 1] - clips.quantities[:, 0])
    ridge = fit_ridge(
        _ridge_inputs(train, horizon),
        train.quantities[:, 1 + horizon] - train.quantities[:, 1],
        train.episode,
    )
    steps = horizon * model.config.world_model.action_block
    read, foreseen = probe(now), probe(ahead[:, horizon])
    return HorizonErrors(
        steps=steps,
        seconds=steps / model.signature.rate_hz,
        latent=_against(ahead[:, horizon] - now, then - now),
        latent_linear=_against(horizon * (now - clips.latents[:, 0]), then - now),
        latent_shuffled=_against(shuffled[:, horizon] - now, then - now),
        quantities=_against(foreseen - read, change),
        quantities_shuffled=_against(probe(shuffled[:, horizon]) - read, change),
        probed=_against(foreseen - read, clips.quantities[:, 1 + horizon] - read),
        linear=_against(extrapolated, change),
        ridge=_against(ridge(_ridge_inputs(clips, horizon)), change),
    )


def _against(predicted_change: Tensor, change: Tensor) -> float:
    """Squared error of a predicted change over that of predicting none."""
    return float((predicted_change - change).square().mean() / change.square().mean())


def _ridge_inputs(clips: Clips, horizon: int) -> Float[Tensor, "n i"]:
    """The same window that the model perceives, and the same actions."""
    return torch.cat([clips.features[:, 1], clips.future()[:, :horizon].flatten(1)], -1)


@torch.no_grad()
def _surprises(
    model: Model, clips: Clips, generator: torch.Generator
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Surprise of untouched and of spliced clips, and how much both change, as a control.

    A spliced clip goes over, after the model step from now, into a moment of another clip.
    """
    order = _others(clips, generator)
    expected = model.world_model.rollout(clips.latents[:, 1], clips.future()[:, :1])[:, -1]
    came, spliced = clips.latents[:, 2], clips.latents[order, 2]
    now = clips.latents[:, 1]

    def squared(gap: Tensor) -> np.ndarray:
        return gap.square().mean((-1, -2)).numpy()

    return (
        squared(came - expected),
        squared(spliced - expected),
        (squared(came - now), squared(spliced - now)),
    )


def _others(clips: Clips, generator: torch.Generator) -> Tensor:
    """For each clip another one, of another episode or far off in the same."""
    count, apart = len(clips.episode), clips.latents.shape[1] * 4
    order = torch.randperm(count, generator=generator)
    for _ in range(20):
        near = (clips.episode[order] == clips.episode) & (
            (clips.step[order] - clips.step).abs() < apart
        )
        if not near.any():
            break
        order[near] = torch.randint(count, (int(near.sum()),), generator=generator)
    return order


def _examples(
    model: Model, clips: Clips, ahead: Float[Tensor, "n h_plus_1 k d"], probe: LinearProbe
) -> dict[str, np.ndarray]:
    shown = slice(0, 4)
    read = probe(ahead[shown]) - probe(clips.latents[shown, 1:2])
    block = model.config.world_model.action_block
    steps = np.arange(ahead.shape[1]) * block
    return {
        "seconds": steps / model.signature.rate_hz,
        "recorded": clips.quantities[shown, 1:].numpy(),
        "predicted": (read + clips.quantities[shown, 1:2]).numpy(),
    }
