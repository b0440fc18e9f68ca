"""How far imagination strays: the imagined place against the true one, block by block."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from forethought.data import Dataset
from forethought.data.record import TRUTH
from forethought.data.windows import WindowConfig, WindowSampler
from forethought.model import Model
from forethought.types import Past, Windows

PLACE = ("position.x", "position.y")
CLIPS = 400


def rollout_errors(
    model: Model, recorded: Dataset, horizons: Sequence[int], place: Sequence[str] = PLACE
) -> dict[int, float]:
    """Median distance of the imagined place from the true one in held-out episodes, by horizon.

    Args:
        model: with probes that read the place.
        recorded: what it was trained on; its held-out episodes are used.
        horizons: model steps ahead.
        place: the hidden quantities that are coordinates, whose units the distance has.
    """
    distances = rollout_distances(model, recorded, horizons, place)
    return {horizon: float(off.median()) for horizon, off in distances.items()}


@torch.no_grad()
def rollout_distances(
    model: Model, recorded: Dataset, horizons: Sequence[int], place: Sequence[str] = PLACE
) -> dict[int, Float[Tensor, " clips"]]:
    """The distances of which :func:`rollout_errors` takes the median."""
    world_model = model.world_model
    known = world_model.predictor.window - 1
    clips = held_out_clips(model, recorded, horizons)
    actions = world_model.normalise(clips.actions)
    seen = {key: clips.observation[key][:, : known + 1] for key in world_model.perception.keys}
    latents = world_model.encode(seen)
    past = Past(latents=latents[:, :known], actions=actions[:, :known])
    futures = world_model.rollout(latents[:, known], actions[:, known:], past=past)
    read = model.read(futures)
    found = torch.stack([read[name] for name in place], dim=-1)
    wrong = (found - true_places(clips, recorded, place)[:, known:]).norm(dim=-1)
    return {horizon: wrong[:, horizon] for horizon in horizons}


def still_distances(
    model: Model, recorded: Dataset, horizons: Sequence[int], place: Sequence[str] = PLACE
) -> dict[int, Float[Tensor, " clips"]]:
    """How far off one is who says that nothing moves, on the clips of :func:`rollout_distances`."""
    known = model.world_model.predictor.window - 1
    true = true_places(held_out_clips(model, recorded, horizons), recorded, place)[:, known:]
    return {horizon: (true[:, horizon] - true[:, 0]).norm(dim=-1) for horizon in horizons}


def held_out_clips(model: Model, recorded: Dataset, horizons: Sequence[int]) -> Windows:
    """Clips that the model was not trained on, and what it looks back at."""
    world_model = model.world_model
    perception = world_model.config.perception
    sampler = WindowSampler(
        recorded.load(model.notes["held_out_episodes"], keys=[*world_model.perception.keys, TRUTH]),
        WindowConfig(
            length=world_model.predictor.window + max(horizons),
            action_block=world_model.config.action_block,
            frame_stack=perception.frame_stack,
            frame_gap=perception.frame_gap,
            whole_history=True,
        ),
    )
    return sampler.sample(CLIPS, torch.Generator().manual_seed(0))


def true_places(
    clips: Windows, recorded: Dataset, place: Sequence[str]
) -> Float[Tensor, "clips t 2"]:
    """Where it was, at each observation of the clips."""
    names = recorded.signature.observation[TRUTH].names
    return clips.observation[TRUTH][:, :, -1][..., [names.index(name) for name in place]]
