"""Regularisers on several processes teach what they teach on the joined batch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import distributed, multiprocessing

from forethought.world_model.regularisers import (
    RegulariserConfig,
    SIGRegConfig,
    TemporalVarianceConfig,
    VICRegConfig,
)

PROCESSES = 2
CONFIGS = [
    SIGRegConfig(num_projections=16),
    VICRegConfig(),
    VICRegConfig(pool_tokens=True),
    TemporalVarianceConfig(),
]


def batch() -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    scales = torch.tensor([0.3, 0.6, 1.0, 2.0, 0.5, 0.8])
    return torch.randn(8, 5, 2, 6, generator=draw) * scales + torch.arange(8.0).view(8, 1, 1, 1) / 9


def measured(config: RegulariserConfig, latents: torch.Tensor, seed: int) -> list[torch.Tensor]:
    """Value, and the gradient of a weight shared by all latents, as a network's would be."""
    weight = torch.ones(6, requires_grad=True)
    regulariser = config.build(2, 6, 3)
    actions = torch.zeros(len(latents), 4, 3)
    value = regulariser(latents * weight, actions, torch.Generator().manual_seed(seed))
    value.backward()
    assert weight.grad is not None
    return [value.detach(), weight.grad]


def share(rank: int, folder: str) -> None:
    """One process: its part of the batch, gradients averaged as data-parallel training does."""
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=PROCESSES
    )
    own = batch().chunk(PROCESSES)[rank]
    found = []
    for config in CONFIGS:
        # Each process has a generator of its own; the directions must still be the same.
        value, grad = measured(config, own, seed=rank)
        distributed.all_reduce(grad)
        found.append([value, grad / PROCESSES])
    torch.save(found, f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_two_processes_teach_what_one_teaches_on_the_joined_batch(tmp_path: Path) -> None:
    """Values and gradients alike, whichever process is asked."""
    multiprocessing.spawn(share, (str(tmp_path),), nprocs=PROCESSES)
    for rank in range(PROCESSES):
        shared = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        for config, found in zip(CONFIGS, shared, strict=True):
            for part, expected in zip(found, measured(config, batch(), seed=0), strict=True):
                torch.testing.assert_close(part, expected, atol=1e-6, rtol=1e-4)


def test_a_share_alone_would_teach_something_else() -> None:
    """The test above can fail: half of the batch has other statistics."""
    for config in CONFIGS:
        whole, half = (measured(config, part, 0)[1] for part in (batch(), batch()[:4]))
        assert not torch.allclose(whole, half, rtol=1e-2)
