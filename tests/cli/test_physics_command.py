"""``forethought physics``: on our clips, on published folders, and what it says to wrong input."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from forethought import data, recipes, worlds
from forethought.cli import main
from forethought.learning.train import train

pytestmark = pytest.mark.filterwarnings("ignore::forethought.learning.train.CollapseWarning")


@pytest.fixture(scope="module")
def film_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video model that has hardly been trained."""
    folder = tmp_path_factory.mktemp("films")
    films = data.record(
        worlds.make("physics", 6),
        folder / "data",
        num_episodes=12,
        episode_length=22,
        visible=False,
    )
    config = replace(recipes.configure("physics", films.signature, steps=2), probes=None)
    train(films, config, folder / "run", visible=False)
    return folder / "run"


def ask(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, dict]:
    code = main([*map(str, words), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_blocks_are_measured_and_shown(film_run: Path, capsys) -> None:
    few = ("--pairs", 4, "--validation", 2, "--untrained", 1)
    code, answer = ask(capsys, "physics", film_run, "--block", "inertia", *few)
    assert code == 0
    assert [one["block"] for one in answer["results"]["model"]] == ["inertia"]
    assert {"untrained 0", "pixel difference", "optical flow"} <= answer["results"].keys()
    # However surprise is taken, it was chosen on other clips, and all ways are told.
    assert f"{answer['surprise']}, {answer['summary']}" in answer["validation"]
    pixels = answer["results"]["pixel difference"][0]["pairs"]["mean"]
    assert pixels["value"] == 0.5 and pixels["episodes"] == 4
    assert json.loads((film_run / "physics.json").read_text())["summary"] == answer["summary"]
    assert "inertia" in Path(answer["report"]).read_text()
    code, answer = ask(capsys, "report", film_run)
    page = Path(answer["report"]).read_text()
    assert code == 0 and "Physics: accuracy by block" in page
    assert "--block inertia" in page


def test_published_folders_are_measured(film_run: Path, tmp_path: Path, capsys) -> None:
    generator = np.random.default_rng(0)
    clips = generator.integers(0, 256, (2, 22, 32, 32, 3), dtype=np.uint8)
    joined = [np.concatenate([clips[i, :11], clips[1 - i, 11:]]) for i in (0, 1)]
    for number, (frames, can) in enumerate(
        [(clips[0], True), (joined[0], False), (clips[1], True), (joined[1], False)], start=1
    ):
        folder = tmp_path / "O1" / "01" / str(number)
        (folder / "scene").mkdir(parents=True)
        for at, frame in enumerate(frames, start=1):
            Image.fromarray(frame).save(folder / "scene" / f"scene_{at:03d}.png")
        (folder / "status.json").write_text(json.dumps({"header": {"is_possible": can}}))
    code, answer = ask(
        capsys, "physics", film_run, "--videos", tmp_path, "--frames", 22, "--untrained", 1
    )
    assert code == 0 and answer["data"] == str(tmp_path)
    assert answer["results"]["model"][0]["pairs"]["mean"]["episodes"] == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--block", "magic"), "no block 'magic'"),
        (("--pairs", 3), "pairs=3"),
        (("--validation", -2), "validation=-2"),
        (("--seed", 1), "seed=1"),
        (("--videos", "nowhere"), "nowhere"),
    ],
)
def test_wrong_input_is_told(film_run: Path, capsys, words: tuple, said: str) -> None:
    code, answer = ask(capsys, "physics", film_run, *words)
    assert code != 0 and said in answer["error"]


def test_a_model_of_other_pictures_is_refused(run: Path, capsys) -> None:
    code, answer = ask(capsys, "physics", run)
    assert code != 0 and "64" in answer["error"]
