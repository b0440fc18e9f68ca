"""MuJoCo's two-jointed arm, from pixels or from its joints, with poses for goals."""

from __future__ import annotations

import functools
import importlib
import os
import sys
from collections.abc import Mapping
from typing import Any, cast

import gymnasium
import numpy as np
from gymnasium import spaces
from jaxtyping import Float, UInt8

from forethought.types import ForethoughtError
from forethought.worlds.adapter import GymnasiumConfig, reduced
from forethought.worlds.placing import PlaceableTask, PlaceableWorld

REACH_RADIUS = 0.03
"""A goal counts as reached when the fingertip is within so many metres; the arm is 0.21 long."""
TORQUE_SHARE = 0.05
"""What an action of 1 is of the strongest torque. At full torque the arm turns by more than a third
of a circle within the first four steps, and spins from then on."""
LINKS = (0.1, 0.11)
"""Metres from the root to the elbow, and on to the fingertip."""
ELBOW_LIMIT = 2.6
"""Poses bend the elbow by so many radians at the most; it stops at 3."""

# Pictures are drawn larger and reduced: sixteen samples a pixel, without the cost of the driver's
# multisampling, so that turns of less than a pixel are seen.
RENDER_SIZE = 256
VIEW_METRES = 0.46
# Twelve sides make a round link when it is three pixels wide, at a tenth of the default's time.
ROUND_SIDES = 12
MISSING = "{name}: MuJoCo is not installed; run pip install 'forethought[worlds]'."
HIDDEN = ("target", "sideS", "sideE", "sideN", "sideW")
JOINTS = (
    "shoulder.cos",
    "shoulder.sin",
    "elbow.cos",
    "elbow.sin",
    "shoulder.velocity",
    "elbow.velocity",
)
"""What the encoders of the joints tell; velocities in radians per second."""


class Arm(gymnasium.Wrapper):
    """``Reacher-v5`` with its torque reduced and a pose for a goal.

    Its own target, a sphere, is not shown; it is where the fingertip is in the goal's pose. What is
    observed are its joints, and not where the target is.

    Args:
        env: the environment.
    """

    def __init__(self, env: gymnasium.Env) -> None:
        super().__init__(env)
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.observation_space = spaces.Box(-np.inf, np.inf, (len(JOINTS),), np.float64)
        self.goal = np.zeros(2)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, Any, bool, bool, dict[str, Any]]:
        """Applies the torques for one step of the environment."""
        torque = TORQUE_SHARE * np.asarray(action, np.float64)
        _, reward, terminated, truncated, told = self.env.step(torque)
        return self.joints, reward, terminated, truncated, told

    def put(
        self, angles: Float[np.ndarray, " 2"], velocities: Float[np.ndarray, " 2"]
    ) -> np.ndarray:
        """Puts the arm into a pose; returns its joints, which depend on nothing else."""
        inner: Any = self.unwrapped
        self.env.reset()
        # What the solver remembers of the random pose just drawn would change the last digits.
        inner.data.qacc_warmstart[:] = 0
        inner.set_state(
            np.concatenate([angles, fingertip(self.goal)]), np.concatenate([velocities, [0.0, 0.0]])
        )
        inner.data.qacc_warmstart[:] = 0
        return self.joints

    @property
    def physics(self) -> Float[np.ndarray, " 13"]:
        """All that MuJoCo goes on from: places, velocities, where its solver begins, the time."""
        inner: Any = self.unwrapped
        data = inner.data
        return np.concatenate([data.qpos, data.qvel, data.qacc_warmstart, [data.time]])

    def go_on_from(self, physics: Float[np.ndarray, " 13"]) -> None:
        """Puts the arm back to what :attr:`physics` was."""
        inner: Any = self.unwrapped
        places, velocities, solver = np.split(physics[:12], 3)
        inner.set_state(places, velocities)
        inner.data.qacc_warmstart[:], inner.data.time = solver, physics[12]

    @property
    def joints(self) -> Float[np.ndarray, " 6"]:
        """What :data:`JOINTS` names."""
        (shoulder, elbow), velocities = self.angles, self.velocities
        turned = [np.cos(shoulder), np.sin(shoulder), np.cos(elbow), np.sin(elbow)]
        return np.concatenate([turned, velocities])

    @property
    def angles(self) -> Float[np.ndarray, " 2"]:
        """Of the shoulder, any number of turns, and of the elbow, in radians."""
        inner: Any = self.unwrapped
        return inner.data.qpos[:2].copy()

    @property
    def velocities(self) -> Float[np.ndarray, " 2"]:
        """Of both joints, in radians per second."""
        inner: Any = self.unwrapped
        return inner.data.qvel[:2].copy()


