"""The recipe for the world that is only watched: a video model, trained on what can happen."""

from __future__ import annotations

from forethought.data.record import TRUTH
from forethought.learning import OptimiserConfig, ProbeTrainingConfig, SquaredError, TrainConfig
from forethought.learning.masks import PassingMasks
from forethought.learning.video import VideoConfig
from forethought.perception import GridCNNConfig, PerceptionConfig
from forethought.recipes.recipe import Recipe, Recording
from forethought.types import Signature
from forethought.world_model import (
    GridMemoryConfig,
    MovingTokensConfig,
    TemporalVarianceConfig,
    VICRegConfig,
    WorldModelConfig,
)


def physics() -> Recipe:
    """A grid of tokens with a memory at each place; nothing is done, and nothing is planned."""
    return Recipe(
        name="physics",
        description="a video model without actions, for `forethought physics`; half an hour",
        training=_training,
        recording=Recording(world="physics", num_episodes=9000, episode_length=21),
    )


def _training(signature: Signature) -> TrainConfig:
    (camera,) = signature.cameras
    return TrainConfig(
        recipe="physics",
        world_model=WorldModelConfig(
            perception=PerceptionConfig(
                encoders={camera: GridCNNConfig(width=24, patch=2, channels=(24, 48))},
                frame_stack=2,
            ),
            predictor=GridMemoryConfig(channels=40, hidden=48, window=19),
        ),
        objective=VideoConfig(
            optimiser=OptimiserConfig(
                num_steps=8000, batch_size=16, learning_rate=3e-3, warmup_steps=200, clip=5.0
            ),
            error=SquaredError(),
            each_step=8.0,
            unknown=5,
            # Mostly all that follows is hidden: who forgets what went out of sight is then wrong in
            # every later frame, and not only in the one in which it comes back.
            masks=PassingMasks(before=4, longest=15, whole=0.6, none=0.2),
            regularisers=(
                VICRegConfig(weight=0.5, covariance=0.25, pool_tokens=True),
                MovingTokensConfig(weight=1.0, covariance=0.25, tokens=10),
                TemporalVarianceConfig(weight=1.0, share=0.5, moving_tokens=4.0),
            ),
        ),
        probes=ProbeTrainingConfig(key=TRUTH),
        image_size=(32, 32),
        calibration=None,
    )
