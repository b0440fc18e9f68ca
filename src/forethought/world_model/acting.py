"""A causal transformer as it acts: steps share work, and products go to the fastest units.

The numbers are those of the transformer asked step by step, up to rounding. What is left out:

- keys and values of states that were seen before. While the window grows each state keeps its
  position, and with it its keys and values; once the window slides every state has another
  position, and all are computed anew;
- what the last block would make of states but the latest, for which nobody asks;
- what an action tells the blocks, except once;
- the query of a window's first state and its attention: it has only itself to look at, so that
  what it gathers is one linear map of what it is.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import layer_norm, silu

from forethought.world_model.predictors import Predictor
from forethought.world_model.transformers import ActionBlock, CausalTransformer
from forethought.world_model.units import Change, Look, Product, Units

CHUNK_BYTES = 2**22
"""Of a hidden layer, made at once for one step on a CPU: larger ones leave the cache."""


class ActingTransformer(Predictor):
    """A causal transformer laid out for units. It does not follow when the weights change.

    Args:
        transformer: what it computes, without dropout and without gradients.
        units: with what.
    """

    @torch.no_grad()
    def __init__(self, transformer: CausalTransformer, units: Units) -> None:
        super().__init__()
        self.window, self.residual = transformer.window, transformer.residual
        self.dtype, self.busiest = units.dtype, transformer.busiest
        enters = isinstance(transformer.entrance, nn.Linear)
        self.entrance = _map(units, transformer.entrance) if enters else None
        self.positions = transformer.positions.detach().to(units.dtype).unsqueeze(1)
        self.embedding = _map(units, transformer.action[0]), _map(units, transformer.action[2])
        blocks = [block for block in transformer.blocks if isinstance(block, ActionBlock)]
        self.blocks = [_Block(block, units) for block in blocks]
        self.norm = _norm(transformer.norm, units.dtype)
        self.head = _map(units, transformer.head[0], gelu=True), _map(units, transformer.head[2])

    def forward(
        self, latents: Float[Tensor, "n w k d"], actions: Float[Tensor, "n w a"]
    ) -> Float[Tensor, "n k d"]:
        """See :class:`Predictor`; steps before the window are not looked at."""
        return self.unroll(latents[:, -self.window :], actions[:, -self.window :])[:, 1]

    @torch.no_grad()
    def unroll(
        self, latents: Float[Tensor, "n w k d"], actions: Float[Tensor, "n w_minus_1_plus_h a"]
    ) -> Float[Tensor, "n h_plus_1 k d"]:
        """See :class:`Predictor`."""
        rows = max(CHUNK_BYTES // (self.busiest * self.dtype.itemsize), 1)
        if latents.device.type != "cpu" or len(latents) <= rows:
            return self._unroll(latents, actions)
        num_parts = -(-len(latents) // rows)
        parts = zip(latents.chunk(num_parts), actions.chunk(num_parts), strict=True)
        return torch.cat([self._unroll(*part) for part in parts])

    def _unroll(
        self, latents: Float[Tensor, "n w k d"], actions: Float[Tensor, "n w_minus_1_plus_h a"]
    ) -> Float[Tensor, "n h_plus_1 k d"]:
        known, answers = latents.shape[1], [latents[:, -1]]
        states = [self._enter(latent) for latent in latents.unbind(1)]
        told = self._tell(actions.transpose(0, 1))
        moves = [block.moves(told) for block in self.blocks]
        first, kept = 0, [[] for _ in self.blocks]
        for step in range(known, actions.shape[1] + 1):
            if step - self.window > first:
                first, kept = step - self.window, [[] for _ in self.blocks]
            if step > known:
                states.append(self._enter(answers[-1]))
            done = len(kept[0])
            new = slice(first + done, step)
            seen = torch.stack(states[new]) + self.positions[done : step - first]
            change = None
            for number, block in enumerate(self.blocks):
                asked = 1 if number == len(self.blocks) - 1 else len(seen)
                seen, change = block.resume(seen, change, moves[number][new], kept[number], asked)
            assert change is not None
            answers.append(self._leave(seen[0], change, answers[-1]))
        return torch.stack(answers, dim=1)

    # Latents stay in their own precision, whatever that of the units.

    def _enter(self, latents: Float[Tensor, "n k d"]) -> Float[Tensor, "n hidden"]:
        flat = latents.flatten(1).to(self.dtype)
        return flat if self.entrance is None else self.entrance(flat)

    def _tell(self, actions: Float[Tensor, "t n a"]) -> Float[Tensor, "t n hidden"]:
        first, second = self.embedding
        return silu(second(silu(first(actions.to(self.dtype)))))

    def _leave(
        self, state: Float[Tensor, "n hidden"], change: Change, latest: Float[Tensor, "n k d"]
    ) -> Float[Tensor, "n k d"]:
        state = torch.addcmul(state, change.gate[0], change.value[0])
        gain, bias, eps = self.norm
        first, second = self.head
        answer = second(first(layer_norm(state, state.shape[-1:], gain, bias, eps)))
        answer = answer.view_as(latest).to(latest.dtype)
        return latest + answer if self.residual else answer


class _Block:
    """A block that actions move, laid out for units; see :class:`ActionBlock`."""

    def __init__(self, block: ActionBlock, units: Units) -> None:
        attention, mlp = block.attention, block.mlp
        leave, inner = attention.exit[0], attention.query.out_features
        assert isinstance(leave, nn.Linear)
        factor = (inner // attention.heads) ** -0.5
        weight, bias = attention.key_value.weight, attention.key_value.bias
        self.units, self.heads = units, attention.heads
        self.moves = _joined(block, units)
        self.look = _look(block, attention.norm, units.dtype)
        self.look_again = _look(block, mlp[0], units.dtype)
        self.query = _map(units, attention.query, factor=factor)
        self.key_value = _map(units, attention.key_value)
        self.leave = _map(units, leave)
        self.alone = units.linear(
            leave.weight @ weight[inner:],
            leave.bias if bias is None else leave.bias + leave.weight @ bias[inner:],
        )
        self.rise, self.fall = _map(units, mlp[1], gelu=True), _map(units, mlp[4])

    def resume(
        self,
        states: Float[Tensor, "m n d"],
        change: Change | None,
        moves: Float[Tensor, "m n six_d"],
        kept: list[Float[Tensor, "n two_i"]],
        asked: int,
    ) -> tuple[Float[Tensor, "asked n d"], Change]:
        """The latest states of a window after attention, and what the MLP adds to them.

        Args:
            states: one token per step.
            change: what is still to be added to them.
            moves: what the action of each step does.
            kept: key and value of each state before these; theirs are added.
            asked: states whose answer is needed.
        """
        shift, scale, *others = moves.chunk(6, dim=-1)
        gate, shift_again, scale_again, gate_again = (move[-asked:] for move in others)
        states, seen = self.units.advance(states, change, shift, scale, self.look)
        kept.extend(self.key_value(seen))
        change = Change(gate=gate, value=self._gather(seen[-asked:], kept))
        states, seen = self.units.advance(
            states[-asked:], change, shift_again, scale_again, self.look_again
        )
        return states, Change(gate=gate_again, value=self.fall(self.rise(seen)))

    def _gather(
        self, seen: Float[Tensor, "asked n d"], kept: list[Float[Tensor, "n two_i"]]
    ) -> Float[Tensor, "asked n d"]:
        """What the latest states gather from those kept."""
        if len(seen) < len(kept):
            return self.leave(self._attend(self.query(seen), kept))
        alone = self.alone(seen[:1])
        if len(seen) == 1:
            return alone
        return torch.cat([alone, self.leave(self._attend(self.query(seen[1:]), kept))])

    def _attend(
        self, queries: Float[Tensor, "q n i"], kept: list[Float[Tensor, "n two_i"]]
    ) -> Float[Tensor, "q n i"]:
        gathered = torch.empty_like(queries)
        before = len(kept) - len(queries)
        for place, (query, out) in enumerate(zip(queries, gathered, strict=True), start=before):
            self.units.attend(query, kept[: place + 1], self.heads, out)
        return gathered


def _map(units: Units, layer: nn.Module, *, factor: float = 1.0, gelu: bool = False) -> Product:
    """A linear layer, times a factor."""
    assert isinstance(layer, nn.Linear)
    bias = None if layer.bias is None else factor * layer.bias
    return units.linear(factor * layer.weight, bias, gelu=gelu)


def _joined(block: ActionBlock, units: Units) -> Product:
    """All that a block is told, in one map: shift, scale, gate, shift, scale, gate."""
    weight = torch.cat([block.told_all.weight, block.told_asked.weight])
    bias = torch.cat([block.told_all.bias, block.told_asked.bias]).unflatten(0, (6, -1))
    around_one = bias.new_tensor([0, 1, 0, 0, 1, 0]).unsqueeze(1)
    return units.linear(weight, (bias + around_one).flatten())


def _norm(norm: nn.LayerNorm, dtype: torch.dtype) -> tuple[Tensor, Tensor, float]:
    """Its gain, bias and smallest variance."""
    return norm.weight.detach().to(dtype), norm.bias.detach().to(dtype), norm.eps


def _look(block: ActionBlock, norm: nn.Module, dtype: torch.dtype) -> Look:
    assert isinstance(norm, nn.LayerNorm)
    gain, bias, eps = _norm(norm, dtype)
    return Look(outer_eps=block.norm.eps, gain=gain, bias=bias, eps=eps)
