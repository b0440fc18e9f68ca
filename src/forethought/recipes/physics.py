"""The recipe for the world that is only watched: a video model, trained on what can happen."""

from __future__ import annotations

from forethought.data.record import TRUTH
from forethought.learning import (
    AugmentationConfig,
    LapseMasks,
    OptimiserConfig,
    PrincipalStartConfig,
    ProbeTrainingConfig,
    SquaredError,
    TrainConfig,
    VideoConfig,
)
from forethought.perception import PatchCodesConfig, PerceptionConfig
from forethought.recipes.recipe import Recipe, Recording
from forethought.types import Signature
from forethought.world_model import GridMemoryConfig, WorldModelConfig


def physics() -> Recipe:
    """A grid of codes with a memory at each place; nothing is done, and nothing is planned."""
    return Recipe(
        name="physics",
        description="a video model without actions, for `forethought physics`; half an hour",
        training=_training,
        recording=Recording(world="physics", num_episodes=18_000, episode_length=22),
    )


def _training(signature: Signature) -> TrainConfig:
    (camera,) = signature.cameras
    return TrainConfig(
        recipe="physics",
        world_model=WorldModelConfig(
            perception=PerceptionConfig(encoders={camera: PatchCodesConfig(width=16, patch=4)}),
            predictor=GridMemoryConfig(window=10),
            # In two frames most things come nearly as far as the neighbouring place, and hardly any
            # farther: memory passes them on once a step, and is soon through.
            action_block=2,
        ),
        objective=VideoConfig(
            optimiser=OptimiserConfig(
                num_steps=36_000, batch_size=16, learning_rate=3e-3, warmup_steps=200, clip=1.0
            ),
            error=SquaredError(),
            # What is left of a frame to be told is decided before anything is foreseen.
            start=PrincipalStartConfig(),
            frozen_encoder=True,
            regularisers=(),
            masks=LapseMasks(),
            growing=4000,
            unknown=1,
            augmentation=AugmentationConfig(mirrored=(0,), action_dim=signature.action.width),
        ),
        probes=ProbeTrainingConfig(key=TRUTH),
        image_size=(32, 32),
        calibration=None,
    )
