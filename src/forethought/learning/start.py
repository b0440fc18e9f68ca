"""Where the weights of a world model begin, if not at random."""

from __future__ import annotations

from abc import ABC, abstractmethod

from forethought.data.windows import WindowSampler
from forethought.world_model.world_model import WorldModel


class StartConfig(ABC):
    """Sets weights once, before the first step."""

    @abstractmethod
    def __call__(self, world_model: WorldModel, clips: WindowSampler) -> None:
        """Changes the weights of a world model that is not trained yet.

        Args:
            world_model: whose weights are at random.
            clips: training clips.

        Raises:
            ForethoughtError: a world model of another make.
        """
