"""A predictor that has learned to do without little: what it knows stays, and what has changed is
said in front of it and behind it.

In front: what actions now amount to, by how many world steps ago they were done. Behind: a change
of low rank of what is foreseen. Both begin as no change at all, and while they are none the
predictor is the one within, bit for bit.

Pushes may come to amount to more than any that was recorded, of which the predictor within knows
nothing. Where a push may be taken in parts, such a one is foreseen part by part.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from forethought.config import register
from forethought.types import ForethoughtError
from forethought.world_model.predictors import Predictor, PredictorConfig

SPARE = 0.1
"""Share by which a push may go beyond recorded ones before it is taken in parts."""


@register
@dataclass(frozen=True, kw_only=True)
class AdaptedPredictorConfig(PredictorConfig):
    """A predictor, and what has changed since it was trained.

    Attributes:
        inner: the predictor as it was trained.
        history: earlier model steps whose actions may still act, as on ice; 0 for none.
        rank: of the change behind it.
        block: world steps in a model step.

    Raises:
        ForethoughtError: a number that is too small, or a predictor that is adapted already.
    """

    inner: PredictorConfig
    history: int = 2
    rank: int = 16
    block: int = 1

    def __post_init__(self) -> None:
        if self.history < 0 or self.rank < 1 or self.block < 1:
            raise ForethoughtError(
                f"adapted predictor: history={self.history}, rank={self.rank}, block={self.block}; "
                "give a history of 0 or more, and a rank and a block of 1 or more."
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
    """``inner(s, m) + V gelu(U (s, m))``, where ``m`` is what actions amount to.

    In world step ``t`` that is ``c + A0 a[t] + A1 a[t-1] + ...``, as far back as the history goes.

    Args:
        config: its sizes.
        inner: the predictor within; its weights do not learn.
        width: of a flattened latent.
        action_width: of a model action.

    Attributes:
        still: ``(a,)`` the standardised model action that does nothing.
        reach: ``(c,)`` how far from that recorded actions go, in a world step.
        parts: in how many a push may be taken at most; 1 for never.
    """

    kernel: Tensor
    offset: Tensor
    still: Tensor
    reach: Tensor
    parts: Tensor
    ago: Tensor

    def __init__(
        self, config: AdaptedPredictorConfig, inner: Predictor, width: int, action_width: int
    ) -> None:
        super().__init__()
        self.inner = inner.requires_grad_(False)
        self.history, self.block = config.history, config.block
        self.window = max(inner.window, 1 + config.history)
        self.num_members, self.numbers_at_once = inner.num_members, inner.numbers_at_once
        entries = action_width // config.block
        self.kernel = nn.Parameter(torch.zeros(1 + config.history * config.block, entries, entries))
        self.offset = nn.Parameter(torch.zeros(entries))
        self.down = nn.Linear(width + action_width, config.rank)
        self.up = nn.Linear(config.rank, width)
        self.register_buffer("still", torch.zeros(action_width))
        self.register_buffer("reach", torch.ones(entries))
        self.register_buffer("parts", torch.tensor(1))
        self.register_buffer("ago", _ago(config.history, config.block), persistent=False)
        with torch.no_grad():
            self.kernel[0] = torch.eye(entries)
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
        eye = torch.eye(len(self.offset), device=self.offset.device)
        behind = bool(self.up.weight.any() or self.up.bias.any())
        front = bool(self.kernel[1:].any() or self.offset.any())
        return not (front or behind) and torch.equal(self.kernel[0], eye)

    def amounts_to(self, actions: Float[Tensor, "n w a"]) -> Float[Tensor, "n w a"]:
        """What consecutive actions come to now; before the first, nothing was done."""
        before = functional.pad(actions, (0, 0, self.history, 0))
        spans = before.unfold(1, 1 + self.history, 1).transpose(2, 3).flatten(2)
        # Beyond what the history knows nothing acts: the last entry is none.
        taps = functional.pad(self.kernel, (0, 0, 0, 0, 0, 1))[self.ago]
        matrix = taps.permute(1, 3, 0, 2).flatten(2).flatten(0, 1)
        return spans @ matrix + self.offset.repeat(self.block)

    def foresee(
        self, latents: Float[Tensor, "n w k d"], amounts: Float[Tensor, "n w a"]
    ) -> Float[Tensor, "n k d"]:
        """The next latents, told what actions amount to: what replay of old recordings trains."""
        back = self.inner.window
        ahead = self.in_parts(latents[:, -back:], amounts[:, -back:], self._needed(amounts[:, -1]))
        told = torch.cat([latents[:, -1].flatten(1), amounts[:, -1]], dim=1)
        return ahead + self.up(functional.gelu(self.down(told))).view_as(ahead)

    def in_parts(
        self,
        latents: Float[Tensor, "n w k d"],
        amounts: Float[Tensor, "n w a"],
        parts: Int[Tensor, " n"],
    ) -> Float[Tensor, "n k d"]:
        """What the predictor within foresees of pushes that are each taken in so many equal parts.

        The parts come one after the other, in the order of the pushes.

        Args:
            latents: known states, as the predictor within looks back at them.
            amounts: what was done in them, the present one's last.
            parts: of each.
        """
        most = int(parts.max())
        if most == 1:
            return self.inner(latents, amounts)
        still = self.still.unflatten(0, (self.block, -1))
        pushes = (amounts[:, -1].unflatten(1, (self.block, -1)) - still) / parts[:, None, None]
        state, place = latents[:, -1], torch.arange(self.block, device=parts.device)
        for number in range(most):
            now = (number * self.block + place) // parts[:, None]
            some = pushes.gather(1, now.clamp_max(self.block - 1)[..., None].expand_as(pushes))
            ahead = self.inner(state[:, None], (some + still).flatten(1)[:, None])
            state = torch.where((number < parts)[:, None, None], ahead, state)
        return state

    def _needed(self, amounts: Float[Tensor, "n a"]) -> Int[Tensor, " n"]:
        """In how many parts pushes are taken, so that each is about as recorded ones are."""
        far = (amounts.detach() - self.still).abs().unflatten(1, (self.block, -1)) / self.reach
        needed = (far.flatten(1).amax(1) - SPARE).ceil().long()
        return torch.minimum(needed.clamp_min(1), self.parts)

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


def _ago(history: int, block: int) -> Int[Tensor, "t s"]:
    """How many world steps ago each of a history and a model step is from each of the latter; one
    more than the longest that is known for what is later, or earlier than that."""
    now = history * block + torch.arange(block)
    ago = now[:, None] - torch.arange((1 + history) * block)
    longest = history * block
    return torch.where((ago < 0) | (ago > longest), longest + 1, ago)
