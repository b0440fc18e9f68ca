"""Beginning with what an earlier run has learned: its perception, or its whole world model.

Reuse in another world, action-conditioning after pretraining without actions, and fine-tuning to a
world that has changed are all this: the same training, from other weights.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from forethought.config import from_json, register, to_json
from forethought.model import load_model, write_safely
from forethought.perception.normalise import Normaliser
from forethought.perception.perception import Perception
from forethought.types import TASK, ForethoughtError, Signature
from forethought.world_model.world_model import WorldModel, WorldModelConfig

FORMAT = 1
PERCEPTION = "perception.json"
PERCEPTION_WEIGHTS = "perception.safetensors"
OWN = ("low", "high")
"""What of a world model belongs to its data, not to what was learned: the bounds of actions."""


@register
@dataclass(frozen=True, kw_only=True)
class BeginFrom:
    """Weights of an earlier run to begin with; its folder has to stay until training is done.

    The standardisations that the weights were learned with come along. To leave the perception as
    it is, see ``frozen_encoder`` of :class:`JEPAConfig`.

    Attributes:
        run: folder of a training run, or of pretraining without actions.
        whole: whether the predictor is taken too, not the perception alone; for a world that has
            changed, with the same actions.
        encoder_rate: share of the learning rate at which the perception goes on learning.

    Raises:
        ForethoughtError: a share outside (0, 1].
    """

    run: str
    whole: bool = False
    encoder_rate: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.encoder_rate <= 1:
            raise ForethoughtError(
                f"BeginFrom: encoder_rate is {self.encoder_rate}; expected a share above 0 and up "
                "to 1. To leave the perception as it is, set frozen_encoder in JEPAConfig."
            )

    def check(self, config: WorldModelConfig, signature: Signature) -> None:
        """Refuses what does not fit, before any work.

        Args:
            config: the world model that is to begin.
            signature: what it will be given.

        Raises:
            ForethoughtError: no finished run, or one of another make.
        """
        earlier = self._earlier()
        self._compare("perception", earlier.perception.config, config.perception)
        for key in config.perception.encoders:
            found, wanted = earlier.signature.observation[key], signature.observation[key]
            self._compare(f"shape of {key}", found.shape, wanted.shape)
        if self.whole:
            assert earlier.world_model is not None
            self._compare("world model", earlier.world_model.config, config)
            found, wanted = earlier.signature.action, signature.action
            self._compare("width of an action", found.width, wanted.width)

    def take(self, world_model: WorldModel) -> None:
        """Puts the weights into a world model that :meth:`check` found to fit.

        Raises:
            ForethoughtError: the weights cannot be read.
        """
        earlier = self._earlier()
        world_model.perception.load_state_dict(earlier.perception.state_dict())
        if self.whole:
            assert earlier.world_model is not None
            learned = earlier.world_model.state_dict()
            kept = {name: value for name, value in world_model.state_dict().items() if name in OWN}
            world_model.load_state_dict({**learned, **kept})

    def rates(self, world_model: WorldModel) -> dict[nn.Parameter, float]:
        """Share of the learning rate of each parameter that learns more slowly."""
        if self.encoder_rate == 1:
            return {}
        return dict.fromkeys(world_model.perception.parameters(), self.encoder_rate)

    def _earlier(self) -> Earlier:
        earlier = load_earlier(Path(self.run))
        if self.whole and earlier.world_model is None:
            raise ForethoughtError(
                f"{self.run}: this was pretrained without actions, so there is a perception and no "
                "world model; begin with whole=False."
            )
        return earlier

    def _compare(self, what: str, found: Any, wanted: Any) -> None:
        if found != wanted:
            raise ForethoughtError(
                f"{self.run}: cannot begin with this run, its {what} is {found}, training asks for "
                f"{wanted}. Use the recipe and image size of that run, or begin without it."
            )


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """What an earlier run has learned.

    Attributes:
        signature: what it was given.
        perception: what it perceives with.
        world_model: the same and its predictor; None after pretraining without actions.
    """

    signature: Signature
    perception: Perception
    world_model: WorldModel | None


def load_earlier(folder: Path) -> Earlier:
    """What the run in a folder has learned, trained with actions or without.

    Raises:
        ForethoughtError: no finished run there, or a damaged one.
    """
    if (folder / PERCEPTION).is_file():
        signature, perception = load_perception(folder)
        return Earlier(signature=signature, perception=perception, world_model=None)
    model = load_model(folder)
    return Earlier(
        signature=model.signature,
        perception=model.world_model.perception,
        world_model=model.world_model,
    )


def save_perception(
    folder: Path, perception: Perception, signature: Signature, notes: Mapping[str, Any]
) -> None:
    """Writes a perception: weights first, the description last, as the mark of a whole one."""
    partial = folder / (PERCEPTION_WEIGHTS + ".partial")
    save_file({name: one.contiguous() for name, one in perception.state_dict().items()}, partial)
    os.replace(partial, folder / PERCEPTION_WEIGHTS)
    content = {
        "format": FORMAT,
        "perception": to_json(perception.config),
        "signature": signature.to_json(),
        "notes": dict(notes),
    }
    write_safely(folder / PERCEPTION, json.dumps(content, indent=2).encode())


def load_perception(folder: Path) -> tuple[Signature, Perception]:
    """A perception as :func:`save_perception` wrote it, and what it is given.

    Raises:
        ForethoughtError: nothing there, another version, or damaged files.
    """
    place = folder / PERCEPTION
    try:
        content = json.loads(place.read_text())
        state = load_file(folder / PERCEPTION_WEIGHTS)
    except (OSError, json.JSONDecodeError, SafetensorError) as error:
        raise ForethoughtError(
            f"{folder}: the perception cannot be read ({error}). Pretraining that was interrupted "
            "is finished with resume; copy damaged files again."
        ) from error
    if content.get("format") != FORMAT:
        raise ForethoughtError(
            f"{place}: found format {content.get('format')!r}, this version reads {FORMAT}. "
            "Pretrain again, or install the version that wrote it."
        )
    signature = Signature.from_json(content["signature"])
    config = from_json(content["perception"], where=str(place))
    sizes = {key: signature.observation[key].shape for key in config.encoders}
    blank = {
        key: Normaliser([0.0] * shape[0], [1.0] * shape[0])
        for key, shape in sizes.items()
        if len(shape) == 1 and key != TASK
    }
    perception = Perception(config, signature, blank)
    perception.load_state_dict(state)
    return signature, perception.eval()
