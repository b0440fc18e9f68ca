"""What a machine can do, measured, and how near a piece of work comes to it.

The roofline (Williams et al., 2009): work that takes so many operations on so many bytes can be no
faster than the machine multiplies matrices, and no faster than it moves memory.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import linear
from torch.utils.flop_counter import FlopCounterMode

from forethought.types import Past
from forethought.world_model.transformers import Linear
from forethought.world_model.world_model import WorldModel

LONG_ENOUGH_S = 0.05
"""A product that takes so long is large enough to show what the machine can do."""
SIDES = (256, 512, 1024, 2048, 4096, 8192, 16384)
"""Sides of the square matrices that are tried, until one product takes long enough."""
STREAM_BYTES = 2**27
"""Bytes of each array that is moved: beyond the caches."""
REPEATS = 9


@dataclass(frozen=True, kw_only=True)
class Peaks:
    """What a machine can do.

    Attributes:
        device: what it is, in words.
        threads: threads that PyTorch uses on a processor.
        gemm: floating-point operations a second of large matrix products, by units. The name
            begins with the arithmetic; where several libraries have it, theirs follows.
        bandwidth: bytes a second between the processor and its memory.
    """

    device: str
    threads: int
    gemm: Mapping[str, float]
    bandwidth: float

    def of(self, arithmetic: str) -> float:
        """The fastest matrix products in an arithmetic: ``float32`` or ``bfloat16``."""
        return max(rate for name, rate in self.gemm.items() if name.startswith(arithmetic))


@dataclass(frozen=True, kw_only=True)
class Work:
    """What something takes, whatever it is done on.

    Attributes:
        flop: floating-point operations in matrix products; a product and its sum are two.
        bytes: that have to be moved at least.
    """

    flop: float
    bytes: float

    def least_seconds(self, peak: float, bandwidth: float) -> float:
        """The time below which no program does it, by the roofline."""
        return max(self.flop / peak, self.bytes / bandwidth)


# ------------------------------------------------------------------------------- the machine


def measure_peaks(device: torch.device) -> Peaks:
    """Measures a device: large products in every arithmetic, and a long triad.

    Takes some seconds, and 400 MB of memory.
    """
    return Peaks(
        device=device_name(device),
        threads=torch.get_num_threads(),
        gemm={name: _gemm(multiply, device) for name, multiply in products(device).items()},
        bandwidth=_bandwidth(device),
    )


def device_name(device: torch.device) -> str:
    """What it is, in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return device.type


def seconds(call: Callable[[], object], device: torch.device) -> float:
    """Wall-clock time of a call, with all that it left for the device to do."""
    settle(device)
    started = time.perf_counter()
    call()
    settle(device)
    return time.perf_counter() - started


def settle(device: torch.device) -> None:
    """Waits until a device has done all that it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


Multiply = Callable[[Tensor], Callable[[], Tensor]]
"""From a square matrix to a call that multiplies it by its transpose."""


def products(device: torch.device) -> dict[str, Multiply]:
    """The ways to multiply matrices that a device has, by the arithmetic and the library."""

    def brain(matrix: Tensor) -> Callable[[], Tensor]:
        values = matrix.bfloat16()
        return lambda: linear(values, values)

    if device.type == "cuda":
        return {"float32": _in_float32, "tf32": _in_tf32, "bfloat16": brain}
    return {"float32": _in_float32, "float32 (oneDNN)": _by_onednn, "bfloat16": brain}


def _in_float32(matrix: Tensor) -> Callable[[], Tensor]:
    return lambda: _at_precision("highest", matrix)


def _in_tf32(matrix: Tensor) -> Callable[[], Tensor]:
    return lambda: _at_precision("high", matrix)


def _at_precision(precision: str, matrix: Tensor) -> Tensor:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        return linear(matrix, matrix)
    finally:
        torch.set_float32_matmul_precision(before)


def _by_onednn(matrix: Tensor) -> Callable[[], Tensor]:
    layer = Linear(len(matrix), len(matrix), bias=False)
    layer.weight = torch.nn.Parameter(matrix)
    return lambda: layer(matrix)


@torch.inference_mode()
def _gemm(multiply: Multiply, device: torch.device) -> float:
    """Operations a second of the largest product, or of a smaller one where that is faster."""
    fastest = 0.0
    for side in SIDES:
        call = multiply(torch.randn(side, side, device=device))
        call()
        taken = statistics.median(seconds(call, device) for _ in range(REPEATS))
        fastest = max(fastest, 2 * side**3 / taken)
        if taken > LONG_ENOUGH_S:
            break
    return fastest


@torch.inference_mode()
def _bandwidth(device: torch.device) -> float:
    """Bytes a second of ``a = b + s c`` (STREAM's triad; McCalpin, 1995): two read, one written."""
    numbers = (8 if device.type == "cuda" else 1) * STREAM_BYTES // 4
    a, b, c = (torch.ones(numbers, device=device) for _ in range(3))
    taken = [seconds(lambda: torch.add(b, c, alpha=3.0, out=a), device) for _ in range(REPEATS)]
    return 3 * 4 * numbers / statistics.median(taken)


# ------------------------------------------------------------------------------- the work


@torch.no_grad()
def rollout_work(
    world_model: WorldModel, *, candidates: int, horizon: int, past_steps: int = 0, width: int = 4
) -> Work:
    """What imagining candidates takes: counted by running it without numbers.

    Every weight is moved once for each step, since a step cannot begin before the one before it
    has ended; latents and actions are moved once. What is moved between the layers of a network
    may stay in a cache, and is left out.

    Args:
        world_model: as it was trained, in float32.
        candidates: action sequences.
        horizon: model steps of each.
        past_steps: model steps before the present that are known.
        width: bytes of a weight: 4 for float32, 2 for bfloat16.
    """
    empty = copy.deepcopy(world_model).to("meta")
    shape = (world_model.num_tokens, world_model.width)

    def tensor(*sizes: int) -> Tensor:
        return torch.empty(*sizes, device="meta")

    past = None
    if past_steps:
        actions = tensor(1, past_steps, world_model.action_width)
        past = Past(latents=tensor(1, past_steps, *shape), actions=actions)
    chosen = tensor(1, candidates, horizon, world_model.action_width)
    with FlopCounterMode(display=False) as counter:
        imagined = empty.imagine(tensor(1, *shape), chosen, past=past)
    weights = sum(parameter.numel() for parameter in world_model.predictor.parameters())
    moved = width * horizon * weights + 4 * (imagined.latents.numel() + chosen.numel())
    return Work(flop=counter.get_total_flops(), bytes=moved)
