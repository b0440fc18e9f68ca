"""Perception: observations to latents. Encoders per observation key, normalisation, fusion."""

from forethought.perception.attention import SelfAttention, TransformerBlock
from forethought.perception.encoders import (
    AnchoredMLPConfig,
    CNNConfig,
    EncoderConfig,
    GridCNNConfig,
    MLPEncoderConfig,
)
from forethought.perception.impala import IMPALAConfig
from forethought.perception.normalise import Normaliser
from forethought.perception.patch_codes import PatchCodesConfig
from forethought.perception.perception import Perception, PerceptionConfig
from forethought.perception.pretrained import PretrainedImageConfig, PretrainedVideoConfig
from forethought.perception.text import ByteTextConfig, PretrainedTextConfig, to_bytes, to_text
from forethought.perception.vit import ViTConfig

__all__ = [
    "AnchoredMLPConfig",
    "ByteTextConfig",
    "CNNConfig",
    "EncoderConfig",
    "GridCNNConfig",
    "IMPALAConfig",
    "MLPEncoderConfig",
    "Normaliser",
    "PatchCodesConfig",
    "Perception",
    "PerceptionConfig",
    "PretrainedImageConfig",
    "PretrainedTextConfig",
    "PretrainedVideoConfig",
    "SelfAttention",
    "TransformerBlock",
    "ViTConfig",
    "to_bytes",
    "to_text",
]
