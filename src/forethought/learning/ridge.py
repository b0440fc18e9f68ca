"""Ridge regression: what a learned model has to beat, and where it may begin."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Ridge:
    """Ridge regression on standardised inputs.

    Attributes:
        mean: of the inputs.
        scale: of the inputs.
        weight: ``(inputs, targets)``.
        bias: ``(targets,)``.
    """

    mean: Float[Tensor, " i"]
    scale: Float[Tensor, " i"]
    weight: Float[Tensor, "i o"]
    bias: Float[Tensor, " o"]

    def __call__(self, inputs: Float[Tensor, "n i"]) -> Float[Tensor, "n o"]:
        """Predictions."""
        return ((inputs - self.mean) / self.scale) @ self.weight + self.bias

    def unscaled(self) -> tuple[Float[Tensor, "i o"], Float[Tensor, " o"]]:
        """Weight and bias for inputs that are not standardised."""
        weight = self.weight / self.scale[:, None]
        return weight, self.bias - self.mean @ weight


PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)


def fit_ridge(
    inputs: Float[Tensor, "n i"],
    targets: Float[Tensor, "n o"],
    groups: Int[Tensor, " n"],
) -> Ridge:
    """Fits with the penalty that does best on a fifth of the episodes, then on all of them.

    Args:
        inputs: one row per example.
        targets: one row per example.
        groups: the episode of each example.
    """
    episodes = groups.unique()
    kept = torch.isin(groups, episodes[: max(1, len(episodes) // 5)])
    if bool(kept.all()):
        kept = torch.arange(len(groups)) < len(groups) // 5
    errors = []
    for penalty in PENALTIES:
        fitted = _solve(inputs[~kept], targets[~kept], penalty)
        errors.append(float((fitted(inputs[kept]) - targets[kept]).square().mean()))
    return _solve(inputs, targets, PENALTIES[errors.index(min(errors))])


def _solve(inputs: Float[Tensor, "n i"], targets: Float[Tensor, "n o"], penalty: float) -> Ridge:
    mean, scale = inputs.mean(0), inputs.std(0).clamp_min(1e-6)
    standard = ((inputs - mean) / scale).double()
    bias = targets.mean(0)
    gram = standard.T @ standard / len(standard)
    eye = torch.eye(len(gram), dtype=gram.dtype)
    cross = standard.T @ (targets - bias).double() / len(standard)
    weight = torch.linalg.solve(gram + penalty * 0.1 * eye, cross)
    return Ridge(mean=mean, scale=scale, weight=weight.float(), bias=bias)
