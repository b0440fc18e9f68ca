"""What a task is held against: moments that were recorded, as the agent sees them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from forethought.data.store import Dataset, EpisodeArrays
from forethought.data.windows import WindowConfig, WindowSampler
from forethought.learning.calibrating import arrays_of, probe_key
from forethought.model import Model
from forethought.senses import sight_of

STEPS = 2
"""Model steps of a clip: enough for terms about how actions change."""
CHUNK = 512


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """Recorded clips, and moments of other episodes as a goal would show them.

    Attributes:
        names: quantities that were recorded and that probes read.
        quantities: ``(n, s, q)`` as recorded, at every world step of a clip.
        latents: ``(n, h+1, k, d)`` at its model steps.
        actions: ``(n, h, a)`` model actions, in world units.
        shown: ``(m, k, d)`` latents of single moments of other episodes, shown as goals are.
        shown_quantities: ``(m, q)`` what was recorded at them.
    """

    names: tuple[str, ...]
    quantities: Float[Tensor, "n s q"]
    latents: Float[Tensor, "n h_plus_1 k d"]
    actions: Float[Tensor, "n h a"]
    shown: Float[Tensor, "m k d"]
    shown_quantities: Float[Tensor, "m q"]

    @property
    def moments(self) -> int:
        """How many clips there are; each counts by the moment at its end."""
        return len(self.quantities)

    def few(self, most: int) -> Recorded:
        """At most so many of the clips, evenly spread."""
        every = torch.linspace(0, self.moments - 1, min(most, self.moments)).long()
        return Recorded(
            names=self.names,
            quantities=self.quantities[every],
            latents=self.latents[every],
            actions=self.actions[every],
            shown=self.shown,
            shown_quantities=self.shown_quantities,
        )


@torch.no_grad()
def recorded_of(model: Model, data: Dataset, *, rows: int = 8000, seed: int = 0) -> Recorded:
    """Clips of some episodes, and moments of others: those that training held out.

    Args:
        model: a trained model.
        data: what it was trained on, or other recordings of its world.
        rows: clips at most, and half as many moments.
        seed: of the draw.

    Raises:
        ForethoughtError: the data lack what the model needs, or hold too little.
    """
    if data.path.name == model.notes.get("data"):
        others = list(model.notes["held_out_episodes"])
        episodes = [i for i in range(data.num_episodes) if i not in set(others)]
    else:
        episodes, others = data.split(held_out=0.2, seed=seed)
    generator = np.random.default_rng(seed)
    clips = arrays_of(model, data, _enough(data, episodes, rows, generator))
    single = arrays_of(model, data, _enough(data, others, rows // 2, generator))
    quantities, latents, actions = _clips(model, clips, rows, generator)
    shown, at_them = _shown(model, single, rows // 2, generator)
    return Recorded(
        names=model.config.probes,
        quantities=quantities,
        latents=latents,
        actions=actions,
        shown=shown,
        shown_quantities=at_them,
    )


def _enough(
    data: Dataset, episodes: Sequence[int], rows: int, generator: np.random.Generator
) -> list[int]:
    """Episodes drawn at random until they have so many rows."""
    order = generator.permutation(np.asarray(episodes))
    before = data.lengths[order].cumsum() - data.lengths[order]
    return sorted(order[before < rows].tolist())


def _clips(
    model: Model, arrays: EpisodeArrays, most: int, generator: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    perception, block = model.config.world_model.perception, model.config.world_model.action_block
    config = WindowConfig(
        length=STEPS + 1,
        action_block=block,
        frame_stack=perception.frame_stack,
        frame_gap=perception.frame_gap,
    )
    with warnings.catch_warnings():
        # Episodes that are too short for a clip are no loss here.
        warnings.simplefilter("ignore", UserWarning)
        sampler = WindowSampler(arrays, config)
    episodes, steps = sampler.starts()
    chosen = _drawn(len(episodes), most, generator)
    latents, actions = [], []
    for index in chosen.split(CHUNK):
        windows = sampler.at(episodes[index], steps[index])
        seen = {
            key: windows.observation[key].to(model.device)
            for key in model.world_model.perception.keys
        }
        latents.append(model.world_model.encode(seen))
        actions.append(windows.actions.to(model.device))
    rows = (arrays.offsets[episodes] + steps)[chosen, None] + torch.arange(STEPS * block + 1)
    return _quantities(model, arrays, rows), torch.cat(latents), torch.cat(actions)


def _shown(
    model: Model, arrays: EpisodeArrays, most: int, generator: np.random.Generator
) -> tuple[Tensor, Tensor]:
    sight = sight_of(model)
    rows = _drawn(int(arrays.offsets[-1]), most, generator)
    latents = [
        sight.encode(
            {
                key: arrays.observation[key][some].numpy()
                for key in model.world_model.perception.keys
            }
        )
        for some in rows.split(CHUNK)
    ]
    return torch.cat(latents), _quantities(model, arrays, rows)


def _quantities(model: Model, arrays: EpisodeArrays, rows: Int[Tensor, "*n"]) -> Tensor:
    """What probes read, as recorded at some rows; nothing where there are no probes."""
    if not model.config.probes:
        return torch.zeros(*rows.shape, 0, device=model.device)
    return arrays.observation[probe_key(model)][rows].to(model.device)


def _drawn(count: int, most: int, generator: np.random.Generator) -> Int[Tensor, " n"]:
    return torch.from_numpy(np.sort(generator.permutation(count)[:most]))
