"""Tiny published networks with random weights, saved as the hub has them."""

from __future__ import annotations

import json
from pathlib import Path

import torch
import transformers as hub

SMALL = {"num_hidden_layers": 3, "num_attention_heads": 2, "hidden_size": 24}
MLP = {"intermediate_size": 48}


def save(config: hub.PreTrainedConfig, folder: Path, preprocessing: dict | None = None) -> str:
    """A network of this configuration in a folder; returns the folder as a source."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = hub.AutoModel.from_config(config)
        for parameter in network.parameters():
            # As published ones are, unlike fresh ones with zeros and ones in places.
            torch.nn.init.normal_(parameter, std=0.1)
    network.save_pretrained(folder)
    if preprocessing is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing))
    return str(folder)


def siglip_vision() -> hub.SiglipVisionConfig:
    return hub.SiglipVisionConfig(**SMALL, **MLP, image_size=32, patch_size=16)


def images() -> dict[str, tuple[hub.PreTrainedConfig, int]]:
    """Image networks, and the places of a picture of 32 pixels (28 for DINOv2)."""
    return {
        "dinov2": (hub.Dinov2Config(**SMALL, image_size=28, patch_size=14), 4),
        "dinov3": (
            hub.DINOv3ViTConfig(**SMALL, **MLP, image_size=32, patch_size=8, num_register_tokens=4),
            16,
        ),
        "siglip": (siglip_vision(), 4),
        "vit": (hub.ViTConfig(**SMALL, **MLP, image_size=32, patch_size=16), 4),
        "resnet": (
            hub.ResNetConfig(
                embedding_size=8, hidden_sizes=[8, 24], depths=[1, 1], layer_type="basic"
            ),
            16,
        ),
    }


def whole_siglip() -> hub.SiglipConfig:
    text = hub.SiglipTextConfig(
        **SMALL,
        **MLP,
        vocab_size=50,
        projection_size=24,
        pad_token_id=1,
        bos_token_id=2,
        eos_token_id=3,
    )
    return hub.SiglipConfig(vision_config=siglip_vision(), text_config=text)


def video() -> hub.VJEPA2Config:
    return hub.VJEPA2Config(
        **SMALL,
        crop_size=32,
        patch_size=16,
        frames_per_clip=4,
        num_pooler_layers=1,
        pred_hidden_size=24,
        pred_num_attention_heads=2,
        pred_num_hidden_layers=1,
    )


def text(folder: Path) -> str:
    """A BERT and a word-piece tokeniser of a few words."""
    folder.mkdir()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "open", "the", "door", "draw", "##er"]
    (folder / "vocab.txt").write_text("\n".join(words))
    hub.BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    return save(hub.BertConfig(**SMALL, **MLP, vocab_size=len(words)), folder)
