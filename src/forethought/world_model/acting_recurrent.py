"""A recurrent latent as it acts: its products go to the fastest units.

The numbers are those of :class:`forethought.world_model.predictors.RecurrentLatent` asked step by
step, up to rounding.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from forethought.world_model.predictors import Predictor, RecurrentLatent
from forethought.world_model.units import Norm, Units


class ActingRecurrent(Predictor):
    """A recurrent latent laid out for units. It does not follow when the weights change.

    The hyperbolic tangent is told by a sigmoid, 2 s(2x) - 1, for which its weights are doubled. So
    is all that the state says one product, and what the action says of the gates is part of it.

    Args:
        source: what it computes, without gradients.
        units: with what.
    """

    @torch.no_grad()
    def __init__(self, source: RecurrentLatent, units: Units) -> None:
        super().__init__()
        told, by = source.cell.from_input, source.cell.from_hidden
        self.numbers_at_once, self.units, self.width = (
            source.numbers_at_once,
            units,
            by.in_features,
        )
        gates, new = slice(0, 2 * self.width), slice(2 * self.width, None)
        from_gates = torch.cat([by.weight[gates], told.weight[gates]], 1)
        from_new = torch.cat([2 * by.weight[new], torch.zeros_like(told.weight[new])], 1)
        biases = torch.cat([by.bias[gates] + told.bias[gates], 2 * by.bias[new]])
        self.products = units.linear(torch.cat([from_gates, from_new]), biases)
        self.told = units.linear(2 * told.weight[new], 2 * told.bias[new])
        self.norm = None
        if isinstance(source.norm, nn.LayerNorm):
            gain, bias = source.norm.weight.detach(), source.norm.bias.detach()
            self.norm = Norm(gain=gain, bias=bias, eps=source.norm.eps)

    def forward(
        self, latents: Float[Tensor, "n w k d"], actions: Float[Tensor, "n w a"]
    ) -> Float[Tensor, "n k d"]:
        """See :class:`Predictor`; the latest step says all."""
        return self.unroll(latents[:, -1:], actions[:, -1:])[:, 1]

    @torch.no_grad()
    def unroll(
        self, latents: Float[Tensor, "n w k d"], actions: Float[Tensor, "n w_minus_1_plus_h a"]
    ) -> Float[Tensor, "n h_plus_1 k d"]:
        """See :class:`Predictor`."""
        now, moves = latents[:, -1].flatten(1), actions[:, latents.shape[1] - 1 :]
        moves = moves.transpose(0, 1).to(self.units.dtype).contiguous()
        states = now.new_empty(len(moves) + 1, *now.shape)
        # What each step sees: the state, and beside it the action.
        seen = moves.new_empty(len(now), self.width + moves.shape[-1])
        states[0] = seen[:, : self.width] = now
        for before, after, move in zip(states[:-1], states[1:], moves, strict=True):
            seen[:, self.width :] = move
            products, told = self.products(seen), self.told(move)
            self.units.gate(products, told, before, self.norm, after, seen)
        return states.transpose(0, 1).unflatten(-1, latents.shape[2:])
