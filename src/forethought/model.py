"""What a run leaves: a world model, its critic, its probes and its policy, as one module.

On disk it is a folder of ``model.safetensors`` and ``config.json``; reading it never executes
anything. It is loaded with :meth:`Model.from_pretrained`, from a folder or a hub, and shared with
``push_to_hub``.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import ModelCard, ModelHubMixin, hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
)
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from forethought.card import MEASURED, model_card
from forethought.config import from_json, register, to_json
from forethought.cost.calibration import Calibration, load_calibration, save_calibration
from forethought.cost.critic import CriticConfig, LatentDistance
from forethought.cost.goal_reader import GoalReaderConfig
from forethought.memory import SlotPredictorConfig  # noqa: F401 (runs name it, nobody else need)
from forethought.perception.normalise import Normaliser
from forethought.policy import PolicyConfig
from forethought.types import Distance, ForethoughtError, Signature
from forethought.world_model.hierarchy import HierarchyConfig
from forethought.world_model.hindsight import HindsightConfig
from forethought.world_model.probes import LinearProbe, MLPProbe
from forethought.world_model.sketch import SketchConfig
from forethought.world_model.world_model import WorldModel, WorldModelConfig

FORMAT = 1
WEIGHTS = "model.safetensors"
CONFIG = "config.json"
CALIBRATION = "calibration.safetensors"
CARD = "README.md"


@register
@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What a model is made of.

    Attributes:
        world_model: perception and predictor.
        critic: the trainable distance; None where the recipe trains none.
        probes: names of the quantities that probes read from the latent; empty for none.
        hindsight: heads that tell what was done between two states; None for none.
        hierarchy: levels above the world model; None for none.
        sketch: a cheap predictor of what the world model foresees; None for none.
        policy: answers at once what a search would come to (Mode 1); None for none.
        words: reads goals in words; None for none.
    """

    world_model: WorldModelConfig
    critic: CriticConfig | None = None
    probes: tuple[str, ...] = ()
    hindsight: HindsightConfig | None = None
    hierarchy: HierarchyConfig | None = None
    sketch: SketchConfig | None = None
    policy: PolicyConfig | None = None
    words: GoalReaderConfig | None = None


class Model(nn.Module, ModelHubMixin, library_name="forethought", tags=["world-model", "jepa"]):
    """A world model, and what was trained on its latents.

    Args:
        config: what it is made of.
        signature: observations and actions of one world step, images at the size perceived.
        normalisers: per vector key, and for ``action``, its standardisation.
        notes: how it came to be: recipe, data, seed; kept with the weights, never interpreted.

    Attributes:
        calibration: held-out rollouts that guardrails are calibrated on; None before there are any.
    """

    def __init__(
        self,
        config: ModelConfig,
        signature: Signature,
        normalisers: Mapping[str, Normaliser],
        notes: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.signature = signature
        self.notes = dict(notes or {})
        self.calibration: Calibration | None = None
        self.normaliser_sizes = {key: len(value.mean) for key, value in normalisers.items()}
        self.world_model = WorldModel(config.world_model, signature, normalisers)
        tokens, width = self.world_model.num_tokens, self.world_model.width
        self.critic = config.critic.build(tokens, width) if config.critic else None
        sizes = (tokens, width, self.world_model.action_width)
        self.hindsight = config.hindsight.build(*sizes) if config.hindsight else None
        self.hierarchy = config.hierarchy.build(*sizes) if config.hierarchy else None
        if config.probes:
            self.linear_probe = LinearProbe(tokens * width, len(config.probes))
            self.mlp_probe = MLPProbe(tokens * width, len(config.probes))
        self.sketch = config.sketch.build(*sizes) if config.sketch else None
        space = self.world_model.action_space
        self.policy = config.policy.build(tokens, width, space) if config.policy else None
        self.words = config.words.build(tokens, width) if config.words else None

    @property
    def distance(self) -> Distance:
        """The critic where there is one, else latent distance."""
        return self.critic if self.critic is not None else LatentDistance()

    @property
    def image_size(self) -> tuple[int, int] | None:
        """Height and width of the images that it perceives; None without a camera."""
        for key in self.signature.cameras:
            height, width, _ = self.signature.observation[key].shape
            return height, width
        return None

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.world_model.low.device

    def read(self, latents: Float[Tensor, "*batch k d"]) -> dict[str, Float[Tensor, "*batch"]]:
        """Physical quantities read from latents by the MLP probe, by name."""
        if not self.config.probes:
            raise ForethoughtError(
                "this model has no probes: its data held no quantities to read. Record with a "
                "world that tells the truth, or data with observation.state."
            )
        values = self.mlp_probe(latents)
        return {name: values[..., i] for i, name in enumerate(self.config.probes)}

    # ------------------------------------------------------------------ on disk and on the hub

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:
        """The card that goes with the weights: make-up, and what was measured of this run."""
        world, tokens = self.config.world_model, self.world_model.num_tokens
        makeup = {
            **{f"encoder of {key}": str(one) for key, one in world.perception.encoders.items()},
            "latent": f"tokens: {tokens}, each of width {self.world_model.width}",
            "predictor": str(world.predictor),
            "latent variable": str(world.latent_variable),
            "world steps in a model step": str(world.action_block),
            "critic": str(self.config.critic),
            "policy": str(self.config.policy),
            "goals in words": _words_known(self.config.words),
        }
        return model_card(
            signature=self.signature,
            notes=self.notes,
            makeup=makeup,
            parameters=sum(parameter.numel() for parameter in self.parameters()),
        )

    def description(self) -> dict[str, Any]:
        """What ``config.json`` holds."""
        return {
            "format": FORMAT,
            "model": to_json(self.config),
            "signature": self.signature.to_json(),
            "normalisers": self.normaliser_sizes,
            "notes": self.notes,
        }

    def _save_pretrained(self, save_directory: Path) -> None:
        folder = Path(save_directory)
        write_safely(folder / CONFIG, json.dumps(self.description(), indent=2).encode())
        state = {name: value.contiguous() for name, value in self.state_dict().items()}
        partial = folder / (WEIGHTS + ".partial")
        save_file(state, partial)
        os.replace(partial, folder / WEIGHTS)
        if self.calibration is not None:
            write_safely(folder / CALIBRATION, save_calibration(self.calibration))

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **options: Any) -> Model:
        """A model from a folder, or from a hub by its ``owner/name``.

        Args:
            pretrained_model_name_or_path: the folder of a run, or a name on the hub.
            options: as :class:`huggingface_hub.ModelHubMixin` takes them.

        Raises:
            ForethoughtError: no such folder, no model in it, or no such model on the hub.
        """
        place, name = Path(pretrained_model_name_or_path), str(pretrained_model_name_or_path)
        if place.is_dir():
            return load_model(place)
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", name) or place.parent.exists():
            raise ForethoughtError(
                f"{place}: no such folder. Give the folder that `forethought train --out` wrote, "
                "or the owner/name of a model on the hub."
            )
        try:
            return super().from_pretrained(name, **options)
        except (HfHubHTTPError, LocalEntryNotFoundError) as error:
            raise ForethoughtError(
                f"{name}: neither a folder here nor a model that the hub gives ({error}). Check "
                "the name, or give the folder of a run."
            ) from error

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        revision: str | None,
        cache_dir: str | Path | None,
        force_download: bool,
        local_files_only: bool,
        token: str | bool | None,
        **unused: Any,
    ) -> Model:
        def download(name: str) -> str:
            return hf_hub_download(
                repo_id=model_id,
                filename=name,
                revision=revision,
                cache_dir=cache_dir,
                force_download=force_download,
                local_files_only=local_files_only,
                token=token,
            )

        download(WEIGHTS)
        folder = Path(download(CONFIG)).parent
        # A model that was never calibrated has no such file.
        with suppress(EntryNotFoundError, LocalEntryNotFoundError):
            download(CALIBRATION)
        return load_model(folder)


