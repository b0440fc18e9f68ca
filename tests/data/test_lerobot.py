"""LeRobot datasets: what is in the files is in the dataset, and what is missing is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from lerobot_files import (
    CAMERA_KEY,
    FPS,
    LENGTHS,
    NAMES,
    SIDE,
    encode,
    frame,
    lerobot_data,
    write_v21,
    write_v30,
)

from forethought.data import Dataset, ImageEncoding
from forethought.data.importers import ImportSettings, detect, import_dataset
from forethought.data.schema import encode_image
from forethought.types import STATE, ForethoughtError

TOLERANCE = 6


@pytest.fixture(scope="module")
def v21(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("lerobot") / "v21"
    write_v21(root)
    return root


@pytest.fixture(scope="module")
def v30(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("lerobot") / "v30"
    write_v30(root)
    return root


def brought_in(source: Path, out: Path, **settings: object) -> Dataset:
    return import_dataset(source, out, ImportSettings(**settings), visible=False)


def assert_pictures_are_of_their_rows(dataset: Dataset, numbers: tuple[int, ...]) -> None:
    for index, number in enumerate(numbers):
        images = dataset.episode(index).observation[CAMERA_KEY].astype(float)
        assert len(images) == LENGTHS[number]
        for row, image in enumerate(images):
            expected = frame(number, row).astype(float)
            scale = SIDE // image.shape[0]
            assert np.abs(image - expected[::scale, ::scale]).mean() < TOLERANCE, (number, row)


def test_both_versions_give_the_same_rows_names_and_tasks(
    v21: Path, v30: Path, tmp_path: Path
) -> None:
    expected = lerobot_data()
    for name, source in (("v21", v21), ("v30", v30)):
        assert detect(source) == "lerobot"
        dataset = brought_in(source, tmp_path / name)
        assert dataset.lengths.tolist() == list(LENGTHS)
        assert dataset.tasks == ["task 0", "task 1", "task 2"]
        assert dataset.signature.rate_hz == FPS
        assert dataset.signature.observation[STATE].names == tuple(NAMES)
        assert dataset.signature.action.names == tuple(NAMES)
        assert dataset.layout.encodings[CAMERA_KEY] is ImageEncoding.JPEG
        for index in range(3):
            episode = dataset.episode(index)
            np.testing.assert_array_equal(episode.observation[STATE], expected.state[index])
            np.testing.assert_array_equal(episode.action, expected.action[index])
        assert_pictures_are_of_their_rows(dataset, (0, 1, 2))


@pytest.mark.parametrize("write", [write_v21, write_v30])
def test_av1_is_read_like_h264(tmp_path: Path, write: Callable[..., None]) -> None:
    write(tmp_path / "source", codec="libsvtav1")
    dataset = brought_in(tmp_path / "source", tmp_path / "d", image_size=(16, 16))
    assert dataset.layout.encodings[CAMERA_KEY] is ImageEncoding.RAW
    assert dataset.signature.observation[CAMERA_KEY].shape == (16, 16, 3)
    assert_pictures_are_of_their_rows(dataset, (0, 1, 2))


def test_single_episodes_are_found_within_shared_files(v30: Path, tmp_path: Path) -> None:
    dataset = brought_in(v30, tmp_path / "d", episodes=(2, 1))
    np.testing.assert_array_equal(dataset.episode(0).action, lerobot_data().action[2])
    assert_pictures_are_of_their_rows(dataset, (2, 1))


def test_images_inside_parquet_files(tmp_path: Path) -> None:
    pictures = [
        [encode_image(frame(i, row), ImageEncoding.PNG) for row in range(n)]
        for i, n in enumerate(LENGTHS)
    ]
    write_v21(tmp_path / "source", embedded=pictures)
    dataset = brought_in(tmp_path / "source", tmp_path / "d", image_size=(SIDE, SIDE))
    for index, length in enumerate(LENGTHS):
        images = dataset.episode(index).observation[CAMERA_KEY]
        for row in range(length):
            np.testing.assert_array_equal(images[row], frame(index, row))


def test_without_cameras(v21: Path, tmp_path: Path) -> None:
    dataset = brought_in(v21, tmp_path / "d", state_only=True)
    assert list(dataset.signature.observation) == [STATE]


def test_a_file_of_frames_stands_for_the_videos(v21: Path, tmp_path: Path) -> None:
    places = [(i, row) for i in (0, 2) for row in range(0, LENGTHS[i], 3)]
    jpegs = [encode_image(frame(*place), ImageEncoding.JPEG) for place in places]
    np.savez(
        tmp_path / "frames.npz",
        jpeg=np.frombuffer(b"".join(jpegs), np.uint8),
        offsets=np.cumsum([0, *map(len, jpegs)]),
        episode_index=np.array([i for i, _ in places]),
        frame_index=np.array([row for _, row in places]),
    )
    dataset = brought_in(v21, tmp_path / "d", frames=tmp_path / "frames.npz")
    assert dataset.signature.rate_hz == pytest.approx(FPS / 3)
    assert dataset.tasks == ["task 0", "task 2"]
    for index, number in enumerate((0, 2)):
        episode = dataset.episode(index)
        np.testing.assert_array_equal(episode.action, lerobot_data().action[number][::3])
        for row, image in enumerate(episode.observation[CAMERA_KEY]):
            assert np.abs(image.astype(float) - frame(number, 3 * row)).mean() < TOLERANCE


# ------------------------------------------------------------------------------- refusals


def copied(source: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(source, tmp_path / "source"))


def test_a_missing_video_names_the_whole_episodes_and_the_remedy(v21: Path, tmp_path: Path) -> None:
    source = copied(v21, tmp_path)
    next((source / "videos").rglob("episode_000001.mp4")).unlink()
    with pytest.raises(ForethoughtError, match=r"episode 1 is missing.*--episodes 0 2"):
        brought_in(source, tmp_path / "d")
    assert not (tmp_path / "d").exists()
    assert brought_in(source, tmp_path / "d", episodes=(0, 2)).num_episodes == 2


def test_other_versions_are_refused(v21: Path, tmp_path: Path) -> None:
    source = copied(v21, tmp_path)
    info = json.loads((source / "meta" / "info.json").read_text())
    (source / "meta" / "info.json").write_text(json.dumps({**info, "codebase_version": "v9"}))
    with pytest.raises(ForethoughtError, match=r"'v9'; v2\.1 and v3\.0"):
        brought_in(source, tmp_path / "d")


def test_videos_cut_short_are_refused_and_nothing_is_left(v21: Path, tmp_path: Path) -> None:
    source = copied(v21, tmp_path)
    video = next((source / "videos").rglob("episode_000002.mp4"))
    encode(video, [frame(2, row) for row in range(4)], "libx264")
    with pytest.raises(ForethoughtError, match=r"episode_000002\.mp4: no frame at second 0\.4"):
        brought_in(source, tmp_path / "d")
    video.write_bytes(b"nothing")
    with pytest.raises(ForethoughtError, match="cannot be decoded"):
        brought_in(source, tmp_path / "d")
    assert not (tmp_path / "d").exists()


def test_unknown_episodes_and_damaged_tables_are_named(v21: Path, tmp_path: Path) -> None:
    with pytest.raises(ForethoughtError, match="no episode 7; there are 3: 0 1 2"):
        brought_in(v21, tmp_path / "d", episodes=(7,))
    source = copied(v21, tmp_path)
    next((source / "data").rglob("episode_000001.parquet")).write_bytes(b"nothing")
    with pytest.raises(ForethoughtError, match=r"episode_000001\.parquet: cannot be read"):
        brought_in(source, tmp_path / "d")


def test_output_in_use_is_refused(v21: Path, tmp_path: Path) -> None:
    brought_in(v21, tmp_path / "d", state_only=True)
    with pytest.raises(ForethoughtError, match="already"):
        brought_in(v21, tmp_path / "d")
