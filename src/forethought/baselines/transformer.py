"""A transformer over tokens: ids in, logits out; of bytes, of tokenised frames, of anything.

Pre-norm blocks (Xiong et al., 2020) with rotary positions (Su et al., 2021), tied embeddings and
no biases. With ``causal`` every token sees itself and what came before (GPT, Radford et al.,
2019); without, all of them (BERT, Devlin et al., 2019).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from forethought.config import register
from forethought.types import ForethoughtError

Past = tuple[tuple[Tensor, Tensor], ...]
"""Keys and values of the tokens already read, ``(b, heads, t, width / heads)``, per block."""

FREQUENCY_BASE = 10_000.0
INITIAL_STD = 0.02


@register
@dataclass(frozen=True, kw_only=True)
class TokenTransformerConfig:
    """The size of a transformer, and what its tokens may see.

    Attributes:
        vocabulary: number of token ids.
        width: of the stream between the blocks.
        depth: number of blocks.
        heads: of attention; each has an even share of the width.
        context: most tokens seen at once.
        causal: whether a token sees only itself and those before it.
        dropout: share of each block's output left out in training, for little data.
        expansion: hidden width of each block's MLP, in widths.
    """

    vocabulary: int
    width: int = 192
    depth: int = 4
    heads: int = 6
    context: int = 128
    causal: bool = True
    dropout: float = 0.0
    expansion: int = 4

    def __post_init__(self) -> None:
        if self.width % (2 * self.heads):
            raise ForethoughtError(
                f"a transformer of width {self.width} cannot have {self.heads} heads of even "
                f"and equal width; choose a width that {2 * self.heads} divides."
            )

    def build(self) -> TokenTransformer:
        """An untrained transformer, drawn from the global generator."""
        return TokenTransformer(self)


class TokenTransformer(nn.Module):
    """Logits of every token's successor (causal) or of every token itself.

    Untrained, its blocks change nothing and all its logits are close to zero.

    Args:
        config: its size.
    """

    turns: Tensor

    def __init__(self, config: TokenTransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary, config.width)
        nn.init.normal_(self.embedding.weight, std=INITIAL_STD)
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.depth))
        self.last_norm = nn.LayerNorm(config.width, bias=False)
        turns = _turns(config.context, config.width // config.heads)
        self.register_buffer("turns", turns, persistent=False)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.embedding.weight.device

    def forward(
        self, tokens: Int[Tensor, "b t"], present: Bool[Tensor, "b t"] | None = None
    ) -> Float[Tensor, "b t v"]:
        """Logits at every token.

        Args:
            tokens: ids, at most ``context`` of them.
            present: false where there is only padding, which must follow the text; None for none.

        Raises:
            ForethoughtError: more tokens than the context.
        """
        return self.logits(self.hidden(tokens, present))

    def hidden(
        self, tokens: Int[Tensor, "b t"], present: Bool[Tensor, "b t"] | None = None
    ) -> Float[Tensor, "b t d"]:
        """The stream after the last block, normalised; arguments as of :meth:`forward`."""
        return self.last_norm(self._read(self.embedding(tokens), present, None)[0][-1])

    def streams(
        self, tokens: Int[Tensor, "b t"], present: Bool[Tensor, "b t"] | None = None
    ) -> Float[Tensor, "b t depth d"]:
        """The stream after every block, normalised; arguments as of :meth:`forward`."""
        streams = torch.stack(self._read(self.embedding(tokens), present, None)[0], dim=2)
        return nn.functional.layer_norm(streams, streams.shape[-1:])

    def advance(
        self, tokens: Int[Tensor, "b t"], past: Past | None = None
    ) -> tuple[Float[Tensor, "b t v"], Past]:
        """Reads on from what was read before: logits of the new tokens, and the new past.

        The same logits as :meth:`forward` gives for all tokens at once, without their cost.

        Args:
            tokens: those that come next.
            past: what an earlier call returned; None at the beginning.

        Raises:
            ForethoughtError: past and new are more than the context, or the model is not causal.
        """
        hidden, past = self.follow(self.embedding(tokens), past)
        return self.logits(hidden), past

    def follow(
        self, vectors: Float[Tensor, "b t d"], past: Past | None = None
    ) -> tuple[Float[Tensor, "b t d"], Past]:
        """As :meth:`advance`, for tokens given as vectors, since some are no words: actions, say.

        Args:
            vectors: what the tokens enter the first block as.
            past: what an earlier call returned; None at the beginning.

        Returns:
            The stream after the last block, normalised, and the new past.

        Raises:
            ForethoughtError: past and new are more than the context, or the model is not causal.
        """
        self._check_causal()
        streams, past = self._read(vectors, None, past)
        return self.last_norm(streams[-1]), past

    def logits(self, hidden: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch v"]:
        """Logits of hidden states, read out by the embedding itself."""
        return nn.functional.linear(hidden, self.embedding.weight)

    @torch.no_grad()
    def generate(
        self,
        prompt: Int[Tensor, "b t"],
        num_tokens: int,
        *,
        generator: torch.Generator | None,
        temperature: float = 1.0,
    ) -> Int[Tensor, "b n"]:
        """The tokens that follow a prompt, one after another.

        Where they outgrow the context, reading begins again with its later half.

        Args:
            prompt: one or more tokens; of a long one only the last ``context`` are read.
            num_tokens: how many to add.
            generator: draws from the predicted distribution; None takes the likeliest token.
            temperature: divides the logits that are drawn from.

        Raises:
            ForethoughtError: the model is not causal, or the prompt is empty.
        """
        self._check_causal()
        if not prompt.shape[1]:
            raise ForethoughtError("the prompt is empty; begin with at least one token.")
        text, unread, past = prompt, prompt[:, -self.config.context :], None
        for _ in range(num_tokens):
            if _length(past) + unread.shape[1] > self.config.context:
                unread, past = text[:, -max(1, self.config.context // 2) :], None
            logits, past = self.advance(unread, past)
            unread = _choose(logits[:, -1], generator, temperature)
            text = torch.cat([text, unread], dim=1)
        return text[:, prompt.shape[1] :]

    def _read(
        self, stream: Tensor, present: Tensor | None, past: Past | None
    ) -> tuple[list[Tensor], Past]:
        """The stream after every block, and what later tokens need of these."""
        before = _length(past)
        total = before + stream.shape[1]
        if total > self.config.context:
            raise ForethoughtError(
                f"{total} tokens are more than the context of {self.config.context}; cut them, or "
                "build the transformer with a larger context."
            )
        turns = self.turns[:, before:total]
        causal = self.config.causal
        mask = _mask(stream.shape[1], total, present, causal=causal, device=stream.device)
        streams, read = [], []
        for number, block in enumerate(self.blocks):
            stream, one = block(stream, turns, mask, past[number] if past else None)
            streams.append(stream)
            read.append(one)
        return streams, tuple(read)

    def _check_causal(self) -> None:
        if not self.config.causal:
            raise ForethoughtError(
                "only a causal transformer reads token by token; this one was built with "
                "causal=False."
            )


class _Block(nn.Module):
    """Attention, then an MLP, each added to the stream."""

    def __init__(self, config: TokenTransformerConfig) -> None:
        super().__init__()
        width, hidden = config.width, config.expansion * config.width
        self.heads, self.causal, self.dropout = config.heads, config.causal, config.dropout
        self.attention_norm = nn.LayerNorm(width, bias=False)
        self.attention_in = nn.Linear(width, 3 * width, bias=False)
        self.attention_out = nn.Linear(width, width, bias=False)
        self.mlp_norm = nn.LayerNorm(width, bias=False)
        self.mlp_in = nn.Linear(width, hidden, bias=False)
        self.mlp_out = nn.Linear(hidden, width, bias=False)
        for layer in (self.attention_in, self.mlp_in):
            nn.init.normal_(layer.weight, std=width**-0.5)
        # A block that begins as the identity trains at a higher learning rate.
        for layer in (self.attention_out, self.mlp_out):
            nn.init.zeros_(layer.weight)

    def forward(
        self, stream: Tensor, turns: Tensor, mask: Tensor | None, past: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        parts = self.attention_in(self.attention_norm(stream))
        parts = parts.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        queries, keys = _turn(parts[:2], turns)
        values = parts[2]
        if past is not None:
            keys, values = torch.cat([past[0], keys], 2), torch.cat([past[1], values], 2)
        seen = nn.functional.scaled_dot_product_attention(
            queries,
            keys,
            values,
            attn_mask=mask,
            is_causal=self.causal and _square(queries, keys, mask),
        )
        stream = stream + self._dropped(self.attention_out(seen.transpose(1, 2).flatten(2)))
        raised = nn.functional.gelu(self.mlp_in(self.mlp_norm(stream)), approximate="tanh")
        return stream + self._dropped(self.mlp_out(raised)), (keys, values)

    def _dropped(self, change: Tensor) -> Tensor:
        return nn.functional.dropout(change, self.dropout, self.training)


def _square(queries: Tensor, keys: Tensor, mask: Tensor | None) -> bool:
    """Whether the plain causal mask is right: nothing was read before, nothing else is hidden."""
    return mask is None and queries.shape[2] == keys.shape[2]


def _mask(
    new: int, total: int, present: Tensor | None, *, causal: bool, device: torch.device
) -> Tensor | None:
    """What ``new`` tokens at the end of ``total`` may see; None where no mask need be written."""
    mask = None if present is None else present[:, None, None, :]
    if causal and (mask is not None or 1 < new < total):
        order = torch.ones(new, total, dtype=torch.bool, device=device).tril(total - new)
        mask = order if mask is None else mask & order
    return mask


def _turns(length: int, width: int) -> Float[Tensor, "2 t half"]:
    """Cosine and sine of the angle by which each pair of entries turns at each position."""
    frequency = FREQUENCY_BASE ** -(torch.arange(0, width, 2) / width)
    angle = torch.arange(length)[:, None] * frequency
    return torch.stack([angle.cos(), angle.sin()])


def _turn(vectors: Tensor, turns: Tensor) -> Tensor:
    """Rotates queries and keys, so that their product knows only how far apart they are."""
    cosine, sine = turns
    a, b = vectors.chunk(2, dim=-1)
    return torch.cat([a * cosine - b * sine, b * cosine + a * sine], dim=-1)


def _length(past: Past | None) -> int:
    return past[0][0].shape[2] if past else 0


def _choose(
    logits: Float[Tensor, "b v"], generator: torch.Generator | None, temperature: float
) -> Int[Tensor, "b 1"]:
    if generator is None:
        return logits.argmax(-1, keepdim=True)
    chances = (logits / temperature).softmax(-1)
    # Drawn where the generator is, so that the same one gives the same tokens on every device.
    return torch.multinomial(chances.to(generator.device), 1, generator=generator).to(logits.device)
