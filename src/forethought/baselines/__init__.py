"""Baselines: what claims are tested against, trained as well as they can be."""

from forethought.baselines.cloning import CloningConfig
from forethought.baselines.following import Following
from forethought.baselines.frame_transformer import (
    FrameTransformerConfig,
    NextFrameTokenConfig,
    token_run,
)
from forethought.baselines.frames import CodedFramesConfig
from forethought.baselines.hindsight import HindsightGoalConfig
from forethought.baselines.iql import IQLConfig
from forethought.baselines.pixel_tokens import PixelTokensConfig, pixel_run
from forethought.baselines.pixels import PixelObjectiveConfig, drawing_run
from forethought.baselines.policies import GoalPolicy, GoalPolicyConfig
from forethought.baselines.policy_training import train_policy
from forethought.baselines.text import MaskedTokenConfig, NextTokenConfig, TextModel
from forethought.baselines.transformer import TokenTransformer, TokenTransformerConfig

__all__ = [
    "CloningConfig",
    "CodedFramesConfig",
    "Following",
    "FrameTransformerConfig",
    "GoalPolicy",
    "GoalPolicyConfig",
    "HindsightGoalConfig",
    "IQLConfig",
    "MaskedTokenConfig",
    "NextFrameTokenConfig",
    "NextTokenConfig",
    "PixelObjectiveConfig",
    "PixelTokensConfig",
    "TextModel",
    "TokenTransformer",
    "TokenTransformerConfig",
    "drawing_run",
    "pixel_run",
    "token_run",
    "train_policy",
]
