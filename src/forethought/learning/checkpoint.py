"""Checkpoints from which training continues to the bit.

A checkpoint is a folder: weights and optimiser state as safetensors, the rest as JSON. It is
written beside its place and moved there in one step, so one that exists is whole; the one before
it is removed only afterwards. Random numbers need no saving: those of step i come from a generator
seeded by (seed, stage, i).
"""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from forethought.types import ForethoughtError

VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a run has come.

    Attributes:
        stage: the stage under way.
        step: steps of it that are finished.
        done: stages finished before it.
        seconds: training time so far, by stage.
    """

    stage: str
    step: int
    done: tuple[str, ...]
    seconds: Mapping[str, float]


def step_generator(seed: int, stage: str, step: int) -> torch.Generator:
    """The only source of randomness of one training step."""
    # The generator keeps 32 bits of its seed, so all three are mixed into them.
    return torch.Generator().manual_seed(zlib.crc32(f"{seed}:{stage}:{step}".encode()))


def save_checkpoint(
    folder: Path, learner: nn.Module, optimiser: torch.optim.Optimizer, progress: Progress
) -> Path:
    """Writes a checkpoint and removes the earlier ones; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / f"{len(progress.done)}-{progress.stage}-{progress.step:08d}"
    partial = folder / f"{place.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    save_file(_contiguous(learner.state_dict()), partial / "learner.safetensors")
    save_file(_optimiser_tensors(optimiser), partial / "optimiser.safetensors")
    state = {
        "version": VERSION,
        "stage": progress.stage,
        "step": progress.step,
        "done": list(progress.done),
        "seconds": dict(progress.seconds),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    (partial / "state.json").write_text(json.dumps(state))
    _flush(partial)
    if place.exists():
        shutil.rmtree(place)
    os.replace(partial, place)
    for other in folder.iterdir():
        if other != place:
            shutil.rmtree(other, ignore_errors=True)
    return place


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint, if there is one."""
    if not folder.is_dir():
        return None
    whole = [path for path in folder.iterdir() if path.is_dir() and path.suffix != ".partial"]
    return max(whole, key=lambda path: path.name, default=None)


def read_progress(checkpoint: Path) -> Progress:
    """How far the run of a checkpoint had come.

    Raises:
        ForethoughtError: the checkpoint is damaged or of another version.
    """
    path = checkpoint / "state.json"
    try:
        state: dict[str, Any] = json.loads(path.read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise ForethoughtError(
            f"{path}: the checkpoint cannot be read ({error}). Remove {checkpoint} and resume; "
            "training continues from the one before, or from the start."
        ) from error
    if state.get("version") != VERSION:
        raise ForethoughtError(
            f"{path}: checkpoint version {state.get('version')!r}, this version reads {VERSION}. "
            "Train again into another folder, or install the version that wrote it."
        )
    return Progress(
        stage=state["stage"],
        step=state["step"],
        done=tuple(state["done"]),
        seconds=state["seconds"],
    )


def load_learner(checkpoint: Path, learner: nn.Module) -> None:
    """Puts a checkpoint's weights into ``learner``."""
    learner.load_state_dict(_load(checkpoint / "learner.safetensors"))


def load_optimiser(checkpoint: Path, optimiser: torch.optim.Optimizer) -> None:
    """Puts a checkpoint's optimiser state into ``optimiser``."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in _load(checkpoint / "optimiser.safetensors").items():
        index, entry = name.split("/", 1)
        state.setdefault(int(index), {})[entry] = value
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})


def _load(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except Exception as error:
        raise ForethoughtError(
            f"{path}: the checkpoint cannot be read ({error}). Remove its folder and resume."
        ) from error


def _optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    state = optimiser.state_dict()["state"]
    return _contiguous(
        {f"{index}/{name}": value for index, held in state.items() for name, value in held.items()}
    )


def _contiguous(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().contiguous() for name, value in tensors.items()}


def _flush(folder: Path) -> None:
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
