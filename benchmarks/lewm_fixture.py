"""Makes tests/world_model/fixtures/lewm_tiny: small LeWorldModels and what the peer's code answers.

    FORETHOUGHT_PEER=FOLDER python benchmarks/lewm_fixture.py

FOLDER holds stable-worldmodel and einops:

    pip install --target FOLDER --no-deps einops \\
        git+https://github.com/galilai-group/stable-worldmodel@addbab4

transformers must be installed beside Forethought. The encoder is what stable-pretraining's
``vit_hf`` builds, a ``ViTModel`` of transformers without pooling, so that stable-pretraining
itself is not needed.

All weights are random normal numbers with a seed (the peer's own start has closed gates, which
would hide half of the predictor), and so are the statistics of batch normalisation. Two makes:
``plain``, like the published models with one width throughout, and ``projected``, with another
width inside the predictor. Of each it writes

    MAKE/config.json          as the peer's save_pretrained writes it
    MAKE/weights.safetensors  the state dict
    MAKE_answers.safetensors  pixels (n, w, height, width, 3) uint8; actions (n, w, a) in world
                              units with action_mean and action_std; the peer's latents (n, w, d)
                              and, for windows of 1, 2 and 3 steps, predictions (n, d); what
                              the peer imagines (n, h, d) under the actions planned (n, h, a)
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

FOLDER = Path(__file__).parent.parent / "tests" / "world_model" / "fixtures" / "lewm_tiny"
TINY = {
    "hidden_size": 192,
    "num_hidden_layers": 12,
    "num_attention_heads": 3,
    "intermediate_size": 768,
}
"""What ``vit_hf`` means by "tiny", before it heeds other arguments."""


def import_peer() -> Any:
    """The peer's classes, or an exit that says how to give them."""
    if "FORETHOUGHT_PEER" not in os.environ:
        sys.exit(
            "set FORETHOUGHT_PEER to a folder with stable-worldmodel and einops in it:\n"
            "  pip install --target FOLDER --no-deps einops "
            "git+https://github.com/galilai-group/stable-worldmodel@addbab4"
        )
    # Behind our own packages, so that both run on one PyTorch.
    sys.path.append(os.environ["FORETHOUGHT_PEER"])
    try:
        from stable_worldmodel.wm.lewm import lewm, module  # type: ignore[import-not-found]
        from transformers import ViTConfig, ViTModel
    except ImportError as error:
        sys.exit(f"the peer cannot be imported from FORETHOUGHT_PEER: {error}")
    module.LeWM, module.ViTConfig, module.ViTModel = lewm.LeWM, ViTConfig, ViTModel
    return module


def configuration(
    *,
    encoder: dict[str, Any],
    predictor: dict[str, Any],
    action: dict[str, Any],
    head: dict[str, Any],
) -> dict[str, Any]:
    """A config.json as the peer writes it."""
    root = "stable_worldmodel.wm.lewm."
    norm = {"_target_": "torch.nn.BatchNorm1d", "_partial_": True}
    mlp = {"_target_": root + "module.MLP", **head, "norm_fn": norm}
    projector = {**mlp, "input_dim": encoder.get("hidden_size", 192)}
    return {
        "_target_": root + "LeWM",
        "encoder": {
            "_target_": "stable_pretraining.backbone.utils.vit_hf",
            "size": "tiny",
            "pretrained": False,
            "use_mask_token": False,
            **encoder,
        },
        "predictor": {"_target_": root + "module.Predictor", **predictor},
        "action_encoder": {"_target_": root + "module.Embedder", **action},
        "projector": projector,
        "pred_proj": mlp,
    }


def construct(peer: Any, config: dict[str, Any]) -> nn.Module:
    """The peer's model as the peer would begin to train it."""

    def settings(name: str) -> dict[str, Any]:
        return {k: v for k, v in config[name].items() if k not in ("_target_", "norm_fn")}

    def mlp(name: str) -> nn.Module:
        return peer.MLP(**settings(name), norm_fn=nn.BatchNorm1d)

    vit = {**TINY, **settings("encoder")}
    for unused in ("size", "pretrained", "use_mask_token"):
        del vit[unused]
    encoder = peer.ViTModel(peer.ViTConfig(**vit), add_pooling_layer=False, use_mask_token=False)
    return peer.LeWM(
        encoder,
        peer.Predictor(**settings("predictor")),
        peer.Embedder(**settings("action_encoder")),
        mlp("projector"),
        mlp("pred_proj"),
    )


