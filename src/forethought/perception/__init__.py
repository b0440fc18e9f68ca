"""Perception: observations to latents. Encoders per observation key, normalisation, fusion."""

from forethought.perception.encoders import (
    AnchoredMLPConfig,
    CNNConfig,
    EncoderConfig,
    GridCNNConfig,
    MLPEncoderConfig,
)
from forethought.perception.normalise import Normaliser
from forethought.perception.perception import Perception, PerceptionConfig

__all__ = [
    "AnchoredMLPConfig",
    "CNNConfig",
    "EncoderConfig",
    "GridCNNConfig",
    "MLPEncoderConfig",
    "Normaliser",
    "Perception",
    "PerceptionConfig",
]
