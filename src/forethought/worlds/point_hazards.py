"""A heavy point, pushed about by forces among places that must not be entered, on MuJoCo.

After the point and goal tasks of Safety-Gymnasium (Ji et al., 2023), which does not install beside
current Python: a mass with inertia and drag on a plane, hazards that stop nobody, and a goal beyond
them. It is observed as a state vector, so that limits can be stated on what is measured. Nothing
here counts who enters a hazard, which is to be within ``HAZARD_RADIUS`` of its centre, or passes
``SPEED_LIMIT``.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping
from typing import Any, ClassVar, cast

import gymnasium
import numpy as np
from gymnasium import spaces
from jaxtyping import Bool, Float

from forethought.types import ForethoughtError
from forethought.worlds.adapter import GymnasiumConfig, sampled
from forethought.worlds.placing import PlaceableTask, PlaceableWorld

HAZARDS = np.array([[-0.55, 0.6], [-0.55, -0.6], [0.4, 0.0], [0.4, 1.2], [0.4, -1.2]])
"""x and y of the middle of each hazard, in metres."""
HAZARD_RADIUS = 0.35
"""Metres."""
SPEED_LIMIT = 0.8
"""Metres per second that tasks can be solved within, clear of the hazards."""
REACH_RADIUS = 0.25
"""A goal counts as reached within so many metres."""
HALF_SIDE = 4.0
"""The plane reaches so many metres from its middle each way; there the point is stopped."""
STATE_NAMES = ("position.x", "position.y", "velocity.x", "velocity.y", "speed")

_STRONGEST = 1.0
_DRAG = 0.5
_TIMESTEP, _SUBSTEPS = 0.01, 5
_STARTS = (1.3, 1.8)
_EXPLORED = 2.0

_MODEL = f"""
<mujoco>
  <option timestep="{_TIMESTEP}" gravity="0 0 0"/>
  <worldbody>
    <body>
      <joint name="x" type="slide" axis="1 0 0" damping="{_DRAG}" limited="true"
        range="{-HALF_SIDE} {HALF_SIDE}"/>
      <joint name="y" type="slide" axis="0 1 0" damping="{_DRAG}" limited="true"
        range="{-HALF_SIDE} {HALF_SIDE}"/>
      <geom type="sphere" size="0.05" mass="1"/>
    </body>
  </worldbody>
  <actuator>
    <motor joint="x" ctrlrange="{-_STRONGEST} {_STRONGEST}"/>
    <motor joint="y" ctrlrange="{-_STRONGEST} {_STRONGEST}"/>
  </actuator>
</mujoco>
"""


class Point(gymnasium.Env[np.ndarray, np.ndarray]):
    """One kilogram on a plane; actions are forces along x and y, in newtons.

    Its observation is the position in metres, the velocity in metres per second, and the speed.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_fps": round(1 / (_TIMESTEP * _SUBSTEPS))}

    def __init__(self) -> None:
        self._mujoco, self._model = _model()
        self._data = self._mujoco.MjData(self._model)
        self.observation_space = spaces.Box(-np.inf, np.inf, (len(STATE_NAMES),), np.float32)
        self.action_space = spaces.Box(-_STRONGEST, _STRONGEST, (2,), np.float32)
        self.target = np.zeros(2)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Still, in the middle."""
        super().reset(seed=seed)
        return self.put(np.zeros(2), np.zeros(2)), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Applies the forces for a twentieth of a second."""
        self._data.ctrl[:] = action
        self._mujoco.mj_step(self._model, self._data, _SUBSTEPS)
        return self._state(), 0.0, False, False, {}

    def put(
        self, position: Float[np.ndarray, " 2"], velocity: Float[np.ndarray, " 2"]
    ) -> np.ndarray:
        """Puts the point somewhere, moving; returns the observation."""
        self._mujoco.mj_resetData(self._model, self._data)
        self._data.qpos[:], self._data.qvel[:] = position, velocity
        return self._state()

    @property
    def physics(self) -> np.ndarray:
        """All that MuJoCo goes on from: places, velocities, where its solver begins, the time."""
        data = self._data
        return np.concatenate([data.qpos, data.qvel, data.qacc_warmstart, [data.time]])

    def go_on_from(self, physics: np.ndarray) -> None:
        """Puts the point back to what :attr:`physics` was."""
        self._mujoco.mj_resetData(self._model, self._data)
        data = self._data
        data.qpos[:], data.qvel[:], data.qacc_warmstart[:] = np.split(physics[:6], 3)
        data.time = physics[6]

    def _state(self) -> np.ndarray:
        velocity = self._data.qvel
        return np.concatenate([self._data.qpos, velocity, [np.hypot(*velocity)]])