def build(peer: Any, config: dict[str, Any], generator: torch.Generator) -> nn.Module:
    """The peer's model, with random weights, in acting mode."""
    model = construct(peer, config)
    for name, value in model.state_dict().items():
        drawn = torch.randn(value.shape, generator=generator)
        if name.endswith("running_var"):
            value.copy_(drawn.square() + 0.5)
        elif value.ndim == 1 and name.endswith("weight"):
            value.copy_(1 + 0.2 * drawn)
        elif value.is_floating_point():
            value.copy_(drawn * (0.2 if value.ndim == 1 else value[0].numel() ** -0.5))
    return model.eval()


@torch.inference_mode()
def latents(model: Any, pixels: Tensor) -> Tensor:
    """The peer's latents ``(n, w, d)`` of uint8 images ``(n, w, height, width, 3)``."""
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    images = ((pixels / 255 - mean) / std).permute(0, 1, 4, 2, 3)
    return model.encode({"pixels": images})["emb"]


@torch.inference_mode()
def prediction(model: Any, seen: Tensor, actions: Tensor) -> Tensor:
    """The peer's next latent ``(n, d)`` after latents ``(n, w, d)`` and standardised actions."""
    return model.predict(seen, model.action_encoder(actions))[:, -1]


@torch.inference_mode()
def rollout(model: Any, seen: Tensor, past: Tensor, planned: Tensor) -> Tensor:
    """What the peer imagines ``(n, h, d)`` after latents ``(n, w, d)``.

    Args:
        model: the peer's.
        seen: the latest latents.
        past: standardised actions ``(n, w - 1, a)`` between them.
        planned: standardised actions ``(n, h, a)`` from the latest on.
    """
    steps = seen.shape[1]
    info = {
        "pixels": torch.empty(len(seen), 1, steps, 0),  # only its length is looked at
        "emb": seen.unsqueeze(1),
        "action_history": past.unsqueeze(1),
    }
    return model.rollout(info, planned.unsqueeze(1))["predicted_emb"][:, 0, steps:]


MAKES = {
    "plain": configuration(
        encoder={
            "patch_size": 8,
            "image_size": 24,
            "hidden_size": 24,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 32,
        },
        predictor={
            "num_frames": 3,
            "input_dim": 16,
            "hidden_dim": 16,
            "output_dim": 16,
            "depth": 2,
            "heads": 4,
            "mlp_dim": 24,
            "dim_head": 8,
            "dropout": 0.1,
            "emb_dropout": 0.0,
        },
        action={"input_dim": 10, "emb_dim": 16},
        head={"input_dim": 16, "output_dim": 16, "hidden_dim": 40},
    ),
    "projected": configuration(
        encoder={
            "patch_size": 6,
            "image_size": 18,
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 4,
            "intermediate_size": 40,
        },
        predictor={
            "num_frames": 3,
            "input_dim": 12,
            "hidden_dim": 20,
            "output_dim": 12,
            "depth": 2,
            "heads": 1,
            "mlp_dim": 24,
            "dim_head": 20,
        },
        action={"input_dim": 4, "smoothed_dim": 3, "emb_dim": 12, "mlp_scale": 2},
        head={"input_dim": 12, "output_dim": 12, "hidden_dim": 28},
    ),
}


def write(peer: Any, name: str, generator: torch.Generator) -> None:
    """One folder of the fixture."""
    config = MAKES[name]
    model = build(peer, config, generator)
    side, width = config["encoder"]["image_size"], config["action_encoder"]["input_dim"]
    pixels = torch.randint(0, 256, (4, 3, side, side, 3), generator=generator, dtype=torch.uint8)
    actions = 3 * torch.randn(4, 3, width, generator=generator)
    planned = 3 * torch.randn(4, 5, width, generator=generator)
    mean, std = torch.tensor([0.5, -1.0]), torch.tensor([2.0, 0.5])

    def standardised(values: Tensor) -> Tensor:
        return (values - mean.repeat(width // 2)) / std.repeat(width // 2)

    standard = standardised(actions)
    seen = latents(model, pixels)
    answers = {
        f"predictions_{w}": prediction(model, seen[:, -w:], standard[:, -w:]) for w in (1, 2, 3)
    }
    answers |= {"pixels": pixels, "actions": actions, "latents": seen}
    answers["planned"] = planned
    answers["imagined"] = rollout(model, seen, standard[:, :-1], standardised(planned))
    answers |= {"action_mean": mean, "action_std": std}
    folder = FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file(model.state_dict(), folder / "weights.safetensors")
    save_file(
        {k: v.contiguous() for k, v in answers.items()}, FOLDER / f"{name}_answers.safetensors"
    )


if __name__ == "__main__":
    found = import_peer()
    for make in MAKES:
        write(found, make, torch.Generator().manual_seed(0))
