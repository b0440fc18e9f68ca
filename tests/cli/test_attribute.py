"""``forethought attribute``: what it tells, what it leaves, and what it says to wrong input."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from forethought import worlds
from forethought.cli import main
from forethought.evaluation.episode_log import EpisodeLog
from forethought.worlds.wrapped import Wrapped

SEARCH = {"samples": 8, "iterations": 1, "elites": 2}


def ask(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, dict, str]:
    """Runs a command with --json: exit code, the document, standard error."""
    code = main([*map(str, words), "--json"])
    captured = capsys.readouterr()
    return code, json.loads(captured.out), captured.err


def evaluated(folder: Path, seeds: list[int], met: bool, **changes: object) -> Path:
    """What `evaluate` would have left."""
    content = {
        "world": "two_rooms",
        "protocol": {"budget": 10, "hold": 1},
        "acting": {"search": {}, "reflex": {}},
        "episodes": [{"seed": seed, "ever": met, "final": met} for seed in seeds],
    }
    path = folder / "evaluate.json"
    path.write_text(json.dumps({**content, **changes}))
    return path


@pytest.fixture
def spoiled(run: Path, tmp_path: Path) -> Path:
    """A run that was hardly trained, where every episode failed in ten steps."""
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    evaluated(folder, [1_000_001, 1_000_003], met=False)
    return folder


def test_failures_are_told_and_shown(spoiled: Path, capsys) -> None:
    """Shares and verdicts as JSON, the episodes as arrays, and a page for each."""
    (spoiled / "attribution").mkdir()
    (spoiled / "attribution" / "failure_7.html").write_text("of another day")
    code, answer, _ = ask(capsys, "attribute", spoiled, "--repeats", 1, "--more", 2)
    assert code == 0 and answer["failed"] == 2
    assert answer["parts"] == ["model", "objective", "search"]
    assert sum(share["value"] for share in answer["shares"].values()) == pytest.approx(1)
    assert set(answer["episodes"][0]["solved"]) >= {"nothing", "model + objective + search"}
    folder = spoiled / "attribution"
    assert json.loads((folder / "attribution.json").read_text())["failed"] == 2
    assert EpisodeLog.load(folder / "episodes.npz").seeds.tolist() == [1_000_001, 1_000_003]
    pages = sorted(path.name for path in folder.glob("*.html"))
    assert pages == ["failure_1000001.html", "failure_1000003.html", "index.html"]
    first = (folder / "index.html").read_text()
    assert 'href="failure_1000001.html"' in first
    page = (folder / "failure_1000001.html").read_text()
    assert page.count("data:image/svg") == 4
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_people_get_a_table(spoiled: Path, capsys) -> None:
    few = {"search": SEARCH, "reflex": {}}
    evaluated(spoiled, [1_000_001, 1_000_003], met=False, acting=few)
    assert main(["attribute", str(spoiled), "--repeats", "1", "--most", "1", "--more", "2"]) == 0
    said = capsys.readouterr().out
    assert "2 episodes failed, 1 looked into" in said and "adds to success" in said


def test_the_search_is_the_one_that_was_evaluated(spoiled: Path, capsys) -> None:
    """Numbers that no search can have are refused where they are read."""
    evaluated(spoiled, [1_000_001], met=False, acting={"search": {"elites": 0}, "reflex": {}})
    code, answer, _ = ask(capsys, "attribute", spoiled, "--repeats", 1)
    assert code == 2 and "elites=0" in answer["error"]


def test_a_world_that_cannot_be_put_back_is_told_of(spoiled: Path, capsys, monkeypatch) -> None:
    make = worlds.make
    monkeypatch.setattr(worlds, "make", lambda name, count=1: Wrapped(make(name, count)))
    arguments = ["attribute", str(spoiled), "--repeats", "1", "--more", "2"]
    assert main(arguments) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "the model cannot be replaced in this world" in said
    assert "the objective cannot be replaced in this world" in said
    page = (spoiled / "attribution" / "index.html").read_text()
    assert "The model could not be replaced" in page


def test_where_nothing_failed_there_is_nothing_to_do(tmp_path: Path, capsys) -> None:
    path = evaluated(tmp_path, [1, 2], met=True)
    assert main(["attribute", str(path)]) == 0
    assert "every one of 2 episodes" in capsys.readouterr().out
    code, answer, _ = ask(capsys, "attribute", tmp_path)
    assert (code, answer["failed"]) == (0, 0)


def test_wrong_input_is_told(tmp_path: Path, capsys) -> None:
    code, answer, _ = ask(capsys, "attribute", tmp_path)
    assert code == 2 and "forethought evaluate RUN" in answer["error"]
    (tmp_path / "evaluate.json").write_text("{")
    code, answer, _ = ask(capsys, "attribute", tmp_path)
    assert code == 2 and "JSONDecodeError" in answer["error"]
    evaluated(tmp_path, [1], met=False, episodes=[{"ever": False}])
    code, answer, _ = ask(capsys, "attribute", tmp_path)
    assert code == 2 and "seed of each episode" in answer["error"]
    recorded = {"seed": 1, "ever": False, "final": False, "origin": [3, 7]}
    evaluated(tmp_path, [1], met=False, episodes=[recorded])
    code, answer, _ = ask(capsys, "attribute", tmp_path)
    assert code == 2 and "taken from recordings" in answer["error"]
    evaluated(tmp_path, [1], met=False, acting={"search": {"depth": 3}, "reflex": {}})
    code, answer, _ = ask(capsys, "attribute", tmp_path)
    assert code == 2 and "'depth'" in answer["error"]
    evaluated(tmp_path, [1], met=False, acting={"search": {}, "reflex": {"gated": True}})
    code, answer, _ = ask(capsys, "attribute", tmp_path)
    assert code == 2 and "acted by reflex" in answer["error"]


def test_a_run_without_a_world_or_a_model_is_told(run: Path, tmp_path: Path, capsys) -> None:
    path = evaluated(tmp_path, [1], met=False)
    code, answer, _ = ask(capsys, "attribute", path)
    assert code == 2 and "config.json" in answer["error"]
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    evaluated(folder, [1], met=False, world="two_romms")
    code, answer, _ = ask(capsys, "attribute", folder)
    assert code == 2 and "Did you mean 'two_rooms'" in answer["error"]
