"""Modules whose linear layers are computed with faster units."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TypeGuard, TypeVar

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear

from forethought.world_model.units import Units, onednn_serves

M = TypeVar("M", bound=nn.Module)


class Linear(nn.Linear):
    """A linear layer that multiplies with oneDNN where it can: on CPUs, in float32.

    The numbers are those of :class:`torch.nn.Linear` up to rounding. PyTorch's default there is
    another library, which on many processors takes twice as long.
    """

    def forward(self, input: Float[Tensor, "*batch i"]) -> Float[Tensor, "*batch o"]:
        """See :class:`torch.nn.Linear`."""
        if input.ndim < 2 or not onednn_serves(input):
            return linear(input, self.weight, self.bias)
        return linear(input.to_mkldnn(), self.weight, self.bias).to_dense()


class UnitLinear(nn.Linear):
    """A linear layer computed with units; weight and bias are the layer's own, and stay readable.

    Args:
        layer: what it computes. When its weight changes, this one does not follow.
        units: with what; answers are in the precision of what was asked.
        gelu: whether a GELU follows.
    """

    def __init__(self, layer: nn.Linear, units: Units, *, gelu: bool = False) -> None:
        super().__init__(layer.in_features, layer.out_features, bias=False, device="meta")
        self.weight, self.bias, self.dtype = layer.weight, layer.bias, units.dtype
        self.product = units.linear(layer.weight, layer.bias, gelu=gelu)

    def forward(self, input: Float[Tensor, "*batch i"]) -> Float[Tensor, "*batch o"]:
        """See :class:`torch.nn.Linear`."""
        return self.product(input.to(self.dtype)).to(input.dtype)


def laid_out(
    module: M, units: Units, *, throughout: tuple[type[nn.Module], ...] = (), inside: bool = False
) -> M:
    """A copy of a module for acting, with its linear layers laid out for units.

    It shares its other tensors with the module. In sequences, a GELU is joined with the layer
    before it, and dropout is left out.

    Args:
        module: whose weights are finished.
        units: what linear layers are computed with.
        throughout: modules that go over to the precision of the units with all their parameters;
            of others only the linear layers do.
        inside: whether this one is part of such a module.
    """
    inside = inside or isinstance(module, throughout)
    twin = copy.copy(module)
    if inside:
        twin._parameters = {
            name: value if value is None else _lowered(value, units)
            for name, value in module._parameters.items()
        }
    parts = module._modules
    if isinstance(module, nn.Sequential):
        parts = _joined(parts, units)
    twin._modules = {
        name: _changed(part, units, throughout, inside) for name, part in parts.items()
    }
    return twin


def count_laid_out(module: nn.Module) -> int:
    """Linear layers that were laid out."""
    return sum(isinstance(part, UnitLinear) for part in module.modules())


def _changed(
    part: nn.Module | None, units: Units, throughout: tuple[type[nn.Module], ...], inside: bool
) -> nn.Module | None:
    if part is None or isinstance(part, UnitLinear):
        return part
    if _is_linear(part):
        return UnitLinear(part, units)
    return laid_out(part, units, throughout=throughout, inside=inside)


def _is_linear(part: nn.Module | None) -> TypeGuard[nn.Linear]:
    """Not those that inherit from it to compute something else."""
    return type(part) in (nn.Linear, Linear)


def _lowered(value: Tensor, units: Units) -> nn.Parameter:
    return nn.Parameter(value.detach().to(units.dtype), requires_grad=False)


def _joined(parts: Mapping[str, nn.Module | None], units: Units) -> dict[str, nn.Module | None]:
    """The parts of a sequence, without those that do nothing or that the one before can do."""
    joined: dict[str, nn.Module | None] = {}
    for name, part in parts.items():
        last = next(reversed(joined), "")
        before = joined.get(last)
        if isinstance(part, nn.GELU) and part.approximate == "none" and _is_linear(before):
            joined[last] = UnitLinear(before, units, gelu=True)
        elif not isinstance(part, nn.Dropout):
            joined[name] = part
    return joined
