"""Windows: clips cut from episodes in model steps; none crosses an episode's end."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from forethought.data.store import EpisodeArrays
from forethought.types import ForethoughtError, Windows


@dataclass(frozen=True, kw_only=True)
class WindowConfig:
    """The form of a clip.

    Attributes:
        length: observations in it (``t``), one model step apart.
        action_block: world steps in a model step.
        frame_stack: frames that make one observation (``f``).
        frame_gap: world steps between stacked frames.
        whole_history: leave out clips whose first frames would lie before the episode, where they
            could only be filled with its first row.

    Raises:
        ForethoughtError: a number that is not at least 1.
    """

    length: int
    action_block: int
    frame_stack: int = 1
    frame_gap: int = 1
    whole_history: bool = False

    def __post_init__(self) -> None:
        for name in ("length", "action_block", "frame_stack", "frame_gap"):
            if (value := getattr(self, name)) < 1:
                raise ForethoughtError(f"windows: {name} is {value}; expected at least 1.")

    @property
    def first(self) -> int:
        """Row of an episode at which its first clip begins."""
        return (self.frame_stack - 1) * self.frame_gap if self.whole_history else 0

    @property
    def span(self) -> int:
        """World steps from the first observation of a clip to the last."""
        return (self.length - 1) * self.action_block

    @property
    def rows(self) -> int:
        """Rows of an episode that a clip and its history need."""
        return self.first + self.span + 1


class WindowSampler:
    """Draws clips from decoded episodes.

    Args:
        arrays: the episodes.
        config: the form of the clips.
        actions: in place of the recorded ones, as vectors; None for those. Kept as ``actions``.

    Raises:
        ForethoughtError: no episode is long enough for one clip.
    """

    def __init__(
        self,
        arrays: EpisodeArrays,
        config: WindowConfig,
        *,
        actions: Float[Tensor, "rows width"] | None = None,
    ) -> None:
        self.arrays = arrays
        self.config = config
        self._per_episode = (arrays.lengths - config.span - config.first).clamp_min(0)
        self._refuse_short()
        self._ends = self._per_episode.cumsum(0)
        self._episodes = torch.tensor(arrays.episodes)
        self._frames = torch.arange(1 - config.frame_stack, 1) * config.frame_gap
        self._moments = torch.arange(config.length) * config.action_block
        self._block = torch.arange(config.action_block)
        self.actions = as_vectors(arrays) if actions is None else actions

    @property
    def num_windows(self) -> int:
        """Different clips there are."""
        return int(self._ends[-1])

    def starts(self) -> tuple[Int[Tensor, " n"], Int[Tensor, " n"]]:
        """Episode and row of every clip there is."""
        return self._locate(torch.arange(self.num_windows))

    def rows(self, batch_size: int) -> Iterator[tuple[Int[Tensor, " b"], Int[Tensor, " b"]]]:
        """Every clip in order, in batches, as :meth:`at` takes them."""
        for index in torch.arange(self.num_windows).split(batch_size):
            yield self._locate(index)

    def sample(self, batch_size: int, generator: torch.Generator) -> Windows:
        """Clips drawn uniformly from all there are."""
        index = torch.randint(self.num_windows, (batch_size,), generator=generator)
        return self.at(*self._locate(index))

    def at(self, episodes: Int[Tensor, " b"], steps: Int[Tensor, " b"]) -> Windows:
        """Given clips.

        The frames before an episode's first row are that row.

        Args:
            episodes: positions among the loaded episodes.
            steps: row in its episode at which each clip begins.

        Raises:
            ForethoughtError: a clip that would reach beyond its episode.
        """
        self._refuse_outside(episodes, steps)
        first = self.arrays.offsets[episodes]
        moments = (first + steps)[:, None] + self._moments
        rows = (moments[:, :, None] + self._frames).maximum(first[:, None, None])
        taken = moments[:, :-1, None] + self._block
        return Windows(
            observation={key: value[rows] for key, value in self.arrays.observation.items()},
            actions=self.actions[taken].flatten(2),
            episode=self._episodes[episodes],
            step=steps,
        )

    def _locate(self, index: Int[Tensor, " n"]) -> tuple[Int[Tensor, " n"], Int[Tensor, " n"]]:
        episode = torch.searchsorted(self._ends, index, right=True)
        return episode, index - (self._ends - self._per_episode)[episode] + self.config.first

    def _refuse_short(self) -> None:
        arrays, config = self.arrays, self.config
        usable = self._per_episode.tolist()
        short = [e for e, n in zip(arrays.episodes, usable, strict=True) if n == 0]
        if len(short) == len(arrays.episodes):
            longest = int(arrays.lengths.max()) if arrays.episodes else 0
            raise ForethoughtError(
                f"no episode is long enough: a clip needs {config.rows} rows ({config.length} "
                f"observations, {config.action_block} world steps apart, after {config.first} rows "
                f"of history), the longest of {len(arrays.episodes)} episodes has {longest}. "
                "Shorten horizon, action_block or frame_stack, or record longer episodes."
            )
        if short:
            warnings.warn(
                f"{len(short)} of {len(arrays.episodes)} episodes are shorter than a clip of "
                f"{config.rows} rows and are left out: {short[:8]}",
                stacklevel=3,
            )

    def _refuse_outside(self, episodes: Tensor, steps: Tensor) -> None:
        count = len(self.arrays.episodes)
        clip = steps - self.config.first
        outside = (episodes < 0) | (episodes >= count) | (clip < 0)
        outside |= clip >= self._per_episode[episodes.clamp(0, count - 1)]
        if outside.any():
            place = int(outside.nonzero()[0])
            raise ForethoughtError(
                f"no clip begins at row {int(steps[place])} of loaded episode "
                f"{int(episodes[place])}: it needs {self.config.rows} rows. starts() "
                "lists every clip there is."
            )


class MixedSampler(WindowSampler):
    """Draws some clips of every batch from one sampler and the rest from another.

    What is asked of all clips, such as :meth:`WindowSampler.starts`, is answered by the first. Of
    the observations only those are drawn that both have, since all clips of a batch are alike:
    measured quantities that only the first recording has are no part of them.

    Args:
        first: clips of episodes whose actions were recorded.
        second: other clips of the same form; ``episode`` counts within its own recording.
        share: of each batch that comes from the first, of which it is one clip at least.
    """

    def __init__(self, first: WindowSampler, second: WindowSampler, *, share: float) -> None:
        super().__init__(first.arrays, first.config, actions=first.actions)
        self.second, self.share = second, share

    def sample(self, batch_size: int, generator: torch.Generator) -> Windows:
        """See :class:`WindowSampler`; the clips of the first come first."""
        count = max(1, round(self.share * batch_size))
        one = super().sample(count, generator)
        other = self.second.sample(batch_size - count, generator)
        return Windows(
            observation={
                key: torch.cat([value, other.observation[key]])
                for key, value in one.observation.items()
                if key in other.observation
            },
            actions=torch.cat([one.actions, other.actions]),
            episode=torch.cat([one.episode, other.episode]),
            step=torch.cat([one.step, other.step]),
        )


def as_vectors(arrays: EpisodeArrays) -> Float[Tensor, "rows width"]:
    """Actions as the world model sees them, one-hot where discrete."""
    spec = arrays.signature.action
    if not spec.discrete:
        return arrays.action
    return torch.nn.functional.one_hot(arrays.action, spec.num_choices).float()
