"""A point that goes where it is pushed, a model of it that knows it exactly, or errs by a known
amount, and calibrations made of the same errors: what guardrails do can be told in advance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from forethought.actor import CEM
from forethought.agent import Agent
from forethought.cost import Bounds, Calibration, LatentDistance, Sight, goal
from forethought.model import Model, ModelConfig
from forethought.perception import MLPEncoderConfig, PerceptionConfig
from forethought.perception.normalise import Normaliser
from forethought.types import (
    STATE,
    ActionSpace,
    ActionSpec,
    ArraySpec,
    Imagination,
    Signature,
)
from forethought.world_model import ResidualMLPConfig, WorldModelConfig

NAMES = ("position.x", "position.y")
BLOCK = 2
SIGNATURE = Signature(
    observation={STATE: ArraySpec(shape=(2,), dtype="float32", names=NAMES)},
    action=ActionSpec(dim=2, low=(-1.0, -1.0), high=(1.0, 1.0), names=("push.x", "push.y")),
    rate_hz=10.0,
)
PLANNER = CEM(horizon=3, num_samples=128, num_iterations=3, num_elites=12)


def point_model(*, errors: Sequence[float] = (0.0,) * 400, horizon: int = 4) -> Model:
    """A model that foresees pushes exactly, calibrated on rollouts that were off as told.

    Args:
        errors: by how much ``position.x`` was imagined too small, of each rollout at each step.
        horizon: model steps that were calibrated.
    """
    config = WorldModelConfig(
        perception=PerceptionConfig(encoders={STATE: MLPEncoderConfig(width=2, hidden=(4,))}),
        predictor=ResidualMLPConfig(hidden=(4,)),
        action_block=BLOCK,
    )
    same = {key: Normaliser([0.0] * 2, [1.0] * 2) for key in (STATE,)}
    normalisers = {**same, "action": Normaliser([0.0] * 4, [1.0] * 4)}
    notes = {"probe_key": STATE, "recipe": "two_rooms", "data": "points", "held_out_episodes": []}
    model = Model(
        ModelConfig(world_model=config, probes=NAMES), SIGNATURE, normalisers, notes
    ).eval()
    model.world_model.perception.forward = lambda seen: seen[STATE][:, -1:].clone()
    pushes = torch.eye(2).repeat(BLOCK, 1)
    model.world_model.predictor.begin_linear(torch.zeros(2, 2), pushes, torch.zeros(2))
    model.mlp_probe.forward = lambda latents: latents[..., 0, :]
    model.calibration = point_calibration(errors, horizon)
    return model


def point_calibration(errors: Sequence[float], horizon: int = 4) -> Calibration:
    """Rollouts that stand still, and what came: as much further right as told."""
    off = torch.tensor(list(errors), dtype=torch.float32)
    imagined = torch.zeros(len(off), horizon + 1, 2)
    recorded = torch.zeros(len(off), horizon * BLOCK + 1, 2)
    recorded[:, 1:, 0] = off[:, None]
    return Calibration(
        names=NAMES,
        imagined=imagined,
        recorded=recorded,
        actions=torch.zeros(len(off), horizon, BLOCK * 2),
        foreseen=imagined[:, :, None].clone(),
        seen=recorded[:, ::BLOCK, None].clone(),
    )


def point_agent(model: Model, target: tuple[float, float], **settings) -> Agent:
    """An agent that seeks a place."""
    sought = {STATE: np.array(target, np.float32)}
    settings = {"actor": PLANNER, **settings}
    return Agent(model, cost=goal(observation=sought, distance=LatentDistance()), **settings)


class Point:
    """The true point: goes where it is pushed, as far as ``scale`` says.

    Args:
        place: where it begins.
        scale: what pushes are multiplied by.
    """

    def __init__(self, place: tuple[float, float] = (0.0, 0.0), *, scale: float = 1.0) -> None:
        self.place, self.scale = np.array(place, np.float32), scale

    def observe(self) -> dict[str, np.ndarray]:
        return {STATE: self.place.copy()}

    def push(self, action: np.ndarray) -> dict[str, np.ndarray]:
        self.place = self.place + self.scale * action.astype(np.float32)
        return self.observe()


def sight(**changes) -> Sight:
    """Of latents that are the place itself."""
    settings = {
        "encode": lambda observation: torch.as_tensor(observation[STATE]).view(-1, 1, 2),
        "push": lambda latents, units: latents + units.unsqueeze(1),
        "distance": LatentDistance(),
        "read": lambda latents: {name: latents[..., 0, i] for i, name in enumerate(NAMES)},
        "quantities": NAMES,
        "space": ActionSpace(low=-torch.ones(4), high=torch.ones(4), block=BLOCK),
        "block": BLOCK,
        "signature": SIGNATURE,
        "bounds": lambda name, horizon: Bounds.none(horizon),
    }
    return Sight(**{**settings, **changes})


def walked(*places: tuple[float, float], actions: torch.Tensor | None = None) -> Imagination:
    """One candidate that comes through places, a model step apart."""
    latents = torch.tensor(places, dtype=torch.float32).view(1, 1, -1, 1, 2)
    done = torch.zeros(1, 1, len(places) - 1, 4) if actions is None else actions
    return Imagination(latents=latents, actions=done)
