"""The two-rooms worlds as ordinary Gymnasium environments, for other people's agents."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces

from forethought.worlds.two_rooms import CAMERA, FIXED, RANDOM, SIZE, TwoRooms, TwoRoomsConfig

GOAL = "goal.images.top"


class TwoRoomsEnv(gymnasium.Env[dict[str, Any], np.ndarray]):
    """One copy of :class:`TwoRooms`; the goal's image is part of the observation.

    Actions run from -1 to 1, as Gymnasium recommends; 1 is the dot's largest step. The reward is -1
    at each step until the goal is reached, which ends the episode; Forethought's own agents never
    look at it.

    Args:
        config: geometry.
        render_mode: ``rgb_array`` or None.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 10}

    def __init__(self, config: TwoRoomsConfig = FIXED, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self._world = TwoRooms(1, config=config)
        picture = spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8)
        self.observation_space = spaces.Dict({CAMERA: picture, GOAL: picture})
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """A new task, drawn from the environment's generator."""
        super().reset(seed=seed)
        self._world.reset([int(self.np_random.integers(2**31))])
        return self._observation(), self._info()

    def step(
        self, action: np.ndarray
    ) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """Moves the dot."""
        self._world.step(self._world.config.max_step * np.asarray(action)[None])
        reached = bool(self._world.succeeded()[0])
        return self._observation(), -1.0 + reached, reached, False, self._info()

    def render(self) -> np.ndarray | None:
        """What the camera sees."""
        return self._world.observe()[CAMERA][0] if self.render_mode == "rgb_array" else None

    def _observation(self) -> dict[str, np.ndarray]:
        return {CAMERA: self._world.observe()[CAMERA][0], GOAL: self._world.goal()[CAMERA][0]}

    def _info(self) -> dict[str, Any]:
        return {name: float(value[0]) for name, value in self._world.truth().items()}


def register() -> None:
    """Makes the environments known to Gymnasium; called by its plug-in mechanism."""
    for name, config in (("TwoRooms", FIXED), ("TwoRoomsRandom", RANDOM)):
        identifier = f"forethought/{name}-v0"
        if identifier not in gymnasium.registry:
            gymnasium.register(
                identifier,
                entry_point="forethought.worlds.environment:TwoRoomsEnv",
                kwargs={"config": config},
                max_episode_steps=200,
            )
