"""A predictor that has learned to do without little: what it knows stays, and what has changed is
said in front of it and behind it.

In front: what actions now amount to, an affine map that also knows what was done in the model steps
before. Behind: a change of low rank of what is foreseen. Both begin as no change at all, and while
they are none the predictor is the one within, bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from forethought.config import register
from forethought.types import ForethoughtError
from forethought.world_model.predictors import Predictor, PredictorConfig


@register
@dataclass(frozen=True, kw_only=True)
class AdaptedPredictorConfig(PredictorConfig):
    """A predictor, and what has changed since it was trained.

    Attributes:
        inner: the predictor as it was trained.
        history: earlier model steps whose actions may still act, as on ice; 0 for none.
        rank: of the change behind it.

    Raises:
        ForethoughtError: a number that is too small, or a predictor that is adapted already.
    """

    inner: PredictorConfig
    history: int = 2
    rank: int = 16

    def __post_init__(self) -> None:
        if self.history < 0 or self.rank < 1:
            raise ForethoughtError(
                f"adapted predictor: history={self.history}, rank={self.rank}; give a history of "
                "0 or more, and a rank of 1 or more."
            )
        if isinstance(self.inner, AdaptedPredictorConfig):
            raise ForethoughtError(
                "this predictor is adapted already; adapt the run that it was made from."
            )

    def build(self, tokens: int, width: int, action_width: int) -> Predictor:
        """See :class:`PredictorConfig`."""
        inner = self.inner.build(tokens, width, action_width)
        return AdaptedPredictor(self, inner, tokens * width, action_width)


class AdaptedPredictor(Predictor):
    """``inner(s, A a + B a' + c) + V gelu(U (s, A a + B a' + c))``, with earlier actions ``a'``.

    Args:
        config: its sizes.
        inner: the predictor within; its weights do not learn.
        width: of a flattened latent.
        action_width: of a model action.
    """

    gain: Tensor
    carried: Tensor
    offset: Tensor

    def __init__(
        self, config: AdaptedPredictorConfig, inner: Predictor, width: int, action_width: int
    ) -> None:
        super().__init__()
        self.inner = inner.requires_grad_(False)
        self.history = config.history
        self.window = max(inner.window, 1 + config.history)
        self.num_members, self.numbers_at_once = inner.num_members, inner.numbers_at_once
        self.gain = nn.Parameter(torch.eye(action_width))
        self.carried = nn.Parameter(torch.zeros(config.history, action_width, action_width))
        self.offset = nn.Parameter(torch.zeros(action_width))
        self.down = nn.Linear(width + action_width, config.rank)
        self.up = nn.Linear(config.rank, width)
        with torch.no_grad():
            drawn = torch.Generator().manual_seed(0)
            self.down.weight.normal_(std=(width + action_width) ** -0.5, generator=drawn)
            for zero in (self.down.bias, self.up.weight, self.up.bias):
                zero.zero_()

    def changes(self) -> dict[str, nn.Parameter]:
        """What learns while acting, by name."""
        own = dict(self.named_parameters())
        return {name: value for name, value in own.items() if not name.startswith("inner.")}

    def acts_as_before(self) -> bool:
        """Whether it says that nothing has changed."""
        eye = torch.eye(len(self.gain), device=self.gain.device)
        behind = bool(self.up.weight.any() or self.up.bias.any())
        front = bool(self.carried.any() or self.offset.any()) or not torch.equal(self.gain, eye)
        return not (front or behind)

    def amounts_to(self, actions: Float[Tensor, "n w a"]) -> Float[Tensor, "n w a"]:
        """What consecutive actions come to now; before the first, nothing was done."""
        amounts = torch.addmm(self.offset, actions.flatten(0, 1), self.gain.T)
        amounts = amounts.view_as(actions)
        for ago, carried in enumerate(self.carried, start=1):
            earlier = functional.pad(actions[:, :-ago], (0, 0, min(ago, actions.shape[1]), 0))
            amounts = amounts + earlier @ carried.T
        return amounts

    def foresee(
        self, latents: Float[Tensor, "n w k d"], amounts: Float[Tensor, "n w a"]
    ) -> Float[Tensor, "n k d"]:
        """The next latents, told what actions amount to: what replay of old recordings trains."""
        back = self.inner.window
        ahead = self.inner(latents[:, -back:], amounts[:, -back:])
        told = torch.cat([latents[:, -1].flatten(1), amounts[:, -1]], dim=1)
        return ahead + self.up(functional.gelu(self.down(told))).view_as(ahead)

    def forward(
        self, latents: Float[Tensor, "n w k d"], actions: Float[Tensor, "n w a"]
    ) -> Float[Tensor, "n k d"]:
        """See :class:`Predictor`."""
        return self.foresee(latents, self.amounts_to(actions))

    def unroll(
        self, latents: Float[Tensor, "n w k d"], actions: Float[Tensor, "n w_minus_1_plus_h a"]
    ) -> Float[Tensor, "n h_plus_1 k d"]:
        """See :class:`Predictor`; as the predictor within does it while nothing has changed."""
        known, back = latents.shape[1], self.inner.window
        unused = max(0, known - back)
        if not torch.is_grad_enabled() and self.acts_as_before():
            return self.inner.unroll(latents[:, unused:], actions[:, unused:])
        amounts, states = self.amounts_to(actions), list(latents.unbind(1))
        for step in range(known, actions.shape[1] + 1):
            seen = torch.stack(states[-back:], dim=1)
            states.append(self.foresee(seen, amounts[:, max(0, step - back) : step]))
        return torch.stack(states[known - 1 :], dim=1)
