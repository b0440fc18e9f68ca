"""What a perception will be given, and in which units, told from the data before any work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from forethought.data.store import Statistics
from forethought.perception.normalise import Normaliser
from forethought.perception.perception import PerceptionConfig
from forethought.types import TASK, TASK_SPEC, ForethoughtError, Signature


def perceived(
    signature: Signature,
    perception: PerceptionConfig,
    *,
    recipe: str,
    image_size: tuple[int, int] | None,
    wanted: Sequence[str] = (),
) -> Signature:
    """What a perception will be given; see :func:`~forethought.learning.train.perceived_signature`.

    Args:
        signature: of the data.
        perception: what is perceived.
        recipe: named in errors.
        image_size: height and width that images are reduced to; None for their own.
        wanted: other keys that the data must have.

    Raises:
        ForethoughtError: the data lack a key, or hold it in another form than the recipe needs.
    """
    observation, known = {}, {**signature.observation, TASK: TASK_SPEC}
    for key in [*perception.encoders, *wanted]:
        if key not in known:
            raise ForethoughtError(
                f"recipe {recipe!r} needs {key!r}, which the data lack; they have "
                f"{sorted(signature.observation)}. Choose a recipe for these keys, or import the "
                "missing one."
            )
    for key in perception.encoders:
        spec = known[key]
        if len(spec.shape) == 3 and image_size:
            spec = replace(spec, shape=(*image_size, spec.shape[2]))
        observation[key] = spec
    result = replace(signature, observation=observation)
    perception.tokens(result)
    with torch.device("meta"):
        # Only to be told what does not fit: on this device weights take neither time nor memory.
        for key, encoder in perception.encoders.items():
            encoder.build(observation[key], perception.frame_stack)
    return result


def vector_normalisers(
    signature: Signature, statistics: Statistics, perception: PerceptionConfig
) -> dict[str, Normaliser]:
    """Standardisation of the perceived vectors."""
    return {
        key: Normaliser(statistics[key].mean, statistics[key].std, statistics[key].change_std)
        for key in perception.encoders
        if key != TASK and len(signature.observation[key].shape) == 1
    }
