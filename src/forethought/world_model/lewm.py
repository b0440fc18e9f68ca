"""LeWorldModel checkpoints of stable-worldmodel, read into a world model of our own parts.

LeWorldModel (arXiv 2603.19312) is a vision transformer whose summary token, projected, is the
latent, and an AdaLN-zero causal transformer over three of them. A checkpoint of stable-worldmodel
is a folder of a state dict (``weights.pt``, or safetensors) and a ``config.json`` that names the
classes to instantiate. Here these names are compared with a list, never imported, and nothing is
unpickled but tensors.

What the two libraries write differently is reconciled once, at the import: batch normalisation
and neighbouring linear maps are folded into one linear map, in double precision.
"""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from forethought.config import register
from forethought.perception.encoders import EncoderConfig, check_image
from forethought.perception.normalise import Normaliser
from forethought.perception.perception import PerceptionConfig
from forethought.types import IMAGES, ActionSpec, ArraySpec, ForethoughtError, Signature
from forethought.world_model.layout import Linear
from forethought.world_model.transformers import (
    Attention,
    Block,
    CausalTransformerConfig,
    FeedForward,
)
from forethought.world_model.world_model import WorldModel, WorldModelConfig

PIXEL_MEAN = (0.485, 0.456, 0.406)
"""Mean of each colour in ImageNet, of pixels in [0, 1]; LeWorldModel is trained with it."""
PIXEL_STD = (0.229, 0.224, 0.225)
"""Standard deviation of each colour in ImageNet."""

State = dict[str, Tensor]

# ------------------------------------------------------------------------------- the encoder


@register
@dataclass(frozen=True, kw_only=True)
class LeWMEncoderConfig(EncoderConfig):
    """A vision transformer whose projected summary token is the latent, as in LeWorldModel.

    Attributes:
        width: width d of the token.
        patch: side of a patch in pixels.
        hidden: width of the transformer.
        depth: blocks.
        heads: attention heads of each block.
        mlp_width: hidden width of each block's MLP.
        head_hidden: hidden width of the projection.
        eps: of the norms.
    """

    width: int = 192
    patch: int = 14
    hidden: int = 192
    depth: int = 12
    heads: int = 3
    mlp_width: int = 768
    head_hidden: int = 2048
    eps: float = 1e-12

    def build(self, spec: ArraySpec, frame_stack: int) -> nn.Module:
        """See :class:`EncoderConfig`.

        Raises:
            ForethoughtError: not one uint8 image per observation, or sizes that do not divide.
        """
        check_image(type(self).__name__, spec, self.patch)
        if frame_stack != 1:
            raise ForethoughtError(
                f"LeWMEncoderConfig sees one frame at a time, found frame_stack={frame_stack}; set "
                "it to 1, and let the predictor's window see what moves."
            )
        if self.hidden % self.heads:
            raise ForethoughtError(
                f"LeWMEncoderConfig: hidden={self.hidden} cannot be shared by heads={self.heads}; "
                "choose a multiple."
            )
        return LeWMEncoder(self, spec)

    def tokens(self, spec: ArraySpec) -> tuple[int, int]:
        """See :class:`EncoderConfig`."""
        return 1, self.width


