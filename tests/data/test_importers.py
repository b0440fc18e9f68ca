"""Donkeycar tubs, CSV and Parquet recordings, and telling formats apart."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path

import lance
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from parts import SIZE
from PIL import Image

from forethought.data import Dataset, ImageEncoding
from forethought.data.importers import ImportSettings, detect, import_dataset
from forethought.data.importers.donkeycar import CAMERA
from forethought.data.importers.mapping import read_mapping
from forethought.data.schema import column_of, encode_image
from forethought.types import IMAGES, STATE, ForethoughtError

REAL = os.environ.get("FORETHOUGHT_DATA", "")


def brought_in(source: Path, out: Path, **settings: object) -> Dataset:
    return import_dataset(source, out, ImportSettings(**settings), visible=False)


# ------------------------------------------------------------------------------- Donkeycar


def jpeg(number: int) -> bytes:
    return encode_image(np.full((SIZE, SIZE, 3), number * 5, np.uint8), ImageEncoding.JPEG)


def write_tub(root: Path, *, deleted: tuple[int, ...] = (), second_session_at: int = 99) -> None:
    """Thirty records in two catalogs."""
    (root / "images").mkdir(parents=True)
    for number in range(30):
        (root / "images" / f"{number}.jpg").write_bytes(jpeg(number))
    (root / "._manifest.json").write_bytes(b"\x00litter")
    for name, numbers in (("catalog_0.catalog", range(20)), ("catalog_1.catalog", range(20, 30))):
        records = [
            {
                "_index": n,
                "_session_id": f"s{int(n >= second_session_at)}",
                "cam/image_array": f"{n}.jpg",
                "user/angle": n / 30,
                "user/throttle": 0.5,
                "user/mode": "user",
            }
            for n in numbers
        ]
        (root / name).write_text("\n".join(map(json.dumps, records)))
    last = {
        "paths": ["catalog_0.catalog", "catalog_1.catalog"],
        "deleted_indexes": list(deleted),
    }
    (root / "manifest.json").write_text("\n".join(["[]", "[]", "{}", "{}", json.dumps(last)]))


def test_a_tub_keeps_its_jpegs_and_actions(tmp_path: Path) -> None:
    write_tub(tmp_path / "tub")
    assert detect(tmp_path / "tub") == "donkeycar"
    dataset = brought_in(tmp_path / "tub", tmp_path / "d")
    assert dataset.lengths.tolist() == [30]
    assert dataset.signature.rate_hz == 20
    assert dataset.signature.action.names == ("steering", "throttle")
    np.testing.assert_allclose(dataset.episode(0).action[:, 0], np.arange(30) / 30, rtol=1e-6)
    column = lance.dataset(str(dataset.path)).to_table().column(column_of(CAMERA))
    assert column.to_pylist() == [jpeg(number) for number in range(30)]


def test_deleted_records_and_sessions_end_episodes(tmp_path: Path) -> None:
    write_tub(tmp_path / "tub", deleted=(7, 8), second_session_at=20)
    dataset = brought_in(tmp_path / "tub", tmp_path / "d", rate_hz=10.0)
    assert dataset.lengths.tolist() == [7, 11, 10]
    assert dataset.signature.rate_hz == 10
    first = [dataset.episode(i).action[0, 0] * 30 for i in range(3)]
    np.testing.assert_allclose(first, [0, 9, 20], rtol=1e-5)


def test_an_archive_cut_into_episodes_and_reduced(tmp_path: Path) -> None:
    write_tub(tmp_path / "tub")
    with tarfile.open(tmp_path / "tub.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "tub", arcname="somewhere/tub")
    dataset = brought_in(
        tmp_path / "tub.tar.gz", tmp_path / "d", episode_length=10, image_size=(8, 8)
    )
    assert dataset.lengths.tolist() == [10, 10, 10]
    means = dataset.load().observation[CAMERA].double().mean((1, 2, 3))
    np.testing.assert_allclose(means, 5 * np.arange(30), atol=2)


def test_damaged_tubs_name_what_is_damaged(tmp_path: Path) -> None:
    write_tub(tmp_path / "tub")
    (tmp_path / "tub" / "images" / "3.jpg").write_bytes(jpeg(3)[:40])
    with pytest.raises(ForethoughtError, match=r"3\.jpg: the image cannot be read"):
        brought_in(tmp_path / "tub", tmp_path / "d")
    (tmp_path / "tub" / "catalog_1.catalog").write_text('{"_index": 20}')
    with pytest.raises(ForethoughtError, match=r"catalog_1\.catalog, line 1"):
        brought_in(tmp_path / "tub", tmp_path / "d")
    (tmp_path / "tub" / "manifest.json").write_text("{}")
    with pytest.raises(ForethoughtError, match=r"manifest\.json: not the manifest"):
        brought_in(tmp_path / "tub", tmp_path / "d")


# ------------------------------------------------------------------------------- tables

MAPPING = """\
episodes: "run_*"
rate_hz: 40
task: drive
state:
  - {file: trajectory.csv, column: 0, name: x, unit: m}
  - {file: trajectory.csv, column: 1, name: heading, angle: true}
