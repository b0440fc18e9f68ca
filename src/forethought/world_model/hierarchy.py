"""A hierarchy of world models: upper levels look further ahead by a slower clock (H-JEPA).

A level foresees where a whole stretch of actions leads. It is told the stretch as a macro-action,
a few numbers inferred from the actions, and plans in macro-actions. Searched freely, most of them
are none that any stretch of actions has, and what the level foresees of them is fancy; so a prior
learns which are to be expected in a state, and the search goes no further than it reaches. "A Path
Towards Autonomous Machine Intelligence" (LeCun, 2022), section 4.6.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from forethought.config import register
from forethought.perception.encoders import mlp
from forethought.perception.grid import grid_readout, grid_side
from forethought.types import ActionSpace, ForethoughtError, Imagination
from forethought.world_model.predictors import PredictorConfig, ResidualMLPConfig

SMALLEST_STD = 0.05
"""Of the prior, so that a search always has room."""


class PriorConfig(ABC):
    """Settings of what expects macro-actions in a state, and how to build it."""

    @abstractmethod
    def build(self, tokens: int, width: int, outputs: int) -> nn.Module:
        """So many numbers from latents ``(n, tokens, width)``."""


@register
@dataclass(frozen=True, kw_only=True)
class MLPPriorConfig(PriorConfig):
    """For latents of one or a few tokens.

    Attributes:
        hidden: width of each hidden layer.
    """

    hidden: tuple[int, ...] = (128, 128)

    def build(self, tokens: int, width: int, outputs: int) -> nn.Module:
        """See :class:`PriorConfig`."""
        return nn.Sequential(nn.Flatten(), mlp(tokens * width, self.hidden, outputs))


@register
@dataclass(frozen=True, kw_only=True)
class GridPriorConfig(PriorConfig):
    """For a grid of tokens: what can be done depends on what is near.

    Attributes:
        channels: of the two convolutions.
        hidden: width of each hidden layer after them.
    """

    channels: tuple[int, int] = (32, 64)
    hidden: tuple[int, ...] = (128,)

    def build(self, tokens: int, width: int, outputs: int) -> nn.Module:
        """See :class:`PriorConfig`."""
        side = grid_side(tokens)
        return grid_readout(side, width, outputs, channels=self.channels, hidden=self.hidden)


@register
@dataclass(frozen=True, kw_only=True)
class LevelConfig:
    """One level above the world model.

    Attributes:
        stride: steps of the level below in one step of this one.
        macro_width: numbers that tell a macro-action.
        hidden: width of each hidden layer of the network that infers macro-actions.
        prior: what expects macro-actions in a state.
        predictor: how latents follow from latents and macro-actions.
        reach: how far from the expected macro-action a search may go, in standard deviations.

    Raises:
        ForethoughtError: a stride below two, which would be the level below again.
    """

    stride: int = 4
    macro_width: int = 4
    hidden: tuple[int, ...] = (128, 128)
    prior: PriorConfig = field(default_factory=MLPPriorConfig)
    predictor: PredictorConfig = field(default_factory=ResidualMLPConfig)
    reach: float = 2.0

    def __post_init__(self) -> None:
        if self.stride < 2:
            raise ForethoughtError(
                f"a level of stride {self.stride} has no slower clock; give stride=2 or more."
            )


@register
@dataclass(frozen=True, kw_only=True)
class HierarchyConfig:
    """The levels above the world model, lowest first.

    Attributes:
        levels: one or more.

    Raises:
        ForethoughtError: no level.
    """

    levels: tuple[LevelConfig, ...] = (LevelConfig(),)

    def __post_init__(self) -> None:
        if not self.levels:
            raise ForethoughtError("a hierarchy needs a level; give levels=(LevelConfig(),).")

    def build(self, tokens: int, width: int, action_width: int) -> Hierarchy:
        """The levels for latents of so many tokens of a width, and model actions of a width."""
        return Hierarchy(self, tokens, width, action_width)


class Hierarchy(nn.Module):
    """The levels, lowest first; see :class:`HierarchyConfig`."""

    def __init__(self, config: HierarchyConfig, tokens: int, width: int, action_width: int) -> None:
        super().__init__()
        built, steps = [], 1
        for level in config.levels:
            steps *= level.stride
            built.append(Level(level, steps, tokens, width, action_width))
        self.stack = nn.ModuleList(built)

    @property
    def levels(self) -> tuple[Level, ...]:
        """The levels, lowest first."""
        return tuple(level for level in self.stack if isinstance(level, Level))


class Level(nn.Module):
    """One level: infers macro-actions, expects them, and foresees where they lead.

    Args:
        config: its settings.
        steps: model steps of the world model in one step of this level.
        tokens: k.
        width: d.
        action_width: a, of one model action.
    """

    low: Tensor
    high: Tensor

    def __init__(
        self, config: LevelConfig, steps: int, tokens: int, width: int, action_width: int
    ) -> None:
        super().__init__()
        self.config, self.steps = config, steps
        macro = config.macro_width
        self.inference = mlp(steps * action_width, config.hidden, macro)
        self.expectation = config.prior.build(tokens, width, 2 * macro)
        self.predictor = config.predictor.build(tokens, width, macro)
        self.register_buffer("low", -torch.ones(macro), persistent=False)
        self.register_buffer("high", torch.ones(macro), persistent=False)

    @property
    def space(self) -> ActionSpace:
        """What is searched: how far from the expected macro-action, in units of the reach."""
        return ActionSpace(low=self.low, high=self.high)

    def infer(self, actions: Float[Tensor, "n s a"]) -> Float[Tensor, "n m"]:
        """The macro-action of a stretch of standardised model actions."""
        return self.inference(actions.flatten(1))

    def expected(
        self, latents: Float[Tensor, "n k d"]
    ) -> tuple[Float[Tensor, "n m"], Float[Tensor, "n m"]]:
        """Mean and standard deviation of the macro-actions to be expected in a state."""
        mean, log_std = self.expectation(latents).chunk(2, dim=-1)
        return mean, nn.functional.softplus(log_std) + SMALLEST_STD

    def rollout(
        self, latents: Float[Tensor, "n k d"], macros: Float[Tensor, "n h m"]
    ) -> Float[Tensor, "n h_plus_1 k d"]:
        """Latents that follow under macro-actions; the first is where they start."""
        states = [latents]
        for macro in macros.unbind(1):
            states.append(self.predictor(states[-1][:, None], macro[:, None]))
        return torch.stack(states, dim=1)

    def imagine(
        self, latents: Float[Tensor, "b k d"], units: Float[Tensor, "b n h m"]
    ) -> Imagination:
        """Rolls every candidate; each unit is taken around what the prior expects where it is."""
        b, n = units.shape[:2]
        states = [latents.repeat_interleave(n, 0)]
        for unit in units.flatten(0, 1).unbind(1):
            states.append(self._next(states[-1], unit))
        futures = torch.stack(states, dim=1).unflatten(0, (b, n))
        return Imagination(latents=futures, actions=units)

    def follow(
        self, latents: Float[Tensor, "b n h k d"], units: Float[Tensor, "b n h m"]
    ) -> Float[Tensor, "b n h k d"]:
        """What each of many assumed states leads to under its unit, in one batched call."""
        after = self._next(latents.flatten(0, 2), units.flatten(0, 2))
        return after.unflatten(0, units.shape[:3])

    def _next(
        self, latents: Float[Tensor, "n k d"], units: Float[Tensor, "n m"]
    ) -> Float[Tensor, "n k d"]:
        mean, std = self.expected(latents)
        macro = mean + self.config.reach * std * units
        return self.predictor(latents[:, None], macro[:, None])
