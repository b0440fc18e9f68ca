"""What is in a dataset: a table for people and machines, and a picture."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from forethought.data.check import entry_names
from forethought.data.dataset import Dataset
from forethought.types import ACTION, ForethoughtError

SHEET_EPISODES = 6
SHEET_COLUMNS = 8
SHEET_CURVES = 8
INK, FAINT, STATE_COLOUR, ACTION_COLOUR = "#1f2933", "#9aa5b1", "#2563eb", "#d9480f"


def summary(dataset: Dataset) -> dict[str, Any]:
    """Facts and figures, in JSON types.

    Returns:
        ``facts`` by name, and ``keys``: one row per camera and per entry of each vector, with
        ``key``, ``entry``, ``shape``, ``type``, ``low``, ``mean``, ``high``, ``std``.

    Raises:
        ForethoughtError: rows that cannot be read.
    """
    statistics = dataset.statistics() if dataset.num_episodes else {}
    rows = [row for key in _keys(dataset) for row in _rows(dataset, key, statistics.get(key))]
    return {"facts": _facts(dataset), "keys": rows}


def _facts(dataset: Dataset) -> dict[str, Any]:
    lengths, rate = dataset.lengths, dataset.signature.rate_hz
    facts: dict[str, Any] = {
        "episodes": dataset.num_episodes,
        "rows": dataset.num_rows,
        "minutes": round(dataset.num_rows / rate / 60, 2),
        "rate_hz": rate,
    }
    if dataset.num_episodes:
        facts["rows an episode"] = (
            f"{lengths.min()} to {lengths.max()}, median {np.median(lengths):g}"
        )
    facts["size on disk"] = _readable(size_on_disk(dataset.path))
    for camera, encoding in dataset.layout.encodings.items():
        facts[f"{camera} stored as"] = encoding.value
    for task, count in Counter(dataset.tasks).most_common(5):
        facts[f"task {task!r}" if task else "without a task"] = f"{count} episodes"
    for name, value in dataset.origin.items():
        facts[f"origin: {name}"] = value
    return facts


def size_on_disk(path: Path) -> int:
    """Bytes of all files of a dataset."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def _keys(dataset: Dataset) -> list[str]:
    return [*dataset.signature.observation, ACTION]


def _rows(dataset: Dataset, key: str, moments: Any) -> list[dict[str, Any]]:
    spec = dataset.signature.action
    if key == ACTION:
        shape, dtype = ((), "int64") if spec.discrete else ((spec.dim,), "float32")
    else:
        observed = dataset.signature.observation[key]
        shape, dtype = observed.shape, observed.dtype
    if key in dataset.layout.encodings:
        names = ["red", "green", "blue"]
    else:
        names = entry_names(dataset, key, math.prod(shape))
    said = {"key": key, "shape": "x".join(map(str, shape)) or "1", "type": dtype}
    rows = []
    for i, name in enumerate(names):
        figures = {
            part: _rounded(getattr(moments, part)[i]) if moments else None
            for part in ("low", "mean", "high", "std")
        }
        rows.append({"key": key, "entry": name, **said, **figures})
    return rows


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def _readable(size_bytes: int) -> str:
    units = ("bytes", "KB", "MB", "GB", "TB")
    power = min(len(units) - 1, max(0, len(str(size_bytes)) - 1) // 3)
    return f"{size_bytes / 1000**power:.3g} {units[power]}"


# ------------------------------------------------------------------------------- contact sheet


def contact_sheet(dataset: Dataset, path: Path | str) -> Path:
    """A PNG that shows a dataset at a glance.

    With cameras, a row of pictures over time for each of a few episodes; without, the curves of
    state and action.

    Raises:
        ForethoughtError: the dataset is empty, or rows cannot be read.
    """
    if not dataset.num_episodes:
        raise ForethoughtError(f"{dataset.path}: no episodes to show; record or import some.")
    count = min(SHEET_EPISODES, dataset.num_episodes)
    episodes = np.linspace(0, dataset.num_episodes - 1, count).astype(int).tolist()
    draw = _pictures if dataset.layout.encodings else _curves
    figure = draw(dataset, episodes)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, facecolor="white", format="png")
    return path


