"""Baselines: what claims are tested against, trained as well as they can be."""

from forethought.baselines.text import MaskedTokenConfig, NextTokenConfig, TextModel
from forethought.baselines.transformer import TokenTransformer, TokenTransformerConfig

__all__ = [
    "MaskedTokenConfig",
    "NextTokenConfig",
    "TextModel",
    "TokenTransformer",
    "TokenTransformerConfig",
]
