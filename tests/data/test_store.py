"""Laws of the episode store: what goes in comes out, what is wrong is refused, nothing is lost."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import lance
import numpy as np
import pytest
from parts import CAMERA, SIZE, assert_same, episode, signature

from forethought import data
from forethought.data import ImageEncoding, store
from forethought.data.schema import META, as_bytes, encode_image
from forethought.types import ACTION, STATE, ArraySpec, Episode, ForethoughtError


def write(path: Path, lengths: list[int], *, discrete: bool = False) -> list[Episode]:
    episodes = [episode(n, seed=i, discrete=discrete) for i, n in enumerate(lengths)]
    with data.create(path, signature(discrete=discrete)) as writer:
        writer.append(episodes)
    return episodes


@pytest.mark.parametrize("discrete", [False, True])
def test_round_trip_is_exact(tmp_path: Path, discrete: bool) -> None:
    written = write(tmp_path / "d", [2, 7, 30], discrete=discrete)
    dataset = data.open(tmp_path / "d")
    assert dataset.signature == signature(discrete=discrete)
    assert dataset.lengths.tolist() == [2, 7, 30]
    assert dataset.lengths.dtype == np.int64
    assert (dataset.num_episodes, dataset.num_rows) == (3, 39)
    assert dataset.tasks == ["go"] * 3
    for index, expected in enumerate(written):
        assert_same(dataset.episode(index), expected)


def test_png_is_exact_and_jpeg_bytes_pass_through(tmp_path: Path) -> None:
    images = episode(4).observation[CAMERA]
    jpegs = as_bytes([encode_image(image, ImageEncoding.JPEG) for image in images])
    original = episode(4)
    for name, encoding, given in (
        ("png", ImageEncoding.PNG, images),
        ("jpeg", ImageEncoding.JPEG, jpegs),
    ):
        given_episode = replace(original, observation={**original.observation, CAMERA: given})
        with data.create(tmp_path / name, signature(), encodings={CAMERA: encoding}) as writer:
            writer.append([given_episode])
    np.testing.assert_array_equal(
        data.open(tmp_path / "png").episode(0).observation[CAMERA], images
    )
    column = lance.dataset(str(tmp_path / "jpeg")).to_table().column(CAMERA.replace(".", "/"))
    assert column.to_pylist() == list(jpegs)


def test_appending_continues_and_order_is_kept(tmp_path: Path) -> None:
    first = write(tmp_path / "d", [3, 4])
    more = [episode(5, seed=9), episode(6, seed=10)]
    with data.append_to(tmp_path / "d", signature()) as writer:
        for one in more:
            writer.append([one])
    dataset = data.open(tmp_path / "d")
    for index, expected in enumerate([*first, *more]):
        assert_same(dataset.episode(index), expected)


def test_many_commits_are_joined_without_a_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "MANY_FRAGMENTS", 3)
    written = [episode(3, seed=i) for i in range(6)]
    with data.create(tmp_path / "d", signature()) as writer:
        for one in written:
            writer.append([one])
    assert len(lance.dataset(str(tmp_path / "d")).get_fragments()) == 1
    dataset = data.open(tmp_path / "d")
    for index, expected in enumerate(written):
        assert_same(dataset.episode(index), expected)


# ------------------------------------------------------------------------------- refusals


def broken(kind: str) -> Episode:
    good = episode(5)
    state = np.array(good.observation[STATE])
    match kind:
        case "nan in state":
            state[3, 1] = np.nan
            return replace(good, observation={**good.observation, STATE: state})
        case "infinite action":
            return replace(good, action=np.full_like(good.action, np.inf))
        case "shape":
            return replace(good, observation={**good.observation, STATE: state[:, :2]})
        case "dtype":
            return replace(good, observation={**good.observation, STATE: state.astype(np.float64)})
        case "missing":
            return replace(good, observation={CAMERA: good.observation[CAMERA]})
        case "extra":
            return replace(good, observation={**good.observation, "observation.heat": state})
        case "rows":
            return replace(good, observation={**good.observation, STATE: state[:4]})
        case "short":
            return episode(1)
    raise AssertionError(kind)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("nan in state", [STATE, "NaN", "row 3"]),
        ("infinite action", [ACTION, "infinite"]),
        ("shape", [STATE, "(5, 2)", "(5, 3)"]),
        ("dtype", [STATE, "float64", "float32"]),
        ("missing", [STATE, "missing"]),
        ("extra", ["observation.heat"]),
        ("rows", [STATE, "(4, 3)", "(5, 3)"]),
        ("short", ["1 rows", "at least 2"]),
    ],
)
def test_a_broken_episode_is_refused_before_anything_is_written(
    tmp_path: Path, kind: str, words: list[str]
) -> None:
    write(tmp_path / "d", [4])
    with data.append_to(tmp_path / "d", signature()) as writer:
        with pytest.raises(ForethoughtError) as caught:
            writer.append([episode(4, seed=1), broken(kind)])
        for word in ["episode 2", *words]:
            assert word in str(caught.value)
        writer.append([episode(3, seed=2)])
    assert data.open(tmp_path / "d").lengths.tolist() == [4, 3]


def test_choices_beyond_the_last_are_refused(tmp_path: Path) -> None:
    with (
        data.create(tmp_path / "d", signature(discrete=True)) as writer,
        pytest.raises(ForethoughtError, match="0 to 2"),
    ):
        writer.append([replace(episode(4, discrete=True), action=np.array([0, 1, 2, 3]))])


def test_images_that_are_none_are_refused(tmp_path: Path) -> None:
    good = episode(2)
    pictures = [encode_image(np.zeros((SIZE, SIZE, 3), np.uint8), ImageEncoding.JPEG), b"nothing"]
    wrong = replace(good, observation={**good.observation, CAMERA: as_bytes(pictures)})
    jpeg = {CAMERA: ImageEncoding.JPEG}
    with (
        data.create(tmp_path / "d", signature(), encodings=jpeg) as writer,
        pytest.raises(ForethoughtError, match=f"{CAMERA}.*row 1 is no image"),
    ):
        writer.append([wrong])
    with (
        data.create(tmp_path / "raw", signature()) as writer,
        pytest.raises(ForethoughtError, match="JPEG"),
    ):
        writer.append([wrong])


def test_signatures_that_cannot_be_stored_are_refused(tmp_path: Path) -> None:
    odd = replace(signature(), observation={STATE: ArraySpec(shape=(2, 2), dtype="float32")})
    with pytest.raises(ForethoughtError, match=STATE):
        data.create(tmp_path / "d", odd)
    assert not (tmp_path / "d").exists()


def test_paths_in_use_and_other_signatures_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "d", [3])
    with pytest.raises(ForethoughtError, match="already"):
        data.create(tmp_path / "d", signature())
    with pytest.raises(ForethoughtError, match="rate_hz 10"):
        data.append_to(tmp_path / "d", replace(signature(), rate_hz=20.0))


def test_two_writers_at_once_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "d", [3])
    one, two = (data.append_to(tmp_path / "d", signature()) for _ in range(2))
    one.append([episode(3)])
    with pytest.raises(ForethoughtError, match="another program"):
        two.append([episode(4)])
    assert data.open(tmp_path / "d").lengths.tolist() == [3, 3]


# ------------------------------------------------------------------------------- damage


def test_opening_what_is_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(ForethoughtError, match="no such file"):
        data.open(tmp_path / "missing")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ForethoughtError, match="not a dataset"):
        data.open(tmp_path / "folder")
    (tmp_path / "file").write_text("hello")
    with pytest.raises(ForethoughtError, match="not a dataset"):
        data.open(tmp_path / "file")


def test_another_format_version_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "d", [3])
    table = lance.dataset(str(tmp_path / "d")).to_table()
    content = json.loads(table.schema.metadata[META])
    other = table.replace_schema_metadata({META: json.dumps({**content, "format": 99})})
    lance.write_dataset(other, str(tmp_path / "other"))
    with pytest.raises(ForethoughtError, match="format 99"):
        data.open(tmp_path / "other")
    lance.write_dataset(table.replace_schema_metadata({}), str(tmp_path / "foreign"))
    with pytest.raises(ForethoughtError, match="not one of forethought"):
        data.open(tmp_path / "foreign")


@pytest.mark.parametrize("part", ["data", "_versions"])
def test_files_cut_short_are_an_error_that_says_so(tmp_path: Path, part: str) -> None:
    write(tmp_path / "d", [30, 40])
    for file in (tmp_path / "d" / part).iterdir():
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(ForethoughtError, match=r"damaged|cut short"):
        data.open(tmp_path / "d").load()


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    """A process that may not write files beyond a size stands for a disk that has no room."""
    program = f"""
