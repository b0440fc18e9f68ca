"""The commands as people and machines use them, and what they say to wrong input."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from forethought import data
from forethought.cli import COMMANDS, main
from forethought.types import ActionSpec, ArraySpec, Episode, ForethoughtError, Signature


def ask(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, dict, str]:
    """Runs a command with --json: exit code, the document, standard error."""
    code = main([*map(str, words), "--json"])
    captured = capsys.readouterr()
    return code, json.loads(captured.out), captured.err


def test_the_whole_job(tmp_path, capsys) -> None:
    """Record, inspect, check, train, evaluate: each answers in JSON and leaves its files."""
    rooms, run = tmp_path / "rooms", tmp_path / "run"
    code, answer, _ = ask(
        capsys,
        "record",
        "two_rooms",
        "--out",
        rooms,
        "--episodes",
        8,
        "--length",
        60,
        "--worlds",
        4,
    )
    assert (code, answer["episodes"], answer["rows"]) == (0, 8, 480)
    sheet = tmp_path / "sheet.png"
    code, answer, _ = ask(capsys, "data", "inspect", rooms, "--sheet", sheet)
    assert code == 0 and sheet.read_bytes()[:4] == b"\x89PNG"
    code, _, _ = ask(capsys, "data", "check", rooms)
    assert code == 0
    code, answer, _ = ask(capsys, "train", "--data", rooms, "--out", run, "--steps", 20)
    assert code == 0 and Path(answer["report"]).read_text().startswith("<!doctype html>")
    code, answer, _ = ask(
        capsys, "evaluate", run, "--world", "two_rooms", "--episodes", 4, "--budget", 10
    )
    assert code == 0 and answer["ceiling"]["ever"]["episodes"] == 4
    page = Path(answer["report"]).read_text()
    assert "oracle ceiling" in page and "http://" not in page.replace("http://www.w3.org", "")
    code, answer, _ = ask(capsys, "predict", run, "--data", rooms)
    assert code == 0 and len(answer["horizons"]) == 2


def test_tables_are_for_people(capsys) -> None:
    assert main(["worlds"]) == 0
    assert "two_rooms_random" in capsys.readouterr().out
    assert main(["recipes"]) == 0
    assert "vehicle_state" in capsys.readouterr().out


def test_help_names_every_command(capsys) -> None:
    assert main([]) == main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert [name for name in COMMANDS if name not in printed] == []


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_explains_itself(command, capsys) -> None:
    assert main([*command.split(), "--help"]) == 0
    assert "--json" in capsys.readouterr().out


# ------------------------------------------------------------------------ wrong input


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """The error of a command that must exit with 2."""
    code, answer, _ = ask(capsys, *words)
    assert code == 2
    return answer["error"]


def test_unknown_names_suggest_the_closest(capsys, tmp_path) -> None:
    assert main(["evalute"]) == 2
    assert "Did you mean 'evaluate'" in capsys.readouterr().err
    error = refused(capsys, "record", "two_room", "--out", tmp_path / "x")
    assert "Did you mean 'two_rooms'" in error
    assert not (tmp_path / "x").exists()


def test_a_missing_file(capsys, tmp_path) -> None:
    for words in (
        ("data", "inspect", tmp_path / "no"),
        ("data", "import", tmp_path / "no", tmp_path / "d"),
        ("train", "--data", tmp_path / "no", "--out", tmp_path / "run"),
    ):
        assert "no such file" in refused(capsys, *words)
    assert "no trained model" in refused(
        capsys, "evaluate", tmp_path / "no", "--world", "two_rooms"
    )
    assert list(tmp_path.iterdir()) == []


def test_not_a_dataset(capsys, tmp_path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "x.txt").write_text("x")
    assert "d" in refused(capsys, "data", "inspect", tmp_path / "d")
    assert "not recognised" in refused(capsys, "data", "import", tmp_path / "d", tmp_path / "e")


def test_an_output_folder_in_use(capsys, recorded, run) -> None:
    words = ("train", "--data", recorded.path, "--out", run)
    assert "--resume" in refused(capsys, *words)
    words = ("record", "two_rooms", "--out", recorded.path)
    assert "--resume" in refused(capsys, *words)


def test_an_unknown_key(capsys, recorded, tmp_path) -> None:
    words = ("train", "--data", recorded.path, "--out", tmp_path / "r", "--recipe", "robot_arm")
    assert "'observation.state'" in refused(capsys, *words)
    with pytest.raises(ForethoughtError, match=r"unknown key 'observation\.smell'"):
        recorded.load(keys=["observation.smell"])


def test_too_few_episodes(capsys, tmp_path) -> None:
    assert (
        main(["record", "two_rooms", "--out", str(tmp_path / "d"), "--episodes", "1", "--json"])
        == 0
    )
    capsys.readouterr()
    error = refused(capsys, "train", "--data", tmp_path / "d", "--out", tmp_path / "run")
    assert "at least 2" in error


def test_a_checkpoint_of_another_version(capsys, recorded, run, tmp_path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    (copy / "config.json").unlink()
    (state,) = (copy / "checkpoints").glob("*/state.json")
    state.write_text(json.dumps({**json.loads(state.read_text()), "version": 99}))
    resolved = json.loads((copy / "run.json").read_text())
    from forethought.config import from_json
    from forethought.learning import train

    with pytest.raises(ForethoughtError, match="checkpoint version 99, this version reads 1"):
        train(recorded, from_json(resolved["config"]), copy, resume=True, visible=False)
    content = json.loads((run / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**content, "format": 0}))
    assert "model format 0" in refused(capsys, "evaluate", copy, "--world", "two_rooms")


@pytest.mark.parametrize("key", ["observation.state", "action"])
def test_nan_is_refused_by_name_and_nothing_is_lost(key, tmp_path) -> None:
    signature = Signature(
        observation={"observation.state": ArraySpec(shape=(2,), dtype="float32")},
        action=ActionSpec(dim=1, low=(-1.0,), high=(1.0,)),
        rate_hz=10.0,
    )
    state, action = np.zeros((5, 2), np.float32), np.zeros((5, 1), np.float32)
    good = Episode(observation={"observation.state": state}, action=action)
    spoiled = {"observation.state": state.copy(), "action": action.copy()}
    spoiled[key][3, 0] = np.nan
    bad = Episode(
        observation={"observation.state": spoiled["observation.state"]}, action=spoiled["action"]
    )
    with data.create(tmp_path / "d", signature) as writer:
        writer.append([good])
        with pytest.raises(ForethoughtError, match=rf"{key}.*NaN.*row 3"):
            writer.append([bad])
    assert data.open(tmp_path / "d").num_episodes == 1


def test_a_full_disk_ends_with_code_2(tmp_path) -> None:
    """A file-size limit stands for the full disk; what was finished before stays."""
    program = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "from forethought.cli import main\n"
        f"sys.exit(main(['record', 'two_rooms', '--out', {str(tmp_path / 'd')!r}, "
        "'--episodes', '600', '--worlds', '300', '--length', '60']))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert "disk is full" in done.stderr
