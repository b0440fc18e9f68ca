"""The transformer block that all rooms share: pre-norm self-attention and an MLP."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor, nn

from forethought.types import ForethoughtError


class SelfAttention(nn.Module):
    """Multi-head self-attention (Vaswani et al., 2017), scaled dot products.

    Args:
        width: width d of the tokens.
        heads: heads; each has an even share of the width.

    Raises:
        ForethoughtError: a width that cannot be shared evenly.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ForethoughtError(
                f"attention shares its width evenly among its heads, found width {width} for "
                f"{heads} heads; choose a multiple."
            )
        self.heads = heads
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(
        self, tokens: Float[Tensor, "n k d"], mask: Bool[Tensor, "#n #k k"] | None = None
    ) -> Float[Tensor, "n k d"]:
        """What each token gathers from the others.

        Args:
            tokens: the tokens.
            mask: true where token i (second dimension) may look at token j (third); each token
                must be able to look at one at least. None lets all look at all.
        """
        parts = self.queries_keys_values(tokens).unflatten(-1, (3, self.heads, -1))
        queries, keys, values = parts.permute(2, 0, 3, 1, 4)
        gathered = nn.functional.scaled_dot_product_attention(
            queries, keys, values, attn_mask=None if mask is None else mask.unsqueeze(1)
        )
        return self.out(gathered.transpose(1, 2).flatten(2))


class TransformerBlock(nn.Module):
    """``x + attention(norm(x))``, then ``x + mlp(norm(x))`` (Xiong et al., 2020).

    Args:
        width: width d of the tokens.
        heads: of attention.
        mlp_ratio: hidden width of the MLP in multiples of ``width``.
    """

    def __init__(self, width: int, heads: int, mlp_ratio: int = 4) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, mlp_ratio * width), nn.GELU(), nn.Linear(mlp_ratio * width, width)
        )

    def forward(
        self, tokens: Float[Tensor, "n k d"], mask: Bool[Tensor, "#n #k k"] | None = None
    ) -> Float[Tensor, "n k d"]:
        """Tokens of the same shape; ``mask`` as :class:`SelfAttention` takes it."""
        tokens = tokens + self.attention(self.attention_norm(tokens), mask)
        return tokens + self.mlp(self.mlp_norm(tokens))
