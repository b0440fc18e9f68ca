"""Goals: how far an imagined future is from what was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from forethought.cost.terms import BoundTerm, CostTerm, Sight
from forethought.types import (
    STATE,
    TASK,
    Distance,
    ForethoughtError,
    Imagination,
    Observation,
    to_bytes,
)

CAMERA = "<camera>"


@dataclass(frozen=True, kw_only=True, eq=False)
class Goal(CostTerm):
    """Distance of imagined latents from the latent of a goal observation.

    Attributes:
        observation: the goal as the sensors would show it; one for all agents, or ``(b, ...)``.
        distance: measure to use; None for the agent's own: its critic, which counts steps to
            reach, or latent distance where it has none.
        running: weight of the distance at each imagined step before the last, which has weight
            one. Zero asks where the plan ends; one also asks to be there soon, and to stay.
    """

    name: str = "goal"
    observation: Mapping[str, np.ndarray] = field(default_factory=dict)
    distance: Distance | None = None
    running: float = 1.0

    seeks_goal: ClassVar[bool] = True

    def bind(self, sight: Sight) -> BoundTerm:
        """See :class:`CostTerm`.

        Raises:
            ForethoughtError: the goal lacks a key that the agent perceives.
        """
        target = sight.encode(keys_resolved(self.observation, sight))[:, None, None]
        distance = self.distance or sight.distance
        running = self.running

        def distance_of(imagination: Imagination) -> Float[Tensor, "b n h"]:
            horizon = imagination.actions.shape[2]
            first = 1 if running else horizon
            reached = imagination.latents[:, :, first:]
            steps = distance(reached, target.expand_as(reached))
            if not running:
                return torch.nn.functional.pad(steps, (horizon - 1, 0))
            weights = torch.full((horizon,), running).to(steps)
            weights[-1] = 1.0
            return steps * weights

        return distance_of


@dataclass(frozen=True, kw_only=True, eq=False)
class SubGoal(CostTerm):
    """Distance of imagined latents from a latent of each world, at every step.

    Attributes:
        target: ``(b, k, d)`` what to come to soon, and to stay at.
        distance: measure to use; None for the agent's own.
    """

    name: str = "sub-goal"
    target: Tensor
    distance: Distance | None = None

    def bind(self, sight: Sight) -> BoundTerm:
        """See :class:`CostTerm`."""
        target, distance = self.target[:, None, None], self.distance or sight.distance

        def distance_of(imagination: Imagination) -> Float[Tensor, "b n h"]:
            reached = imagination.latents[:, :, 1:]
            return distance(reached, target.expand_as(reached))

        return distance_of


def goal(
    *,
    image: np.ndarray | None = None,
    state: np.ndarray | None = None,
    text: str | None = None,
    observation: Observation | None = None,
    distance: Distance | None = None,
    running: float = 1.0,
) -> Goal:
    """Be where the sensors would show this.

    Args:
        image: goal image for an agent with one camera: uint8 ``(height, width, 3)``.
        state: goal state vector.
        text: the goal in words, for agents that perceive the task.
        observation: a whole goal observation, by keys, for agents with more sensors.
        distance: measure to use; None for the agent's own.
        running: weight of the distance at each step before the last, which has weight one.

    Raises:
        ForethoughtError: nothing was given.
    """
    keys = named_goal(image=image, state=state, text=text, observation=observation)
    return Goal(observation=keys, distance=distance, running=running)


def named_goal(
    *,
    image: np.ndarray | None = None,
    state: np.ndarray | None = None,
    text: str | None = None,
    observation: Observation | None = None,
) -> Observation:
    """A goal by keys; which camera an image is for is found when the agent is known.

    Raises:
        ForethoughtError: nothing was given.
    """
    keys = dict(observation or {})
    if text is not None:
        keys[TASK] = to_bytes(text)
    if image is not None:
        keys[CAMERA] = np.asarray(image)
    if state is not None:
        keys[STATE] = np.asarray(state, dtype=np.float32)
    if not keys:
        raise ForethoughtError(
            "a goal needs an image, a state, a text or an observation; got none."
        )
    return keys


def keys_resolved(observation: Observation, sight: Sight) -> Observation:
    """Names the camera that ``image=`` meant, and adds the batch dimension where it is missing."""
    keys = dict(observation)
    if CAMERA in keys:
        cameras = sight.signature.cameras
        if len(cameras) != 1:
            raise ForethoughtError(
                f"goal(image=...) needs an agent with one camera, this one has {list(cameras)}; "
                "give goal(observation={key: image})."
            )
        keys[cameras[0]] = keys.pop(CAMERA)
    specs = sight.signature.observation
    return {
        key: value[None] if key in specs and value.ndim == len(specs[key].shape) else value
        for key, value in keys.items()
    }