class TakePose(PlaceableTask):
    """Bring the fingertip to where it is in a pose that a picture shows, from any other pose."""

    # Torque per radian, and per radian per second, in shares of the strongest allowed: damped
    # just so that the arm hardly overshoots.
    STIFFNESS, DAMPING = 6.0, 1.2

    def begin(self, env: gymnasium.Env, generator: np.random.Generator) -> np.ndarray:
        """Any pose, still; the goal is any other."""
        arm = _arm(env)
        start = _random_pose(generator)
        arm.goal = _random_pose(generator)
        return arm.put(start, np.zeros(2))

    def begin_exploring(self, env: gymnasium.Env, generator: np.random.Generator) -> np.ndarray:
        """Any pose, moving."""
        return _arm(env).put(_random_pose(generator), generator.uniform(-4, 4, 2))

    def to_goal(self, env: gymnasium.Env, generator: np.random.Generator) -> np.ndarray:
        """The goal's pose, still."""
        arm = _arm(env)
        return arm.put(arm.goal, np.zeros(2))

    def place(
        self, env: gymnasium.Env, start: Mapping[str, float], goal: Mapping[str, float]
    ) -> np.ndarray:
        """See :class:`PlaceableTask`."""
        arm = _arm(env)
        angles, arm.goal = (
            np.array([np.arctan2(one[f"{j}.sin"], one[f"{j}.cos"]) for j in ("shoulder", "elbow")])
            for one in (start, goal)
        )
        return arm.put(angles, np.array([start["shoulder.velocity"], start["elbow.velocity"]]))

    def state(self, env: gymnasium.Env) -> np.ndarray:
        """Physics, and the pose of the goal."""
        return np.concatenate([_arm(env).physics, _arm(env).goal])

    def put_back(self, env: gymnasium.Env, state: np.ndarray) -> None:
        """See :class:`RestorableTask`."""
        _arm(env).go_on_from(state[:-2])
        _arm(env).goal = state[-2:]

    def succeeded(self, env: gymnasium.Env, observation: np.ndarray, goal: np.ndarray) -> bool:
        """Fingertip within ``REACH_RADIUS``."""
        arm = _arm(env)
        gap = fingertip(arm.angles) - fingertip(arm.goal)
        return bool(np.linalg.norm(gap) < REACH_RADIUS)

    def truth(self, env: gymnasium.Env, observation: np.ndarray) -> Mapping[str, float]:
        """Both angles as cosine and sine, velocities in radians per second, fingertip in metres."""
        arm = _arm(env)
        tip_x, tip_y = fingertip(arm.angles)
        told = zip(JOINTS, map(float, arm.joints), strict=True)
        return {**dict(told), "fingertip.x": float(tip_x), "fingertip.y": float(tip_y)}

    def oracle(self, env: gymnasium.Env, observation: np.ndarray) -> np.ndarray:
        """Springs and dampers on both joints; the shoulder takes the shorter turn."""
        arm = _arm(env)
        gap = arm.goal - arm.angles
        gap[0] = (gap[0] + np.pi) % (2 * np.pi) - np.pi
        torque = self.STIFFNESS * gap - self.DAMPING * arm.velocities
        return np.clip(torque, -1, 1).astype(np.float32)

    def picture(self, env: gymnasium.Env, size: int) -> UInt8[np.ndarray, "size size 3"]:
        """The arm from above, without target and frame."""
        return _camera().picture(_arm(env).angles, size)


def reacher(num_worlds: int = 1, **settings: Any) -> PlaceableWorld:
    """Gymnasium's ``Reacher-v5`` from 64x64 pixels, at 25 steps per second.

    Raises:
        ForethoughtError: MuJoCo is not installed, or there is no OpenGL to draw with.
    """
    _camera()

    return PlaceableWorld(
        _make_arm,
        name="reacher",
        num_worlds=num_worlds,
        task=TakePose(),
        config=GymnasiumConfig(action_repeat=2, persistence=0.85, **settings),
    )


