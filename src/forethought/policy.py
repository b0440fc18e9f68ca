"""Mode 1: a policy that answers at once with what a search would come to.

A small ensemble of networks takes the latents of now and of a goal to the model actions of the next
steps, all at once (action chunks, Zhao et al., 2023). Where its members disagree it was taught
little, and the gate (:mod:`forethought.actor.gate`) can tell.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from forethought.actor.gate import GateConfig
from forethought.config import register
from forethought.perception.grid import GridPlaces, grid_side, use_channels_last
from forethought.types import ActionSpace, ForethoughtError

LEVELS = 101
"""Quantiles that are kept of what was measured while a policy was distilled, evenly spaced."""


@dataclass(frozen=True, kw_only=True)
class Reflex:
    """What a policy answers.

    Attributes:
        actions: ``(n, c, a)`` model actions, in world units.
        spread: ``(n,)`` by how much the members disagree: root mean squared, in units of half the
            box, or in probability where actions are discrete.
    """

    actions: Float[Tensor, "n c a"]
    spread: Float[Tensor, " n"]


@register
@dataclass(frozen=True, kw_only=True)
class PolicyConfig:
    """What a policy is made of.

    Attributes:
        hidden: width of each hidden layer.
        chunk: model steps that it answers at once.
        num_members: networks, whose disagreement says where they were taught little.
        grid: channels of two convolutions that latents which are a square grid of tokens pass
            first, now and goal side by side; the members share them. None to take all tokens as
            one vector.

    Raises:
        ForethoughtError: no member, or no step.
    """

    hidden: tuple[int, ...] = (128, 128)
    chunk: int = 2
    num_members: int = 3
    grid: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.num_members < 1 or self.chunk < 1:
            raise ForethoughtError(
                f"a policy of {self.num_members} members for chunks of {self.chunk} model steps; "
                "give one or more of both."
            )

    def build(self, tokens: int, width: int, space: ActionSpace) -> Policy:
        """An untrained policy on latents ``(tokens, width)``.

        Raises:
            ForethoughtError: convolutions are asked for, and the tokens make no square.
        """
        return Policy(self, tokens, width, space)


class MemberLinear(nn.Module):
    """A linear layer for each member, in one call.

    Args:
        members: how many.
        size_in: numbers that each takes.
        size_out: numbers that each gives.
    """

    def __init__(self, members: int, size_in: int, size_out: int) -> None:
        super().__init__()
        bound = size_in**-0.5
        self.weight = nn.Parameter(torch.empty(members, size_in, size_out).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(members, 1, size_out))

    def forward(self, values: Float[Tensor, "m n i"]) -> Float[Tensor, "m n o"]:
        """See the class."""
        return torch.baddbmm(self.bias, values, self.weight)


class Policy(nn.Module):
    """Latents of now and of a goal to a chunk of model actions; see the module.

    Args:
        config: what it is made of.
        tokens: of a latent.
        width: of a token.
        space: the model actions.

    Attributes:
        usual: ``(1 + c, LEVELS)`` quantiles of its spread, and of surprise after 1 to c model steps
            that it acted out, where it was distilled; NaN before.
    """

    low: Tensor
    high: Tensor
    usual: Tensor

    def __init__(self, config: PolicyConfig, tokens: int, width: int, space: ActionSpace) -> None:
        super().__init__()
        self.config, self.num_choices = config, space.num_choices
        self.seeing, seen = _seeing(config, tokens, width)
        sizes = (seen, *config.hidden, config.chunk * space.dim)
        self.layers = nn.ModuleList(
            MemberLinear(config.num_members, *pair) for pair in pairwise(sizes)
        )
        self.register_buffer("low", space.low.clone())
        self.register_buffer("high", space.high.clone())
        self.register_buffer("usual", torch.full((1 + config.chunk, LEVELS), torch.nan))

    def raw(
        self, latents: Float[Tensor, "n k d"], goals: Float[Tensor, "n k d"]
    ) -> Float[Tensor, "m n c a"]:
        """What each member answers, before it is squashed to the action space."""
        seen = self.seeing(torch.cat([latents, goals], dim=-1))
        values = seen.expand(self.config.num_members, -1, -1)
        for number, layer in enumerate(self.layers):
            if number:
                # Without normalisation, what happens near a wall takes several times as long to
                # learn.
                values = nn.functional.gelu(
                    nn.functional.layer_norm(values, values.shape[-1:]), approximate="tanh"
                )
            values = layer(values)
        return values.unflatten(-1, (self.config.chunk, -1))

    def shares(self, raw: Float[Tensor, "m n c a"]) -> Float[Tensor, "m n c a"]:
        """In units of half the box, by a tanh; of discrete actions, the probability of each."""
        if self.num_choices:
            return raw.unflatten(-1, (-1, self.num_choices)).softmax(-1).flatten(-2)
        return raw.tanh()

    @torch.no_grad()
    def answer(self, latents: Float[Tensor, "n k d"], goals: Float[Tensor, "n k d"]) -> Reflex:
        """What to do next, and how far the members agree.

        Args:
            latents: now.
            goals: where to.
        """
        shares = self.shares(self.raw(latents, goals))
        mean = shares.mean(0)
        spread = (shares - mean).square().mean((0, 2, 3)).sqrt()
        return Reflex(actions=self._in_world_units(mean), spread=spread)

    def forward(
        self, latents: Float[Tensor, "n k d"], goals: Float[Tensor, "n k d"]
    ) -> Float[Tensor, "n a"]:
        """The first model action, as :class:`forethought.actor.PolicyProposals` ask for it."""
        return self.answer(latents, goals).actions[:, 0]

    def loss(
        self,
        latents: Float[Tensor, "n k d"],
        goals: Float[Tensor, "n k d"],
        actions: Float[Tensor, "n c a"],
        heeded: Bool[Tensor, "n m"],
    ) -> Float[Tensor, ""]:
        """Mean squared error in units of half the box; cross-entropy where actions are discrete.

        Args:
            latents: now.
            goals: where to.
            actions: what a search came to, in world units.
            heeded: which members learn from which.
        """
        raw = self.raw(latents, goals)
        if self.num_choices:
            groups = raw.unflatten(-1, (-1, self.num_choices)).log_softmax(-1).flatten(-2)
            error = -(groups * actions).sum(-1) * self.num_choices / actions.shape[-1]
        else:
            error = (raw.tanh() - self._in_units(actions)).square().mean(-1)
        weights = heeded.T.to(error)
        return (error.mean(-1) * weights).sum() / weights.sum().clamp_min(1)

    @torch.no_grad()
    def error(
        self,
        latents: Float[Tensor, "n k d"],
        goals: Float[Tensor, "n k d"],
        actions: Float[Tensor, "n c a"],
    ) -> Float[Tensor, " n"]:
        """Of each answer: squared in units of half the box, or the share of other choices."""
        return self.off(self.answer(latents, goals).actions, actions)

    def off(
        self, answers: Float[Tensor, "n c a"], actions: Float[Tensor, "n c a"]
    ) -> Float[Tensor, " n"]:
        """What :meth:`error` makes of any answers."""
        if self.num_choices:
            return 1 - (answers * actions).sum(-1).mean(-1) * self.num_choices / actions.shape[-1]
        return (self._in_units(answers) - self._in_units(actions)).square().mean((-1, -2))

    def usual_of(self, actions: Float[Tensor, "n c a"]) -> Float[Tensor, "1 c a"]:
        """The mean of chunks, or their most frequent choices: the best answer that looks at
        nothing."""
        mean = actions.mean(0, keepdim=True)
        return self._in_world_units(mean) if self.num_choices else mean

    def gate(self, share: float = 0.98, *, chunk: int = 1, jitter: float = 0.0) -> GateConfig:
        """A gate that lets reflexes through where spread and surprise are as low as they were in
        so large a share of what was met where it was distilled.

        Args:
            share: from 0 to 1.
            chunk: model steps of a reflex that are acted out before the next decision. What is
                foreseen for so long is foreseen less well; surprise is judged by that.
            jitter: see :class:`forethought.actor.Gate`.

        Raises:
            ForethoughtError: a share that is none, a chunk longer than its own, or a policy that
                nothing was measured of.
        """
        if not 0 <= share <= 1 or not 1 <= chunk <= self.config.chunk:
            raise ForethoughtError(
                f"a gate with share={share} and chunk={chunk}; give a share from 0 to 1, and 1 to "
                f"{self.config.chunk} model steps."
            )
        met = self.usual[[0, chunk]]
        if bool(met.isnan().any()):
            raise ForethoughtError(
                "nothing was measured of this policy yet; distil with `forethought distill`, or "
                "give thresholds yourself: GateConfig(spread=..., surprise=...)."
            )
        spread, surprise = torch.quantile(met, share, dim=1).tolist()
        return GateConfig(spread=spread, surprise=surprise, chunk=chunk, jitter=jitter)

    def _in_units(self, actions: Float[Tensor, "*n a"]) -> Float[Tensor, "*n a"]:
        return (2 * actions - self.low - self.high) / (self.high - self.low).clamp_min(1e-9)

    def _in_world_units(self, shares: Float[Tensor, "n c a"]) -> Float[Tensor, "n c a"]:
        if not self.num_choices:
            return torch.addcmul((self.low + self.high) / 2, (self.high - self.low) / 2, shares)
        groups = shares.unflatten(-1, (-1, self.num_choices))
        chosen = nn.functional.one_hot(groups.argmax(-1), self.num_choices)
        return chosen.to(shares).flatten(-2)


def _seeing(config: PolicyConfig, tokens: int, width: int) -> tuple[nn.Module, int]:
    """What now and goal, side by side in each token, pass first, and the numbers that it gives."""
    if config.grid is None:
        return nn.Flatten(), 2 * tokens * width
    side = grid_side(tokens)
    first, second = config.grid
    layers = nn.Sequential(
        GridPlaces(side),
        nn.Conv2d(2 * width + 2, first, 3, padding=1),
        nn.GELU(),
        nn.Conv2d(first, second, 3, stride=2, padding=1),
        nn.GELU(),
        nn.Flatten(),
    )
    use_channels_last(layers)
    return layers, second * ((side + 1) // 2) ** 2
