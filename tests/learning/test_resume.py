"""Killed at any moment and resumed, training ends with the same weights, to the bit."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from forethought import data, recipes
from forethought.learning.checkpoint import step_generator
from forethought.types import ForethoughtError

PROGRAM = """
import sys, warnings
warnings.simplefilter("ignore")
import torch; torch.set_num_threads(1)
from dataclasses import replace
from forethought import data, recipes
from forethought.learning import train
dataset = data.open(sys.argv[1])
config = recipes.configure("two_rooms", dataset.signature, steps=60)
critic = replace(config.critic, optimiser=replace(config.critic.optimiser, num_steps=60))
config = replace(config, critic=critic, probes=replace(config.probes, num_steps=40))
train(dataset, config, sys.argv[2], resume=True, visible=False, checkpoint_s=0.0)
"""


def start(dataset: data.Dataset, out: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", PROGRAM, str(dataset.path), str(out)])


def test_five_kills_change_nothing(recorded, tmp_path) -> None:
    """SIGKILL at random moments, wherever it was: the weights are those of an unbroken run."""
    assert start(recorded, tmp_path / "unbroken").wait() == 0
    generator, broken, kills = random.Random(0), tmp_path / "broken", 0
    while kills < 5:
        process = start(recorded, broken)
        # Kill some way into the work: count from the first checkpoint that this process adds.
        _wait_for_progress(broken, process)
        time.sleep(generator.uniform(0.0, 0.8))
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
    assert kills >= 3
    assert start(recorded, broken).wait() == 0
    expected = load_file(tmp_path / "unbroken" / "model.safetensors")
    found = load_file(broken / "model.safetensors")
    assert expected.keys() == found.keys()
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []
    rows = (broken / "metrics.jsonl").read_text().splitlines()
    assert len(rows) == len((tmp_path / "unbroken" / "metrics.jsonl").read_text().splitlines())


def _wait_for_progress(out: Path, process: subprocess.Popen[bytes]) -> None:
    before = _checkpoints(out)
    deadline = time.monotonic() + 60
    while _checkpoints(out) == before and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _checkpoints(out: Path) -> list[str]:
    folder = out / "checkpoints"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_each_step_has_its_own_randomness() -> None:
    """Seeds, stages and steps give different numbers; the same give the same."""
    draws = {
        tuple(torch.rand(3, generator=step_generator(*which)).tolist())
        for which in [(0, "a", 0), (0, "a", 1), (0, "b", 0), (1, "a", 0), (0, "a", 0)]
    }
    assert len(draws) == 4


def test_a_folder_in_use_is_refused(recorded, run) -> None:
    """Nothing trained is overwritten."""
    before = (run / "model.safetensors").read_bytes()
    with pytest.raises(ForethoughtError, match="--resume"):
        recipes.train(recorded, recipe="two_rooms", out=run, steps=60)
    assert (run / "model.safetensors").read_bytes() == before


def test_another_run_is_not_resumed(recorded, run) -> None:
    """A different seed is another run."""
    with pytest.raises(ForethoughtError, match="another config"):
        recipes.train(recorded, recipe="two_rooms", out=run, seed=5, resume=True)


def test_a_foreign_folder_is_refused(recorded, tmp_path) -> None:
    """A folder with other things in it is left alone."""
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ForethoughtError, match="not an empty folder"):
        recipes.train(recorded, recipe="two_rooms", out=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_recipe_for_other_data_is_refused(recorded, tmp_path) -> None:
    """Before anything is made."""
    with pytest.raises(ForethoughtError, match=r"observation\.state"):
        recipes.train(recorded, recipe="robot_arm", out=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_diverging_training_stops_with_the_step(recorded, tmp_path) -> None:
    """An infinite loss ends the run with a message, not with NaN weights."""
    from dataclasses import replace

    from forethought.learning import train

    config = recipes.configure("two_rooms", recorded.signature, steps=40)
    wild = replace(config.objective.optimiser, learning_rate=1e30, clip=1e30, warmup_steps=0)
    config = replace(config, objective=replace(config.objective, optimiser=wild))
    with pytest.raises(ForethoughtError, match="diverged"):
        train(recorded, config, tmp_path / "wild", visible=False)


def test_too_few_episodes(tmp_path) -> None:
    """One episode cannot be split."""
    from forethought import worlds

    one = data.record(
        worlds.make("two_rooms", 1),
        tmp_path / "d",
        num_episodes=1,
        episode_length=60,
        visible=False,
    )
    with pytest.raises(ForethoughtError, match="at least 2"):
        recipes.train(one, recipe="two_rooms", out=tmp_path / "run")
