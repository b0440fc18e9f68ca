"""What `evaluate` is asked for is what it measures, and what cannot be is refused at once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from forethought.cli import main

FEW = ("--world", "two_rooms", "--episodes", 4, "--budget", 10, "--json")


@pytest.fixture(scope="module")
def mine(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the run, to leave things in."""
    return shutil.copytree(run, tmp_path_factory.mktemp("evaluated") / "run")


def asked(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, dict]:
    code = main([str(word) for word in words])
    return code, json.loads(capsys.readouterr().out)


def test_recorded_tasks_beside_every_floor(mine, recorded, capsys) -> None:
    """Held-out recordings, three floors, files of a name of their own; then the same compared."""
    floors = ("--floors", "random", "still", "cloning", "--cloning-steps", 3)
    words = ("evaluate", mine, *FEW, "--steps", 10, 30, "--data", recorded.path, *floors)
    code, answer = asked(capsys, *words, "--name", "recorded")
    assert code == 0
    assert [one["name"] for one in answer["floors"]] == [
        "random",
        "hold still",
        "behaviour cloning",
    ]
    config = json.loads((mine / "config.json").read_text())
    held_out = config["notes"]["held_out_episodes"]
    assert {one["origin"][0] for one in answer["episodes"]} <= set(held_out)
    assert answer["protocol"]["tasks"]["steps"] == [10, 30]
    page = (mine / "evaluate-recorded.html").read_text()
    assert "behaviour cloning floor" in page and "By how far the goal is" in page
    file = mine / "evaluate-recorded.json"
    code, found = asked(capsys, "compare", file, file, "--json")
    assert code == 0 and not found["differs"] and len(found["rows"]) == 6


def test_the_protocol_of_others_says_what_it_leaves_out(mine, recorded, capsys) -> None:
    words = ("evaluate", mine, "--world", "two_rooms", "--like-stable-worldmodel", "--no-ceiling")
    few = ("--data", recorded.path, "--budget", 3, "--episodes", 20)
    code, answer = asked(capsys, *words, *few, "--json")
    assert code == 0 and answer["ceilings"] == [] and "not held out" in answer["remarks"][0]
    assert answer["protocol"]["seed"] == 42
    card = json.loads((mine / "config.json").read_text())["notes"]["measured"]["planning"]
    assert "two_rooms, as stable-worldmodel measures" in card


def test_a_search_of_ones_choice_at_chosen_distances(mine, capsys) -> None:
    search = ("--samples", 6, "--elites", 2, "--iterations", 1, "--horizon", 1)
    code, answer = asked(capsys, "evaluate", mine, *FEW, *search, "--distances", 10, 20)
    assert code == 0 and answer["bands"] == ["10 steps", "20 steps"]
    assert all(min(abs(e["distance"] - d) for d in (10, 20)) <= 5 for e in answer["episodes"])
    said = answer["acting"]
    assert said["search"] == {"horizon": 1, "samples": 6, "iterations": 1, "elites": 2}
    assert "num_samples=6" in said["planner"] and not said["reflex"]["gated"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--steps", 10), "--steps takes recordings: give --data"),
        (("--floors", "cloning"), "--floors cloning takes recordings"),
        (("--steps", 10, "--distances", 10), "give one of them"),
        (("--distances", 500), "the farthest goal is"),
        (("--episodes", 0), "episodes=0; expected 1 or more"),
        (("--budget", 0), "budget=0; expected 1 or more"),
        (("--world", "pendulum"), "the model perceives"),
        (("--samples", 0), "samples=0; expected 1 or more"),
        (("--floors", "cloning", "--data", "ELSEWHERE"), "Give the dataset that it was trained on"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    words, message, mine, recorded, tmp_path, capsys
) -> None:
    if "ELSEWHERE" in words:
        words = (*words[:-1], shutil.copytree(recorded.path, tmp_path / "others"))
    elif "--distances" in words and "--steps" in words:
        words = (*words, "--data", recorded.path)
    code, answer = asked(capsys, "evaluate", mine, *FEW, *words)
    assert code == 2 and message in answer["error"]
