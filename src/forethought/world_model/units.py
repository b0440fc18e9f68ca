"""How a processor computes what a rollout is made of: products, and what lies between them.

The same algorithm runs on any of these units; see :mod:`forethought.world_model.acting`. None of
them records gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from forethought.types import ForethoughtError

Product = Callable[[Tensor], Tensor]
"""A linear map of ``(*batch, i)`` to ``(*batch, o)``."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """How a layer sees states: normalised, moved by the action, and normalised once more.

    Attributes:
        outer_eps: of the first norm.
        eps: of the second.
        gain: of the second.
        bias: of the second.
    """

    outer_eps: float
    eps: float
    gain: Float[Tensor, " d"]
    bias: Float[Tensor, " d"]


@dataclass(frozen=True, kw_only=True)
class Norm:
    """Layer normalisation.

    Attributes:
        gain: of each entry.
        bias: of each entry.
        eps: smallest variance.
    """

    gain: Float[Tensor, " d"]
    bias: Float[Tensor, " d"]
    eps: float


@dataclass(frozen=True, kw_only=True)
class Change:
    """What is still to be added to states.

    Attributes:
        gate: scales it.
        value: what a layer answered.
    """

    gate: Float[Tensor, "m n d"]
    value: Float[Tensor, "m n d"]


@runtime_checkable
class Units(Protocol):
    """What a transformer is computed with.

    Attributes:
        dtype: of weights and states.
    """

    dtype: torch.dtype

    def linear(
        self, weight: Float[Tensor, "o i"], bias: Float[Tensor, " o"] | None, *, gelu: bool = False
    ) -> Product:
        """A linear map, with a GELU after it where that is asked; it may hold copies of both."""
        ...

    def advance(
        self,
        states: Float[Tensor, "m n d"],
        change: Change | None,
        shift: Float[Tensor, "m n d"],
        scale: Float[Tensor, "m n d"],
        look: Look,
    ) -> tuple[Float[Tensor, "m n d"], Float[Tensor, "m n d"]]:
        """States with a change added, and how a layer sees them then.

        Args:
            states: of ``m`` steps.
            change: what is to be added; None for nothing.
            shift: by which the action moves the states.
            scale: by which the action scales the states.
            look: of the layer.
        """
        ...

    def attend(
        self,
        query: Float[Tensor, "n i"],
        kept: Sequence[Float[Tensor, "n two_i"]],
        heads: int,
        out: Float[Tensor, "n i"],
    ) -> None:
        """Attention of one token to a few.

        Args:
            query: of the token, already divided by the square root of a head's width.
            kept: of each of the few its key and value, side by side.
            heads: attention heads.
            out: where the answer is written.
        """
        ...

    def gate(
        self,
        products: Float[Tensor, "n three_d"],
        told: Float[Tensor, "n d"],
        before: Float[Tensor, "n d"],
        norm: Norm | None,
        after: Float[Tensor, "n d"],
        seen: Float[Tensor, "n i"],
    ) -> None:
        """A step of a gated recurrent unit, after its products.

        Args:
            products: what state and input say of the reset, what they say of what is kept, and
                twice what the state says of the new state.
            told: twice what the input says of the new state.
            before: the state, in its own precision.
            norm: of the next state; None for nothing.
            after: where the next state is written.
            seen: where it is written as well, into the first entries, in the precision of the
                units.
        """
        ...


class PlainUnits:
    """PyTorch's own functions, on any device.

    Args:
        dtype: of weights and states.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype

    def linear(
        self, weight: Float[Tensor, "o i"], bias: Float[Tensor, " o"] | None, *, gelu: bool = False
    ) -> Product:
        """See :class:`Units`."""
        weight, bias = weight.detach().to(self.dtype), _bias(bias, self.dtype)
        product = partial(functional.linear, weight=weight, bias=bias)
        return (lambda values: functional.gelu(product(values))) if gelu else product

    def advance(
        self,
        states: Float[Tensor, "m n d"],
        change: Change | None,
        shift: Float[Tensor, "m n d"],
        scale: Float[Tensor, "m n d"],
        look: Look,
    ) -> tuple[Float[Tensor, "m n d"], Float[Tensor, "m n d"]]:
        """See :class:`Units`."""
        if change is not None:
            states = torch.addcmul(states, change.gate, change.value)
        width = states.shape[-1:]
        seen = torch.addcmul(shift, functional.layer_norm(states, width, eps=look.outer_eps), scale)
        return states, functional.layer_norm(seen, width, look.gain, look.bias, look.eps)

    def attend(
        self,
        query: Float[Tensor, "n i"],
        kept: Sequence[Float[Tensor, "n two_i"]],
        heads: int,
        out: Float[Tensor, "n i"],
    ) -> None:
        """See :class:`Units`.

        In sums and products: what a fused kernel does around them takes several times as long.
        """
        query, out = query.unflatten(-1, (heads, -1)), out.unflatten(-1, (heads, -1))
        pairs = [pair.unflatten(-1, (2, heads, -1)).unbind(1) for pair in kept]
        scores = torch.stack([(query * key).sum(-1, keepdim=True) for key, _ in pairs])
        shares = scores.softmax(0)
        torch.mul(pairs[0][1], shares[0], out=out)
        for (_, value), share in zip(pairs[1:], shares[1:], strict=True):
            out.addcmul_(value, share)

    def gate(
        self,
        products: Float[Tensor, "n three_d"],
        told: Float[Tensor, "n d"],
        before: Float[Tensor, "n d"],
        norm: Norm | None,
        after: Float[Tensor, "n d"],
        seen: Float[Tensor, "n i"],
    ) -> None:
        """See :class:`Units`."""
        reset, keep, by = products.chunk(3, 1)
        half = torch.addcmul(told, reset.sigmoid(), by).sigmoid_().to(before.dtype)
        torch.lerp(half.mul_(2).sub_(1), before, keep.sigmoid().to(before.dtype), out=after)
        if norm is not None:
            width = after.shape[-1:]
            after.copy_(functional.layer_norm(after, width, norm.gain, norm.bias, norm.eps))
        seen[:, : after.shape[1]] = after


