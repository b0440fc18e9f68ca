"""Violation of expectation: clips are matched in every pixel; who knows is always right."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from forethought.evaluation.physics import (
    BLOCKS,
    CONTROLS,
    Block,
    BlockResult,
    Pairs,
    Summary,
    measure,
)
from forethought.evaluation.physics.controls import optical_flow
from forethought.evaluation.physics.quadruplets import crosswise, mirrored
from forethought.evaluation.physics.results import BARE, MODEL, Fault, PhysicsResults
from forethought.evaluation.physics.videos import open_videos
from forethought.evaluation.statistics import wilson
from forethought.types import ForethoughtError

SIZE = (16, 16)


@pytest.fixture(params=list(BLOCKS.values()), ids=list(BLOCKS))
def block(request: pytest.FixtureRequest) -> Block:
    return request.param


def change(frames: np.ndarray) -> np.ndarray:
    """Sum of all changes of pixels, frame by frame, in whole numbers."""
    return np.abs(np.diff(frames.astype(int), axis=0)).sum((1, 2, 3))


def test_all_four_clips_change_alike_in_every_frame(block: Block) -> None:
    for seed in range(12):
        four = block.quadruplet(seed)
        clips = (*four.possible, *four.impossible)
        assert all(np.array_equal(change(clips[0]), change(clip)) for clip in clips[1:])
        brightness = [clip.astype(int).sum((1, 2, 3)) for clip in clips]
        assert all(np.abs(one - brightness[0]).max() == 0 for one in brightness[:2])


def test_the_pairs_begin_alike_and_go_on_otherwise(block: Block) -> None:
    for seed in range(12):
        possible, impossible = block.pair(seed)
        begins = block.quadruplet(seed // 2).begins
        differs = (possible != impossible).any((1, 2, 3))
        assert differs.sum() >= 2
        # Where the door is may be what differs: it is seen first, and then what it means.
        if block.name != "two_rooms":
            assert not differs[:begins].any()
        again = block.pair(seed)
        assert np.array_equal(again[0], possible) and np.array_equal(again[1], impossible)


def test_each_way_to_show_a_block_comes_as_often() -> None:
    """However rarely it fits: of rooms, a wall that is passed, which is seen from the start, and a
    jump, which is not."""
    pairs = [BLOCKS["two_rooms"].pair(2 * seed) for seed in range(16)]
    walls = sum(bool((possible[0] != impossible[0]).any()) for possible, impossible in pairs)
    assert 4 <= walls <= 12


def test_controls_are_at_chance(block: Block) -> None:
    pairs = Pairs.of(block, 12)
    for name, control in CONTROLS.items():
        found = measure(control, pairs)
        for kind, estimate in found.pairs.items():
            assert estimate.value == 0.5, (name, kind)


def test_flow_is_what_moved() -> None:
    """A picture that is moved by two pixels has flow of two almost everywhere."""
    noise = np.random.default_rng(0).integers(0, 255, (32, 32, 3)).astype(np.uint8)
    clip = np.stack([noise, np.roll(noise, 2, axis=1)])[None]
    inner = optical_flow(clip)[0, 0]
    assert inner == pytest.approx(2, abs=0.3)
    assert optical_flow(np.stack([noise, noise])[None])[0, 0] == 0


def test_who_knows_is_right_and_who_does_not_is_right_half_of_the_time(block: Block) -> None:
    pairs = Pairs.of(block, 20)
    known = {one.tobytes() for one in pairs.possible}

    def truth(clips: np.ndarray) -> np.ndarray:
        return np.array([[0.0, clip.tobytes() not in known] for clip in clips])

    def nothing(clips: np.ndarray) -> np.ndarray:
        return np.ones((len(clips), 3))

    for kind in ("mean", "max"):
        assert measure(truth, pairs).pairs[kind].value == 1
        assert measure(truth, pairs).sets[kind].value == 1
        assert measure(nothing, pairs).pairs[kind].value == 0.5
        assert measure(nothing, pairs).single[kind] == 0.5


def test_clips_that_never_meet_are_not_joined() -> None:
    moving = np.zeros((10, 8, 8, 3), np.uint8)
    for frame in range(10):
        moving[frame, 2, frame % 3] = 200
    assert crosswise(moving, mirrored) is None
    moving[4:7] = 0
    # Out of sight for three frames, which is not long enough to have to be remembered.
    assert crosswise(moving, mirrored) is None
    moving[4:8] = 0
    four = crosswise(moving, mirrored)
    assert four is not None and four.begins == 8
    assert np.array_equal(four.impossible[0][:4], moving[:4])
    assert np.array_equal(four.impossible[0][8:], moving[8:, :, ::-1])


def test_bare_clips_are_the_same_where_no_screen_is(block: Block) -> None:
    """What screens leave open is seen alike; what can happen is still told from what cannot."""
    screens = np.array([120, 155])
    for seed in range(6):
        four = block.quadruplet(seed)
        assert four.bare is not None and four.bare.begins <= four.begins
        pairs = zip(
            (*four.possible, *four.impossible),
            (*four.bare.possible, *four.bare.impossible),
            strict=True,
        )
        for veiled, bare in pairs:
            grey = np.ptp(veiled, axis=-1) == 0
            screen = grey & np.isin(veiled[..., 0], screens)
            assert screen.any() and np.array_equal(veiled[~screen], bare[~screen])
        for possible, impossible in zip(four.bare.possible, four.bare.impossible, strict=True):
            assert (possible != impossible).any()


def test_a_jump_is_seen_where_nothing_is_hidden() -> None:
    """Pixels say nothing of matched clips, and all of bare ones in which a thing jumps."""
    pairs = Pairs.of(BLOCKS["continuity"], 20)
    assert pairs.bare is not None
    found = measure(CONTROLS["pixel difference"], pairs.bare)
    assert found.pairs["max"].value > 0.9
    assert measure(CONTROLS["pixel difference"], pairs).pairs["max"].value == 0.5


def result(name: str, share: float) -> BlockResult:
    """A block of which so many of 100 pairs were told apart."""
    right = np.arange(100) < round(100 * share)
    found = {"mean": wilson(right), "max": wilson(right if share == 0.6 else ~right)}
    moments = np.zeros((1, 1)), np.zeros((1, 1))
    return BlockResult(name=name, pairs=found, sets=found, single={}, surprises=moments)


def test_what_is_known_when_nothing_is_hidden_was_forgotten() -> None:
    results = PhysicsResults(
        data="",
        surprise="",
        summary=Summary.MEAN,
        choices={},
        says={},
        results={
            MODEL: [result("known", 0.95), result("forgotten", 0.6), result("unknown", 0.5)],
            BARE: [result("known", 0.5), result("forgotten", 0.97), result("unknown", 0.7)],
        },
        examples=[],
    )
    assert results.faults() == {"forgotten": Fault.MEMORY, "unknown": Fault.FORESIGHT}
    assert replace(results, results={MODEL: results.results[MODEL]}).faults() == {}
    # Bare clips are judged by the mean, whatever was chosen for the others.
    assert replace(results, summary=Summary.MAX).faults()["forgotten"] is Fault.MEMORY


def test_an_odd_number_of_pairs_is_refused() -> None:
    with pytest.raises(ForethoughtError, match="even number"):
        Pairs.of(BLOCKS["inertia"], 3)


# ------------------------------------------------------------------------ published folders


def coloured(level: int, count: int = 8) -> np.ndarray:
    """Frames of one colour, which rises with time."""
    frames = np.zeros((count, *SIZE, 3), np.uint8)
    frames += (10 * np.arange(count)[:, None, None, None] + level).astype(np.uint8)
    return frames


def write_run(folder: Path, frames: np.ndarray, *, can: bool) -> None:
    (folder / "scene").mkdir(parents=True)
    for number, frame in enumerate(frames, start=1):
        Image.fromarray(frame).save(folder / "scene" / f"scene_{number:03d}.png")
    (folder / "status.json").write_text(json.dumps({"header": {"is_possible": can}}))


def write_video(path: Path, frames: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(10))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


@pytest.fixture
def intphys(tmp_path: Path) -> Path:
    """One scene: runs 1 and 4 begin alike, and 2 and 3; 1 and 3 are possible."""
    first, second = coloured(0), coloured(100)
    joined = [
        np.concatenate([one[:4], other[4:]]) for one, other in ((first, second), (second, first))
    ]
    runs = [(first, True), (joined[1], False), (second, True), (joined[0], False)]
    for number, (frames, can) in enumerate(runs, start=1):
        write_run(tmp_path / "O1" / "01" / str(number), frames, can=can)
    return tmp_path


def test_intphys_is_paired_by_what_begins_alike(intphys: Path) -> None:
    (pairs,) = open_videos(intphys, "intphys", size=SIZE, frames=8)
    assert pairs.name == "O1" and pairs.groups == (0, 0)
    assert pairs.possible[:, 0, 0, 0, 0].tolist() == [0, 100]
    for possible, impossible in zip(pairs.possible, pairs.impossible, strict=True):
        assert np.array_equal(possible[:4], impossible[:4])
        assert not np.array_equal(possible[4:], impossible[4:])
    (half,) = open_videos(intphys, "intphys", size=(8, 8), frames=4)
    assert half.possible.shape == (2, 4, 8, 8, 3)


def test_grasp_is_paired_by_name(tmp_path: Path) -> None:
    for name in ("1.mp4", "2.mp4"):
        write_video(tmp_path / "P_Gravity" / name, coloured(0))
        write_video(tmp_path / "IP_Gravity" / name, coloured(120))
    (pairs,) = open_videos(tmp_path, "grasp", size=SIZE, frames=8)
    assert pairs.name == "Gravity" and len(pairs.possible) == 2 and pairs.groups == (0, 1)
    assert pairs.possible.mean() < pairs.impossible.mean() - 50


@pytest.fixture
def inflevel(tmp_path: Path) -> Path:
    """Two videos; priming ends at frames 3 and 4, and the second is the impossible one."""
    write_video(tmp_path / "gravity" / "a.mp4", coloured(0, count=10))
    write_video(tmp_path / "gravity" / "b.mp4", coloured(100, count=12))
    header = "vid1_path,vid1_end_priming_2,vid1_label,vid2_path,vid2_end_priming_2,vid2_label"
    row = "gravity/a.mp4,3,possible,gravity/b.mp4,4,impossible"
    (tmp_path / "gravity.csv").write_text(f"{header}\n{row}\n")
    return tmp_path


def test_inflevel_leaves_priming_out(inflevel: Path) -> None:
    """Six frames are left of the first, and the last six of the second."""
    (pairs,) = open_videos(inflevel, "inflevel", size=SIZE, frames=6)
    assert pairs.name == "gravity" and pairs.possible.shape == (1, 6, *SIZE, 3)
    first = pairs.possible[0, 0].mean(), pairs.impossible[0, 0].mean()
    assert first == (pytest.approx(40, abs=8), pytest.approx(160, abs=8))


def break_run(folder: Path) -> None:
    (folder / "O1" / "01" / "2" / "status.json").unlink()


def cut_run(folder: Path) -> None:
    for picture in (folder / "O1" / "01" / "3" / "scene").glob("*.png"):
        picture.unlink()


def cut_picture(folder: Path) -> None:
    picture = folder / "O1" / "01" / "1" / "scene" / "scene_001.png"
    picture.write_bytes(picture.read_bytes()[:20])


@pytest.mark.parametrize(
    ("damage", "said"),
    [(break_run, "status.json"), (cut_run, "0 pictures"), (cut_picture, "not an image")],
)
def test_damaged_scenes_are_named(intphys: Path, damage: Callable, said: str) -> None:
    damage(intphys)
    with pytest.raises(ForethoughtError, match=said):
        list(open_videos(intphys, "intphys", size=SIZE))


def test_damaged_videos_are_named(inflevel: Path) -> None:
    path = inflevel / "gravity" / "b.mp4"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 3])
    with pytest.raises(ForethoughtError, match=r"b\.mp4"):
        list(open_videos(inflevel, "inflevel", size=SIZE))
    path.unlink()
    with pytest.raises(ForethoughtError, match="no such video"):
        list(open_videos(inflevel, "inflevel", size=SIZE))


@pytest.mark.parametrize("layout", ["intphys", "grasp", "inflevel"])
def test_a_folder_of_something_else_is_refused(tmp_path: Path, layout: str) -> None:
    with pytest.raises(ForethoughtError, match=str(tmp_path)):
        list(open_videos(tmp_path, layout, size=SIZE))
    with pytest.raises(ForethoughtError, match="no such folder"):
        open_videos(tmp_path / "none", layout, size=SIZE)
    with pytest.raises(ForethoughtError, match="unknown"):
        open_videos(tmp_path, "kinetics", size=SIZE)
