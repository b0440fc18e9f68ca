"""Statistics over all processes of a training run.

Regularisers that depend on a batch's statistics mean the whole batch, not the share that one
process holds: two processes must be taught what one would be taught on the joined batch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist


def num_processes() -> int:
    """Processes that train together; 1 where none were started."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


class _Sum(torch.autograd.Function):
    """The sum over processes; each process's share of the loss sends its gradient back to all."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        total = grads[0].clone()
        dist.all_reduce(total)
        return total


def total(values: Tensor) -> Tensor:
    """Sum over processes, differentiable.

    Every process ends with the same loss. When the gradients of the weights are then averaged over
    processes, as data-parallel training does, they are those of the joined batch.
    """
    result = values if num_processes() == 1 else _Sum.apply(values)
    assert isinstance(result, Tensor)
    return result


def from_first(values: Tensor) -> Tensor:
    """The first process's values, in all."""
    if num_processes() > 1:
        values = values.clone()
        dist.broadcast(values, src=0)
    return values