class PackedUnits(PlainUnits):
    """On CPUs: products by oneDNN, whose kernels find the weights laid out as they read them.

    PyTorch's default for float32 is another library, which on many processors takes twice as long;
    and where oneDNN is called with weights as they are, it lays them out at every call.

    Args:
        dtype: float32, or bfloat16 where the processor computes in it.

    Raises:
        ForethoughtError: this PyTorch has no oneDNN, or the processor no such units.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__(dtype)
        if not torch.backends.mkldnn.is_available():
            raise ForethoughtError(
                "this build of PyTorch has no oneDNN; plan without FastConfig, or install one that "
                "has it."
            )
        if dtype == torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            raise ForethoughtError(
                "this processor has no units for bfloat16; plan with FastConfig(exact=True)."
            )

    def linear(
        self, weight: Float[Tensor, "o i"], bias: Float[Tensor, " o"] | None, *, gelu: bool = False
    ) -> Product:
        """See :class:`Units`."""
        laid_out = torch.ops.mkldnn._reorder_linear_weight(weight.detach().to(self.dtype))
        multiply = torch.ops.mkldnn._linear_pointwise.default
        bias, then = _bias(bias, self.dtype), ("gelu", [], "none") if gelu else ("none", [], "")
        return lambda values: multiply(values, laid_out, bias, *then)


def _bias(bias: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    return None if bias is None else bias.detach().to(dtype)


def units_for(values: Tensor) -> Units:
    """Those that compute in the precision of values, where they are, with nothing rounded more."""
    return (PackedUnits if onednn_serves(values) else PlainUnits)(values.dtype)


def onednn_serves(values: Tensor) -> bool:
    """Whether oneDNN has the product and its gradient, and nothing rewrites what is called."""
    return (
        values.device.type == "cpu"
        and values.dtype == torch.float32
        and values.numel() > 0
        and torch.backends.mkldnn.is_available()
        and not is_rewritten(values)
    )


def is_rewritten(values: Tensor) -> bool:
    """Whether what is called on values is batched, compiled, or done in another precision."""
    return (
        torch._C._are_functorch_transforms_active()
        or torch.compiler.is_compiling()
        or (
            torch.amp.is_autocast_available(values.device.type)
            and torch.is_autocast_enabled(values.device.type)
        )
    )
