"""Probes: physical quantities read out of frozen latents.

They are trained with labels and tell what a latent holds; nothing that acts is trained on them.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from forethought.perception.encoders import mlp


class LinearProbe(nn.Module):
    """``x @ weight + bias`` on flattened latents.

    Args:
        num_inputs: ``k * d``.
        num_targets: quantities read out.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, num_inputs: int, num_targets: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(num_inputs, num_targets))
        self.register_buffer("bias", torch.zeros(num_targets))

    def forward(self, latents: Float[Tensor, "*batch k d"]) -> Float[Tensor, "*batch q"]:
        """The quantities, in the units they were fitted in."""
        return latents.flatten(-2) @ self.weight + self.bias


class MLPProbe(nn.Module):
    """Two hidden layers on flattened, standardised latents.

    Args:
        num_inputs: ``k * d``.
        num_targets: quantities read out.
        hidden: width of the hidden layers.
    """

    mean: Tensor
    scale: Tensor
    target_mean: Tensor
    target_scale: Tensor

    def __init__(self, num_inputs: int, num_targets: int, hidden: int = 128) -> None:
        super().__init__()
        self.layers = mlp(num_inputs, (hidden, hidden), num_targets)
        self.register_buffer("mean", torch.zeros(num_inputs))
        self.register_buffer("scale", torch.ones(num_inputs))
        self.register_buffer("target_mean", torch.zeros(num_targets))
        self.register_buffer("target_scale", torch.ones(num_targets))

    def forward(self, latents: Float[Tensor, "*batch k d"]) -> Float[Tensor, "*batch q"]:
        """The quantities, in the units they were fitted in."""
        standard = (latents.flatten(-2) - self.mean) / self.scale
        return self.layers(standard) * self.target_scale + self.target_mean


def fit_linear_probe(
    latents: Float[Tensor, "n k d"], targets: Float[Tensor, "n q"], *, ridge: float = 1e-3
) -> LinearProbe:
    """Ridge regression in closed form.

    Args:
        latents: frozen latents.
        targets: the quantities.
        ridge: penalty, relative to the mean variance of the latents.
    """
    inputs = latents.flatten(1).double()
    mean, target_mean = inputs.mean(0), targets.double().mean(0)
    centred = inputs - mean
    gram = centred.T @ centred
    penalty = ridge * gram.diagonal().mean().clamp_min(1e-12)
    eye = torch.eye(gram.shape[0], dtype=gram.dtype, device=gram.device)
    weight = torch.linalg.solve(gram + penalty * eye, centred.T @ (targets.double() - target_mean))
    probe = LinearProbe(inputs.shape[1], targets.shape[1])
    probe.weight.copy_(weight.float())
    probe.bias.copy_((target_mean - mean @ weight).float())
    return probe


def fit_mlp_probe(
    latents: Float[Tensor, "n k d"],
    targets: Float[Tensor, "n q"],
    *,
    generator: torch.Generator,
    num_steps: int = 1500,
    batch_size: int = 256,
    learning_rate: float = 2e-3,
) -> MLPProbe:
    """Adam on the mean squared error of standardised targets, with a cosine schedule."""
    inputs = latents.flatten(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
        probe = MLPProbe(inputs.shape[1], targets.shape[1])
    probe.mean.copy_(inputs.mean(0))
    probe.scale.copy_(inputs.std(0).clamp_min(1e-6))
    probe.target_mean.copy_(targets.mean(0))
    probe.target_scale.copy_(targets.std(0).clamp_min(1e-6))
    optimiser = torch.optim.AdamW(probe.parameters(), lr=learning_rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, num_steps)
    for _ in range(num_steps):
        rows = torch.randint(len(inputs), (batch_size,), generator=generator)
        error = (probe(latents[rows]) - targets[rows]) / probe.target_scale
        optimiser.zero_grad(set_to_none=True)
        error.square().mean().backward()
        optimiser.step()
        schedule.step()
    return probe.eval().requires_grad_(False)


@torch.no_grad()
def r_squared(
    probe: LinearProbe | MLPProbe, latents: Float[Tensor, "n k d"], targets: Float[Tensor, "n q"]
) -> Float[Tensor, " q"]:
    """Share of each target's variance that the probe explains; 0 is the error of the mean."""
    return explained(probe(latents), targets)


def explained(
    predicted: Float[Tensor, "n q"], targets: Float[Tensor, "n q"]
) -> Float[Tensor, " q"]:
    """Share of each target's variance that is predicted; 0 is the error of the mean."""
    error = (predicted - targets).square().mean(0)
    return 1 - error / targets.var(0, correction=0).clamp_min(1e-12)
