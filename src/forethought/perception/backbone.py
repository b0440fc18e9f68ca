"""Published networks inside encoders: described once, rebuilt from a run alone, trained in part.

A published network lies in a folder or on a hub, in the format of the package `transformers`. Its
architecture is read from there once and kept with the run's configuration; its weights are loaded
once, when training begins, and from then on belong to the run. No code that comes with a network is
ever executed, and only safetensors are read.
"""

from __future__ import annotations

import importlib
import json
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError
from jaxtyping import Float
from torch import Tensor, nn

from forethought.config import TYPE
from forethought.perception.encoders import EncoderConfig
from forethought.types import ForethoughtError

# Where a network came from, and what only its classifier or its storage was.
FORGOTTEN = {
    "_name_or_path",
    "architectures",
    "auto_map",
    "dtype",
    "id2label",
    "label2id",
    "transformers_version",
}
ESCAPED_TYPE = "$" + TYPE
"""Our configurations keep the key ``type`` for themselves."""
UNUSED_HEADS = ("pooler.", "head.")


@dataclass(frozen=True, kw_only=True)
class PretrainedEncoderConfig(EncoderConfig):
    """What all encoders with a published network have in common.

    Attributes:
        source: folder of the network, or its ``owner/name`` on the hub.
        trained: blocks that are fine-tuned, counted from the last: 0 leaves the network as it is,
            None trains all of it.
        width: width d of each token, to which a trained linear map brings the features.
        architecture: what was found at the source; None until it was read, see :meth:`resolved`.
    """

    source: str
    trained: int | None = 0
    width: int = 32
    architecture: Any = None

    @abstractmethod
    def read(self) -> Any:
        """The architecture at the source.

        Raises:
            ForethoughtError: `transformers` is missing, or the source holds no such network.
        """

    def resolved(self) -> EncoderConfig:
        """These settings with the architecture written down: the source's files are needed only
        to load the published weights, once."""
        return self if self.architecture else replace(self, architecture=self.read())


