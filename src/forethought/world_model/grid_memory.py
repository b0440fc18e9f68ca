"""A predictor with a memory at every place of a grid of tokens: what is out of sight stays there.

A recurrent unit whose products are convolutions (Ballas et al., 2016), with one gate (Zhou et al.,
2016) and a layer between what is remembered and the gate: each place remembers what it has seen and
what its neighbours remember, so that something hidden can go on moving in memory from place to
place, by a law that is the same everywhere. How far a thing has come within its place depends on
where it is *and* on how fast, which one layer cannot say.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from forethought.config import register
from forethought.perception.grid import GridPlaces, grid_side, use_channels_last
from forethought.types import ForethoughtError
from forethought.world_model.predictors import Predictor, PredictorConfig


@register
@dataclass(frozen=True, kw_only=True)
class GridMemoryConfig(PredictorConfig):
    """Settings of :class:`GridMemory`.

    Attributes:
        channels: numbers that are remembered at each place.
        hidden: width of the layer between what is remembered and what will be.
        readout: width of the maps from which the change of the latents is read.
        window: model steps that it remembers.

    Raises:
        ForethoughtError: a window below one.
    """

    channels: int = 48
    hidden: int = 96
    readout: int = 64
    window: int = 20

    def __post_init__(self) -> None:
        if self.window < 1:
            raise ForethoughtError(
                f"GridMemoryConfig: window={self.window}; it remembers one step or more. Set it to "
                "the steps that something may stay out of sight, and some before."
            )

    def build(self, tokens: int, width: int, action_width: int) -> Predictor:
        """See :class:`PredictorConfig`."""
        return GridMemory(self, grid_side(tokens), width, action_width)


class GridMemory(Predictor):
    """``s + readout(h, s)`` with maps h run over the window from zero.

    Args:
        config: its sizes.
        side: of the grid.
        width: of a token.
        action_width: of a model action, which is told to every place.
    """

    def __init__(self, config: GridMemoryConfig, side: int, width: int, action_width: int) -> None:
        super().__init__()
        self.window, self.side, channels = config.window, side, config.channels
        self.place = GridPlaces(side)
        self.entrance = nn.Conv2d(width + 2, config.hidden, 1)
        self.action = nn.Linear(action_width, config.hidden, bias=False)
        self.recall = nn.Conv2d(channels, config.hidden, 3, padding=1, bias=False)
        self.gate = nn.Conv2d(config.hidden, 2 * channels, 1)
        self.readout = nn.Sequential(
            nn.Conv2d(channels + width + 2, config.readout, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(config.readout, width, 1),
        )
        last = self.readout[-1]
        self._begin_remembering()
        with torch.no_grad():
            for parameter in last.parameters():
                parameter.mul_(0.1)
        use_channels_last(self)

    def forward(
        self, latents: Float[Tensor, "n w k d"], actions: Float[Tensor, "n w a"]
    ) -> Float[Tensor, "n k d"]:
        """See :class:`Predictor`."""
        latents, actions = latents[:, -self.window :], actions[:, -self.window :]
        memories = self.memories(latents, actions)
        return self._ahead(latents[:, -1], memories[:, -1])

    def each(
        self, latents: Float[Tensor, "n t k d"], actions: Float[Tensor, "n t a"]
    ) -> Float[Tensor, "n t k d"]:
        """See :class:`Predictor`; as long as nothing has to be forgotten, in one pass."""
        if latents.shape[1] > self.window:
            return super().each(latents, actions)
        memories = self.memories(latents, actions)
        ahead = self._ahead(latents.flatten(0, 1), memories.flatten(0, 1))
        return ahead.unflatten(0, latents.shape[:2])

    def unroll(
        self, latents: Float[Tensor, "n w k d"], actions: Float[Tensor, "n w_minus_1_plus_h a"]
    ) -> Float[Tensor, "n h_plus_1 k d"]:
        """See :class:`Predictor`; as long as nothing has to be forgotten, memory is carried on."""
        known = latents.shape[1]
        if actions.shape[1] > self.window:
            return super().unroll(latents, actions)
        memory = self.memories(latents, actions[:, :known])[:, -1]
        states = [latents[:, -1], self._ahead(latents[:, -1], memory)]
        for action in actions[:, known:].unbind(1):
            told = self._told(states[-1], action)
            memory = self._remember(told, memory)
            states.append(self._ahead(states[-1], memory))
        return torch.stack(states, dim=1)

    def memories(
        self, latents: Float[Tensor, "n t k d"], actions: Float[Tensor, "n t a"]
    ) -> Float[Tensor, "n t c side side"]:
        """What is remembered after each of consecutive steps."""
        told = self._told(latents.flatten(0, 1), actions.flatten(0, 1))
        memory, after = None, []
        for step in told.unflatten(0, latents.shape[:2]).unbind(1):
            memory = self._remember(step, memory)
            after.append(memory)
        return torch.stack(after, dim=1)

    @torch.no_grad()
    def _begin_remembering(self) -> None:
        """Places begin with memories of every length up to the window (Tallec and Ollivier, 2018).

        With gates half open, half of what was seen would be gone with each step, and credit too.
        """
        channels = self.recall.in_channels
        times = torch.rand(channels) * max(1.0, self.window - 2.0) + 1.0
        assert self.gate.bias is not None
        self.gate.bias.zero_()
        self.gate.bias[:channels] = times.log()

    def _told(
        self, latents: Float[Tensor, "n k d"], actions: Float[Tensor, "n a"]
    ) -> Float[Tensor, "n h side side"]:
        """What a step says, whatever is remembered."""
        return self.entrance(self.place(latents)) + self.action(actions)[..., None, None]

    def _remember(
        self, told: Float[Tensor, "n h side side"], memory: Float[Tensor, "n c side side"] | None
    ) -> Float[Tensor, "n c side side"]:
        # Of an empty memory nothing is recalled, and nothing is kept.
        recalled = told if memory is None else told + self.recall(memory)
        keep, new = self.gate(nn.functional.gelu(recalled)).chunk(2, dim=1)
        keep = torch.sigmoid(keep)
        fresh = (1 - keep) * torch.tanh(new)
        return fresh if memory is None else keep * memory + fresh

    def _ahead(
        self, latents: Float[Tensor, "n k d"], memory: Float[Tensor, "n c side side"]
    ) -> Float[Tensor, "n k d"]:
        change = self.readout(torch.cat([memory, self.place(latents)], dim=1))
        return latents + change.flatten(2).transpose(1, 2)
