"""Is this latent alive? What a low loss does not tell.

A joint-embedding model can reach a tiny prediction loss by encoding nothing, or only what never
changes. These measures say so, in words, with the remedy.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from forethought.world_model.probes import fit_linear_probe, r_squared

MIN_EFFECTIVE_RANK = 1.5
MIN_WITHIN_SHARE = 0.05
MIN_INVERSE_R2 = 0.05
MIN_ACTION_GAIN = 0.05
MAX_COPY_RATIO = 1.0
MOST_PAIRED = 1000
"""Latents whose pairs are all compared."""


@dataclass(frozen=True, kw_only=True)
class CollapseReport:
    """The health of a world model's latents on held-out clips.

    Attributes:
        effective_rank: exponential entropy of the variance spectrum: how many dimensions are used.
        within_share: share of the latents' variance that lies within episodes, 0 to 1.
        inverse_r2: share of the action's variance that a linear readout finds in the latents
            before and after it; 0 is chance.
        action_gain: share of the prediction error that is saved by being told the right actions
            instead of another clip's; 0 where actions make no difference.
        copy_ratio: error of predicting one model step over the error of "nothing changes".
        rollout_ratio: the same over the whole clip.
        alignment: mean squared distance of successive latents on the unit sphere; small where
            neighbours in time lie together.
        uniformity: how evenly latents fill the sphere, 0 (all in one place) and down.
        findings: one sentence per symptom, each with its remedy; empty when healthy.
    """

    effective_rank: float
    within_share: float
    inverse_r2: float
    action_gain: float
    copy_ratio: float
    rollout_ratio: float
    alignment: float
    uniformity: float
    findings: tuple[str, ...]

    @property
    def collapsed(self) -> bool:
        """Whether any symptom was found."""
        return bool(self.findings)


def variance_spectrum(latents: Float[Tensor, "n k d"]) -> Float[Tensor, " r"]:
    """Share of the variance along each principal direction, largest first; zeros without any."""
    samples = latents.flatten(1).double()
    variance = torch.linalg.svdvals(samples - samples.mean(0)).square()
    total = variance.sum()
    return variance / total if total > 1e-12 else torch.zeros_like(variance)


def effective_rank(latents: Float[Tensor, "n k d"]) -> float:
    """Exponential of the entropy of the variance spectrum (Roy and Vetterli, 2007)."""
    share = variance_spectrum(latents)
    if not share.any():
        return 0.0
    return float(torch.exp(-(share * torch.log(share.clamp_min(1e-30))).sum()))


def alignment(first: Float[Tensor, "n k d"], second: Float[Tensor, "n k d"]) -> float:
    """Mean squared distance of pairs that belong together, on the unit sphere.

    Equation 1 of Wang and Isola (2020) with exponent 2; 0 to 4.
    """
    one, other = (torch.nn.functional.normalize(part.flatten(1), dim=1) for part in (first, second))
    return float((one - other).square().sum(1).mean())


def uniformity(latents: Float[Tensor, "n k d"]) -> float:
    """Logarithm of the mean Gaussian potential of all pairs, on the unit sphere.

    Equation 2 of Wang and Isola (2020) with t = 2: 0 where all latents point one way, about -4
    where they fill a sphere of many dimensions evenly.
    """
    points = torch.nn.functional.normalize(latents.flatten(1), dim=1)
    return float(torch.exp(-2 * torch.pdist(points).square()).mean().log())


def within_episode_share(latents: Float[Tensor, "b t k d"]) -> float:
    """Variance around each clip's own mean over the whole variance."""
    flat = latents.flatten(2).double()
    whole = (flat - flat.mean((0, 1))).square().mean()
    within = (flat - flat.mean(1, keepdim=True)).square().mean()
    return float(within / whole.clamp_min(1e-12))


