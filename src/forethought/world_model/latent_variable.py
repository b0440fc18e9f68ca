"""The latent variable z: what the next state depends on besides state and action.

Where the future has several outcomes, a deterministic predictor is best served by their mean, which
is none of them. With s' = Pred(s, a, z) each outcome is the prediction of some z. "A Path Towards
Autonomous Machine Intelligence" (LeCun, 2022), section 4.3: the information in z must be limited,
or the model reads the whole answer from it. Here z is a few choices among a few, which bounds it,
and the divergence of what was inferred from what could be expected is part of the loss.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from forethought.config import register
from forethought.perception.encoders import mlp


class LatentVariableConfig(ABC):
    """Settings of a latent variable, and how to build it."""

    weight: float

    @abstractmethod
    def build(self, tokens: int, width: int, action_width: int) -> LatentVariable:
        """A latent variable beside latents of so many tokens of a width."""


class LatentVariable(nn.Module, ABC):
    """What is known of z before and after the outcome.

    Attributes:
        width: of z.
        num_variables: uniform numbers that a draw takes.
    """

    width: int
    num_variables: int

    @abstractmethod
    def infer(
        self,
        before: Float[Tensor, "n k d"],
        actions: Float[Tensor, "n a"],
        after: Float[Tensor, "n k d"],
        generator: torch.Generator,
    ) -> tuple[Float[Tensor, "n z"], Float[Tensor, " n"]]:
        """z as the outcome tells it, and how much that says, in nats, beyond what is expected."""

    @abstractmethod
    def draw(
        self,
        before: Float[Tensor, "n k d"],
        actions: Float[Tensor, "n a"],
        numbers: Float[Tensor, "n v"],
    ) -> Float[Tensor, "n z"]:
        """z as it may come, from uniform numbers in [0, 1)."""

    @abstractmethod
    def likeliest(
        self, before: Float[Tensor, "n k d"], actions: Float[Tensor, "n a"]
    ) -> Float[Tensor, "n z"]:
        """The z to be expected most."""


@register
@dataclass(frozen=True, kw_only=True)
class CategoricalLatentConfig(LatentVariableConfig):
    """A few independent choices, one-hot.

    Attributes:
        num_variables: choices that are made.
        num_choices: what each is made among; z can say at most ``num_variables * ln(num_choices)``.
        hidden: width of the hidden layer of the networks that infer and expect.
        weight: of the divergence in the loss.
        balance: share of the divergence's gradient that teaches expectation to follow inference;
            the rest keeps inference close to what can be expected (Hafner et al., 2021).
        free_nats: divergence per step below which inference is left in peace.
        floor: probability shared evenly among the choices, so that none dies.
    """

    num_variables: int = 1
    num_choices: int = 4
    hidden: int = 128
    weight: float = 0.1
    balance: float = 0.8
    free_nats: float = 0.0
    floor: float = 0.01

    def build(self, tokens: int, width: int, action_width: int) -> LatentVariable:
        """See :class:`LatentVariableConfig`."""
        return CategoricalLatent(self, tokens * width, action_width)


class CategoricalLatent(LatentVariable):
    """Two networks give probabilities: one knows the outcome, one expects it."""

    def __init__(self, config: CategoricalLatentConfig, width: int, action_width: int) -> None:
        super().__init__()
        self.config = config
        self.num_variables = config.num_variables
        self.width = config.num_variables * config.num_choices
        self.inference = mlp(2 * width + action_width, (config.hidden,), self.width)
        self.expectation = mlp(width + action_width, (config.hidden,), self.width)

    def infer(
        self,
        before: Float[Tensor, "n k d"],
        actions: Float[Tensor, "n a"],
        after: Float[Tensor, "n k d"],
        generator: torch.Generator,
    ) -> tuple[Float[Tensor, "n z"], Float[Tensor, " n"]]:
        """See :class:`LatentVariable`; gradients pass straight through the choice."""
        change = after.flatten(1) - before.flatten(1)
        found = self._shares(self.inference, before.flatten(1), change, actions)
        expected = self._shares(self.expectation, before.flatten(1).detach(), actions)
        numbers = torch.rand(found.shape[:2], generator=generator, device=generator.device).to(
            found
        )
        chosen = _choose(found, numbers)
        z = chosen + found - found.detach()
        return z.flatten(1), self._divergence(found, expected)

    def draw(
        self,
        before: Float[Tensor, "n k d"],
        actions: Float[Tensor, "n a"],
        numbers: Float[Tensor, "n v"],
    ) -> Float[Tensor, "n z"]:
        """See :class:`LatentVariable`."""
        return _choose(self.expected(before, actions), numbers).flatten(1)

    def likeliest(
        self, before: Float[Tensor, "n k d"], actions: Float[Tensor, "n a"]
    ) -> Float[Tensor, "n z"]:
        """See :class:`LatentVariable`."""
        shares = self.expected(before, actions)
        return nn.functional.one_hot(shares.argmax(-1), shares.shape[-1]).to(shares).flatten(1)

    def expected(
        self, before: Float[Tensor, "n k d"], actions: Float[Tensor, "n a"]
    ) -> Float[Tensor, "n v c"]:
        """Probability of each choice before the outcome is known."""
        return self._shares(self.expectation, before.flatten(1), actions)

    def _shares(self, network: nn.Module, *inputs: Tensor) -> Float[Tensor, "n v c"]:
        logits = network(torch.cat(inputs, dim=-1)).unflatten(-1, (self.num_variables, -1))
        floor = self.config.floor
        return (1 - floor) * logits.softmax(-1) + floor / self.config.num_choices

    def _divergence(
        self, found: Float[Tensor, "n v c"], expected: Float[Tensor, "n v c"]
    ) -> Float[Tensor, " n"]:
        """Kullback-Leibler divergence with its two gradients weighed apart."""
        teach = kl_divergence(found.detach(), expected)
        hold = kl_divergence(found, expected.detach()).clamp_min(self.config.free_nats)
        return self.config.balance * teach + (1 - self.config.balance) * hold


def kl_divergence(
    found: Float[Tensor, "n v c"], expected: Float[Tensor, "n v c"]
) -> Float[Tensor, " n"]:
    """Nats that the outcome told beyond what was expected, summed over the choices made."""
    return (found * (found.log() - expected.log())).sum((-1, -2))


def _choose(shares: Float[Tensor, "n v c"], numbers: Float[Tensor, "n v"]) -> Tensor:
    """One-hot choices: the first whose cumulated share exceeds the uniform number."""
    passed = shares.cumsum(-1)[..., :-1] <= numbers.unsqueeze(-1)
    return nn.functional.one_hot(passed.sum(-1), shares.shape[-1]).to(shares)