import resource, signal, sys
sys.path[:0] = {[str(Path(__file__).parent), *sys.path]!r}
from parts import episode, signature
from forethought import data
from forethought.types import ForethoughtError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
writer = data.create({str(tmp_path / "d")!r}, signature())
writer.append([episode(10)])
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
try:
    writer.append([episode(1000, seed=1)])
except ForethoughtError as error:
    assert "disk is full" in str(error), error
else:
    raise AssertionError("written in spite of the limit")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
writer.append([episode(20, seed=2)])
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
    dataset = data.open(tmp_path / "d")
    assert dataset.lengths.tolist() == [10, 20]
    assert_same(dataset.episode(0), episode(10))


APPENDING = """
import sys
sys.path[:0] = {path!r}
from parts import episode, signature
from forethought import data
writer = data.create({out!r}, signature())
print("ready", flush=True)
for seed in range(100_000):
    writer.append([episode(200, seed=seed), episode(3, seed=seed)])
    print(seed, flush=True)
"""


@pytest.mark.parametrize("delay_s", [0.013, 0.11, 0.37])
def test_killed_while_appending_nothing_finished_is_lost(tmp_path: Path, delay_s: float) -> None:
    program = APPENDING.format(
        path=[str(Path(__file__).parent), *sys.path], out=str(tmp_path / "d")
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(delay_s)
        process.kill()
        finished = len(process.stdout.read().splitlines())
    dataset = data.open(tmp_path / "d")
    assert dataset.num_episodes in (2 * finished, 2 * finished + 2)
    for index in range(dataset.num_episodes):
        assert_same(dataset.episode(index), episode((200, 3)[index % 2], seed=index // 2))
    with data.append_to(tmp_path / "d", signature()) as writer:
        writer.append([episode(4, seed=77)])
    assert_same(data.open(tmp_path / "d").episode(dataset.num_episodes), episode(4, seed=77))


def test_what_a_writer_left_before_its_first_commit_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / "d" / "data").mkdir(parents=True)
    (tmp_path / "d" / "data" / "half.lance").write_bytes(b"half")
    (tmp_path / "d" / "_versions").mkdir()
    write(tmp_path / "d", [3])
    assert data.open(tmp_path / "d").lengths.tolist() == [3]
