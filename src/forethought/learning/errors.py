"""How far a prediction is from what came: the first term of the pretraining objective."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from forethought.config import register


class PredictionErrorConfig(ABC):
    """A measure of prediction error; itself a function, since it holds nothing trainable."""

    weight: float

    @abstractmethod
    def __call__(
        self, predicted: Float[Tensor, "b t k d"], latents: Float[Tensor, "b t k d"]
    ) -> Float[Tensor, ""]:
        """Error of a rollout against the encoded clip; both begin with the same latent."""


@register
@dataclass(frozen=True, kw_only=True)
class SquaredError(PredictionErrorConfig):
    """Mean squared error; gradients reach prediction and target alike.

    Attributes:
        weight: share in the loss.
    """

    weight: float = 1.0

    def __call__(
        self, predicted: Float[Tensor, "b t k d"], latents: Float[Tensor, "b t k d"]
    ) -> Float[Tensor, ""]:
        """See :class:`PredictionErrorConfig`."""
        return (predicted[:, 1:] - latents[:, 1:]).square().mean()


@register
@dataclass(frozen=True, kw_only=True)
class ErrorAgainstCopy(PredictionErrorConfig):
    """Squared error over that of "nothing changes", horizon by horizon.

    Every horizon counts alike, and a latent gains nothing by changing slowly: the error of copying
    shrinks with it, gradient included.

    Attributes:
        weight: share in the loss.
    """

    weight: float = 1.0

    def __call__(
        self, predicted: Float[Tensor, "b t k d"], latents: Float[Tensor, "b t k d"]
    ) -> Float[Tensor, ""]:
        """See :class:`PredictionErrorConfig`."""
        return error_against_copy(predicted, latents)


@register
@dataclass(frozen=True, kw_only=True)
class AnchoredError(PredictionErrorConfig):
    """For anchored encoders: the anchored part against copy, the learned part squared.

    The learned part's targets are held fixed: it is shaped by what it helps to predict.

    Attributes:
        anchored: width of the anchored part, which comes first.
        learned: weight of the learned part.
        weight: share in the loss.
    """

    anchored: int
    learned: float = 0.1
    weight: float = 1.0

    def __call__(
        self, predicted: Float[Tensor, "b t k d"], latents: Float[Tensor, "b t k d"]
    ) -> Float[Tensor, ""]:
        """See :class:`PredictionErrorConfig`."""
        known, rest = slice(None, self.anchored), slice(self.anchored, None)
        error = error_against_copy(predicted[..., known], latents[..., known])
        gap = predicted[:, 1:, ..., rest] - latents[:, 1:, ..., rest].detach()
        return error + self.learned * gap.square().mean()


def error_against_copy(
    predicted: Float[Tensor, "b t k d"], latents: Float[Tensor, "b t k d"]
) -> Float[Tensor, ""]:
    """Mean over horizons of squared error over the squared error of copying the first latent."""
    error = (predicted[:, 1:] - latents[:, 1:]).square().mean((0, 2, 3))
    copy = (latents[:, 1:] - latents[:, :1]).square().mean((0, 2, 3))
    return (error / copy.clamp_min(1e-6)).mean()
