"""Goals in hindsight: whatever an episode came to was a goal that its actions led to.

Goals are drawn for recorded states (Andrychowicz et al., 2017), most of them from what came later
in the same episode, in the ways of OGBench (Park et al., 2024).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from forethought.config import register
from forethought.data.dataset import EpisodeArrays
from forethought.data.windows import WindowConfig, WindowSampler
from forethought.perception import PerceptionConfig
from forethought.types import ForethoughtError


@register
@dataclass(frozen=True, kw_only=True)
class HindsightGoalConfig:
    """Which moments of a recording are taken for goals; the shares left are later ones.

    Attributes:
        current: share of the goals that are the state itself.
        random: share drawn from all rows of all episodes. Zero where episodes differ in what
            cannot be changed (another layout), since such goals cannot be reached.
        mean_steps: later goals lie a geometric number of model steps ahead; this is its mean, were
            episodes endless. None draws uniformly from what is left of the episode.

    Raises:
        ForethoughtError: shares outside [0, 1], or a mean of less than one step.
    """

    current: float = 0.0
    random: float = 0.0
    mean_steps: float | None = None

    def __post_init__(self) -> None:
        if min(self.current, self.random) < 0 or self.current + self.random > 1:
            raise ForethoughtError(
                f"hindsight goals: current={self.current} and random={self.random}; expected "
                "shares of at least 0 that add up to at most 1."
            )
        if self.mean_steps is not None and self.mean_steps < 1:
            raise ForethoughtError(
                f"hindsight goals: mean_steps is {self.mean_steps}; expected at least 1, or None."
            )


@dataclass(frozen=True, kw_only=True)
class GoalRows:
    """Where goals lie in the recording.

    Attributes:
        episode: ``(b,)`` positions among the loaded episodes.
        row: ``(b,)`` rows in them.
    """

    episode: Int[Tensor, " b"]
    row: Int[Tensor, " b"]


def draw_goals(
    config: HindsightGoalConfig,
    lengths: Int[Tensor, " episodes"],
    episode: Int[Tensor, " b"],
    row: Int[Tensor, " b"],
    *,
    action_block: int,
    generator: torch.Generator,
) -> GoalRows:
    """Goals for states, in hindsight.

    Later goals lie whole model steps ahead, so that they can be met exactly.

    Args:
        config: which.
        lengths: rows of each episode.
        episode: position among the episodes of each state.
        row: row of each state; at least one model step before its episode's end.
        action_block: world steps in a model step.
        generator: the only source of randomness.
    """
    size = len(row)
    left = (lengths[episode] - 1 - row) // action_block
    later = row + action_block * _steps_ahead(config, left, generator)
    anywhere = torch.randint(int(lengths.sum()), (size,), generator=generator)
    chance = torch.rand(size, generator=generator)
    ends = lengths.cumsum(0)
    other = torch.searchsorted(ends, anywhere, right=True)
    elsewhere = chance < config.random
    now = ~elsewhere & (chance < config.random + config.current)
    return GoalRows(
        episode=torch.where(elsewhere, other, episode),
        row=torch.where(
            elsewhere, anywhere - (ends - lengths)[other], torch.where(now, row, later)
        ),
    )


def _steps_ahead(
    config: HindsightGoalConfig, left: Int[Tensor, " b"], generator: torch.Generator
) -> Int[Tensor, " b"]:
    """From one to ``left`` model steps: uniform, or geometric within that range."""
    drawn = torch.rand(len(left), generator=generator, dtype=torch.float64)
    if config.mean_steps is None or config.mean_steps == 1:
        reach = left if config.mean_steps is None else torch.ones_like(left)
        return 1 + (drawn * reach).long().clamp_max(reach - 1)
    # The inverse of the distribution, cut off at the episode's end: P(steps > n) ~ stay ** n.
    stay = math.log1p(-1 / config.mean_steps)
    within = -torch.expm1(stay * left)
    return (torch.log1p(-drawn * within) / stay).ceil().long().clamp_min(1).minimum(left)


@dataclass(frozen=True, kw_only=True)
class Moves:
    """A batch of single model steps, each with a goal.

    Attributes:
        state: per key ``(b, f, ...)``: before.
        goal: per key ``(b, f, ...)``: a goal, seen standing still.
        actions: ``(b, a)`` the model actions taken, in world units.
    """

    state: Mapping[str, Tensor]
    goal: Mapping[str, Tensor]
    actions: Float[Tensor, "b a"]


class MoveSampler:
    """Draws model steps from decoded episodes, and goals for them.

    Args:
        arrays: the episodes.
        goals: which goals.
        perception: says which frames are an observation.
        action_block: world steps in a model step.

    Raises:
        ForethoughtError: no episode is as long as a model step.
    """

    def __init__(
        self,
        arrays: EpisodeArrays,
        goals: HindsightGoalConfig,
        *,
        perception: PerceptionConfig,
        action_block: int,
    ) -> None:
        self.goals, self.block = goals, action_block
        self._stack = perception.frame_stack
        self._steps = WindowSampler(
            arrays,
            WindowConfig(
                length=2,
                action_block=action_block,
                frame_stack=perception.frame_stack,
                frame_gap=perception.frame_gap,
            ),
        )
        self._stills = WindowSampler(arrays, WindowConfig(length=1, action_block=1))
        self._episodes, self._rows = self._steps.starts()
        self._lengths = arrays.lengths

    def draw(
        self, batch_size: int, generator: torch.Generator
    ) -> tuple[Int[Tensor, " b"], Int[Tensor, " b"], GoalRows]:
        """Episode and row of model steps drawn uniformly from all there are, and their goals."""
        pick = torch.randint(len(self._rows), (batch_size,), generator=generator)
        episode, row = self._episodes[pick], self._rows[pick]
        goals = draw_goals(
            self.goals, self._lengths, episode, row, action_block=self.block, generator=generator
        )
        return episode, row, goals

    def sample(self, batch_size: int, generator: torch.Generator) -> Moves:
        """Model steps drawn uniformly from all there are, with goals."""
        episode, row, goals = self.draw(batch_size, generator)
        steps = self._steps.at(episode, row)
        stills = self._stills.at(goals.episode, goals.row).observation
        return Moves(
            state={key: value[:, 0] for key, value in steps.observation.items()},
            goal={key: still(value[:, 0, 0], self._stack) for key, value in stills.items()},
            actions=steps.actions[:, 0],
        )


def still(frame: Tensor, frame_stack: int) -> Tensor:
    """One frame ``(b, ...)`` as ``(b, f, ...)``: of something that does not move."""
    return frame.unsqueeze(1).expand(-1, frame_stack, *(-1,) * (frame.ndim - 1))
