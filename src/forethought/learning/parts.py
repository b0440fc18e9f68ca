"""A trained model with one part more, which is trained after it."""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import Any

import torch

from forethought.config import to_json
from forethought.model import Model, model_from_description


def digest(model: Model) -> str:
    """Tells weights from others."""
    crc = 0
    for values in model.state_dict().values():
        crc = zlib.crc32(values.cpu().contiguous().numpy().tobytes(), crc)
    return f"{crc:08x}"


def with_part(model: Model, seed: int, **part: Any) -> Model:
    """The same model with an untrained part.

    Args:
        model: stays as it is.
        seed: of the weights of the part.
        part: its configuration, by its name in :class:`forethought.model.ModelConfig`. A part of
            this name that the model has is replaced.
    """
    (name,) = part
    description = model.description()
    description["model"] = to_json(replace(model.config, **part))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        whole = model_from_description(description, where=f"the model with {name}")
    kept = {k: v for k, v in model.state_dict().items() if not k.startswith(f"{name}.")}
    whole.load_state_dict(kept, strict=False)
    whole.calibration = model.calibration
    return whole.to(model.device).eval()
