"""Matched clips of published benchmarks, from folders as they are handed out.

IntPhys (Riochet et al., 2018), GRASP (Jassim et al., 2024) and InfLevel (Weihs et al., 2022), in
the pairs of Garrido et al. (2025). Nothing is downloaded: the data are their owners'.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import av
import numpy as np
from jaxtyping import UInt8

from forethought.data.importers.pictures import at_size, opened
from forethought.evaluation.physics.measuring import Pairs
from forethought.types import ForethoughtError

FRAMES = 50
RUNS = ("1", "2", "3", "4")
PICTURES = (".png", ".jpg", ".jpeg")
INFLEVEL = ("continuity", "solidity", "gravity")

Clip = UInt8[np.ndarray, "t h w 3"]
Folder = Callable[[Path, tuple[int, int], int], Iterator[Pairs]]


def open_videos(
    folder: Path | str, layout: str, *, size: tuple[int, int], frames: int = FRAMES
) -> Iterator[Pairs]:
    """Matched clips, one block of a benchmark after the other.

    Args:
        folder: as it was handed out, see the functions below.
        layout: ``intphys``, ``grasp`` or ``inflevel``.
        size: height and width that pictures are brought to, those that the model was trained on.
        frames: of each clip, evenly spread over it.

    Raises:
        ForethoughtError: an unknown layout, no such folder, or files that are missing, cut short
            or damaged; each is named.
    """
    if layout not in LAYOUTS:
        raise ForethoughtError(f"layout {layout!r} is unknown; there are {sorted(LAYOUTS)}.")
    if not Path(folder).is_dir():
        raise ForethoughtError(f"{folder}: no such folder; give the one that holds the videos.")
    if frames < 2:
        raise ForethoughtError(f"frames={frames}; a clip has at least 2.")
    return LAYOUTS[layout](Path(folder), size, frames)


# -------------------------------------------------------------------------------------- IntPhys


def intphys(folder: Path, size: tuple[int, int], frames: int) -> Iterator[Pairs]:
    """The development set: ``O1/01/1/scene/scene_001.png`` and ``O1/01/1/status.json``.

    Each of the blocks O1, O2 and O3 has numbered scenes of four runs, two of them possible. The
    possible run is paired with the impossible one with which it shares the longest beginning. A
    block's own folder may be given as well.
    """
    blocks = [one for one in sorted(folder.iterdir()) if one.is_dir() and one.name[:1] == "O"]
    if not blocks and folder.name[:1] == "O":
        blocks = [folder]
    if not blocks:
        raise ForethoughtError(
            f"{folder}: no blocks of IntPhys here; expected folders O1, O2, O3 as in its dev set."
        )
    for block in blocks:
        scenes = [one for one in sorted(block.iterdir()) if one.is_dir()]
        sets = [_intphys_scene(scene, size, frames) for scene in scenes]
        yield _joined(block, sets)


def _intphys_scene(scene: Path, size: tuple[int, int], frames: int) -> list[tuple[Clip, Clip]]:
    """The two pairs of a scene."""
    runs = [scene / name for name in RUNS]
    clips = [_pictures(run / "scene", size, frames) for run in runs]
    can = [_is_possible(run / "status.json") for run in runs]
    if sum(can) != 2:
        raise ForethoughtError(
            f"{scene}: {sum(can)} of four runs are possible, expected two; copy the scene again."
        )
    if len({len(clip) for clip in clips}) > 1:
        raise ForethoughtError(f"{scene}: runs of unlike length; copy the scene again.")
    possible = [clip for clip, one in zip(clips, can, strict=True) if one]
    impossible = [clip for clip, one in zip(clips, can, strict=True) if not one]
    shared = [[_shared(first, second) for second in impossible] for first in possible]
    if shared[0][0] + shared[1][1] < shared[0][1] + shared[1][0]:
        impossible.reverse()
    return list(zip(possible, impossible, strict=True))


def _is_possible(path: Path) -> bool:
    try:
        return bool(json.loads(path.read_text())["header"]["is_possible"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ForethoughtError(
            f"{path}: cannot be read ({error}); expected JSON with header.is_possible, which only "
            "the dev set of IntPhys has."
        ) from error


def _shared(first: Clip, second: Clip) -> int:
    """Frames until two clips differ."""
    differs = np.flatnonzero((first != second).any((1, 2, 3)))
    return int(differs[0]) if len(differs) else len(first)


# ---------------------------------------------------------------------------------------- GRASP


def grasp(folder: Path, size: tuple[int, int], frames: int) -> Iterator[Pairs]:
    """Level 2: ``P_<Property>/<name>.mp4`` is possible, ``IP_<Property>/<name>.mp4`` is not."""
    places = sorted(one for one in folder.iterdir() if one.is_dir() and one.name.startswith("P_"))
    if not places:
        raise ForethoughtError(
            f"{folder}: no folders P_<Property> here; give the folder level2 of GRASP."
        )
    for place in places:
        other = folder / f"IP_{place.name[2:]}"
        names = sorted(one.name for one in place.glob("*.mp4"))
        sets = [
            [(video(place / name, size, frames), video(other / name, size, frames))]
            for name in names
        ]
        yield _joined(place, sets)


# -------------------------------------------------------------------------------------- InfLevel


def inflevel(folder: Path, size: tuple[int, int], frames: int) -> Iterator[Pairs]:
    """InfLevel-lab: videos, and tables ``continuity.csv``, ``solidity.csv``, ``gravity.csv``.

    The tables are those of github.com/facebookresearch/jepa-intuitive-physics: a pair a line, with
    the videos' paths, where priming ends and which of the two is possible. What comes before the
    end of priming is left out, and so are frames by which the longer one of a pair begins earlier.
    """
    tables = [folder / f"{name}.csv" for name in INFLEVEL if (folder / f"{name}.csv").is_file()]
    if not tables:
        raise ForethoughtError(
            f"{folder}: none of {[f'{name}.csv' for name in INFLEVEL]} is here; put the tables of "
            "jepa-intuitive-physics (evaluation_code/auxiliary_data_loading_files/inflevel) beside "
            "the videos."
        )
    for table in tables:
        with table.open(newline="") as lines:
            rows = list(csv.DictReader(lines))
        sets = [[_inflevel_pair(table, row, size, frames)] for row in rows]
        yield _joined(table, sets)


def _inflevel_pair(
    table: Path, row: Mapping[str, str], size: tuple[int, int], frames: int
) -> tuple[Clip, Clip]:
    try:
        paths = [table.parent / row[f"vid{number}_path"] for number in (1, 2)]
        begins = [int(float(row[f"vid{number}_end_priming_2"])) + 1 for number in (1, 2)]
        first_can = row["vid1_label"] == "possible"
    except (KeyError, ValueError) as error:
        raise ForethoughtError(
            f"{table}: a line without what is expected ({error}); take the table of "
            "jepa-intuitive-physics."
        ) from error
    lengths = [video_length(path) for path in paths]
    left = [length - begin for length, begin in zip(lengths, begins, strict=True)]
    if min(left) < 2:
        raise ForethoughtError(
            f"{paths[int(np.argmin(left))]}: {min(lengths)} frames, and priming ends at "
            f"{begins[int(np.argmin(left))] - 1}; the video is cut short. Copy it again."
        )
    clips = [
        video(path, size, frames, begin=length - min(left))
        for path, length in zip(paths, lengths, strict=True)
    ]
    return (clips[0], clips[1]) if first_can else (clips[1], clips[0])


# --------------------------------------------------------------------------------------- reading


def _joined(place: Path, sets: Sequence[Sequence[tuple[Clip, Clip]]]) -> Pairs:
    """All pairs of a block."""
    pairs = [pair for one in sets for pair in one]
    if not pairs:
        raise ForethoughtError(f"{place}: no clips here; copy the folder again.")
    return Pairs(
        name=place.name.removeprefix("P_").removesuffix(".csv"),
        possible=np.stack([possible for possible, _ in pairs]),
        impossible=np.stack([impossible for _, impossible in pairs]),
        groups=tuple(number for number, one in enumerate(sets) for _ in one),
    )


def _pictures(folder: Path, size: tuple[int, int], frames: int) -> Clip:
    """A clip that lies as one file a frame."""
    paths = sorted(one for one in folder.glob("*") if one.suffix.lower() in PICTURES)
    if len(paths) < 2:
        raise ForethoughtError(
            f"{folder}: {len(paths)} pictures, expected a frame each; the run is missing or cut "
            "short. Copy it again."
        )
    chosen = (paths[i] for i in _spread(len(paths), frames))
    return np.stack([at_size(opened(one.read_bytes(), str(one)), size) for one in chosen])


def video(path: Path, size: tuple[int, int], frames: int, *, begin: int = 0) -> Clip:
    """Frames of a video, evenly spread from one on.

    Raises:
        ForethoughtError: it is missing, damaged, or ends before.
    """
    length = video_length(path)
    if length - begin < 2:
        raise ForethoughtError(
            f"{path}: {length} frames, expected more than {begin + 1}; it is cut short. Copy it "
            "again."
        )
    wanted = set((begin + _spread(length - begin, frames)).tolist())
    chosen = {
        number: at_size(frame.to_ndarray(format="rgb24"), size)
        for number, frame in enumerate(_decoded(path))
        if number in wanted
    }
    # Where fewer frames are there than asked for, some are shown twice, as in a slower film.
    return np.stack([chosen[int(begin + i)] for i in _spread(length - begin, frames)])


def video_length(path: Path) -> int:
    """Frames of a video, counted."""
    return sum(1 for _ in _decoded(path))


def _decoded(path: Path) -> Iterator[av.VideoFrame]:
    if not path.is_file():
        raise ForethoughtError(f"{path}: no such video; copy the folder again.")
    try:
        with av.open(str(path)) as container:
            yield from container.decode(container.streams.video[0])
    except (av.FFmpegError, IndexError) as error:
        raise ForethoughtError(
            f"{path}: the video cannot be decoded ({error}); copy it again."
        ) from error


def _spread(length: int, frames: int) -> np.ndarray:
    """So many numbers of frames, evenly spread."""
    return np.linspace(0, length - 1, frames).round().astype(int)


LAYOUTS: Mapping[str, Folder] = {"intphys": intphys, "grasp": grasp, "inflevel": inflevel}
"""The layouts by name."""
