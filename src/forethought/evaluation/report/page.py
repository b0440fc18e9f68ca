"""A report page: one self-contained HTML file, without scripts or links to elsewhere."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import numpy as np
from PIL import Image

import forethought
from forethought import provenance
from forethought.model import write_safely
from forethought.types import ForethoughtError

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


@dataclass(frozen=True, kw_only=True)
class Card:
    """A headline figure.

    Attributes:
        value: the figure, formatted.
        label: what it is.
        note: its interval, or what it is compared with.
    """

    value: str
    label: str
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table.

    Attributes:
        header: column titles.
        rows: cells.
        strong: index of the row that is set in bold; None for none.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    strong: int | None = None


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture, embedded.

    Attributes:
        source: data URI.
        caption: what one sees.
    """

    source: str
    caption: str


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of a page.

    Attributes:
        title: heading.
        text: a sentence or two on what is shown.
        tables: tables, in order.
        figures: wide pictures.
        gallery: small pictures side by side.
        warnings: set off in red.
        links: other pages in the same folder, by what they are called: file name, and text.
    """

    title: str
    text: str = ""
    tables: Sequence[Table] = ()
    figures: Sequence[Picture] = ()
    gallery: Sequence[Picture] = ()
    warnings: Sequence[str] = ()
    links: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, kw_only=True)
class Page:
    """What a page says, so that other pages can say it too.

    Attributes:
        title: heading.
        lead: a sentence or two below it.
        sections: its parts.
        cards: headline figures.
        command: what made it; empty where it was made from Python.
    """

    title: str
    lead: str
    sections: Sequence[Section]
    cards: Sequence[Card] = ()
    command: str = ""


def write_page(
    path: Path,
    *,
    title: str,
    lead: str,
    sections: Sequence[Section],
    cards: Sequence[Card] = (),
    keep: bool = False,
) -> Path:
    """Writes the page; returns its path.

    Args:
        path: of the HTML file.
        title: heading.
        lead: a sentence or two below it.
        sections: its parts.
        cards: headline figures.
        keep: write beside it, as JSON, what it says, for pages that gather others.
    """
    template = resources.files("forethought.evaluation.report").joinpath("page.html.j2").read_text()
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    text = environment.from_string(template).render(
        title=title,
        lead=lead,
        cards=cards,
        sections=sections,
        footer=f"Made by forethought {forethought.__version__}.",
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_safely(path, text.encode())
    if keep:
        page = Page(
            title=title, lead=lead, sections=sections, cards=cards, command=provenance.COMMAND.get()
        )
        write_safely(kept_page(path), json.dumps(asdict(page)).encode())
    return path


def kept_page(path: Path) -> Path:
    """Where it is kept what a page says."""
    return path.with_suffix(".page.json")


def read_page(path: Path) -> Page | None:
    """What a page says; None where it was never written, or did not keep it.

    Args:
        path: of the HTML file.

    Raises:
        ForethoughtError: what is kept is damaged.
    """
    kept = kept_page(path)
    if not kept.is_file():
        return None
    try:
        content = json.loads(kept.read_text())
        return Page(
            title=content["title"],
            lead=content["lead"],
            sections=[_section(one) for one in content["sections"]],
            cards=[Card(**one) for one in content["cards"]],
            command=content["command"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ForethoughtError(
            f"{kept}: damaged ({type(error).__name__}: {error}). Delete it, and make the page "
            "again."
        ) from error


def _section(content: Mapping[str, Any]) -> Section:
    pictures = {name: [Picture(**one) for one in content[name]] for name in ("figures", "gallery")}
    tables = [Table(**one) for one in content["tables"]]
    return Section(**{**content, **pictures, "tables": tables})


def embed_drawing(drawing: Drawing, caption: str) -> Picture:
    """A matplotlib figure as an embedded SVG; rasterised artists stay small."""
    import matplotlib.pyplot as plt

    buffer = io.BytesIO()
    drawing.savefig(buffer, format="svg", bbox_inches="tight", dpi=110, metadata={"Date": None})
    plt.close(drawing)
    return Picture(source=_uri(buffer.getvalue(), "image/svg+xml"), caption=caption)


def embed_animation(frames: Sequence[np.ndarray], caption: str, *, frame_ms: int = 60) -> Picture:
    """Frames ``(height, width, 3)`` uint8 as an animated WebP."""
    pictures = [Image.fromarray(frame) for frame in frames]
    buffer = io.BytesIO()
    pictures[0].save(
        buffer,
        format="WEBP",
        save_all=True,
        append_images=pictures[1:],
        duration=frame_ms,
        loop=0,
        quality=80,
        method=2,
    )
    return Picture(source=_uri(buffer.getvalue(), "image/webp"), caption=caption)


def _uri(content: bytes, mime: str) -> str:
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"
