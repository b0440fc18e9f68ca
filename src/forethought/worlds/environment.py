"""The worlds seen from above as ordinary Gymnasium environments, for other people's agents."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces

from forethought.worlds import registry
from forethought.worlds.picture import CAMERA, SIZE
from forethought.worlds.rooms_maze import HELD_OUT_SEEDS

GOAL = "goal.images.top"

ENVIRONMENTS = {
    "TwoRooms": "two_rooms",
    "TwoRoomsRandom": "two_rooms_random",
    "TwoRoomsHazards": "two_rooms_hazards",
    "TwoRoomsSign": "two_rooms_sign",
    "RoomsMaze": "rooms_maze",
    "Fork": "fork",
}
"""Worlds by the names of their environments: ``forethought/<name>-v0``."""


class WorldEnv(gymnasium.Env[dict[str, Any], np.ndarray]):
    """One copy of a world with a dot; the goal's image is part of the observation.

    Actions run from -1 to 1, as Gymnasium recommends; 1 is the dot's largest step. The reward is -1
    at each step until the goal is reached, which ends the episode; Forethought's own agents never
    look at it.

    Args:
        world: name of the world.
        render_mode: ``rgb_array`` or None.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 10}

    def __init__(self, world: str = "two_rooms", render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self._world = registry.make(world)
        self._reach = np.array(self._world.signature.action.high)
        picture = spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8)
        self.observation_space = spaces.Dict({CAMERA: picture, GOAL: picture})
        self.action_space = spaces.Box(-1.0, 1.0, self._reach.shape, np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """A new task, drawn from the environment's generator, or ``options["task"]``.

        Drawn tasks are those to learn from; evaluation's have the numbers from 1,000,000 on.
        """
        super().reset(seed=seed)
        drawn = int(self.np_random.integers(HELD_OUT_SEEDS))
        self._world.reset([int((options or {}).get("task", drawn))])
        return self._observation(), self._info()

    def step(
        self, action: np.ndarray
    ) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """Moves the dot."""
        self._world.step(self._reach * np.asarray(action)[None])
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
    for name, world in ENVIRONMENTS.items():
        identifier = f"forethought/{name}-v0"
        if identifier not in gymnasium.registry:
            gymnasium.register(
                identifier,
                entry_point="forethought.worlds.environment:WorldEnv",
                kwargs={"world": world},
                max_episode_steps=200 if world != "rooms_maze" else 400,
            )