class Backbone(nn.Module):
    """A published network, of which all, some or none is trained.

    What is not trained gets no gradient and stays in evaluation mode, also in training.

    Args:
        config: source, and what is trained.
        architecture: as :func:`read_architecture` gives it.
        part: the module of the network that is used; empty for the whole.

    Raises:
        ForethoughtError: `transformers` is missing, or there are fewer blocks than are to be
            trained.
    """

    def __init__(
        self, config: PretrainedEncoderConfig, architecture: Mapping[str, Any], part: str = ""
    ) -> None:
        super().__init__()
        self.source, self.part, self.architecture = config.source, part, architecture
        self.network = build_network(architecture, part)
        self._trained = self._parts_trained(config.trained)
        self.network.requires_grad_(False)
        for module in self._trained:
            module.requires_grad_(True)
        self.train()

    def train(self, mode: bool = True) -> Backbone:
        """See :meth:`torch.nn.Module.train`; reaches only what is trained."""
        super().train(mode)
        self.network.eval()
        for module in self._trained:
            module.train(mode)
        for module in self.network.modules():
            # Batch statistics are never used: an observation means the same alone as in a batch.
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def forward(self, **inputs: Tensor) -> Float[Tensor, "n ..."]:
        """The last features of the network, for inputs by the names that it has for them."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and bool(self._trained)):
            return self.network(**inputs).last_hidden_state

    def load_published(self) -> None:
        """Loads the published weights from the source.

        Raises:
            ForethoughtError: no safetensors there, or they lack a weight of the network.
        """
        library = transformers()
        try:
            found, report = library.AutoModel.from_pretrained(
                self.source,
                config=as_library_config(self.architecture),
                dtype=torch.float32,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise ForethoughtError(
                f"{self.source}: the weights cannot be loaded ({_first_line(error)}). Expected "
                "safetensors of the same network; other formats are not read."
            ) from error
        self._refuse_missing(report["missing_keys"])
        self.network.load_state_dict(found.get_submodule(self.part).state_dict())

    def _refuse_missing(self, names: list[str] | set[str]) -> None:
        within = f"{self.part}." if self.part else ""
        used = [name.removeprefix(within) for name in names if name.startswith(within)]
        if missing := sorted(name for name in used if not name.startswith(UNUSED_HEADS)):
            raise ForethoughtError(
                f"{self.source}: the weights lack {missing[0]!r} and {len(missing) - 1} more. The "
                "files belong to another network; copy or download it again."
            )

    def _parts_trained(self, count: int | None) -> list[nn.Module]:
        if count is None:
            return [self.network]
        blocks = self._blocks()
        if not 0 <= count <= len(blocks):
            raise ForethoughtError(
                f"{self.source}: trained={count}, but the network has {len(blocks)} transformer "
                "blocks; give a number from 0 to that, or None to train all of it."
            )
        return blocks[len(blocks) - count :]

    def _blocks(self) -> list[nn.Module]:
        """The transformer blocks, in order; none where the network is of another kind."""
        count = self.architecture.get("num_hidden_layers")
        for module in self.network.modules():
            if isinstance(module, nn.ModuleList) and len(module) == count:
                return list(module)
        return []


def transformers() -> ModuleType:
    """The package `transformers`, imported when it is first needed.

    Raises:
        ForethoughtError: it is not installed.
    """
    try:
        return importlib.import_module("transformers")
    except ImportError as error:
        raise ForethoughtError(
            "pretrained encoders need the package transformers, which cannot be imported "
            f"({error}); install it with `pip install 'forethought[hub]'`."
        ) from error


def read_architecture(source: str, part: str = "") -> dict[str, Any]:
    """The architecture of a published network, in JSON types with tuples for lists.

    Args:
        source: folder, or ``owner/name`` on the hub.
        part: which network of several, e.g. ``vision_config``; that of the whole where the network
            has no such part.

    Raises:
        ForethoughtError: `transformers` is missing, or nothing that it knows is there.
    """
    library = transformers()
    try:
        config = library.AutoConfig.from_pretrained(source, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise ForethoughtError(
            f"{source}: no network is described there ({_first_line(error)}). Give a folder with a "
            "config.json as transformers writes it, or the owner/name of a model on the hub."
        ) from error
    if part in config.sub_configs:
        config = getattr(config, part)
    content = json.loads(config.to_json_string(use_diff=False))
    return _frozen({key: value for key, value in content.items() if key not in FORGOTTEN})


def read_file(source: str, name: str) -> dict[str, Any] | None:
    """A JSON file beside a network; None where there is none.

    Raises:
        ForethoughtError: it is no JSON.
    """
    place = Path(source) / name
    if not Path(source).is_dir():
        try:
            place = Path(hf_hub_download(source, name))
        except EntryNotFoundError:
            return None
    if not place.is_file():
        return None
    try:
        return json.loads(place.read_text())
    except json.JSONDecodeError as error:
        raise ForethoughtError(f"{place}: not valid JSON ({error}). Copy it again.") from error


def read_tokenizer(source: str) -> str:
    """The tokeniser beside a network of text, as the package `tokenizers` writes it.

    Raises:
        ForethoughtError: `transformers` is missing, or no such tokeniser is there.
    """
    library = transformers()
    try:
        tokenizer = library.AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise ForethoughtError(
            f"{source}: no tokeniser is there ({_first_line(error)}). Give a folder that holds a "
            "tokenizer.json beside the network."
        ) from error
    if not tokenizer.is_fast:
        raise ForethoughtError(
            f"{source}: the tokeniser {type(tokenizer).__name__} cannot be kept with a model; "
            "choose a network whose folder holds a tokenizer.json."
        )
    return tokenizer.backend_tokenizer.to_str()


def build_tokenizer(content: str) -> Any:
    """The inverse of :func:`read_tokenizer`: a tokeniser of the package `tokenizers`."""
    transformers()
    return importlib.import_module("tokenizers").Tokenizer.from_str(content)


def as_library_config(architecture: Mapping[str, Any]) -> Any:
    """An architecture as the configuration object of `transformers`."""
    return transformers().AutoConfig.for_model(**_thawed(architecture))


def build_network(architecture: Mapping[str, Any], part: str = "") -> nn.Module:
    """The network, or a part of it, with random weights, in evaluation mode."""
    config = as_library_config(architecture)
    return transformers().AutoModel.from_config(config, dtype=torch.float32).get_submodule(part)


def _frozen(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {ESCAPED_TYPE if k == TYPE else k: _frozen(v) for k, v in content.items()}
    return tuple(_frozen(value) for value in content) if isinstance(content, list) else content


def _thawed(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {TYPE if k == ESCAPED_TYPE else k: _thawed(v) for k, v in content.items()}
    return [_thawed(value) for value in content] if isinstance(content, tuple) else content


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
