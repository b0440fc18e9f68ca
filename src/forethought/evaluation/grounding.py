"""Does the energy that an agent goes by rank states as the true way to the goal does?

Energy is what a cost says of standing still at a state; it is compared with the length of the
shortest path that the world knows, by rank, beside plain distance of latents.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from forethought.agent import Agent
from forethought.evaluation.statistics import Estimate, rank_correlation
from forethought.senses import encode_still
from forethought.types import ForethoughtError, Imagination, Observation, World

RESAMPLES = 1000
FEWEST = 10
"""Pairs of which a rank correlation is told."""


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """Rank correlation with the true path length, over some pairs of a state and a goal.

    Attributes:
        pairs: which pairs.
        energy: of the agent's energy.
        latent: of the distance of latents.
    """

    pairs: str
    energy: Estimate
    latent: Estimate


@dataclass(frozen=True, kw_only=True)
class GroundingResults:
    """How an agent's energy goes with the true path length.

    Attributes:
        world: name of the world.
        ranks: over all pairs, by thirds of the true length, and by kind of task.
        lengths: ``(n,)`` true lengths in world steps, for pictures.
        energies: ``(n,)``.
        latents: ``(n,)`` distances of latents.
    """

    world: str
    ranks: tuple[Ranks, ...]
    lengths: Float[np.ndarray, " n"]
    energies: Float[np.ndarray, " n"]
    latents: Float[np.ndarray, " n"]

    def to_json(self) -> dict[str, Any]:
        """The correlations as JSON types."""
        return {"world": self.world, "ranks": [asdict(one) for one in self.ranks]}


def ground(
    make_agent: Callable[[Observation, int], Agent],
    make_world: Callable[[int], World],
    *,
    pairs: int = 400,
    seed: int = 2_000_000,
) -> GroundingResults:
    """Ranks the starts of tasks by the agent's energy towards their goals.

    Args:
        make_agent: builds an agent for goals.
        make_world: builds a world of so many copies.
        pairs: tasks; each is a state and a goal.
        seed: tasks are drawn from seeds from here on.

    Raises:
        ForethoughtError: too few pairs, or a world that does not know the length of its paths.
    """
    world = make_world(pairs)
    world.reset(range(seed, seed + pairs))
    lengths = np.asarray(world.path_length(), float)
    known = np.isfinite(lengths)
    if known.sum() < FEWEST:
        raise ForethoughtError(
            f"world {world.name!r}: the length of the way to the goal is known of {known.sum()} of "
            f"{pairs} tasks, {FEWEST} are needed; ask for more pairs, or take a world that knows."
        )
    energies, latents = _judged(make_agent(world.goal(), pairs), world)
    groups = {name: np.asarray(mask)[known] for name, mask in world.groups().items()}
    kept = {"lengths": lengths[known], "energies": energies[known], "latents": latents[known]}
    slices = {"all": np.ones(known.sum(), bool), **_thirds(kept["lengths"]), **groups}
    return GroundingResults(
        world=world.name,
        ranks=tuple(
            _ranks(name, kept, mask) for name, mask in slices.items() if mask.sum() >= FEWEST
        ),
        **kept,
    )


@torch.no_grad()
def _judged(agent: Agent, world: World) -> tuple[np.ndarray, np.ndarray]:
    """Energy of standing still at each start, and its distance to the goal as latents have it."""
    model = agent.model
    start, aim = (encode_still(model, seen) for seen in (world.observe(), world.goal()))
    still = torch.stack([start, start], dim=1).unsqueeze(1)
    actions = start.new_zeros(len(start), 1, 1, model.world_model.action_width)
    scores = agent.cost.bind(agent.sight)(Imagination(latents=still, actions=actions))
    return scores.energy[:, 0].cpu().numpy(), _apart(start, aim)


def _apart(start: Float[Tensor, "n k d"], aim: Float[Tensor, "n k d"]) -> np.ndarray:
    return (start - aim).flatten(1).norm(dim=1).cpu().numpy()


def _thirds(lengths: Float[np.ndarray, " n"]) -> dict[str, Bool[np.ndarray, " n"]]:
    """Pairs that are near, between and far, with the lengths that part them."""
    low, high = np.quantile(lengths, [1 / 3, 2 / 3])
    return {
        f"up to {low:.0f} steps": lengths <= low,
        f"{low:.0f} to {high:.0f} steps": (lengths > low) & (lengths <= high),
        f"beyond {high:.0f} steps": lengths > high,
    }


def _ranks(name: str, kept: dict[str, np.ndarray], mask: Bool[np.ndarray, " n"]) -> Ranks:
    lengths = kept["lengths"][mask]
    return Ranks(
        pairs=name,
        energy=rank_estimate(kept["energies"][mask], lengths),
        latent=rank_estimate(kept["latents"][mask], lengths),
    )


def rank_estimate(
    values: Float[np.ndarray, " n"], lengths: Float[np.ndarray, " n"], *, seed: int = 0
) -> Estimate:
    """Spearman's rank correlation with a percentile bootstrap interval over pairs; NaN where one
    of the two never varies."""
    count = len(values)
    if np.ptp(values) == 0 or np.ptp(lengths) == 0:
        return Estimate(value=np.nan, low=np.nan, high=np.nan, episodes=count)
    draws = np.random.default_rng(seed).integers(count, size=(RESAMPLES, count))
    varied = [d for d in draws if np.ptp(values[d]) and np.ptp(lengths[d])]
    resampled = [rank_correlation(values[d], lengths[d]) for d in varied]
    low, high = np.percentile(resampled, [2.5, 97.5])
    value = rank_correlation(values, lengths)
    return Estimate(value=value, low=float(low), high=float(high), episodes=count)