def inverse_dynamics_r2(
    latents: Float[Tensor, "b t k d"], actions: Float[Tensor, "b t_minus_1 a"]
) -> float:
    """R2 of actions from successive latents by ridge regression, fitted on half of the clips.

    NaN where nothing was ever done. The change and the state are both offered. Latents wider than
    an eighth of the examples are projected at random, and the best of a few penalties counts: the
    readout must not fail for want of examples.
    """
    flat = latents.flatten(2)
    most = max(8, flat.shape[0] * flat.shape[1] // 8)
    if flat.shape[-1] > most:
        directions = torch.randn(
            flat.shape[-1], most, generator=torch.Generator().manual_seed(0)
        ).to(flat)
        flat = flat @ directions / flat.shape[-1] ** 0.5
    pairs = torch.cat([flat[:, 1:] - flat[:, :-1], flat[:, :-1]], dim=-1)
    half = len(pairs) // 2
    inputs = pairs.flatten(0, 1).unsqueeze(1)
    targets = actions.flatten(0, 1)
    cut = half * pairs.shape[1]
    varies = targets.std(0) > 1e-6
    if not varies.any():
        return float("nan")
    found = []
    for ridge in (1e-2, 1e-1, 1.0, 10.0):
        probe = fit_linear_probe(inputs[:cut], targets[:cut][:, varies], ridge=ridge)
        found.append(float(r_squared(probe, inputs[cut:], targets[cut:][:, varies]).mean()))
    return max(found)


@torch.no_grad()
def collapse_report(
    latents: Float[Tensor, "b t k d"],
    predicted: Float[Tensor, "b t k d"],
    actions: Float[Tensor, "b t_minus_1 a"],
    shuffled: Float[Tensor, "b t k d"],
) -> CollapseReport:
    """Looks for the symptoms of collapse.

    Args:
        latents: encoded held-out clips.
        predicted: rollouts of the same clips from their first latent, which is included.
        actions: the standardised actions of the clips.
        shuffled: rollouts under another clip's actions.
    """
    rank = effective_rank(latents.flatten(0, 1))
    within = within_episode_share(latents)
    inverse = inverse_dynamics_r2(latents, actions)
    copy = (latents[:, 1:] - latents[:, :1]).square().mean((0, 2, 3))
    error = (latents[:, 1:] - predicted[:, 1:]).square().mean((0, 2, 3))
    ratio = (error / copy.clamp_min(1e-12)).tolist()
    misled = (latents[:, 1:] - shuffled[:, 1:]).square().mean()
    report = {
        "effective_rank": rank,
        "within_share": within,
        "inverse_r2": inverse,
        "action_gain": float((misled - error.mean()) / misled.clamp_min(1e-12)),
        "copy_ratio": ratio[0],
        "rollout_ratio": ratio[-1],
    }
    centred = latents - latents.mean((0, 1))
    return CollapseReport(
        **report,
        alignment=alignment(centred[:, :-1].flatten(0, 1), centred[:, 1:].flatten(0, 1)),
        uniformity=uniformity(centred.flatten(0, 1)[:MOST_PAIRED]),
        findings=_findings(**report),
    )


def _findings(
    *,
    effective_rank: float,
    within_share: float,
    inverse_r2: float,
    action_gain: float,
    copy_ratio: float,
    rollout_ratio: float,
) -> tuple[str, ...]:
    symptoms = []
    if effective_rank < MIN_EFFECTIVE_RANK:
        symptoms.append(
            f"collapsed: the latents use {effective_rank:.1f} dimensions (healthy: more than "
            f"{MIN_EFFECTIVE_RANK}). Raise the weight of VICReg or SIGReg."
        )
    if within_share < MIN_WITHIN_SHARE:
        symptoms.append(
            f"slow features: only {within_share:.1%} of the latents' variance lies within "
            f"episodes (healthy: more than {MIN_WITHIN_SHARE:.0%}); the model keeps what never "
            "changes and loses what moves. Add TemporalVariance and raise InverseDynamics."
        )
    # A linear readout can fail on grids of tokens, which hold motion as appearance: then the
    # predictor's own use of the actions decides.
    if inverse_r2 < MIN_INVERSE_R2 and action_gain < MIN_ACTION_GAIN:
        symptoms.append(
            f"actions are lost: a readout of the action from successive latents explains "
            f"{inverse_r2:.1%} of it, and telling the model another clip's actions costs it "
            f"{action_gain:.1%} (chance: 0 %). Raise InverseDynamics, and check that the recorded "
            "actions belong to the observations before them."
        )
    if copy_ratio > MAX_COPY_RATIO and rollout_ratio > MAX_COPY_RATIO:
        symptoms.append(
            f"prediction is no better than 'nothing changes' (error ratio {copy_ratio:.2f} after "
            f"one step, {rollout_ratio:.2f} at the end). Train longer, or lengthen action_block."
        )
    return tuple(symptoms)
