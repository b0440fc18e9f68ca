"""Finding a text by another: embeddings made comparable, and a task to measure them by."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from forethought.types import ForethoughtError


@dataclass(frozen=True, kw_only=True)
class Whitening:
    """Makes every direction of some embeddings vary alike, so that cosines tell texts apart.

    As they come, embeddings differ most in a few directions that say little about their texts
    (Mu and Viswanath, 2018; Su et al., 2021).

    Attributes:
        mean: of the embeddings that it was fitted to.
        map: from embeddings to whitened ones.
    """

    mean: Float[Tensor, " d"]
    map: Float[Tensor, "d d"]

    @classmethod
    def fit(cls, embeddings: Float[Tensor, "n d"], *, floor: float = 1e-2) -> Whitening:
        """The whitening of some embeddings.

        Args:
            embeddings: of many texts.
            floor: added to all variances, in mean variances, so that noise is not blown up.
        """
        mean = embeddings.mean(0)
        around = (embeddings - mean).double()
        variances, directions = torch.linalg.eigh(around.T @ around / len(around))
        scale = (variances.clamp_min(0) + floor * variances.mean()).rsqrt()
        return cls(mean=mean, map=(directions * scale).float())

    def __call__(self, embeddings: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Embeddings, whitened."""
        return (embeddings - self.mean) @ self.map


def nearest(queries: Float[Tensor, "q d"], keys: Float[Tensor, "n d"]) -> Int[Tensor, " q"]:
    """The key of the largest cosine similarity to each query."""
    queries, keys = (nn.functional.normalize(part, dim=-1) for part in (queries, keys))
    return (queries @ keys.T).argmax(-1)


def passage_halves(
    text: str, count: int, *, num_lines: int, generator: torch.Generator
) -> tuple[list[str], list[str]]:
    """First and second halves of passages drawn from a text, none of which overlap.

    Args:
        text: at least ``count * num_lines`` lines.
        count: how many passages.
        num_lines: lines in a passage; each half has half of them.
        generator: draws the passages.

    Raises:
        ForethoughtError: the text has too few lines.
    """
    lines = [line for line in text.splitlines(keepends=True) if line.strip()]
    available = len(lines) // num_lines
    if available < count:
        raise ForethoughtError(
            f"the text holds {available} passages of {num_lines} lines, {count} were asked for; "
            "ask for fewer or shorter ones, or give more text."
        )
    starts = [int(i) * num_lines for i in torch.randperm(available, generator=generator)[:count]]
    half = num_lines // 2
    first = ["".join(lines[start : start + half]) for start in starts]
    second = ["".join(lines[start + half : start + num_lines]) for start in starts]
    return first, second


def top1(queries: Float[Tensor, "n d"], keys: Float[Tensor, "n d"]) -> float:
    """How often the nearest key is the query's own; chance is ``1 / n``."""
    return float((nearest(queries, keys) == torch.arange(len(queries))).float().mean())