class CrossOver(PlaceableTask):
    """Come to a place on the other side of the hazards, and stay there."""

    # The oracle's: metres that it keeps beyond a hazard's radius, metres per second that it goes at
    # the most, that for each metre still to go, and newtons for each metre per second it lacks.
    MARGIN, SPEED, APPROACH, GAIN = 0.12, 0.7, 1.2, 6.0

    def begin(self, env: gymnasium.Env, generator: np.random.Generator) -> np.ndarray:
        """Still, left or right of the hazards; the goal lies on the other side."""
        side = generator.choice([-1.0, 1.0])
        start, target = generator.uniform([_STARTS[0], -1.6], [_STARTS[1], 1.6], (2, 2))
        point = _point(env)
        point.target = target * [-side, 1]
        return point.put(start * [side, 1], np.zeros(2))

    def begin_exploring(self, env: gymnasium.Env, generator: np.random.Generator) -> np.ndarray:
        """Anywhere, moving."""
        place = generator.uniform(-_EXPLORED, _EXPLORED, 2)
        return _point(env).put(place, generator.uniform(-1.2, 1.2, 2))

    def to_goal(self, env: gymnasium.Env, generator: np.random.Generator) -> np.ndarray:
        """At the goal, still."""
        point = _point(env)
        return point.put(point.target, np.zeros(2))

    def place(
        self, env: gymnasium.Env, start: Mapping[str, float], goal: Mapping[str, float]
    ) -> np.ndarray:
        """See :class:`PlaceableTask`."""
        point = _point(env)
        point.target = np.array([goal["position.x"], goal["position.y"]])
        position, velocity = (
            np.array([start[f"{name}.x"], start[f"{name}.y"]]) for name in ("position", "velocity")
        )
        return point.put(position, velocity)

    def state(self, env: gymnasium.Env) -> np.ndarray:
        """Physics, and where the goal is."""
        return np.concatenate([_point(env).physics, _point(env).target])

    def put_back(self, env: gymnasium.Env, state: np.ndarray) -> None:
        """See :class:`RestorableTask`."""
        _point(env).go_on_from(state[:-2])
        _point(env).target = state[-2:]

    def succeeded(self, env: gymnasium.Env, observation: np.ndarray, goal: np.ndarray) -> bool:
        """Within ``REACH_RADIUS`` of the goal."""
        return bool(np.linalg.norm(observation[:2] - goal[:2]) < REACH_RADIUS)

    def truth(self, env: gymnasium.Env, observation: np.ndarray) -> Mapping[str, float]:
        """What is observed, and the hazards' places in metres."""
        places = {
            f"hazard{number}.{axis}": float(place[i])
            for number, place in enumerate(HAZARDS)
            for i, axis in enumerate("xy")
        }
        return {**dict(zip(STATE_NAMES, map(float, observation), strict=True)), **places}

    def oracle(self, env: gymnasium.Env, observation: np.ndarray) -> np.ndarray:
        """Along the shortest way round the hazards, slowly enough to turn and to stop."""
        position, velocity = observation[:2], observation[2:4]
        target = _point(env).target
        waypoint = _waypoint(position, target, self.MARGIN)
        gap = waypoint - position
        speed = min(self.SPEED, self.APPROACH * float(np.linalg.norm(target - position)))
        wanted = speed * gap / max(float(np.linalg.norm(gap)), 1e-9)
        force = self.GAIN * (wanted - velocity) + _DRAG * velocity
        return np.clip(force, -_STRONGEST, _STRONGEST).astype(np.float32)

    def explored_action(
        self, space: spaces.Space, generator: np.random.Generator
    ) -> np.ndarray | np.int64:
        """Half of the forces are as strong as they can be along both axes."""
        action = sampled(space, generator)
        return np.sign(action) * _STRONGEST if generator.random() < 0.5 else action


