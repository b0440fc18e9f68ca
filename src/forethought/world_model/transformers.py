"""Transformers that predict the next latents from a window of latents and model actions.

Both are causal in time: what a step is told comes from it and from earlier ones. Only the latest
step's outcome is asked of a predictor, so the last layer answers for that step alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeGuard

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention, silu

from forethought.config import register
from forethought.types import ForethoughtError
from forethought.world_model.layout import Linear, laid_out
from forethought.world_model.predictors import Predictor, PredictorConfig, steps_as
from forethought.world_model.units import (
    is_rewritten,
    onednn_serves,
    units_for,
)

CHUNK_NUMBERS = 3 * 2**19
"""Numbers of a hidden layer made at once on a CPU: they then stay in the cache."""

# ------------------------------------------------------------------------------- layers


def _gather(
    query: Tensor, key: Tensor, value: Tensor, dropout: float, *, causal: bool = False
) -> Tensor:
    """Attention of every query to every key, or to those up to its own."""
    if query.dtype == torch.bfloat16 and query.device.type == "cpu" and not dropout and not causal:
        # There the products by themselves are several times as fast as the fused kernel.
        return ((query * query.shape[-1] ** -0.5) @ key.mT).softmax(-1) @ value
    if not torch._C._are_functorch_transforms_active():
        return scaled_dot_product_attention(query, key, value, dropout_p=dropout, is_causal=causal)
    # The fused kernel has no batched form, which ensembles ask for.
    with sdpa_kernel(SDPBackend.MATH):
        return scaled_dot_product_attention(query, key, value, dropout_p=dropout, is_causal=causal)


class Attention(nn.Module):
    """Attention of tokens to all tokens of their own step and of earlier steps, pre-norm.

    Args:
        width: of a token.
        heads: attention heads.
        head_width: width of each head.
        step: tokens that make one step and see each other.
        dropout: share of attention weights and of outputs left out in training.
        bias: whether queries, keys and values have a bias.
        eps: of the norm.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        head_width: int,
        *,
        step: int,
        dropout: float = 0.0,
        bias: bool = False,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        inner = heads * head_width
        self.heads, self.step, self.dropout = heads, step, dropout
        self.norm = nn.LayerNorm(width, eps=eps)
        self.query = Linear(width, inner, bias=bias)
        self.key_value = Linear(width, 2 * inner, bias=bias)
        self.exit = nn.Sequential(Linear(inner, width), nn.Dropout(dropout))

    def forward(self, tokens: Float[Tensor, "n t d"], asked: int) -> Float[Tensor, "n asked d"]:
        """What the last ``asked`` tokens gather."""
        tokens = self.norm(tokens)
        query = self._heads(self.query(tokens[:, -asked:]))
        key, value = map(self._heads, self.key_value(tokens).chunk(2, dim=-1))
        gathered = self._attend(query, key, value)
        return self.exit(gathered.transpose(1, 2).flatten(2))

    def _heads(self, values: Float[Tensor, "n t i"]) -> Float[Tensor, "n heads t e"]:
        return values.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def _attend(
        self,
        query: Float[Tensor, "n heads asked e"],
        key: Float[Tensor, "n heads t e"],
        value: Float[Tensor, "n heads t e"],
    ) -> Float[Tensor, "n heads asked e"]:
        total, dropout = key.shape[2], self.dropout if self.training else 0.0
        first = total - query.shape[2]
        if self.step == 1 and first == 0:
            return _gather(query, key, value, dropout, causal=True)
        # Step by step, since what must not be seen then need not be computed and masked.
        parts = []
        for begin in range(first - first % self.step, total, self.step):
            end = begin + self.step
            rows = query[:, :, max(begin - first, 0) : end - first]
            parts.append(_gather(rows, key[:, :, :end], value[:, :, :end], dropout))
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)