class LeWMEncoder(nn.Module):
    """See :class:`LeWMEncoderConfig`.

    The summary token comes last, so that the last block answers for it alone.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: LeWMEncoderConfig, spec: ArraySpec) -> None:
        super().__init__()
        hidden, eps = config.hidden, config.eps
        patches = (spec.shape[0] // config.patch) * (spec.shape[1] // config.patch)
        self.register_buffer("mean", 255 * torch.tensor(PIXEL_MEAN), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(PIXEL_STD), persistent=False)
        self.entrance = nn.Conv2d(3, hidden, config.patch, stride=config.patch)
        self.places = nn.Parameter(0.02 * torch.randn(patches, hidden))
        self.summary = nn.Parameter(0.02 * torch.randn(1, hidden))
        head_width, step = hidden // config.heads, patches + 1
        self.blocks = nn.ModuleList(
            Block(
                Attention(hidden, config.heads, head_width, step=step, bias=True, eps=eps),
                FeedForward(hidden, config.mlp_width, eps=eps),
            )
            for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(hidden, eps=eps)
        self.head = nn.Sequential(
            Linear(hidden, config.head_hidden),
            nn.GELU(),
            Linear(config.head_hidden, config.width),
        )

    def forward(self, values: UInt8[Tensor, "n 1 h w 3"]) -> Float[Tensor, "n 1 d"]:
        """One token per observation."""
        # Blocks may be in another precision than pixels and what is answered.
        pixels = ((values[:, 0] - self.mean) / self.std).to(self.places.dtype)
        patches = self.entrance(pixels.permute(0, 3, 1, 2)).flatten(2).transpose(1, 2)
        summary = self.summary.expand(len(patches), -1, -1)
        tokens = torch.cat([patches + self.places, summary], dim=1)
        for block in self.blocks[:-1]:
            tokens = block(tokens, tokens.shape[1])
        return self.head(self.norm(self.blocks[-1](tokens, 1))).to(self.mean.dtype)


# ------------------------------------------------------------------------------- the import


def import_lewm(
    folder: str | Path,
    *,
    action: ActionSpec,
    action_mean: Sequence[float],
    action_std: Sequence[float],
    rate_hz: float,
    camera: str = IMAGES + "top",
) -> WorldModel:
    """The world model of a LeWorldModel checkpoint of stable-worldmodel.

    Its latents and predictions are the original's, up to rounding. The checkpoint does not say how
    the actions were standardised and what they mean, so that has to be told.

    Args:
        folder: holds ``config.json`` and one file of weights, ``*.safetensors`` or ``*.pt``.
        action: an action of one world step.
        action_mean: mean of each entry of the action in the data it was trained on.
        action_std: standard deviation of each entry there.
        rate_hz: world steps per second.
        camera: observation key of the images it sees, RGB, of the size it was trained on.

    Returns:
        The world model in acting mode: one frame per observation, a predictor with the checkpoint's
        window, and as many world steps in a model step as the checkpoint was trained with.

    Raises:
        ForethoughtError: no such checkpoint, one that would have to be executed, or another make.
    """
    place = Path(folder)
    parts = _Parts.read(place / "config.json")
    state = _read_weights(place)
    block = _action_block(parts, action, action_mean, action_std)
    shape = (parts.image_size, parts.image_size, 3)
    config = WorldModelConfig(
        perception=PerceptionConfig(encoders={camera: parts.encoder}),
        predictor=parts.predictor,
        action_block=block,
    )
    signature = Signature(
        observation={camera: ArraySpec(shape=shape, dtype="uint8")}, action=action, rate_hz=rate_hz
    )
    normaliser = Normaliser(list(action_mean) * block, list(action_std) * block)
    world_model = WorldModel(config, signature, {"action": normaliser})
    _load(world_model.perception.by_key()[camera], _encoder_state, state, place)
    _load(world_model.predictor, _predictor_state, state, place)
    if state:
        raise ForethoughtError(
            f"{place}: the weights hold {sorted(state)[0]!r}, which {place / 'config.json'} does "
            "not ask for. The two files belong to different models."
        )
    return world_model.eval()


def _action_block(
    parts: _Parts, action: ActionSpec, mean: Sequence[float], std: Sequence[float]
) -> int:
    """World steps in one model step."""
    if len(mean) != action.width or len(std) != action.width:
        raise ForethoughtError(
            f"action_mean and action_std have {len(mean)} and {len(std)} entries, the action has "
            f"{action.width}; give one number for each entry of one world step's action."
        )
    block, rest = divmod(parts.action_width, action.width)
    if rest or not block:
        raise ForethoughtError(
            f"the checkpoint takes {parts.action_width} numbers per model step, which are no whole "
            f"number of actions of {action.width}; give the action spec that it was trained with."
        )
    return block


def _load(
    module: nn.Module, translate: Callable[[State], State], state: State, place: Path
) -> None:
    """Loads a part's weights, and takes them out of the state."""
    try:
        module.load_state_dict(translate(state))
    except KeyError as error:
        raise ForethoughtError(
            f"{place}: the weights lack {error}, which config.json asks for. The two files belong "
            "to different models."
        ) from error
    except RuntimeError as error:
        raise ForethoughtError(
            f"{place}: the weights do not fit config.json ({error}). The two files belong to "
            "different models."
        ) from error


