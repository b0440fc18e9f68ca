"""What all tests share: shape checks at run time, one thread, small datasets made once."""

from __future__ import annotations

import os
import warnings
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
import torch
from jaxtyping import install_import_hook

# Shapes and types in public signatures are checked in tests, and cost users nothing.
CHECKED = [
    "actor",
    "agent",
    "baselines",
    "configurator",
    "cost",
    "learning",
    "memory",
    "model",
    "perception",
    "products",
    "safety",
    "senses",
    "world_model",
]
_hook = install_import_hook([f"forethought.{room}" for room in CHECKED], "beartype.beartype")

from forethought import data, recipes, worlds  # noqa: E402
from forethought.allocation import keep_freed_memory  # noqa: E402
from forethought.data import Dataset  # noqa: E402
from forethought.learning.train import CollapseWarning, TrainConfig, train  # noqa: E402
from forethought.model import Model  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Tests run side by side."""
    torch.set_num_threads(1)
    keep_freed_memory()


@pytest.fixture
def generator() -> torch.Generator:
    """A seeded generator."""
    return torch.Generator().manual_seed(0)


def short(config: TrainConfig) -> TrainConfig:
    """A configuration with few steps of everything."""
    assert config.critic is not None and config.probes is not None
    optimiser = replace(config.critic.optimiser, num_steps=60)
    return replace(
        config,
        critic=replace(config.critic, optimiser=optimiser),
        probes=replace(config.probes, num_steps=60),
    )


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Twenty-four episodes of the two rooms."""
    path = tmp_path_factory.mktemp("data") / "rooms"
    return data.record(
        worlds.make("two_rooms", 12), path, num_episodes=24, episode_length=80, visible=False
    )


@pytest.fixture(scope="session")
def run(recorded: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short training run: enough to act with, not to act well."""
    out = tmp_path_factory.mktemp("runs") / "short"
    with warnings.catch_warnings():
        # So few steps may well be no better than copying; what matters here is that it runs.
        warnings.simplefilter("ignore", CollapseWarning)
        train(
            recorded,
            short(recipes.configure("two_rooms", recorded.signature, steps=60)),
            out,
            visible=False,
        )
    return out


@pytest.fixture(scope="session")
def model(run: Path) -> Model:
    """The model of that run."""
    return Model.from_pretrained(run)
