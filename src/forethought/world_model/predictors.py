"""Predictors: the latent of the next model step, from a latent and a model action.

All of them predict the change, so that an untrained predictor starts close to "nothing changes".
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from forethought.config import register
from forethought.perception.grid import GridPlaces, grid_side, use_channels_last


class PredictorConfig(ABC):
    """Settings of a predictor, and how to build it."""

    @abstractmethod
    def build(self, tokens: int, width: int, action_width: int) -> nn.Module:
        """A predictor for latents ``(n, tokens, width)`` and actions ``(n, action_width)``."""


@register
@dataclass(frozen=True, kw_only=True)
class ResidualMLPConfig(PredictorConfig):
    """An MLP on the flattened latent and the action, added to the latent.

    Attributes:
        hidden: width of each hidden layer.
        dropout: share of hidden units left out in training, for little data.
        invariant: entries of the flattened latent that change but do not matter for the change,
            such as an anchored position.
    """

    hidden: tuple[int, ...] = (128, 128)
    dropout: float = 0.0
    invariant: tuple[int, ...] = ()

    def build(self, tokens: int, width: int, action_width: int) -> nn.Module:
        """See :class:`PredictorConfig`."""
        return ResidualMLP(self, tokens * width, action_width)


class ResidualMLP(nn.Module):
    """``s + linear(s, a) + mlp(s, a)``.

    The linear path lets the model contain every linear system, which the MLP then corrects.
    """

    kept: Tensor

    def __init__(self, config: ResidualMLPConfig, width: int, action_width: int) -> None:
        super().__init__()
        sizes = (width, *config.hidden)
        kept = torch.ones(width)
        kept[list(config.invariant)] = 0
        self.register_buffer("kept", kept, persistent=False)
        self.latent_in = nn.Linear(width, sizes[1])
        self.action_in = nn.Linear(action_width, sizes[1], bias=False)
        layers: list[nn.Module] = [nn.GELU(), nn.Dropout(config.dropout)]
        for size_in, size_out in pairwise(sizes[1:]):
            layers += [nn.Linear(size_in, size_out), nn.GELU(), nn.Dropout(config.dropout)]
        self.last = nn.Linear(sizes[-1], width)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        self.layers = nn.Sequential(*layers)
        self.linear_latent = nn.Linear(width, width, bias=False)
        self.linear_action = nn.Linear(action_width, width, bias=False)
        nn.init.zeros_(self.linear_latent.weight)
        nn.init.zeros_(self.linear_action.weight)

    def forward(
        self, latents: Float[Tensor, "n k d"], actions: Float[Tensor, "n a"]
    ) -> Float[Tensor, "n k d"]:
        """The next latents."""
        flat = self.seen(latents.flatten(1))
        change = self.last(self.layers(self.latent_in(flat) + self.action_in(actions)))
        change = change + self.linear_latent(flat) + self.linear_action(actions)
        return latents + change.view_as(latents)

    def seen(self, flat: Float[Tensor, "n w"]) -> Float[Tensor, "n w"]:
        """A flattened latent without its invariant entries."""
        return flat * self.kept

    @torch.no_grad()
    def begin_linear(
        self,
        latent: Float[Tensor, "w w"],
        action: Float[Tensor, "a w"],
        bias: Float[Tensor, " w"],
    ) -> None:
        """Makes an untrained predictor this linear map, for the MLP to correct."""
        self.linear_latent.weight.copy_(latent.T)
        self.linear_action.weight.copy_(action.T)
        self.last.bias.copy_(bias)


@register
@dataclass(frozen=True, kw_only=True)
class GridPredictorConfig(PredictorConfig):
    """Residual convolutions over a square grid of tokens, moved by the action.

    What happens at a place depends on its neighbourhood and on the action alone, so that a law
    learned at one place (a wall stops, a door does not) holds at every other.

    Attributes:
        channels: width of the hidden maps.
        num_blocks: layers after the first, each of which sees one ring of tokens further.
    """

    channels: int = 48
    num_blocks: int = 1

    def build(self, tokens: int, width: int, action_width: int) -> nn.Module:
        """See :class:`PredictorConfig`."""
        return GridPredictor(self, grid_side(tokens), width, action_width)


class GridPredictor(nn.Module):
    """Convolutions whose channels the action scales and shifts (FiLM, Perez et al., 2018)."""

    def __init__(
        self, config: GridPredictorConfig, side: int, width: int, action_width: int
    ) -> None:
        super().__init__()
        hidden = config.channels
        self.side = side
        self.place = GridPlaces(side)
        self.entrance = nn.Conv2d(width + 2, hidden, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Conv2d(hidden, hidden, 3, padding=1) for _ in range(config.num_blocks)
        )
        self.films = nn.ModuleList(
            nn.Linear(action_width, 2 * hidden) for _ in range(config.num_blocks + 1)
        )
        self.exit = nn.Conv2d(hidden, width, 3, padding=1)
        with torch.no_grad():
            for parameter in self.exit.parameters():
                parameter.mul_(0.1)
        use_channels_last(self)

    def forward(
        self, latents: Float[Tensor, "n k d"], actions: Float[Tensor, "n a"]
    ) -> Float[Tensor, "n k d"]:
        """The next latents."""
        maps = self._moved(0, self.entrance(self.place(latents)), actions)
        for number, block in enumerate(self.blocks, start=1):
            maps = maps + self._moved(number, block(maps), actions)
        return latents + self.exit(maps).flatten(2).transpose(1, 2)

    def _moved(self, number: int, maps: Tensor, actions: Float[Tensor, "n a"]) -> Tensor:
        scale, shift = self.films[number](actions)[..., None, None].chunk(2, dim=1)
        return nn.functional.gelu(maps * (1 + scale) + shift)
