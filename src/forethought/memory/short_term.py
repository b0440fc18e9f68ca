"""Short-term memory: the latest observations, as perception takes them.

The window is immutable: seeing returns a new one. It clamps at the beginning of an episode like
the windows that training is cut from, so that an agent sees what its model has learned on.
"""

from __future__ import annotations

from collections.abc import Mapping
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
        frames: oldest first, each per key ``(b, ...)``; empty before the first observation.
    """

    frame_stack: int
    frame_gap: int = 1
    frames: tuple[Mapping[str, Tensor], ...] = ()

    def see(self, observation: Observation) -> ObservationWindow:
        """The window after one more observation ``(b, ...)`` per key."""
        latest = {key: torch.as_tensor(value) for key, value in observation.items()}
        span = (self.frame_stack - 1) * self.frame_gap + 1
        earlier = self.frames or (latest,) * span
        return replace(self, frames=(*earlier[1:], latest))

    def stacked(self) -> dict[str, Tensor]:
        """Per key ``(b, f, ...)``."""
        return {
            key: torch.stack([frame[key] for frame in self.frames[:: self.frame_gap]], dim=1)
            for key in self.frames[-1]
        }