def reacher_joints(num_worlds: int = 1) -> PlaceableWorld:
    """The same arm from what the encoders of its joints tell; nothing is drawn.

    Raises:
        ForethoughtError: MuJoCo is not installed.
    """
    try:
        importlib.import_module("mujoco")
    except ImportError as error:
        raise ForethoughtError(MISSING.format(name="reacher_joints")) from error
    return PlaceableWorld(
        _make_arm,
        name="reacher_joints",
        num_worlds=num_worlds,
        task=TakePose(),
        config=GymnasiumConfig(
            image_size=0,
            include_state=True,
            state_names=JOINTS,
            action_repeat=2,
            persistence=0.85,
        ),
    )


def _make_arm() -> gymnasium.Env:
    from gymnasium.envs.mujoco.reacher_v5 import ReacherEnv

    return Arm(ReacherEnv(render_mode="rgb_array"))


def fingertip(angles: Float[np.ndarray, " 2"]) -> Float[np.ndarray, " 2"]:
    """Where the fingertip is in a pose, in metres from the root."""
    shoulder, elbow = angles
    x = LINKS[0] * np.cos(shoulder) + LINKS[1] * np.cos(shoulder + elbow)
    y = LINKS[0] * np.sin(shoulder) + LINKS[1] * np.sin(shoulder + elbow)
    return np.array([x, y])


def _random_pose(generator: np.random.Generator) -> Float[np.ndarray, " 2"]:
    return generator.uniform([-np.pi, -ELBOW_LIMIT], [np.pi, ELBOW_LIMIT])


def _arm(env: gymnasium.Env) -> Arm:
    assert isinstance(env, Arm)
    return env


class _Camera:
    """Draws the arm of all copies, by one model and one OpenGL context."""

    def __init__(self) -> None:
        from gymnasium.envs.mujoco.mujoco_env import expand_model_path

        # Its names are compiled, and unknown to type checkers.
        self._mujoco = mujoco = cast(Any, importlib.import_module("mujoco"))
        self._model = mujoco.MjModel.from_xml_path(expand_model_path("reacher.xml"))
        self._data = mujoco.MjData(self._model)
        look = self._model.vis
        look.quality.offsamples = 0
        look.quality.numslices, look.quality.numstacks = ROUND_SIDES, ROUND_SIDES // 2
        # Evenly lit, so that what a pixel shows does not depend on where it is.
        look.headlight.ambient[:], look.headlight.diffuse[:] = 0.6, 0.4
        look.headlight.specular[:] = 0
        look.global_.offwidth = look.global_.offheight = RENDER_SIZE
        for name in HIDDEN:
            self._model.geom(name).rgba[3] = 0
        self._renderer = mujoco.Renderer(self._model, RENDER_SIZE, RENDER_SIZE, max_geom=100)
        flags = mujoco.mjtRndFlag
        for flag in (flags.mjRND_SHADOW, flags.mjRND_REFLECTION, flags.mjRND_HAZE):
            self._renderer.scene.flags[flag] = False
        look.global_.fovy = VIEW_METRES
        self._view = mujoco.MjvCamera()
        self._view.orthographic = 1
        self._view.lookat[:] = 0
        self._view.azimuth, self._view.elevation, self._view.distance = 90, -90, 1

    def picture(
        self, angles: Float[np.ndarray, " 2"], size: int
    ) -> UInt8[np.ndarray, "size size 3"]:
        """The arm at these angles: the picture depends on nothing else."""
        self._data.qpos[:2] = angles
        self._mujoco.mj_kinematics(self._model, self._data)
        self._renderer.update_scene(self._data, self._view)
        return reduced(self._renderer.render(), size)


@functools.cache
def _camera() -> _Camera:
    if sys.platform == "linux":
        # Drawing needs no screen; MuJoCo looks for one unless told, when it is first imported.
        os.environ.setdefault("MUJOCO_GL", "egl")
    try:
        return _Camera()
    except gymnasium.error.DependencyNotInstalled as error:
        raise ForethoughtError(MISSING.format(name="reacher")) from error
    # What is raised depends on which part of a driver is missing; MuJoCo's own is an Exception.
    except Exception as error:
        raise ForethoughtError(
            f"reacher: MuJoCo cannot draw, no OpenGL starts with MUJOCO_GL="
            f"{os.environ.get('MUJOCO_GL', '')!r}: {error}. Install a driver (on Debian "
            "libegl1 and libgl1-mesa-dri), or libosmesa6 and set MUJOCO_GL=osmesa."
        ) from error