action:
  - {file: input.csv, column: 0, name: steering, scale: 2}
"""


def write_runs(root: Path, lengths: tuple[int, ...] = (5, 8, 6)) -> list[np.ndarray]:
    """Files without a header, with one action less; numbered so that text order is not theirs."""
    generator = np.random.default_rng(0)
    values = [generator.normal(size=(n, 3)) for n in lengths]
    for number, table in zip((1, 2, 10), values, strict=True):
        folder = root / f"run_{number}"
        folder.mkdir(parents=True)
        np.savetxt(folder / "trajectory.csv", table[:, :2], delimiter=",")
        np.savetxt(folder / "input.csv", table[:-1, 2:], delimiter=",")
    return values


def mapping_file(tmp_path: Path, text: str = MAPPING) -> Path:
    path = tmp_path / "mapping.yaml"
    path.write_text(text)
    return path


def test_several_files_an_episode_are_joined_by_row(tmp_path: Path) -> None:
    values = write_runs(tmp_path / "runs")
    dataset = brought_in(tmp_path / "runs", tmp_path / "d", mapping=mapping_file(tmp_path))
    assert dataset.lengths.tolist() == [5, 8, 6]
    assert dataset.signature.observation[STATE].names == ("x [m]", "heading.sin", "heading.cos")
    assert dataset.signature.rate_hz == 40
    for index, table in enumerate(values):
        episode = dataset.episode(index)
        expected = np.stack([table[:, 0], np.sin(table[:, 1]), np.cos(table[:, 1])], 1)
        np.testing.assert_allclose(episode.observation[STATE], expected, rtol=1e-5)
        np.testing.assert_allclose(episode.action[:-1, 0], 2 * table[:-1, 2], rtol=1e-5)


def test_parquet_with_names_times_and_pictures(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    (root / "images").mkdir(parents=True)
    for number in range(6):
        Image.fromarray(np.full((SIZE, SIZE, 3), number * 40, np.uint8)).save(
            root / "images" / f"{number}.png"
        )
    content = {
        "clock": [1000 + 50 * n for n in range(6)],
        "angle": np.arange(6.0),
        "command": np.arange(6.0) ** 2,
        "photo": [f"images/{n}.png" for n in range(6)],
    }
    for name in ("a", "b"):
        pq.write_table(pa.table(content), root / f"{name}.parquet")
    mapping = {
        "episodes": "*.parquet",
        "time": {"column": "clock", "unit": "ms"},
        "state": [{"column": "angle", "name": "angle"}],
        "action": [{"column": "command", "name": "command"}],
        "images": [{"column": "photo", "name": "front"}],
    }
    text = json.dumps(mapping)
    dataset = brought_in(
        root, tmp_path / "d", mapping=mapping_file(tmp_path, text), image_size=(SIZE, SIZE)
    )
    assert dataset.num_episodes == 2
    assert dataset.signature.rate_hz == pytest.approx(20)
    episode = dataset.episode(1)
    np.testing.assert_array_equal(episode.action[:, 0], np.arange(6) ** 2)
    np.testing.assert_array_equal(
        episode.observation[IMAGES + "front"][:, 0, 0, 0], 40 * np.arange(6)
    )
    content["clock"][3] += 1000
    pq.write_table(pa.table(content), root / "b.parquet")
    with pytest.raises(ForethoughtError, match=r"b\.parquet: time steps are not even"):
        brought_in(root, tmp_path / "e", mapping=mapping_file(tmp_path, text))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("rate_hz: 40", "rate_hz: fast", ["line 2", "rate_hz", "'fast'"]),
        ("column: 1, name: heading", "column: 1, named: heading", ["line 6", "state.1.name"]),
        ("column: 1", "column: 7", ["trajectory.csv", "no column 7"]),
        ("rate_hz: 40", "", ["either rate_hz or time"]),
        ("run_*", "walk_*", ["'walk_*' matches nothing"]),
        ("task: drive", "task: [drive", ["not valid YAML"]),
        ("trajectory.csv, column: 0", "other.csv, column: 0", ["other.csv: cannot be read"]),
        ("name: heading,", "name: x, unit: m}\n  - {file: trajectory.csv, column: 1, name: h,", []),
    ],
)
def test_mappings_that_do_not_fit_name_the_line_or_file(
    tmp_path: Path, old: str, new: str, words: list[str]
) -> None:
    write_runs(tmp_path / "runs")
    assert old in MAPPING
    mapping = mapping_file(tmp_path, MAPPING.replace(old, new))
    with pytest.raises(ForethoughtError) as caught:
        brought_in(tmp_path / "runs", tmp_path / "d", mapping=mapping)
    for word in words or ["'x [m]' twice"]:
        assert word in str(caught.value)
    assert not (tmp_path / "d").exists()


def test_gaps_in_a_table_are_refused(tmp_path: Path) -> None:
    write_runs(tmp_path / "runs")
    path = tmp_path / "runs" / "run_2" / "trajectory.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:3], "nan,0.1", *lines[4:]]))
    with pytest.raises(ForethoughtError, match=r"'observation\.state' holds NaN"):
        brought_in(tmp_path / "runs", tmp_path / "d", mapping=mapping_file(tmp_path))
    assert not (tmp_path / "d").exists()


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ForethoughtError, match="no such file"):
        brought_in(tmp_path / "missing", tmp_path / "d")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ForethoughtError, match="not recognised"):
        brought_in(tmp_path / "folder", tmp_path / "d")
    write_runs(tmp_path / "runs")
    with pytest.raises(ForethoughtError, match="--mapping"):
        brought_in(tmp_path / "runs", tmp_path / "d")


def test_the_example_mappings_are_valid() -> None:
    files = sorted((Path(__file__).parents[2] / "examples" / "mappings").glob("*.yaml"))
    assert len(files) >= 2
    for file in files:
        assert read_mapping(file).rate_hz


@pytest.mark.skipif(not REAL, reason="FORETHOUGHT_DATA names no folder of real recordings")
def test_real_recordings(tmp_path: Path) -> None:
    real, mappings = Path(REAL), Path(__file__).parents[2] / "examples" / "mappings"
    cars = brought_in(real / "f1tenth", tmp_path / "f", mapping=mappings / "f1tenth.yaml")
    assert (cars.num_episodes, cars.num_rows) == (41, 4961)
    arm = brought_in(
        real / "schunk_arm" / "measurements.tar.gz",
        tmp_path / "s",
        mapping=mappings / "schunk_arm.yaml",
    )
    assert (arm.num_episodes, arm.num_rows) == (100, 67550)
    tub = brought_in(real / "donkeycar_tub" / "tub.tar.gz", tmp_path / "t", episode_length=100)
    assert (tub.num_episodes, tub.num_rows) == (10, 1000)
    robot = real / "unitree_g1_pick"
    state = brought_in(robot, tmp_path / "g", state_only=True)
    assert (state.num_episodes, state.num_rows) == (100, 35965)
    seen = brought_in(robot, tmp_path / "h", frames=robot / "frames64_10fps.npz")
    assert (seen.num_episodes, seen.num_rows) == (93, 10859)
    film = brought_in(robot, tmp_path / "i", episodes=(10,), image_size=(64, 64))
    assert film.num_episodes == 1
