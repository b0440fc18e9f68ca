"""``forethought adapt``: a run that foresees recent recordings, or is told that it need not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from forethought import data, worlds
from forethought.cli import main
from forethought.data import Dataset
from forethought.model import Model
from forethought.world_model.adapted import AdaptedPredictor
from forethought.worlds.changed import ChangeConfig, Changed


def ask(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, dict]:
    code = main([*map(str, words), "--json"])
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("flipped", [(0, 1), ()])
def test_held_out_error_falls_or_nothing_is_changed(
    run: Path, recorded: Dataset, tmp_path: Path, capsys, flipped: tuple[int, ...]
) -> None:
    recent = data.record(
        Changed(worlds.make("two_rooms", 4), ChangeConfig(flipped=flipped)),
        tmp_path / "recent",
        num_episodes=8,
        episode_length=60,
        seed=500,
        visible=False,
    )
    words = ("adapt", run, "--data", recent.path, "--replay", recorded.path, "--updates", 300)
    code, answer = ask(capsys, *words, "--out", tmp_path / "adapted")
    assert code == 0 and answer["episodes"] == [6, 2]
    model = Model.from_pretrained(tmp_path / "adapted")
    predictor = model.world_model.predictor
    assert isinstance(predictor, AdaptedPredictor)
    if flipped:
        assert answer["adapted"] and answer["after"] < 0.5 * answer["before"]
        assert torch.equal(
            predictor.inner.state_dict()["last.weight"],
            Model.from_pretrained(run).world_model.predictor.state_dict()["last.weight"],
        )
    else:
        assert not answer["adapted"] and answer["after"] == answer["before"]
        assert predictor.acts_as_before()
    code, answer = ask(capsys, *words, "--out", tmp_path / "adapted")
    assert code == 2 and "new or empty" in answer["error"]
    again = ("adapt", tmp_path / "adapted", *words[2:], "--out", tmp_path / "twice")
    code, answer = ask(capsys, *again)
    assert code == 2 and "adapted already" in answer["error"]
