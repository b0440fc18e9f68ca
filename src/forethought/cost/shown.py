"""States that terms are about, as the sensors would show them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from forethought.cost.states import StateCost, StateTerm, distance_to
from forethought.cost.terms import Sight
from forethought.types import (
    IMAGES,
    STATE,
    TASK,
    Distance,
    ForethoughtError,
    Observation,
    to_bytes,
)

CAMERA = "<camera>"
WORDS = "<words>"
"""Stands for all that would be seen, where a state is told in words."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ShownState(StateTerm):
    """A cost of how far imagined states are from one that is shown.

    Attributes:
        observation: it, as the sensors would show it; one for all agents, or ``(b, ...)``.
        distance: measure to use; None for the agent's own: its critic, which counts steps to
            reach, or latent distance where it has none.
    """

    observation: Mapping[str, np.ndarray] = field(default_factory=dict)
    distance: Distance | None = None

    def distance_to_it(self, sight: Sight) -> StateCost:
        """How far each state is from the one that is shown.

        Raises:
            ForethoughtError: the observation lacks a key that the agent perceives.
        """
        target = latents_of(self.observation, sight)
        return distance_to(target, self.distance or sight.distance)


def named_goal(
    *,
    image: np.ndarray | None = None,
    state: np.ndarray | None = None,
    text: str | None = None,
    words: str | Sequence[str] | None = None,
    observation: Observation | None = None,
) -> Observation:
    """A state by keys; which camera an image is for is found when the agent is known, and so is
    which state words stand for.

    Raises:
        ForethoughtError: nothing was given, or anything beside words.
    """
    keys = dict(observation or {})
    if words is not None:
        keys[WORDS] = np.array(words)
    if text is not None:
        keys[TASK] = to_bytes(text)
    if image is not None:
        keys[CAMERA] = np.asarray(image)
    if state is not None:
        keys[STATE] = np.asarray(state, dtype=np.float32)
    if not keys:
        raise ForethoughtError(
            "show what is meant by an image, a state, a text or an observation, or say it in "
            "words; got none."
        )
    if WORDS in keys and len(keys) > 1:
        raise ForethoughtError(
            f"words stand for all that is to be seen; found them beside {what_is_shown(keys)}. "
            "Give one or the other."
        )
    return keys


def named_goals(
    *,
    images: Iterable[np.ndarray] = (),
    states: Iterable[np.ndarray] = (),
    texts: Iterable[str] = (),
    observations: Iterable[Observation] = (),
) -> tuple[Observation, ...]:
    """Several states by keys: the first image with the first state, and so on.

    Raises:
        ForethoughtError: nothing was given, or more of one kind than of another.
    """
    kinds: dict[str, list[Any]] = {
        "image": list(images),
        "state": list(states),
        "text": list(texts),
        "observation": list(observations),
    }
    given = {kind: values for kind, values in kinds.items() if values}
    counts = {kind: len(values) for kind, values in given.items()}
    if len(set(counts.values())) != 1:
        raise ForethoughtError(
            "show what is meant by images, states, texts or observations, as many of each kind "
            f"that is given; found {counts or 'none'}."
        )
    return tuple(
        named_goal(**dict(zip(given, values, strict=True)))
        for values in zip(*given.values(), strict=True)
    )


def what_is_shown(observation: Observation) -> str:
    """In a few words, e.g. ``image and state``."""
    known = {CAMERA: "image", STATE: "state", TASK: "text", WORDS: "words"}
    kinds = ("image" if key.startswith(IMAGES) else known.get(key, key) for key in observation)
    return " and ".join(dict.fromkeys(kinds)) or "observation"


def latents_of(observation: Observation, sight: Sight) -> Float[Tensor, "_ k d"]:
    """Latents of a state that is shown or told in words: one for all worlds, or one for each.

    Raises:
        ForethoughtError: it lacks a key that the agent perceives, or its words stand for nothing
            that the agent knows.
    """
    if WORDS in observation:
        return sight.meant([str(one) for one in np.atleast_1d(observation[WORDS])])
    return sight.encode(keys_resolved(observation, sight))


def keys_resolved(observation: Observation, sight: Sight) -> Observation:
    """Names the camera that ``image=`` meant, and adds the batch dimension where it is missing."""
    keys = dict(observation)
    if CAMERA in keys:
        cameras = sight.signature.cameras
        if len(cameras) != 1:
            raise ForethoughtError(
                f"image=... needs an agent with one camera, this one has {list(cameras)}; give "
                "observation={key: image}."
            )
        keys[cameras[0]] = keys.pop(CAMERA)
    specs = sight.signature.observation
    return {
        key: value[None] if key in specs and value.ndim == len(specs[key].shape) else value
        for key, value in keys.items()
    }


def shown_states(
    observations: tuple[Observation, ...], sight: Sight
) -> list[Float[Tensor, "_ k d"]]:
    """Latents of several observations, each one for all worlds, or one for each.

    Raises:
        ForethoughtError: they are for different numbers of worlds, or lack a key.
    """
    latents = [latents_of(one, sight) for one in observations]
    counts = {len(one) for one in latents} - {1}
    if len(counts) > 1:
        raise ForethoughtError(
            f"the states of one cost term are for {sorted(counts)} worlds; give each of them one "
            "for all, or one for each world."
        )
    return latents
