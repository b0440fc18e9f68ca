"""Metrics of a run: a progress bar for people, JSON lines for machines, TensorBoard by wish."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn


@runtime_checkable
class Sink(Protocol):
    """Somewhere metrics go."""

    def write(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        """One row of metrics."""
        ...


class JSONLines:
    """One JSON object per line; a resumed run drops the rows that it will write again.

    Args:
        path: the file; made if missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        """See :class:`Sink`."""
        with self.path.open("a") as file:
            file.write(json.dumps({"stage": stage, "step": step, **values}) + "\n")

    def keep_until(self, stages_done: Iterable[str], stage: str, step: int) -> None:
        """Drops what was logged after a checkpoint, so that no step is logged twice."""
        done = set(stages_done)
        rows = [
            row
            for row in read_metrics(self.path)
            if row["stage"] in done or (row["stage"] == stage and row["step"] < step)
        ]
        self.path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The rows of a metrics file; a last line cut short by a crash is left out."""
    if not path.exists():
        return []
    rows = []
    for line in path.read_text().splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


class TensorBoard:
    """Scalars for TensorBoard.

    Args:
        folder: where event files go.
    """

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter

        self.writer = SummaryWriter(str(folder))

    def write(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        """See :class:`Sink`."""
        for name, value in values.items():
            self.writer.add_scalar(f"{stage}/{name}", value, step)
        self.writer.flush()


class ProgressBar:
    """A bar with the latest metrics beside it, on standard error.

    Args:
        progress: the display.
        task: the bar in it.
    """

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def advance(self, step: int) -> None:
        """Moves the bar to ``step``."""
        self._progress.update(self._task, completed=step)

    def write(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        """Shows the metrics that a person watches."""
        shown = {"loss": "loss", "effective_rank": "rank", "copy_ratio": "vs copy"}
        parts = [f"{label} {values[name]:.3g}" for name, label in shown.items() if name in values]
        if "images_per_second" in values:
            parts.append(f"{values['images_per_second']:.0f} images/s")
        self._progress.update(self._task, completed=step, note="  ".join(parts))


@contextmanager
def progress_bar(label: str, total: int, *, visible: bool) -> Iterator[ProgressBar]:
    """A progress bar for one stage."""
    with Progress(
        TextColumn("{task.description:<18}"),
        BarColumn(bar_width=28),
        TextColumn("{task.completed}/{task.total}"),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True),
        disable=not visible,
    ) as progress:
        yield ProgressBar(progress, progress.add_task(label, total=total, note=""))