# ------------------------------------------------------------------------------- configuration

_LEWM = "stable_worldmodel.wm.lewm."
_TARGETS = {
    "model": (_LEWM + "LeWM", _LEWM + "lewm.LeWM", "jepa.JEPA"),
    "encoder": (
        "stable_pretraining.backbone.utils.vit_hf",
        "stable_pretraining.backbone.vit_hf",
    ),
    "predictor": (_LEWM + "module.Predictor", "module.ARPredictor"),
    "action_encoder": (_LEWM + "module.Embedder", "module.Embedder"),
    "projector": (_LEWM + "module.MLP", "module.MLP"),
    "pred_proj": (_LEWM + "module.MLP", "module.MLP"),
    "norm_fn": ("torch.nn.BatchNorm1d", "torch.nn.modules.batchnorm.BatchNorm1d"),
}
"""What ``_target_`` may say for each part. The names are compared; they are never imported."""

_SIZES = {
    "tiny": (192, 12, 3),
    "small": (384, 12, 6),
    "base": (768, 12, 12),
    "large": (1024, 24, 16),
    "huge": (1280, 32, 16),
}
"""Width, blocks and heads of the vision transformers by name."""


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """What a checkpoint's ``config.json`` says, in our words.

    Attributes:
        encoder: of the images.
        predictor: of the latents.
        image_size: height and width of the images.
        action_width: numbers in a model action.
    """

    encoder: LeWMEncoderConfig
    predictor: CausalTransformerConfig
    image_size: int
    action_width: int

    @classmethod
    def read(cls, path: Path) -> _Parts:
        if not path.is_file():
            raise ForethoughtError(
                f"{path}: no such file. Give a folder that stable-worldmodel's save_pretrained "
                "wrote, with config.json and the weights."
            )
        try:
            content = json.loads(path.read_text())
        except json.JSONDecodeError as error:
            raise ForethoughtError(f"{path}: not valid JSON ({error}).") from error
        model = _Fields(content, "model", path)
        action = model.part("action_encoder")
        encoder, image_size = _encoder_config(model.part("encoder"), model.part("projector"))
        predictor = _predictor_config(model.part("predictor"), action, model.part("pred_proj"))
        action_width = action.take("input_dim", 10)
        for one in (model, action):
            one.finish()
        return cls(
            encoder=encoder, predictor=predictor, image_size=image_size, action_width=action_width
        )


class _Fields:
    """The fields of one part of the configuration, taken one by one until none is left.

    Args:
        content: JSON types.
        name: of the part.
        path: of the file, for messages.
    """

    def __init__(self, content: Any, name: str, path: Path) -> None:
        self.name, self.path = name, path
        if not isinstance(content, Mapping):
            raise ForethoughtError(
                f"{path}: {name} is {content!r}, expected the settings of one of {_TARGETS[name]}."
            )
        self.left = dict(content)
        found = self.left.pop("_target_", None)
        if found not in _TARGETS[name]:
            raise ForethoughtError(
                f"{path}: {name} is a {found!r}; this import knows {_TARGETS[name]} and never runs "
                "what a file names. Import a LeWM checkpoint, or train with our own recipes."
            )

    def take(self, field: str, default: int | None = None) -> int:
        """A size, or its default where it is missing or null; errors without either."""
        value = self.left.pop(field, None)
        value = default if value is None else value
        if not isinstance(value, int) or value < 1:
            raise ForethoughtError(
                f"{self.path}: {self.name}.{field} is {value!r}, expected a positive integer. Save "
                "the configuration with all its values resolved."
            )
        return value

    def share(self, field: str, default: float) -> float:
        """A small number from 0 to 1."""
        value = self.left.pop(field, default)
        if not isinstance(value, int | float) or not 0 <= value <= 1:
            raise ForethoughtError(
                f"{self.path}: {self.name}.{field} is {value!r}, expected a number from 0 to 1."
            )
        return float(value)

    def drop(self, *fields: str) -> None:
        """Leaves out what matters in training only."""
        for field in fields:
            self.left.pop(field, None)

    def one_of(self, field: str, *allowed: Any) -> Any:
        """A value that this import has an equal of; where missing, the first of those allowed."""
        found = self.left.pop(field, allowed[0])
        if found not in allowed:
            raise ForethoughtError(
                f"{self.path}: {self.name}.{field} is {found!r}, this import knows "
                f"{', '.join(map(repr, allowed))}."
            )
        return found

    def part(self, name: str) -> _Fields:
        """The fields of a part of this part."""
        return _Fields(self.left.pop(name, None), name, self.path)

    def finish(self) -> None:
        """Refuses fields that nobody asked for: they might change what the model computes."""
        if self.left:
            raise ForethoughtError(
                f"{self.path}: {self.name} has the field {sorted(self.left)[0]!r}, which this "
                "import does not know; it may change what the model computes."
            )


