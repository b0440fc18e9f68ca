"""A linear start is the best linear model, before any training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from forethought import data, recipes
from forethought.data import Dataset, WindowConfig, WindowSampler
from forethought.learning import LinearStartConfig, TrainConfig
from forethought.learning.train import normalisers_of
from forethought.types import STATE, ActionSpec, ArraySpec, Episode, ForethoughtError, Signature
from forethought.world_model.world_model import WorldModel

SIGNATURE = Signature(
    observation={STATE: ArraySpec(shape=(2,), dtype="float32", names=("place", "angle"))},
    action=ActionSpec(dim=1, low=(-1.0,), high=(1.0,), names=("force",)),
    rate_hz=20.0,
)


def episode(seed: int, length: int = 80) -> Episode:
    """Two masses that keep their speed, shown without it: linear only in the history."""
    generator = np.random.default_rng(seed)
    place, speed = generator.normal(size=2), generator.normal(size=2)
    force = np.clip(np.cumsum(generator.normal(size=length)) / 5, -1, 1)
    rows = []
    for push in force:
        rows.append(place)
        place = place + 0.05 * speed
        speed = 0.95 * speed - 0.1 * place + np.array([0.2, -0.1]) * push
    return Episode(
        observation={STATE: np.array(rows, np.float32)},
        action=force[:, None].astype(np.float32),
        task="swing",
    )


@pytest.fixture(scope="module")
def swings(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    path = tmp_path_factory.mktemp("data") / "swings"
    with data.create(path, SIGNATURE) as writer:
        writer.append([episode(seed) for seed in range(30)])
    return data.open(path)


def config(swings: Dataset) -> TrainConfig:
    return recipes.configure("vehicle_state", swings.signature, seed=0)


def untrained(swings: Dataset, config: TrainConfig) -> WorldModel:
    torch.manual_seed(0)
    return WorldModel(
        config.world_model, swings.signature, normalisers_of(swings, config, range(20))
    )


def sampler(swings: Dataset, config: TrainConfig, episodes: range, length: int) -> WindowSampler:
    return WindowSampler(
        swings.load(episodes, keys=[STATE]),
        WindowConfig(
            length=length,
            action_block=config.world_model.action_block,
            frame_stack=config.world_model.perception.frame_stack,
            whole_history=True,
        ),
    )


def error_against_copy(world_model: WorldModel, clips: WindowSampler, steps: int) -> float:
    windows = clips.at(*clips.starts())
    with torch.no_grad():
        latents = world_model.encode(dict(windows.observation))[..., :2]
        start = world_model.encode({STATE: windows.observation[STATE][:, 0]})
        ahead = world_model.rollout(start, world_model.normalise(windows.actions))[..., :2]
    error = (ahead[:, steps] - latents[:, steps]).square().mean()
    return float(error / (latents[:, 0] - latents[:, steps]).square().mean())


def test_a_linear_world_is_foreseen_untrained(swings: Dataset) -> None:
    chosen = config(swings)
    world_model = untrained(swings, chosen)
    unseen = sampler(swings, chosen, range(20, 30), 4)
    assert error_against_copy(world_model, unseen, 1) == pytest.approx(1)
    LinearStartConfig()(world_model, sampler(swings, chosen, range(20), 2))
    assert error_against_copy(world_model, unseen, 1) < 1e-3
    assert error_against_copy(world_model, unseen, 3) < 2e-2


def test_it_is_the_same_each_time(swings: Dataset) -> None:
    chosen = config(swings)
    weights = []
    for _ in range(2):
        world_model = untrained(swings, chosen)
        LinearStartConfig()(world_model, sampler(swings, chosen, range(20), 2))
        weights.append(torch.cat([p.detach().flatten() for p in world_model.parameters()]))
    assert torch.equal(*weights)


def test_too_narrow_a_learned_part_is_refused(swings: Dataset, tmp_path: Path) -> None:
    chosen = config(swings)
    perception = chosen.world_model.perception
    narrow = {key: replace(part, learned=1) for key, part in perception.encoders.items()}
    narrow_model = replace(chosen.world_model, perception=replace(perception, encoders=narrow))
    chosen = replace(chosen, world_model=narrow_model)
    with pytest.raises(ForethoughtError, match=r"at least as wide as the state \(2\), found 1"):
        LinearStartConfig()(untrained(swings, chosen), sampler(swings, chosen, range(20), 2))


def test_images_are_refused(recorded: Dataset) -> None:
    chosen = recipes.configure("two_rooms", recorded.signature, seed=0)
    world_model = WorldModel(
        chosen.world_model, recorded.signature, normalisers_of(recorded, chosen, range(4))
    )
    clips = WindowSampler(
        recorded.load(range(4), keys=list(chosen.world_model.perception.encoders)),
        WindowConfig(length=2, action_block=5),
    )
    with pytest.raises(ForethoughtError, match=r"found \['CNN', 'ResidualMLP'\]"):
        LinearStartConfig()(world_model, clips)
