"""Recorded episodes as a place to plan in, where there is no world to act in."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from forethought.data.dataset import Dataset, EpisodeArrays
from forethought.data.windows import as_vectors
from forethought.learning.calibrating import check_recorded
from forethought.learning.latents import LatentEpisodes
from forethought.model import Model
from forethought.types import ForethoughtError, Observation

MEASURED = 20_000
"""Recorded model steps, at most, of which surprise is measured."""


@dataclass
class Replay:
    """Plays recorded episodes whatever is done: what is seen next is what came.

    A task is a moment of an episode to begin at, and a later one for a goal.

    Attributes:
        model: perceives them.
        arrays: the episodes.
        spare: world steps after the start of a task, where the episode is as long.
    """

    model: Model
    arrays: EpisodeArrays
    spare: int
    _rows: Int[np.ndarray, " b"] = field(init=False)
    _last: Int[np.ndarray, " b"] = field(init=False)
    _goal: Int[np.ndarray, " b"] = field(init=False)

    @classmethod
    def of(cls, model: Model, data: Dataset, *, spare: int, seed: int = 0) -> Replay:
        """The episodes of a dataset that a model was trained on, or may be.

        Raises:
            ForethoughtError: they lack what the model perceives, or it looks back at what was done,
                which in a replay is not what the agent did.
        """
        if model.world_model.predictor.window > 1:
            raise ForethoughtError(
                "this model looks back at what was done, and in recorded episodes something else "
                "was done than the agent would do. Give a world to act in."
            )
        return cls(model=model, arrays=learnable(model, data, seed=seed), spare=spare)

    def reset(self, seeds: range) -> Observation:
        """Begins a task for each seed."""
        offsets = self.arrays.offsets.numpy()
        found = []
        for seed in seeds:
            draw = np.random.default_rng(seed)
            episode = int(draw.integers(len(offsets) - 1))
            first, last = int(offsets[episode]), int(offsets[episode + 1]) - 1
            start = int(draw.integers(first, max(first, last - self.spare) + 1))
            found.append((start, last, int(draw.integers(start, last + 1))))
        self._rows, self._last, self._goal = (np.array(part) for part in zip(*found, strict=True))
        return self._seen(self._rows)

    def goal(self) -> Observation:
        """What is to be reached."""
        return self._seen(self._goal)

    def step(self, actions: np.ndarray) -> Observation:
        """What came next; the end of an episode stays."""
        self._rows = np.minimum(self._rows + 1, self._last)
        return self._seen(self._rows)

    def _seen(self, rows: Int[np.ndarray, " b"]) -> Observation:
        return {key: values[rows].numpy() for key, values in self.arrays.observation.items()}

    @torch.no_grad()
    def surprise(self, steps: int) -> Float[Tensor, " s"]:
        """Prediction errors after so many recorded model steps.

        Raises:
            ForethoughtError: no episode is as long.
        """
        world_model, vectors = self.model.world_model, as_vectors(self.arrays)
        recorded = LatentEpisodes.of(world_model, self.arrays)
        span = steps * recorded.block
        rows = recorded.starts_of(span, remedy="distil chunks of fewer model steps")
        found = []
        for part in rows[:: max(1, len(rows) // MEASURED)].split(512):
            now = recorded.latents[part].to(self.model.device)
            done = vectors[part[:, None] + torch.arange(span)].to(now)
            moves = world_model.normalise(done.unflatten(1, (steps, -1)).flatten(2))
            then = world_model.rollout(now, moves)[:, -1]
            came = recorded.latents[part + span].to(now)
            found.append((then - came).square().mean((-1, -2)).cpu())
        return torch.cat(found)


def learnable(model: Model, data: Dataset, *, seed: int = 0) -> EpisodeArrays:
    """Episodes that a part of a model may learn from: not those that the model held out.

    Args:
        model: whose part it is.
        data: what it was trained on, or another dataset, of which a share is held out here.
        seed: of that share.

    Raises:
        ForethoughtError: they lack what the model perceives.
    """
    check_recorded(model, data, None)
    ids = data.split(seed=seed)[0]
    if data.path.name == model.notes.get("data"):
        held_out = set(model.notes["held_out_episodes"])
        ids = [number for number in range(data.num_episodes) if number not in held_out]
    keys = list(model.world_model.perception.keys)
    return data.load(ids, keys=keys, image_size=model.image_size)
