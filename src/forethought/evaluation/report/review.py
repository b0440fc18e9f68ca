"""One page of all that was measured of a run, as a reviewer would want to read it.

It gathers what the commands left in the run's folder and measures nothing: the protocol, success
between floors and ceilings with intervals, by how far goals are and how far the world is from the
recorded one, what failures are of, intuitive physics, what latents hold, episodes drawn by lot, how
it was trained, and the commands that make each of these again. What was not measured is said.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

import forethought
from forethought.evaluation.report.page import Card, Page, Section, Table, read_page, write_page
from forethought.types import ForethoughtError

REVIEW = "review.html"


@dataclass(frozen=True, kw_only=True)
class Part:
    """What a command leaves for the page.

    Attributes:
        title: of the part.
        file: of the page that the command writes, in the run's folder.
        command: that makes it; ``RUN`` and ``WORLD`` stand for what they say.
    """

    title: str
    file: str
    command: str


PARTS = (
    Part(title="Planning", file="evaluate.html", command="forethought evaluate RUN --world WORLD"),
    Part(title="Shifts", file="shifts.html", command="forethought shifts RUN --world WORLD"),
    Part(title="Failures", file="attribution/index.html", command="forethought attribute RUN"),
    Part(title="Physics", file="physics.html", command="forethought physics RUN"),
    Part(title="Latents", file="probe.html", command="forethought probe RUN --world WORLD"),
    Part(title="Prediction", file="predict.html", command="forethought predict RUN --data DATA"),
    Part(title="Training", file="report.html", command="forethought report RUN --data DATA"),
)
"""In the order of the page; other evaluations of the run follow the first."""


def review(run: Path) -> Path:
    """Writes the page of a run; returns its path.

    Args:
        run: folder of the run.

    Raises:
        ForethoughtError: nothing has been measured of it, or what was left is damaged.
    """
    pages = {part: page for part in _parts(run) if (page := read_page(run / part.file))}
    if not pages:
        raise ForethoughtError(
            f"{run}: nothing has been measured here. Begin with `forethought evaluate {run} "
            "--world WORLD`, or `forethought predict` for recordings."
        )
    first = next(iter(pages.values()))
    return write_page(
        run / REVIEW,
        title=f"What was measured of {run.name}",
        lead=first.lead,
        cards=[*first.cards[:3], *_headlines(dict(list(pages.items())[1:]))],
        sections=[
            *_protocol(run),
            *(one for part, page in pages.items() for one in _told(part, page)),
            _again(run, pages),
        ],
    )


def _headlines(pages: Mapping[Part, Page]) -> Sequence[Card]:
    """The first card of each page, by the name of its part."""
    return [
        replace(page.cards[0], label=f"{part.title.lower()}: {page.cards[0].label}")
        for part, page in pages.items()
        if page.cards
    ]


def _parts(run: Path) -> Sequence[Part]:
    """The parts that there are, with each further evaluation that was given a name."""
    first, *others = PARTS
    named = [
        replace(first, title=f"Planning, {path.stem[len('evaluate-') :]}", file=path.name)
        for path in sorted(run.glob("evaluate-*.html"))
    ]
    return [first, *named, *others]


def _told(part: Part, page: Page) -> Sequence[Section]:
    """The sections of a page under its own heading; links lead to where its own pages are."""
    folder = Path(part.file).parent
    return [
        replace(
            section,
            title=f"{part.title}: {section.title[:1].lower()}{section.title[1:]}",
            links=[((folder / file).as_posix(), text) for file, text in section.links],
        )
        for section in page.sections
    ]


def _protocol(run: Path) -> Sequence[Section]:
    """How goal reaching was measured, and what a reader of the rate alone would not know."""
    path = run / "evaluate.json"
    if not path.is_file():
        return []
    try:
        return [_told_protocol(json.loads(path.read_text()))]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ForethoughtError(
            f"{path}: damaged, or left by an earlier version ({type(error).__name__}: {error}). "
            "Measure it again with `forethought evaluate`."
        ) from error


def _told_tasks(protocol: Mapping[str, Any]) -> str:
    """How many tasks, and where they come from."""
    source = protocol["tasks"]["from"]
    where = "by the world" if source == "seeds" else f"from recordings in {source}"
    chosen = [f"{key} {value}" for key, value in protocol["tasks"].items() if key != "from"]
    drawn = f"{protocol['episodes']}, drawn {where} from seed {protocol['seed']} on"
    return "; ".join([drawn, ", ".join(chosen)] if chosen else [drawn])


def _told_protocol(content: Mapping[str, Any]) -> Section:
    protocol: Mapping[str, Any] = content["protocol"]
    rows = [
        ("world", content["world"]),
        ("tasks", _told_tasks(protocol)),
        # Evaluations made from Python do not say how the agent acted.
        *([("search", content["acting"]["planner"])] if "acting" in content else []),
        ("world steps in an episode", str(protocol["budget"])),
        (
            "success",
            "the world's own rule, met at some step"
            if protocol["hold"] == 1
            else f"the world's own rule, kept for the last {protocol['hold']} steps",
        ),
        ("starts that satisfy their goal", "left out" if not content["remarks"] else "see below"),
        ("floors", ", ".join(one["name"] for one in content["floors"]) or "none"),
        ("ceilings", ", ".join(one["name"] for one in content["ceilings"]) or "none"),
        ("intervals", "95 %, Wilson for rates, bootstrap over episodes for means"),
    ]
    return Section(
        title="Protocol",
        text="All of those below did the very same tasks, none of which any training saw unless "
        "it is said.",
        tables=[Table(header=("", ""), rows=rows)],
        warnings=content["remarks"],
    )


def _again(run: Path, pages: Mapping[Part, Page]) -> Section:
    """The commands that made the parts, and those that would make what lacks."""
    made = [(part.title, page.command or "from Python") for part, page in pages.items()]
    lacking = [
        f"Not measured: {part.title.lower()} (`{part.command.replace('RUN', str(run.name))}`)."
        for part in PARTS
        if part not in pages
    ]
    versions = (
        f"forethought {forethought.__version__}, torch {torch.__version__}, Python "
        f"{platform.python_version()}, {platform.machine()}"
    )
    return Section(
        title="How to make this again",
        text=f"Measured with {versions}. Configuration and seeds of the training are in the run's "
        "config.json and run.json; the same commands give the same tasks.",
        tables=[Table(header=("part", "command"), rows=made)],
        warnings=lacking,
    )