def note_measured(folder: Path, kind: str, figures: Mapping[str, Any]) -> None:
    """Adds what was measured of a saved model to its notes, and writes its card anew.

    Args:
        folder: where the model was saved.
        kind: ``training`` or ``planning``; figures of the same kind are added to, by name.
        figures: JSON types by name.
    """
    content = read_config(folder)
    measured = content["notes"].setdefault(MEASURED, {})
    measured[kind] = {**measured.get(kind, {}), **figures}
    write_safely(folder / CONFIG, json.dumps(content, indent=2).encode())
    card = load_model(folder).generate_model_card()
    write_safely(folder / CARD, str(card).encode())


def load_model(folder: Path | str) -> Model:
    """A model from the folder it was saved to.

    Raises:
        ForethoughtError: the folder holds no model, one of another version, or a damaged one.
    """
    folder = Path(folder)
    model = model_from_description(read_config(folder), where=str(folder / CONFIG))
    weights = folder / WEIGHTS
    try:
        state = load_file(weights)
    except (SafetensorError, OSError) as error:
        raise ForethoughtError(
            f"{weights}: the weights cannot be read ({error}). Copy the file again, or repeat "
            "the training with --resume."
        ) from error
    _check_state(model, state, weights)
    model.load_state_dict(state)
    if (folder / CALIBRATION).is_file():
        model.calibration = load_calibration(folder / CALIBRATION)
    return model.eval()


def read_config(folder: Path) -> dict[str, Any]:
    """The contents of a model's ``config.json``, checked to be of this version."""
    path = folder / CONFIG
    if not path.is_file():
        raise ForethoughtError(
            f"{folder}: no trained model here ({CONFIG} is missing). Give the folder that "
            "`forethought train --out` wrote; an unfinished run is finished with --resume."
        )
    try:
        content = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ForethoughtError(f"{path}: not valid JSON ({error}).") from error
    found = content.get("format") if isinstance(content, dict) else None
    if found != FORMAT:
        raise ForethoughtError(
            f"{path}: found model format {found!r}, this version reads {FORMAT}. Train again, or "
            "install the version of forethought that wrote it."
        )
    return content


def model_from_description(content: Mapping[str, Any], *, where: str) -> Model:
    """An untrained model of the described make; weights are loaded into it."""
    try:
        normalisers = {
            key: Normaliser([0.0] * size, [1.0] * size)
            for key, size in content["normalisers"].items()
        }
        return Model(
            from_json(content["model"], where=where),
            Signature.from_json(content["signature"]),
            normalisers,
            content["notes"],
        )
    except KeyError as error:
        raise ForethoughtError(f"{where}: the field {error} is missing.") from error


def _words_known(reader: GoalReaderConfig | None) -> str:
    return "none" if reader is None else f"{len(reader.words)} words: {', '.join(reader.words)}"


def _check_state(model: Model, state: Mapping[str, Tensor], path: Path) -> None:
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in state.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise ForethoughtError(
                f"{path}: {name} has shape {found.get(name)}, {CONFIG} asks for "
                f"{expected.get(name)}. The two files belong to different runs."
            )


def write_safely(path: Path, content: bytes) -> None:
    """Writes a file so that it is whole or not there: beside it first, then moved into place."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)