def _encoder_config(encoder: _Fields, projector: _Fields) -> tuple[LeWMEncoderConfig, int]:
    width, depth, heads = _SIZES[encoder.one_of("size", *_SIZES)]
    patch, image_size = encoder.take("patch_size", 16), encoder.take("image_size", 224)
    mlp_width = encoder.take("intermediate_size", 4 * width)
    hidden = encoder.take("hidden_size", width)
    encoder.one_of("hidden_act", "gelu")
    encoder.one_of("num_channels", 3)
    encoder.one_of("qkv_bias", True)
    encoder.drop("pretrained", "use_mask_token")
    encoder.drop("hidden_dropout_prob", "attention_probs_dropout_prob", "initializer_range")
    head_hidden, token = _head_config(projector)
    config = LeWMEncoderConfig(
        width=token,
        patch=patch,
        hidden=hidden,
        depth=encoder.take("num_hidden_layers", depth),
        heads=encoder.take("num_attention_heads", heads),
        mlp_width=mlp_width,
        head_hidden=head_hidden,
        eps=encoder.share("layer_norm_eps", 1e-12),
    )
    encoder.finish()
    return config, image_size


def _predictor_config(
    predictor: _Fields, action: _Fields, pred_proj: _Fields
) -> CausalTransformerConfig:
    width = predictor.take("input_dim")
    hidden = predictor.take("hidden_dim")
    predictor.drop("output_dim", "emb_dropout")
    action.drop("smoothed_dim")
    head_hidden, _ = _head_config(pred_proj)
    config = CausalTransformerConfig(
        window=predictor.take("num_frames"),
        hidden=hidden if hidden != width else None,
        depth=predictor.take("depth"),
        heads=predictor.take("heads"),
        head_width=predictor.take("dim_head", 64),
        mlp_width=predictor.take("mlp_dim"),
        action_hidden=action.take("mlp_scale", 4) * action.take("emb_dim", 10),
        head_hidden=head_hidden,
        dropout=predictor.share("dropout", 0.0),
        residual=False,
    )
    predictor.finish()
    return config


def _head_config(head: _Fields) -> tuple[int, int]:
    """Hidden and output width of an MLP with batch normalisation."""
    head.part("norm_fn").drop("_partial_")
    head.one_of("act_fn", None)
    width = head.take("input_dim")
    sizes = head.take("hidden_dim"), head.take("output_dim", width)
    head.finish()
    return sizes


# ------------------------------------------------------------------------------- weights


