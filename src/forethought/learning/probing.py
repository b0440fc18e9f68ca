"""Probes of a finished world model, fitted on frozen latents of the training episodes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from forethought.config import register
from forethought.model import Model
from forethought.world_model.probes import (
    LinearProbe,
    MLPProbe,
    fit_linear_probe,
    fit_mlp_probe,
    r_squared,
)


@register
@dataclass(frozen=True, kw_only=True)
class ProbeTrainingConfig:
    """How probes are fitted.

    Attributes:
        key: the dataset's key that holds the quantities, with a name for each entry.
        num_steps: steps of the MLP probe.
        max_rows: rows used at most, drawn at random.
    """

    key: str
    num_steps: int = 1500
    max_rows: int = 20_000


@dataclass(frozen=True, kw_only=True)
class ProbeReport:
    """What the probes find in the latents of held-out episodes.

    Attributes:
        names: the quantities.
        linear_r2: share of each quantity's variance explained by a linear readout; None for a
            quantity that never varies, of which there is nothing to explain.
        mlp_r2: the same for the MLP.
    """

    names: tuple[str, ...]
    linear_r2: tuple[float | None, ...]
    mlp_r2: tuple[float | None, ...]


def fit_probes(
    model: Model,
    config: ProbeTrainingConfig,
    latents: Float[Tensor, "rows k d"],
    quantities: Float[Tensor, "rows q"],
    generator: torch.Generator,
) -> None:
    """Fits the model's linear and MLP probe in place."""
    rows = torch.randperm(len(latents), generator=generator)[: config.max_rows]
    inputs, targets = latents[rows], quantities[rows]
    linear = fit_linear_probe(inputs, targets)
    nonlinear = fit_mlp_probe(inputs, targets, generator=generator, num_steps=config.num_steps)
    model.linear_probe.load_state_dict(linear.state_dict())
    model.mlp_probe.load_state_dict(nonlinear.state_dict())
    model.mlp_probe.requires_grad_(False)


def probe_report(
    model: Model, latents: Float[Tensor, "rows k d"], quantities: Float[Tensor, "rows q"]
) -> ProbeReport:
    """Held-out R2 of both probes."""
    varies = (quantities.amax(0) > quantities.amin(0)).tolist()

    def explained(probe: LinearProbe | MLPProbe) -> tuple[float | None, ...]:
        shares = r_squared(probe, latents, quantities).tolist()
        return tuple(r2 if moves else None for r2, moves in zip(shares, varies, strict=True))

    return ProbeReport(
        names=model.config.probes,
        linear_r2=explained(model.linear_probe),
        mlp_r2=explained(model.mlp_probe),
    )
