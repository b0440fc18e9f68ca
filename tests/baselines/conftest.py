"""What tests of baselines share: a short run to begin from, and runs that are broken off."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from forethought import recipes
from forethought.data import Dataset
from forethought.learning import TrainConfig
from forethought.learning.train import CollapseWarning, train
from forethought.learning.trainer import Loop
from forethought.model import WEIGHTS, Model

Breaking = Callable[[str, int], AbstractContextManager[None]]
"""Of a stage, and the step before which its training is broken off."""
SameWeights = Callable[[Path, Path], None]
"""Of the folders of two runs."""


@pytest.fixture
def rooms_run(recorded: Dataset) -> TrainConfig:
    """The recipe of the two rooms with few steps of all that follows pretraining."""
    config = recipes.configure("two_rooms", recorded.signature)
    assert config.probes is not None and config.critic is not None
    return replace(
        config,
        critic=config.critic.with_steps(20),
        probes=replace(config.probes, num_steps=20),
    )


@pytest.fixture
def broken_off() -> Breaking:
    """Breaks off the training within it, as Ctrl-C does."""

    @contextmanager
    def breaking(stage: str, step: int) -> Iterator[None]:
        whole = Loop._step

        def broken(self: Loop, running, optimiser, number: int):
            if (running.name, number) == (stage, step):
                raise KeyboardInterrupt
            return whole(self, running, optimiser, number)

        with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(Loop, "_step", broken)
            yield

    return breaking


@pytest.fixture
def same_weights() -> SameWeights:
    """Checks that two runs left the same weights, to the bit."""

    def check(one: Path, other: Path) -> None:
        first, second = (load_file(folder / WEIGHTS) for folder in (one, other))
        assert first.keys() == second.keys()
        assert [name for name in first if not torch.equal(first[name], second[name])] == []

    return check


@pytest.fixture
def trained_twice(
    recorded: Dataset, tmp_path: Path, broken_off: Breaking, same_weights: SameWeights
) -> Callable[[TrainConfig, int], tuple[Model, Path]]:
    """Trains a world model in one go, and once more with a break before a step of pretraining.

    Both must end with the same weights, to the bit; returns the first with its folder.
    """

    def trained(config: TrainConfig, step: int) -> tuple[Model, Path]:
        whole, broken = tmp_path / "whole", tmp_path / "broken"
        with warnings.catch_warnings():
            # So few steps may well be no better than copying.
            warnings.simplefilter("ignore", CollapseWarning)
            model = train(recorded, config, whole, visible=False)
            with broken_off("world_model", step):
                train(recorded, config, broken, visible=False, checkpoint_s=0.0)
            train(recorded, config, broken, visible=False, resume=True)
        same_weights(whole, broken)
        return model, whole

    return trained


@pytest.fixture
def logged() -> Callable[[Path, str], list[float]]:
    """Reads the values of one measure from the log of a run, in order."""

    def values(folder: Path, name: str) -> list[float]:
        rows = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
        return [row[name] for row in rows if name in row]

    return values