class FeedForward(nn.Sequential):
    """A pre-norm MLP with one hidden layer."""

    def __init__(self, width: int, hidden: int, dropout: float = 0.0, eps: float = 1e-5) -> None:
        super().__init__(
            nn.LayerNorm(width, eps=eps),
            Linear(width, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            Linear(hidden, width),
            nn.Dropout(dropout),
        )


class Block(nn.Module):
    """Attention, then an MLP, each added to what came in (Vaswani et al., 2017; pre-norm).

    Args:
        attention: of the block.
        mlp: of the block.
    """

    def __init__(self, attention: Attention, mlp: FeedForward) -> None:
        super().__init__()
        self.attention, self.mlp = attention, mlp

    def forward(self, tokens: Float[Tensor, "n t d"], asked: int) -> Float[Tensor, "n asked d"]:
        """The last ``asked`` tokens after the block."""
        asked_tokens = tokens[:, -asked:] + self.attention(tokens, asked)
        return asked_tokens + self.mlp(asked_tokens)


class ActionBlock(nn.Module):
    """A block that actions scale, shift and gate: AdaLN-zero (Peebles & Xie, 2023).

    Before training its gates are closed, and it changes nothing.

    Args:
        attention: of the block.
        mlp: of the block.
        width: of a token and of an embedded action.
    """

    def __init__(self, attention: Attention, mlp: FeedForward, width: int) -> None:
        super().__init__()
        self.attention, self.mlp = attention, mlp
        self.norm = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        # What every step is told, and what only the steps that are asked need to be told.
        self.told_all = Linear(width, 2 * width)
        self.told_asked = Linear(width, 4 * width)
        for layer in (self.told_all, self.told_asked):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(
        self, states: Float[Tensor, "n w d"], told: Float[Tensor, "n w d"], asked: int
    ) -> Float[Tensor, "n asked d"]:
        """The last ``asked`` states after the block.

        Args:
            states: one token per step.
            told: the embedded action of each step.
            asked: steps whose state is needed.
        """
        shift, scale = self.told_all(told).chunk(2, dim=-1)
        seen = torch.addcmul(shift, self.norm(states), 1 + scale)
        gate, shift, scale, gate_mlp = self.told_asked(told[:, -asked:]).chunk(4, dim=-1)
        states = torch.addcmul(states[:, -asked:], gate, self.attention(seen, asked))
        seen = torch.addcmul(shift, self.norm(states), 1 + scale)
        return torch.addcmul(states, gate_mlp, self.mlp(seen))


# ------------------------------------------------------------------------------- one token a step


@register
@dataclass(frozen=True, kw_only=True)
class CausalTransformerConfig(PredictorConfig):
    """A causal transformer over a window of states, moved by the actions: LeWM's predictor.

    After LeWorldModel (arXiv 2603.19312): one token per state (several tokens are flattened into
    one), learned positions counted from the oldest state, and blocks that the embedded actions
    scale, shift and gate.

    Attributes:
        window: model steps that it looks at.
        hidden: width of the transformer; None for that of the flattened latent, which then enters
            as it is.
        depth: blocks.
        heads: attention heads of each block.
        head_width: width of each head.
        mlp_width: hidden width of each block's MLP.
        action_hidden: hidden width of the MLP that embeds actions.
        head_hidden: hidden width of the MLP that reads the prediction out.
        dropout: share left out in training.
        residual: whether what is read out is added to the latest latent; if not, it is the
            prediction itself, as in LeWM.

    Raises:
        ForethoughtError: a window or depth below one.
    """

    window: int = 3
    hidden: int | None = None
    depth: int = 3
    heads: int = 4
    head_width: int = 32
    mlp_width: int = 256
    action_hidden: int = 128
    head_hidden: int = 256
    dropout: float = 0.1
    residual: bool = True

    def __post_init__(self) -> None:
        _check_sizes(self)

    def build(self, tokens: int, width: int, action_width: int) -> Predictor:
        """See :class:`PredictorConfig`."""
        return CausalTransformer(self, tokens * width, action_width)


class CausalTransformer(Predictor):
    """Blocks on one token per step; see :class:`CausalTransformerConfig`.

    Args:
        config: its sizes.
        width: of the flattened latent.
        action_width: of a model action.
    """

    def __init__(self, config: CausalTransformerConfig, width: int, action_width: int) -> None:
        super().__init__()
        hidden = config.hidden or width
        self.window, self.residual = config.window, config.residual
        self.busiest = _busiest(config)
        self.entrance = Linear(width, hidden) if hidden != width else nn.Identity()
        self.positions = nn.Parameter(0.02 * torch.randn(config.window, hidden))
        self.action = nn.Sequential(
            Linear(action_width, config.action_hidden),
            nn.SiLU(),
            Linear(config.action_hidden, hidden),
        )
        self.blocks = nn.ModuleList(
            ActionBlock(
                Attention(hidden, config.heads, config.head_width, step=1, dropout=config.dropout),
                FeedForward(hidden, config.mlp_width, config.dropout),
                hidden,
            )
            for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(hidden)
        last = Linear(config.head_hidden, width)
        self.head = nn.Sequential(Linear(hidden, config.head_hidden), nn.GELU(), last)
        if config.residual:
            _shrink(last)

    def forward(
        self, latents: Float[Tensor, "n w k d"], actions: Float[Tensor, "n w a"]
    ) -> Float[Tensor, "n k d"]:
        """See :class:`Predictor`; steps before the window are not looked at."""
        return _in_chunks(self._answer, latents, actions, self.window, self.busiest)

    def _answer(
        self, latents: Float[Tensor, "n w k d"], actions: Float[Tensor, "n w a"]
    ) -> Float[Tensor, "n k d"]:
        steps = latents.shape[1]
        states = self.entrance(latents.flatten(2)) + self.positions[:steps]
        told = silu(self.action(actions))
        for block in self.blocks[:-1]:
            states = block(states, told, steps)
        state = self.blocks[-1](states, told, 1)[:, 0]
        answer = self.head(self.norm(state)).unflatten(1, latents.shape[2:])
        return latents[:, -1] + answer if self.residual else answer

    def unroll(
        self, latents: Float[Tensor, "n w k d"], actions: Float[Tensor, "n w_minus_1_plus_h a"]
    ) -> Float[Tensor, "n h_plus_1 k d"]:
        """See :class:`Predictor`.

        Where it only acts, as :class:`ActingTransformer`, whose steps share work; its weights are
        laid out for the length of this call, so that they may change before the next. Where
        gradients are recorded or calls are rewritten, for a single step, and by subclasses that
        step in a way of their own, step by step.
        """
        one_by_one = actions.shape[1] == latents.shape[1] or not acts_laid_out(self)
        if torch.is_grad_enabled() or self.training or is_rewritten(latents) or one_by_one:
            return super().unroll(latents, actions)
        from forethought.world_model.acting import ActingTransformer  # It imports this module.

        return ActingTransformer(self, units_for(latents)).unroll(latents, actions)


def acts_laid_out(predictor: Predictor) -> TypeGuard[CausalTransformer]:
    """Whether it is a causal transformer whose steps are those of :class:`ActingTransformer`."""
    is_one = isinstance(predictor, CausalTransformer)
    return is_one and steps_as(predictor, CausalTransformer, "forward", "_answer")


# ------------------------------------------------------------------------------- many tokens a step


@register
@dataclass(frozen=True, kw_only=True)
class PatchTransformerConfig(PredictorConfig):
    """A transformer over all tokens of a window of states, causal step by step: DINO-WM's.

    After DINO-WM (arXiv 2411.04983): every token sees all tokens of its own and of earlier steps,
    so that what happens at one place can follow from what is at another. The embedded action is
    added to each token of its step, and what comes out is the change of the latest tokens.

    Attributes:
        window: model steps that it looks at.
        hidden: width of the transformer.
        depth: blocks.
        heads: attention heads of each block.
        head_width: width of each head.
        mlp_width: hidden width of each block's MLP.
        dropout: share left out in training.

    Raises:
        ForethoughtError: a window or depth below one.
    """

    window: int = 3
    hidden: int = 96
    depth: int = 3
    heads: int = 4
    head_width: int = 24
    mlp_width: int = 192
    dropout: float = 0.0

    def __post_init__(self) -> None:
        _check_sizes(self)

    def build(self, tokens: int, width: int, action_width: int) -> Predictor:
        """See :class:`PredictorConfig`."""
        return PatchTransformer(self, tokens, width, action_width)


class PatchTransformer(Predictor):
    """Blocks on all tokens of all steps; see :class:`PatchTransformerConfig`.

    Args:
        config: its sizes.
        tokens: of a latent.
        width: of a token.
        action_width: of a model action.
    """

    def __init__(
        self, config: PatchTransformerConfig, tokens: int, width: int, action_width: int
    ) -> None:
        super().__init__()
        hidden = config.hidden
        self.window = config.window
        self.busiest = tokens * _busiest(config)
        self.entrance = Linear(width, hidden)
        self.action = Linear(action_width, hidden)
        self.places = nn.Parameter(0.02 * torch.randn(tokens, hidden))
        # Counted from the latest step, which so has the same one in a window of any length.
        self.ages = nn.Parameter(0.02 * torch.randn(config.window, hidden))
        self.blocks = nn.ModuleList(
            Block(
                Attention(
                    hidden, config.heads, config.head_width, step=tokens, dropout=config.dropout
                ),
                FeedForward(hidden, config.mlp_width, config.dropout),
            )
            for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(hidden)
        self.exit = Linear(hidden, width)
        _shrink(self.exit)

    def forward(
        self, latents: Float[Tensor, "n w k d"], actions: Float[Tensor, "n w a"]
    ) -> Float[Tensor, "n k d"]:
        """See :class:`Predictor`; steps before the window are not looked at."""
        return _in_chunks(self._answer, latents, actions, self.window, self.busiest)

    def _answer(
        self, latents: Float[Tensor, "n w k d"], actions: Float[Tensor, "n w a"]
    ) -> Float[Tensor, "n k d"]:
        tokens = latents.shape[2]
        # Latents stay in their own precision, whatever that of the blocks.
        dtype = self.places.dtype
        step = self.action(actions.to(dtype)) + self.ages[-latents.shape[1] :]
        seen = (self.entrance(latents.to(dtype)) + step.unsqueeze(2) + self.places).flatten(1, 2)
        for block in self.blocks[:-1]:
            seen = block(seen, seen.shape[1])
        change = self.exit(self.norm(self.blocks[-1](seen, tokens)))
        return latents[:, -1] + change.to(latents.dtype)

    def unroll(
        self, latents: Float[Tensor, "n w k d"], actions: Float[Tensor, "n w_minus_1_plus_h a"]
    ) -> Float[Tensor, "n h_plus_1 k d"]:
        """See :class:`Predictor`.

        Ages are counted from the latest step: each step changes those of all, and nothing that was
        made of a state can be kept. Where it only acts, weights are laid out once for all steps.
        """
        single = actions.shape[1] == latents.shape[1]
        if torch.is_grad_enabled() or self.training or single or not onednn_serves(latents):
            return super().unroll(latents, actions)
        return Predictor.unroll(laid_out(self, units_for(latents)), latents, actions)


# ------------------------------------------------------------------------------- shared


def _busiest(config: CausalTransformerConfig | PatchTransformerConfig) -> int:
    """Width of a token where it is widest."""
    return max(3 * config.heads * config.head_width, config.mlp_width)


def _in_chunks(
    answer: Callable[[Tensor, Tensor], Tensor],
    latents: Float[Tensor, "n w k d"],
    actions: Float[Tensor, "n w a"],
    window: int,
    busiest: int,
) -> Float[Tensor, "n k d"]:
    """Answers for the latest steps of a window, a part of the batch at a time.

    Args:
        answer: next latents of latents and actions.
        latents: of a window, or of more.
        actions: those taken in them.
        window: steps that are looked at.
        busiest: numbers that one step of one item has where it has most.
    """
    latents, actions = latents[:, -window:], actions[:, -window:]
    rows = CHUNK_NUMBERS // (busiest * latents.shape[1])
    if latents.device.type != "cpu" or len(latents) <= max(rows, 1):
        return answer(latents, actions)
    num_parts = -(-len(latents) // max(rows, 1))
    parts = zip(latents.chunk(num_parts), actions.chunk(num_parts), strict=True)
    return torch.cat([answer(*part) for part in parts])


def _shrink(layer: nn.Linear) -> None:
    """Makes a layer's first answers small, so that training starts near "nothing changes"."""
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(0.1)


def _check_sizes(config: CausalTransformerConfig | PatchTransformerConfig) -> None:
    for name, value in (("window", config.window), ("depth", config.depth)):
        if value < 1:
            raise ForethoughtError(
                f"{type(config).__name__}: {name}={value}; a transformer looks at one step or more "
                f"and has one block or more. Set {name} to 1 or more."
            )
