"""Beginning where least squares ends, so that training only has to correct a linear model.

With little data a network that begins at "nothing changes" spends its steps on what a ridge
regression finds at once, and fits noise on the way. The best linear prediction of a state's change
from its history is itself a linear feature of that history: the encoder is given it, the predictor
reads it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from forethought.config import register
from forethought.data.windows import WindowSampler
from forethought.learning.ridge import fit_ridge
from forethought.learning.start import StartConfig
from forethought.perception.encoders import AnchoredMLP
from forethought.types import ForethoughtError
from forethought.world_model.predictors import ResidualMLP
from forethought.world_model.world_model import WorldModel


@register
@dataclass(frozen=True, kw_only=True)
class LinearStartConfig(StartConfig):
    """Sets the linear paths of an anchored encoder and a residual predictor by ridge regression.

    Attributes:
        transitions: model steps that are fitted at most.
    """

    transitions: int = 12_000

    @torch.no_grad()
    def __call__(self, world_model: WorldModel, clips: WindowSampler) -> None:
        """Changes the weights of a world model that is not trained yet.

        Args:
            world_model: one vector key, :class:`AnchoredMLP` and :class:`ResidualMLP`.
            clips: training clips of at least one model step.

        Raises:
            ForethoughtError: another encoder or predictor, or too narrow a learned part.
        """
        key, encoder, predictor = _linear_parts(world_model)
        episodes, steps = clips.starts()
        chosen = torch.linspace(0, len(steps) - 1, min(self.transitions, len(steps))).long()
        windows = clips.at(episodes[chosen], steps[chosen])
        values = windows.observation[key][:, :2]
        actions = world_model.normalise(windows.actions[:, 0])

        standard = world_model.perception.standardise(key, values.flatten(0, 1))
        now, then = standard.unflatten(0, (-1, 2)).unbind(1)
        change = then[:, -1] - now[:, -1]
        known = _begin_encoder(encoder, now, actions, change, windows.episode)
        latents = world_model.encode({key: values}).flatten(2)
        _begin_predictor(predictor, latents, actions, windows.episode, known)


@dataclass(frozen=True)
class _Drift:
    """How the anchored part changes: ``scale * feature + push(action) + constant``.

    Attributes:
        scale: ``(w,)`` of the encoder's first learned features.
        push: ``(a, w)``.
        constant: ``(w,)``.
    """

    scale: Float[Tensor, " w"]
    push: Float[Tensor, "a w"]
    constant: Float[Tensor, " w"]


def _begin_encoder(
    encoder: AnchoredMLP,
    frames: Float[Tensor, "n f w"],
    actions: Float[Tensor, "n a"],
    change: Float[Tensor, "n w"],
    groups: Int[Tensor, " n"],
) -> _Drift:
    """The state's change, as far as its history tells it, becomes a feature of unit size."""
    history = encoder.history(frames)
    fitted = fit_ridge(torch.cat([history, actions], -1), change, groups)
    weight, bias = fitted.unscaled()
    drift, push = weight.split([history.shape[1], actions.shape[1]])
    mean, scale = (history @ drift).mean(0), (history @ drift).std(0).clamp_min(1e-6)
    encoder.begin_linear(drift / scale, -mean / scale)
    return _Drift(scale=scale, push=push, constant=bias + mean)


def _begin_predictor(
    predictor: ResidualMLP,
    latents: Float[Tensor, "n 2 w"],
    actions: Float[Tensor, "n a"],
    groups: Int[Tensor, " n"],
    known: _Drift,
) -> None:
    """The anchored part reads the features made for it; the learned part is fitted anew."""
    seen = predictor.seen(latents[:, 0])
    fitted = fit_ridge(torch.cat([seen, actions], -1), latents[:, 1] - latents[:, 0], groups)
    weight, constant = fitted.unscaled()
    latent, action = weight.split([seen.shape[1], actions.shape[1]])
    width = len(known.scale)
    latent[:, :width] = 0
    latent[width : 2 * width, :width] = torch.diag(known.scale)
    action[:, :width] = known.push
    constant[:width] = known.constant
    predictor.begin_linear(latent, action, constant)


def _linear_parts(world_model: WorldModel) -> tuple[str, AnchoredMLP, ResidualMLP]:
    encoders = dict(world_model.perception.by_key())
    (key, encoder), *others = encoders.items()
    predictor = world_model.predictor
    if others or not isinstance(encoder, AnchoredMLP) or not isinstance(predictor, ResidualMLP):
        found = [type(part).__name__ for part in (*encoders.values(), predictor)]
        raise ForethoughtError(
            f"LinearStartConfig needs one AnchoredMLP and a ResidualMLP, found {found}; leave "
            "`start` out of the objective."
        )
    if encoder.learned < encoder.anchored:
        raise ForethoughtError(
            f"LinearStartConfig needs a learned part at least as wide as the state "
            f"({encoder.anchored}), found {encoder.learned}; raise `learned` of AnchoredMLPConfig."
        )
    return key, encoder, predictor
