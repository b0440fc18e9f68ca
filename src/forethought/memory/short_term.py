"""Short-term memory: the latest observations, as perception takes them.

The window is immutable: seeing returns a new one. It clamps at the beginning of an episode like
the windows that training is cut from, so that an agent sees what its model has learned on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from forethought.types import Observation


@dataclass(frozen=True, kw_only=True)
class ObservationWindow:
    """The latest ``frame_stack`` observations of ``b`` agents.

    Attributes:
        frame_stack: observations that perception looks at together.
        frame_gap: world steps between them.
        memory: world steps before the present that are kept besides.
        frames: oldest first, each per key ``(b, ...)``; empty before the first observation.
    """

    frame_stack: int
    frame_gap: int = 1
    memory: int = 0
    frames: tuple[Mapping[str, Tensor], ...] = ()

    def see(self, observation: Observation) -> ObservationWindow:
        """The window after one more observation ``(b, ...)`` per key."""
        latest = {key: torch.as_tensor(value) for key, value in observation.items()}
        span = (self.frame_stack - 1) * self.frame_gap + 1 + self.memory
        earlier = self.frames or (latest,) * span
        return replace(self, frames=(*earlier[1:], latest))

    def stacked(self, steps_ago: int = 0) -> dict[str, Tensor]:
        """Per key ``(b, f, ...)``, now or so many world steps ago, up to ``memory``.

        A key that was absent for a while has, in those frames, what it shows next, as at the
        beginning of an episode.
        """
        last = len(self.frames) - 1 - steps_ago
        first = last - (self.frame_stack - 1) * self.frame_gap
        frames = self.frames[first : last + 1 : self.frame_gap]
        return {key: torch.stack(_shown(frames, key), dim=1) for key in frames[-1]}


def _shown(frames: Sequence[Mapping[str, Tensor]], key: str) -> list[Tensor]:
    shown = [frames[-1][key]]
    for frame in reversed(frames[:-1]):
        shown.append(frame.get(key, shown[-1]))
    return shown[::-1]
