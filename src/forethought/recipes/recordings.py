"""Recipes for recordings of the real world, which have no simulator."""

from __future__ import annotations

from forethought.evaluation.prediction import PredictionProtocol
from forethought.learning import (
    AnchoredError,
    AugmentationConfig,
    ErrorAgainstCopy,
    JEPAConfig,
    LinearStartConfig,
    OptimiserConfig,
    ProbeTrainingConfig,
    TrainConfig,
)
from forethought.perception import AnchoredMLPConfig, CNNConfig, PerceptionConfig
from forethought.recipes.recipe import Recipe
from forethought.types import STATE, ForethoughtError, Signature
from forethought.world_model import (
    InverseDynamicsConfig,
    ResidualMLPConfig,
    VICRegConfig,
    WorldModelConfig,
)


def vehicle_state() -> Recipe:
    """Vehicles from logged states at some tens of hertz: an eighth of a second of history."""
    return Recipe(
        name="vehicle_state",
        description="vehicles from logged states (position, heading, speed): seconds on a CPU",
        training=lambda signature: _state(
            signature,
            "vehicle_state",
            history=6,
            block=5,
            horizon=4,
            steps=1200,
            hidden=128,
            learned=32,
            dropout=0.1,
            start=LinearStartConfig(),
        ),
        prediction=PredictionProtocol(horizons=(5, 10, 20, 40), recoveries=(5, 10, 20)),
    )


def process() -> Recipe:
    """Industrial processes: seconds between samples, and a state that one sample does not show."""
    return Recipe(
        name="process",
        description="industrial processes from logged sensors and set points: seconds on a CPU",
        training=lambda signature: _state(
            signature,
            "process",
            history=8,
            block=5,
            horizon=4,
            steps=1200,
            hidden=64,
            learned=16,
            start=LinearStartConfig(),
        ),
        prediction=PredictionProtocol(horizons=(5, 10, 20), recoveries=(5,)),
    )


def robot_arm() -> Recipe:
    """Arms and humanoids from logged joint states and commands."""
    return Recipe(
        name="robot_arm",
        description="arms and humanoids from logged joint states and commands",
        training=_robot_arm,
        prediction=PredictionProtocol(horizons=(5, 10, 15, 30), recoveries=(5, 10)),
    )


def fast_robot_arm() -> Recipe:
    """Arms logged at hundreds of hertz: longer blocks."""
    return Recipe(
        name="fast_robot_arm",
        description="arms logged at hundreds of hertz: joint angles, velocities and torques",
        training=lambda signature: _state(
            signature,
            "fast_robot_arm",
            history=10,
            block=10,
            horizon=5,
            steps=2000,
            hidden=256,
            learned=64,
        ),
        prediction=PredictionProtocol(horizons=(10, 20, 50), recoveries=(10, 20)),
    )


def robot_camera() -> Recipe:
    """Robots seen by their camera, at about ten hertz."""
    return Recipe(
        name="robot_camera",
        description="robots seen by their camera, with joint commands; about half a minute",
        training=lambda signature: _camera(
            signature, "robot_camera", frames=1, width=64, steps=700, weight_decay=0.01
        ),
        prediction=PredictionProtocol(horizons=(5, 10, 20), recoveries=(5,)),
    )


def driving() -> Recipe:
    """A car seen by its camera; the first action steers, and is mirrored with the picture."""
    return Recipe(
        name="driving",
        description="a car seen by its camera, with steering and throttle",
        training=lambda signature: _camera(
            signature,
            "driving",
            frames=2,
            width=32,
            steps=600,
            weight_decay=0.05,
            dropout=0.2,
            augmentation=AugmentationConfig(
                shift=6, brightness=0.15, mirrored=(0,), action_dim=signature.action.dim
            ),
        ),
        prediction=PredictionProtocol(horizons=(5, 10, 20), recoveries=(5,)),
    )


def _robot_arm(signature: Signature) -> TrainConfig:
    return _state(
        signature,
        "robot_arm",
        history=5,
        block=5,
        horizon=6,
        steps=2000,
        hidden=256,
        learned=64,
    )


def _state(
    signature: Signature,
    recipe: str,
    *,
    history: int,
    block: int,
    horizon: int,
    steps: int,
    hidden: int,
    learned: int,
    dropout: float = 0.0,
    start: LinearStartConfig | None = None,
) -> TrainConfig:
    """The state itself is the anchored part of the latent; a learned part holds the rest."""
    if STATE not in signature.observation:
        raise ForethoughtError(
            f"recipe {recipe!r} learns from {STATE!r}, which the data lack; they have "
            f"{sorted(signature.observation)}. Choose 'driving' or 'robot_camera' for images."
        )
    spec = signature.observation[STATE]
    width = spec.shape[0]
    # What a vehicle or arm does depends on where it is only through walls that no state shows.
    places = tuple(i for i, name in enumerate(spec.names) if name.startswith("position"))
    return TrainConfig(
        recipe=recipe,
        world_model=WorldModelConfig(
            perception=PerceptionConfig(
                encoders={
                    STATE: AnchoredMLPConfig(
                        learned=learned, hidden=(hidden, hidden), invariant=places
                    )
                },
                frame_stack=history,
            ),
            predictor=ResidualMLPConfig(hidden=(hidden, hidden), dropout=dropout, invariant=places),
            action_block=block,
        ),
        objective=JEPAConfig(
            optimiser=OptimiserConfig(
                num_steps=steps,
                batch_size=64,
                learning_rate=2e-3,
                warmup_steps=100,
                weight_decay=1e-3,
                final_share=0.0,
            ),
            error=AnchoredError(anchored=width),
            regularisers=(
                VICRegConfig(weight=0.1, covariance=0.04),
                InverseDynamicsConfig(weight=0.1),
            ),
            horizon=horizon,
            start=start,
        ),
        probes=ProbeTrainingConfig(key=STATE),
        held_out=0.2,
    )


def _camera(
    signature: Signature,
    recipe: str,
    *,
    frames: int,
    width: int,
    steps: int,
    weight_decay: float,
    dropout: float = 0.0,
    augmentation: AugmentationConfig | None = None,
) -> TrainConfig:
    """One camera at 64x64; the state, where there is one, is only read by probes."""
    if not signature.cameras:
        raise ForethoughtError(
            f"recipe {recipe!r} learns from a camera, the data have none; they have "
            f"{sorted(signature.observation)}. Choose 'vehicle_state' or 'robot_arm' for states."
        )
    camera = signature.cameras[0]
    return TrainConfig(
        recipe=recipe,
        world_model=WorldModelConfig(
            perception=PerceptionConfig(
                encoders={camera: CNNConfig(width=width, patch=4, channels=(32, 48, 64))},
                frame_stack=frames,
            ),
            predictor=ResidualMLPConfig(hidden=(256, 256), dropout=dropout),
            action_block=5,
        ),
        objective=JEPAConfig(
            optimiser=OptimiserConfig(
                num_steps=steps, batch_size=32, learning_rate=1e-3, weight_decay=weight_decay
            ),
            error=ErrorAgainstCopy(),
            regularisers=(
                VICRegConfig(weight=1.0, covariance=0.04),
                InverseDynamicsConfig(weight=1.0),
            ),
            horizon=4,
            augmentation=augmentation,
        ),
        probes=ProbeTrainingConfig(key=STATE) if STATE in signature.observation else None,
        image_size=(64, 64),
        held_out=0.2,
    )
