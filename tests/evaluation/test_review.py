"""The page that gathers all others: nothing is lost on the way, and what lacks is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from forethought import provenance
from forethought.cli import main
from forethought.evaluation.report import review
from forethought.evaluation.report.page import (
    Card,
    Picture,
    Section,
    Table,
    kept_page,
    read_page,
    write_page,
)
from forethought.types import ForethoughtError

SECTION = Section(
    title="Kept",
    text="All of it <b>.",
    tables=[Table(header=("a", "b"), rows=[("1", "2")], strong=0)],
    figures=[Picture(source="data:image/svg+xml;base64,AAAA", caption="a figure")],
    gallery=[Picture(source="data:image/webp;base64,BBBB", caption="an episode")],
    warnings=["mind this"],
    links=[("failure_3.html", "task 3")],
)


def page(path: Path, **details: object) -> Path:
    return write_page(
        path,
        title="A page",
        lead="What was done.",
        sections=[SECTION],
        cards=[Card(value="97 %", label="success", note="of 3")],
        keep=True,
        **details,
    )


def test_what_a_page_says_is_read_back_whole(tmp_path: Path) -> None:
    token = provenance.COMMAND.set("forethought evaluate run --world w")
    try:
        path = page(tmp_path / "evaluate.html")
    finally:
        provenance.COMMAND.reset(token)
    again = read_page(path)
    assert again is not None and again.command == "forethought evaluate run --world w"
    write_page(
        tmp_path / "twice.html",
        title=again.title,
        lead=again.lead,
        sections=again.sections,
        cards=again.cards,
    )
    assert (tmp_path / "twice.html").read_text() == path.read_text()
    assert read_page(tmp_path / "never.html") is None


def test_the_parts_are_gathered_and_what_lacks_is_said(tmp_path: Path) -> None:
    page(tmp_path / "evaluate.html")
    page(tmp_path / "evaluate-far.html")
    page(tmp_path / "attribution" / "index.html")
    protocol = {"episodes": 9, "seed": 4, "budget": 50, "hold": 1, "tasks": {"from": "seeds"}}
    evaluated = {
        "world": "w",
        "protocol": protocol,
        "remarks": ["3 of 9 starts satisfy their goal"],
        "floors": [{"name": "random"}, {"name": "hold still"}],
        "ceilings": [{"name": "oracle"}],
    }
    (tmp_path / "evaluate.json").write_text(json.dumps(evaluated))
    text = review(tmp_path).read_text()
    for said in (
        "Planning: kept",
        "Planning, far: kept",
        "Failures: kept",
        "random, hold still",
        "9, drawn by the world from seed 4 on",
        "3 of 9 starts satisfy their goal",
        'href="attribution/failure_3.html"',
        'href="failure_3.html"',
        "mind this",
        "BBBB",
    ):
        assert said in text
    assert "Not measured: shifts" in text and "Not measured: planning" not in text
    assert f"forethought physics {tmp_path.name}" in text


def test_nothing_measured_and_damaged_pages_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(tmp_path)]) == 2
    assert "nothing has been measured here" in capsys.readouterr().err
    path = page(tmp_path / "shifts.html")
    (tmp_path / "evaluate.json").write_text('{"world": "w", "protocol": {}}')
    with pytest.raises(ForethoughtError, match=r"evaluate.json: damaged, or left by an earlier"):
        review(tmp_path)
    kept_page(path).write_text(kept_page(path).read_text()[:80])
    with pytest.raises(ForethoughtError, match=r"shifts.page.json: damaged.*make the page"):
        review(tmp_path)