def _titled(dataset: Dataset, width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    seconds = dataset.num_rows / dataset.signature.rate_hz
    figure.suptitle(
        f"{dataset.path.name}:  {dataset.num_episodes} episodes, {dataset.num_rows:,} rows, "
        f"{seconds / 60:.1f} minutes at {dataset.signature.rate_hz:g} Hz",
        fontsize=11,
        color=INK,
    )
    return figure


def _pictures(dataset: Dataset, episodes: list[int]) -> Figure:
    cameras = list(dataset.layout.encodings)
    lines = [(episode, camera) for episode in episodes for camera in cameras]
    height, width, _ = dataset.signature.observation[cameras[0]].shape
    cell = 1.45
    figure = _titled(dataset, SHEET_COLUMNS * cell + 0.6, len(lines) * cell * height / width + 0.9)
    grid = figure.subplots(len(lines), SHEET_COLUMNS, squeeze=False)
    for line, (episode, camera) in zip(grid, lines, strict=True):
        last = int(dataset.lengths[episode]) - 1
        steps = np.linspace(0, last, SHEET_COLUMNS).astype(int)
        images = dataset.frames(camera, [episode] * SHEET_COLUMNS, steps.tolist())
        name = camera.rsplit(".", 1)[-1]
        line[0].set_ylabel(f"episode {episode}\n{name}", fontsize=8, color=INK)
        for axes, image, step in zip(line, images, steps, strict=True):
            _picture(axes, image, f"{step / dataset.signature.rate_hz:.1f} s")
    return figure


def _picture(axes: Axes, image: np.ndarray, label: str) -> None:
    axes.imshow(image, interpolation="nearest" if max(image.shape) <= 96 else "antialiased")
    axes.set(xticks=[], yticks=[])
    axes.set_title(label, fontsize=7, color=FAINT, pad=2)
    for spine in axes.spines.values():
        spine.set_color("#d5dbe1")


def _curves(dataset: Dataset, episodes: list[int]) -> Figure:
    arrays = dataset.load(episodes)
    action = arrays.action.reshape(len(arrays.action), -1)
    curves = [
        (f"{name}", column, colour)
        for key, values, colour in (
            *((key, values, STATE_COLOUR) for key, values in arrays.observation.items()),
            (ACTION, action, ACTION_COLOUR),
        )
        for name, column in list(
            zip(_labels(dataset, key, values.shape[1]), values.T.numpy(), strict=True)
        )[:SHEET_CURVES]
    ]
    figure = _titled(dataset, 2.1 * len(episodes) + 1.6, 0.75 * len(curves) + 1.0)
    grid = figure.subplots(len(curves), len(episodes), squeeze=False, sharey="row", sharex="col")
    bounds = arrays.offsets.tolist()
    for line, (name, values, colour) in zip(grid, curves, strict=True):
        line[0].set_ylabel(name, fontsize=7, color=colour, rotation=0, ha="right", va="center")
        for place, axes in enumerate(line):
            piece = values[bounds[place] : bounds[place + 1]]
            axes.plot(np.arange(len(piece)) / dataset.signature.rate_hz, piece, color=colour, lw=1)
            _plain(axes)
    for axes, episode in zip(grid[0], episodes, strict=True):
        axes.set_title(f"episode {episode}", fontsize=8, color=INK)
    for axes in grid[-1]:
        axes.set_xlabel("seconds", fontsize=7, color=FAINT)
    return figure


def _labels(dataset: Dataset, key: str, width: int) -> list[str]:
    known = dataset.signature.action if key == ACTION else dataset.signature.observation[key]
    short = key.rsplit(".", 1)[-1]
    names = entry_names(dataset, key, width)
    return names if known.names else [f"{short} {name}" for name in names]


def _plain(axes: Axes) -> None:
    axes.tick_params(labelsize=6, colors=FAINT, length=2)
    axes.grid(alpha=0.25, lw=0.5)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#d5dbe1")