def _read_weights(folder: Path) -> State:
    """The state dict of a checkpoint: tensors by name, read without executing anything."""
    path = _weights_file(folder)
    try:
        state = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except (SafetensorError, OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ForethoughtError(
            f"{path}: this is no plain state dict, and reading it might run code that it holds. "
            + _REMEDY
        ) from error
    if not isinstance(state, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    ):
        raise ForethoughtError(f"{path}: expected tensors by name, found other things. " + _REMEDY)
    return {_current_name(name): value for name, value in state.items()}


_REMEDY = (
    "Where you trust the file, load it with stable-worldmodel and write "
    "save_pretrained(model, run_name, config), or safetensors.torch.save_file(model.state_dict(), "
    "'weights.safetensors') beside config.json; then import that folder."
)


def _weights_file(folder: Path) -> Path:
    for ending in ("*.safetensors", "*.pt"):
        found = sorted(folder.glob(ending))
        if len(found) > 1:
            raise ForethoughtError(
                f"{folder}: holds several weights, {[path.name for path in found]}. Put the one to "
                "import into a folder of its own, with config.json."
            )
        if found:
            return found[0]
    if objects := sorted(folder.glob("*.ckpt")):
        raise ForethoughtError(
            f"{objects[0]}: an object checkpoint is a program that runs when it is read; it is not "
            "imported. " + _REMEDY
        )
    raise ForethoughtError(
        f"{folder}: no weights here. Give a folder with config.json and weights.safetensors or "
        "weights.pt."
    )


_NAMES = (
    (r"^_orig_mod\.|(?<=\.)_orig_mod\.", ""),
    (r"^encoder\.encoder\.layer\.", "encoder.layers."),
    (r"\.attention\.attention\.(query|key|value)\.", r".attention.\1."),
    (r"\.attention\.([qkv])_proj\.", r".attention.\1."),
    (r"\.attention\.(query|key|value)\.", lambda found: f".attention.{found[1][0]}."),
    (r"\.attention\.(output\.dense|o_proj)\.", ".attention.o."),
    (r"^(encoder\.layers\.\d+)\.(intermediate\.dense|mlp\.fc1)\.", r"\1.fc1."),
    (r"^(encoder\.layers\.\d+)\.(output\.dense|mlp\.fc2)\.", r"\1.fc2."),
)
"""The encoder's weights are called one way by transformers 4 and another by transformers 5."""


def _current_name(name: str) -> str:
    for pattern, replacement in _NAMES:
        name = re.sub(pattern, replacement, name)
    return name


def _encoder_state(state: State) -> State:
    """The encoder's weights in our words, taken out of the state."""
    state.pop("encoder.embeddings.mask_token", None)
    positions = state.pop("encoder.embeddings.position_embeddings")[0]
    ours = {
        "summary": state.pop("encoder.embeddings.cls_token")[0] + positions[:1],
        "places": positions[1:],
        **_taken(state, "encoder.embeddings.patch_embeddings.projection", "entrance"),
        **_taken(state, "encoder.layernorm", "norm"),
        **_head_state(state, "projector"),
    }
    for number in range(_count(state, "encoder.layers")):
        theirs, block = f"encoder.layers.{number}.", f"blocks.{number}."
        ours |= _taken(state, theirs + "layernorm_before", block + "attention.norm")
        ours |= _taken(state, theirs + "attention.q", block + "attention.query")
        keys = _taken(state, theirs + "attention.k", "")
        values = _taken(state, theirs + "attention.v", "")
        for name in keys:
            joined = torch.cat([keys[name], values[name]])
            ours[block + "attention.key_value" + name] = joined
        ours |= _taken(state, theirs + "attention.o", block + "attention.exit.0")
        ours |= _taken(state, theirs + "layernorm_after", block + "mlp.0")
        ours |= _taken(state, theirs + "fc1", block + "mlp.1")
        ours |= _taken(state, theirs + "fc2", block + "mlp.4")
    return ours


def _predictor_state(state: State) -> State:
    """The predictor's weights in our words, taken out of the state."""
    transformer = "predictor.transformer."
    positions = state.pop("predictor.pos_embedding")[0].double()
    ours = {
        **_taken(state, transformer + "norm", "norm"),
        **_action_state(state),
        **_head_state(state, "pred_proj", before=_map(state, transformer + "output_proj")),
    }
    if entrance := _map(state, transformer + "input_proj"):
        ours |= {"entrance.weight": entrance[0], "entrance.bias": entrance[1]}
        positions = positions @ entrance[0].T
    ours["positions"] = positions
    for number in range(_count(state, "predictor.transformer.layers")):
        ours |= _action_block_state(state, f"{transformer}layers.{number}.", f"blocks.{number}.")
    return {name: value.float() for name, value in ours.items()}


def _action_block_state(state: State, theirs: str, block: str) -> State:
    ours = {
        **_taken(state, theirs + "attn.norm", block + "attention.norm"),
        **_taken(state, theirs + "mlp.net.0", block + "mlp.0"),
        **_taken(state, theirs + "mlp.net.1", block + "mlp.1"),
        **_taken(state, theirs + "mlp.net.4", block + "mlp.4"),
    }
    joined = state.pop(theirs + "attn.to_qkv.weight")
    query = len(joined) // 3
    ours[block + "attention.query.weight"] = joined[:query]
    ours[block + "attention.key_value.weight"] = joined[query:]
    if exit_map := _map(state, theirs + "attn.to_out.0"):
        weight, bias = exit_map
    else:
        # One head as wide as the state is not mapped back.
        weight, bias = torch.eye(query), torch.zeros(query)
    ours |= {block + "attention.exit.0.weight": weight, block + "attention.exit.0.bias": bias}
    for kind, value in _taken(state, theirs + "adaLN_modulation.1", "").items():
        width = len(value) // 6
        ours[block + "told_all" + kind] = value[: 2 * width]
        ours[block + "told_asked" + kind] = value[2 * width :]
    return ours


def _action_state(state: State) -> State:
    """The embedding of actions: its first two maps are linear, and so are its last two."""
    smoothing = (
        state.pop("action_encoder.patch_embed.weight")[..., 0].double(),
        state.pop("action_encoder.patch_embed.bias").double(),
    )
    first = _after(smoothing, _needed(state, "action_encoder.embed.0"))
    last = _needed(state, "action_encoder.embed.2")
    if told := _map(state, "predictor.transformer.cond_proj"):
        last = _after(last, told)
    return {
        "action.0.weight": first[0],
        "action.0.bias": first[1],
        "action.2.weight": last[0],
        "action.2.bias": last[1],
    }


_Map = tuple[Tensor, Tensor]
"""Weight and bias of a linear map, in double precision."""


def _head_state(state: State, name: str, before: _Map | None = None) -> State:
    """An MLP whose batch normalisation, as it is when acting, is folded into its first map."""
    weight, bias = _needed(state, f"{name}.net.0")
    if before is not None:
        weight, bias = _after(before, (weight, bias))
    gain, shift = _needed(state, f"{name}.net.1")
    mean = state.pop(f"{name}.net.1.running_mean").double()
    variance = state.pop(f"{name}.net.1.running_var").double()
    state.pop(f"{name}.net.1.num_batches_tracked", None)
    gain = gain / (variance + nn.BatchNorm1d(1).eps).sqrt()
    return {
        "head.0.weight": (weight * gain[:, None]).float(),
        "head.0.bias": ((bias - mean) * gain + shift).float(),
        **_taken(state, f"{name}.net.3", "head.2"),
    }


def _after(first: _Map, second: _Map) -> _Map:
    """Two linear maps, one after the other, as one."""
    return second[0] @ first[0], second[0] @ first[1] + second[1]


def _map(state: State, name: str) -> _Map | None:
    """A linear map, taken out of the state; None where it is not there."""
    return _needed(state, name) if f"{name}.weight" in state else None


def _needed(state: State, name: str) -> _Map:
    return state.pop(f"{name}.weight").double(), state.pop(f"{name}.bias").double()


def _taken(state: State, theirs: str, ours: str) -> State:
    """Weight and bias under our name, taken out of the state."""
    return {ours + kind: state.pop(theirs + kind) for kind in (".weight", ".bias")}


def _count(state: State, name: str) -> int:
    """Layers under a name."""
    found = re.compile(re.escape(name) + r"\.(\d+)\.")
    return len({match[1] for key in state if (match := found.match(key))})
