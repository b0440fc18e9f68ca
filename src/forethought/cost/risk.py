"""What a plan is worth when its future has several outcomes: their mean, the worst, or between."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from forethought.types import ForethoughtError


class OutcomeRisk(ABC):
    """Weighs the outcomes of each candidate; the weights of a candidate add up to one."""

    @abstractmethod
    def weights(self, energies: Float[Tensor, "b n m"]) -> Float[Tensor, "b n m"]:
        """The share of each outcome, given the energies of all."""


@dataclass(frozen=True)
class Expected(OutcomeRisk):
    """Every outcome counts alike."""

    def weights(self, energies: Float[Tensor, "b n m"]) -> Float[Tensor, "b n m"]:
        """See :class:`OutcomeRisk`."""
        return torch.full_like(energies, 1 / energies.shape[-1])


@dataclass(frozen=True)
class Tail(OutcomeRisk):
    """The mean of the worst outcomes (conditional value at risk; Rockafellar and Uryasev, 2000).

    Attributes:
        share: how many of the outcomes count, above 0 and up to 1; at least one always does.

    Raises:
        ForethoughtError: a share outside this range.
    """

    share: float

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ForethoughtError(
                f"the tail of outcomes has share {self.share}; expected above 0 and up to 1."
            )

    def weights(self, energies: Float[Tensor, "b n m"]) -> Float[Tensor, "b n m"]:
        """See :class:`OutcomeRisk`."""
        count = math.ceil(self.share * energies.shape[-1] - 1e-9)
        worst = energies.topk(count, dim=-1).indices
        return torch.zeros_like(energies).scatter(-1, worst, 1 / count)


@dataclass(frozen=True)
class Worst(OutcomeRisk):
    """Only the worst outcome counts."""

    def weights(self, energies: Float[Tensor, "b n m"]) -> Float[Tensor, "b n m"]:
        """See :class:`OutcomeRisk`."""
        return _only(energies, energies.argmax(-1, keepdim=True))


@dataclass(frozen=True)
class Luckiest(OutcomeRisk):
    """Only the best outcome counts: the latent variable is minimised over, as the actions are.

    Right where it stands for another's choice that will be made to suit; reckless elsewhere.
    """

    def weights(self, energies: Float[Tensor, "b n m"]) -> Float[Tensor, "b n m"]:
        """See :class:`OutcomeRisk`."""
        return _only(energies, energies.argmin(-1, keepdim=True))


def _only(energies: Float[Tensor, "b n m"], chosen: Tensor) -> Float[Tensor, "b n m"]:
    return torch.zeros_like(energies).scatter(-1, chosen, 1.0)
