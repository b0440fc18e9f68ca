"""``forethought adapt``: what it leaves, and what it says to wrong input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from forethought import data, worlds
from forethought.cli import main
from forethought.data import Dataset
from forethought.model import Model
from forethought.world_model.adapted import AdaptedPredictor


def ask(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, dict]:
    code = main([*map(str, words), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_nothing_is_changed_where_that_would_not_help(
    run: Path, recorded: Dataset, tmp_path: Path, capsys
) -> None:
    recent = data.record(
        worlds.make("two_rooms", 4),
        tmp_path / "recent",
        num_episodes=8,
        episode_length=60,
        seed=500,
        visible=False,
    )
    words = ("adapt", run, "--data", recent.path, "--replay", recorded.path, "--updates", 100)
    code, answer = ask(capsys, *words, "--out", tmp_path / "adapted")
    assert code == 0 and answer["episodes"] == [6, 2]
    model = Model.from_pretrained(tmp_path / "adapted")
    predictor = model.world_model.predictor
    assert isinstance(predictor, AdaptedPredictor)
    assert not answer["adapted"] and answer["after"] == answer["before"]
    assert predictor.acts_as_before()
    code, answer = ask(capsys, *words, "--out", tmp_path / "adapted")
    assert code == 2 and "new or empty" in answer["error"]
    again = ("adapt", tmp_path / "adapted", *words[2:], "--out", tmp_path / "twice")
    code, answer = ask(capsys, *again)
    assert code == 2 and "adapted already" in answer["error"]


def test_a_run_is_adapted_by_acting(run: Path, recorded: Dataset, tmp_path: Path, capsys) -> None:
    """What is saved is a run; what cannot be is refused before any work."""
    out = tmp_path / "lived"
    words = ("adapt", run, "--replay", recorded.path, "--out", out, "--tasks", 2, "--steps", 12)
    code, answer = ask(capsys, *words, "--world", "two_rooms", "--change", "camera")
    assert code == 0 and json.loads((out / "adapt.json").read_text()) == answer
    assert 0 <= answer["before"] <= 1 and len(answer["ms"]) == 2
    assert isinstance(Model.from_pretrained(out).world_model.predictor, AdaptedPredictor)
    wrong = {
        "one of both": (),
        "choose among": ("--world", "two_rooms", "--change", "earthquake"),
        "give it with --world": ("--data", recorded.path, "--change", "flip"),
        "trained for": ("--world", "pendulum"),
    }
    for part, more in wrong.items():
        code, answer = ask(capsys, *words[:5], tmp_path / "other", *more)
        assert code == 2 and part in answer["error"]
    assert not (tmp_path / "other").exists()