def point_hazards(num_worlds: int = 1) -> PlaceableWorld:
    """A heavy point among five hazards, observed as a state vector at 20 steps per second.

    Raises:
        ForethoughtError: MuJoCo is not installed.
    """
    return PlaceableWorld(
        Point,
        name="point_hazards",
        num_worlds=num_worlds,
        task=CrossOver(),
        config=GymnasiumConfig(
            image_size=0,
            include_state=True,
            persistence=0.9,
            state_names=STATE_NAMES,
            action_names=("force.x", "force.y"),
        ),
    )


# ------------------------------------------------------------------------------- ways


def _waypoint(
    position: Float[np.ndarray, " 2"], target: Float[np.ndarray, " 2"], margin: float
) -> Float[np.ndarray, " 2"]:
    """What can be gone to straight on the shortest way to the target, by corners round hazards."""
    radius = HAZARD_RADIUS + margin
    corners, between = _corners(radius)
    last = np.linalg.norm(corners - target, axis=1)
    length = np.where(_free(corners, target[None], radius), last, np.inf)
    for _ in range(len(HAZARDS)):
        length = np.minimum(length, (between + length).min(1))
    # From within the margin, where a turn was too wide, ways that lead out of it are free too.
    near = float(np.linalg.norm(HAZARDS - position, axis=1).min())
    radius = min(radius, near - 1e-3)
    if _free(position[None], target[None], radius)[0]:
        return target
    first = np.linalg.norm(corners - position, axis=1)
    ways = np.where(_free(position[None], corners, radius), first + length, np.inf)
    # A corner that has been come to is behind.
    ways = np.where(first < 0.05, np.inf, ways)
    return corners[ways.argmin()]


@functools.cache
def _corners(radius: float) -> tuple[Float[np.ndarray, "m 2"], Float[np.ndarray, "m m"]]:
    """Corners of octagons round the hazards, and the straight ways between them where free."""
    angles = 2 * np.pi * (np.arange(8) + 0.5) / 8
    ring = 1.001 * radius / np.cos(np.pi / 8) * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    corners = (HAZARDS[:, None] + ring).reshape(-1, 2)
    inside = np.linalg.norm(corners[:, None] - HAZARDS, axis=2).min(1) < radius
    corners = corners[~inside & (np.abs(corners) < HALF_SIDE).all(1)]
    gaps = np.linalg.norm(corners[:, None] - corners, axis=2)
    free = np.stack([_free(corner[None], corners, radius) for corner in corners])
    return corners, np.where(free, gaps, np.inf)


def _free(
    start: Float[np.ndarray, "#m 2"], end: Float[np.ndarray, "#m 2"], radius: float
) -> Bool[np.ndarray, " m"]:
    """Whether straight ways pass every hazard at that distance."""
    way, to_hazard = (end - start)[:, None], HAZARDS - start[:, None]
    squared = np.maximum((way**2).sum(-1), 1e-12)
    share = np.clip((way * to_hazard).sum(-1) / squared, 0, 1)
    nearest = np.linalg.norm(share[..., None] * way - to_hazard, axis=-1)
    return (nearest >= radius).all(-1)


# ------------------------------------------------------------------------------- helpers


def _point(env: gymnasium.Env) -> Point:
    assert isinstance(env, Point)
    return env


@functools.cache
def _model() -> tuple[Any, Any]:
    """MuJoCo, whose names are compiled and unknown to type checkers, and the model of the point."""
    try:
        mujoco = cast(Any, importlib.import_module("mujoco"))
    except ImportError as error:
        raise ForethoughtError(
            "point_hazards: MuJoCo is not installed; run pip install 'forethought[worlds]'."
        ) from error
    return mujoco, mujoco.MjModel.from_xml_string(_MODEL)
