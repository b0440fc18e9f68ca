"""What an agent takes in: observations checked against what its model perceives, and goals encoded.

Nothing here changes while acting.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from forethought.cost.sight import Sight, no_words
from forethought.model import Model
from forethought.types import TASK, ArraySpec, ForethoughtError, Observation, to_bytes


def sight_of(model: Model) -> Sight:
    """What costs may know of a model, by itself: no account of attempts, nothing widened."""
    return Sight(
        encode=partial(encode_still, model),
        push=model.world_model.push,
        distance=model.distance,
        read=ReadOnce(model.read),
        quantities=model.config.probes,
        space=model.world_model.action_space,
        block=model.config.world_model.action_block,
        signature=model.signature,
        meant=_meaning(model),
    )


def _meaning(model: Model) -> Callable[[Sequence[str]], Float[Tensor, "n k d"]]:
    """What sentences stand for, in the model's own measure."""
    if model.words is None:
        return no_words
    return partial(model.words.meant, distance=model.distance)


SMALL = 100_000
"""Numbers of latents that are compared by value: far fewer than a search imagines."""


class ReadOnce:
    """Reads quantities from latents, and the same latents only once in a row.

    Goals and guardrails of one cost ask for what was read from one imagination, and the present is
    the same in every round of a search.

    Args:
        read: latents ``(..., k, d)`` to quantities by name.
    """

    def __init__(self, read: Callable[[Tensor], Mapping[str, Tensor]]) -> None:
        self._read = read
        self._imagined: tuple[Tensor, int, Mapping[str, Tensor]] | None = None
        self._present: tuple[Tensor, Mapping[str, Tensor]] | None = None

    def __call__(self, latents: Float[Tensor, "*batch k d"]) -> Mapping[str, Tensor]:
        """See the class."""
        if latents.numel() <= SMALL and not latents.requires_grad:
            if self._present is None or not torch.equal(self._present[0], latents):
                self._present = latents.clone(), self._read(latents)
            return self._present[1]
        if self._imagined is None or not _same(*self._imagined[:2], latents):
            self._imagined = latents, latents._version, self._read(latents)
        return self._imagined[2]


def _same(known: Tensor, version: int, latents: Tensor) -> bool:
    """Whether they are the same view of the same memory, unchanged since, on the same graph."""
    return (
        known.data_ptr() == latents.data_ptr()
        and known.shape == latents.shape
        and known.stride() == latents.stride()
        and version == latents._version
        and known._base is latents._base
        and known.requires_grad == latents.requires_grad
    )


def perceived(
    model: Model, what: str, observation: Mapping[str, Any], *, leading: tuple[int, ...]
) -> dict[str, np.ndarray]:
    """The perceived keys as the model takes them; refuses what it cannot have meant.

    Args:
        model: which perceives.
        what: how errors call the observation.
        observation: values by key, or None where a key is absent; extra keys are ignored. A task is
            given in words, or as bytes.
        leading: dimensions before those of the spec; -1 for any number.

    Raises:
        ForethoughtError: a key is missing, has another shape or type, or holds NaN.
    """
    keys = model.world_model.perception.keys
    specs = {key: model.signature.observation[key] for key in keys}
    given = {key: observation[key] for key in specs if observation.get(key) is not None}
    does_without = given and model.config.world_model.perception.missing
    seen = {}
    for key, spec in specs.items():
        if key in given:
            seen[key] = _in_bytes(given[key], spec) if key == TASK else np.asarray(given[key])
            _check_value(what, key, seen[key], spec, leading=leading)
        elif not does_without:
            raise ForethoughtError(
                f"{what} lacks {key!r}, which the model perceives; it has {sorted(observation)}."
            )
    return seen


@torch.no_grad()
def encode_still(model: Model, observation: Observation) -> Float[Tensor, "b k d"]:
    """Latents of still observations ``(b, ...)``: the same frame for the whole window.

    Raises:
        ForethoughtError: see :func:`perceived`.
    """
    seen = perceived(model, "the goal", observation, leading=(-1,))
    stack = model.config.world_model.perception.frame_stack
    frames = {key: torch.as_tensor(value, device=model.device) for key, value in seen.items()}
    still = {
        key: value.unsqueeze(1).expand(-1, stack, *(-1,) * (value.ndim - 1))
        for key, value in frames.items()
    }
    return model.world_model.encode(still)


def _in_bytes(text: Any, spec: ArraySpec) -> np.ndarray:
    """Words as bytes, one text or one for each agent; bytes as they are."""
    value = np.asarray(text)
    if value.dtype.kind != "U":
        return value
    words = [to_bytes(str(one), *spec.shape) for one in value.flat]
    return np.stack(words).reshape(*value.shape, *spec.shape)


def _check_value(
    what: str, key: str, value: np.ndarray, spec: ArraySpec, *, leading: tuple[int, ...]
) -> None:
    """Refuses what the model cannot have meant, naming the key. A leading -1 is any batch."""
    expected = (*leading, *spec.shape)
    fits = value.ndim == len(expected) and all(
        want in (-1, found) for want, found in zip(expected, value.shape, strict=True)
    )
    if not fits:
        raise ForethoughtError(
            f"{what}: {key!r} has shape {value.shape}, expected {expected}"
            f"{' (-1: any number)' if -1 in leading else ''}. Resize or crop it as the training "
            "data was."
        )
    if value.dtype != np.dtype(spec.dtype):
        raise ForethoughtError(
            f"{what}: {key!r} is {value.dtype}, expected {spec.dtype}; convert it with "
            f".astype({spec.dtype!r}) in the units of the training data."
        )
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        raise ForethoughtError(
            f"{what}: {key!r} holds NaN or infinite values; hold the last good reading, or stop."
        )
