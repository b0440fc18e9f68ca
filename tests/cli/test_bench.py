"""``forethought bench``: for people, for machines, and for who asks wrongly."""

from __future__ import annotations

import json

import pytest
import torch

from forethought import recipes
from forethought.actor import CEM
from forethought.cli import main
from forethought.evaluation import roofline

QUICK = ("--decisions", "3", "--seconds", "0")


@pytest.fixture(autouse=True)
def small_machine(monkeypatch) -> None:
    """Peaks of matrices that take no time."""
    monkeypatch.setattr(roofline, "SIDES", (8, 16))
    monkeypatch.setattr(roofline, "STREAM_BYTES", 2**12)


def ask(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, dict]:
    """Runs a command with --json: exit code and the document."""
    code = main(["bench", *map(str, words), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_a_run_is_searched_as_its_recipe_says(run, capsys) -> None:
    """In its own world; units agree."""
    code, answer = ask(capsys, run, *QUICK, "--threads", 1)
    assert code == 0 and answer["subject"] == str(run)
    assert answer["machine"]["threads"] == torch.get_num_threads() == 1
    planner = recipes.acting(recipes.get("two_rooms")).planner
    assert answer["planner"] == str(planner) and isinstance(planner, CEM)
    plain, *others = answer["variants"]
    asked = ("float32", planner.num_samples, planner.horizon)
    assert (plain["arithmetic"], plain["candidates"], plain["horizon"]) == asked
    for speed in (plain, *others):
        rate = speed["steps_per_s"] * speed["flop_per_step"]
        assert speed["flop_per_s"] == pytest.approx(rate)
        assert speed["gemm_share"] == pytest.approx(rate / speed["gemm_peak"])
        assert speed["gemm_peak"] in answer["machine"]["gemm"].values()


def test_the_table_is_for_people(capsys) -> None:
    assert main(["bench", "--stock", "demo", *QUICK]) == 0
    printed = capsys.readouterr().out
    for word in ("demo, random weights", "products in bfloat16", "memory", "median", "steps/s"):
        assert word in printed


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "give one of them"),
        (("here", "--stock", "demo"), "give one of them"),
        (("--stock", "lew"), "Did you mean 'lewm'"),
        (("nowhere",), "no trained model here"),
        (("--stock", "demo", "--device", "toaster"), "no such device"),
    ],
)
def test_what_is_wrong_is_said(words, told, capsys) -> None:
    code, answer = ask(capsys, *words)
    assert code == 2 and told in answer["error"]
