"""Matrix products by whichever of PyTorch's two libraries is quicker, the same up to rounding.

On CPUs ``torch.nn.functional.linear`` calls a library that on many processors reaches half of what
oneDNN does, while oneDNN takes longer to begin. Nothing is kept from one call to the next, so that
weights may change at any time; :class:`Product` is for those who know that they do not.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

WORTH = 2**21
"""Multiplications, and :data:`MADE` for each number made, that make up for oneDNN's later start."""
MADE = 32
"""Multiplications in whose time a number that was made is put away."""
ONEDNN = torch.backends.mkldnn.is_available() and "AVX" in torch.backends.cpu.get_cpu_capability()
"""Whether oneDNN is there, on processors that it has kernels of its own for."""

Activation = Callable[[Tensor], Tensor]
FUSED: dict[Activation | None, str] = {
    None: "none",
    functional.gelu: "gelu",
    torch.sigmoid: "sigmoid",
}
"""What oneDNN applies to a product while it is still at hand."""


def linear(
    values: Float[Tensor, "*batch i"],
    weight: Float[Tensor, "o i"],
    bias: Float[Tensor, " o"] | None = None,
    after: Activation | None = None,
) -> Float[Tensor, "*batch o"]:
    """``after(values @ weight.T + bias)``; see :func:`torch.nn.functional.linear`.

    Args:
        values: rows.
        weight: one row for each entry that is made.
        bias: added to every row made.
        after: one of :data:`FUSED`.
    """
    if _is_worth_it(values.numel() // weight.shape[1], weight) and _onednn_serves(values, weight):
        return _onednn(values, weight, bias, after)
    made = functional.linear(values, weight, bias)
    return made if after is None else after(made)


class Product:
    """:func:`linear` for many values in a row, between which the weights do not change.

    Args:
        rows: values of each call.
        weight: see :func:`linear`.
        bias: see :func:`linear`.
        after: see :func:`linear`.
    """

    def __init__(
        self,
        rows: int,
        weight: Float[Tensor, "o i"],
        bias: Float[Tensor, " o"] | None = None,
        after: Activation | None = None,
    ) -> None:
        self.weight, self.bias, self.after = weight, bias, after
        self.packed = None
        if _is_worth_it(rows, weight) and _onednn_serves(weight):
            self.packed = torch.ops.mkldnn._reorder_linear_weight(weight, rows)

    def __call__(self, values: Float[Tensor, "n i"]) -> Float[Tensor, "n o"]:
        """See :func:`linear`."""
        if self.packed is not None:
            return _onednn(values, self.packed, self.bias, self.after)
        made = functional.linear(values, self.weight, self.bias)
        return made if self.after is None else self.after(made)


def _onednn(
    values: Tensor, weight: Tensor, bias: Tensor | None, after: Activation | None
) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(values, weight, bias, FUSED[after], [], "none")


def _is_worth_it(rows: int, weight: Float[Tensor, "o i"]) -> bool:
    """Whether so many rows are enough for oneDNN to be quicker."""
    outputs, inputs = weight.shape
    return rows * outputs * (inputs + MADE) >= WORTH


def _onednn_serves(*tensors: Tensor) -> bool:
    """Whether they are what it takes, and nobody follows or rewrites what is called."""
    return (
        ONEDNN
        and not torch.is_grad_enabled()
        and all(one.dtype == torch.float32 and one.device.type == "cpu" for one in tensors)
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and not torch._C._are_functorch_transforms_active()
    )
