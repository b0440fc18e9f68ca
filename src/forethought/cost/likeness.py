"""A condition on latents: be unlike the states that were shown to be bad."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from forethought.cost.constraints import Constraint, Encode
from forethought.cost.course import Course, Reader
from forethought.world_model.probes import MLPProbe


@dataclass(frozen=True, kw_only=True, eq=False)
class Unlike(Constraint):
    """Stay unlike bad states, as a readout of the latent tells them from others.

    Made by :func:`forethought.learning.learn_unlike`.

    Attributes:
        name: what the bad states are.
        readout: one number of a latent: near one for bad states, near minus one for others.
        threshold: from which number on a state counts as bad.
    """

    name: str
    readout: MLPProbe
    threshold: float

    @property
    def quantities(self) -> tuple[str, ...]:
        """See :class:`Constraint`."""
        return (f"likeness to {self.name}",)

    def readers(self, encode: Encode) -> Mapping[str, Reader]:
        """See :class:`Constraint`."""
        (quantity,) = self.quantities
        # Latents of a calibration are on the CPU, wherever the model is.
        return {quantity: lambda latents: self.readout.to(latents.device)(latents)[..., 0]}

    def margin(self, course: Course) -> Float[Tensor, "*batch s_minus_1"]:
        """See :class:`Constraint`; a likeness of two lies between other states and bad ones."""
        (quantity,) = self.quantities
        return self.threshold - course[quantity][..., 1:]

    def __str__(self) -> str:
        return f"unlike {self.name}"
