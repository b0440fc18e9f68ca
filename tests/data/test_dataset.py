"""Laws of reading: splits, statistics, decoded arrays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from parts import CAMERA, SIZE, episode, signature

from forethought import data
from forethought.data import decoding
from forethought.types import ACTION, STATE, ForethoughtError


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> data.Dataset:
    path = tmp_path_factory.mktemp("data") / "d"
    with data.create(path, signature()) as writer:
        writer.append([episode(n, seed=i) for i, n in enumerate([5, 12, 2, 9, 30, 7])])
    return data.open(path)


@given(held_out=st.floats(0.01, 0.99), seed=st.integers(0, 2**31))
def test_splits_share_no_episode_and_repeat(
    dataset: data.Dataset, held_out: float, seed: int
) -> None:
    train, other = dataset.split(held_out=held_out, seed=seed)
    assert train and other
    assert sorted(train + other) == list(range(6))
    assert dataset.split(held_out=held_out, seed=seed) == (train, other)


def test_splits_differ_by_seed(dataset: data.Dataset) -> None:
    assert len({tuple(dataset.split(held_out=0.4, seed=seed)[1]) for seed in range(20)}) > 1


def test_one_episode_cannot_be_split(tmp_path: Path) -> None:
    with data.create(tmp_path / "d", signature()) as writer:
        writer.append([episode(50)])
    with pytest.raises(ForethoughtError, match=r"too few episodes \(1\)"):
        data.open(tmp_path / "d").split()


def test_loaded_rows_are_the_episodes_in_the_order_asked_for(dataset: data.Dataset) -> None:
    arrays = dataset.load([4, 0, 3])
    assert arrays.episodes == (4, 0, 3)
    assert arrays.offsets.tolist() == [0, 30, 35, 44]
    for place, index in enumerate(arrays.episodes):
        rows = slice(*arrays.offsets[place : place + 2].tolist())
        expected = dataset.episode(index)
        np.testing.assert_array_equal(arrays.action[rows].numpy(), expected.action)
        for key, values in expected.observation.items():
            np.testing.assert_array_equal(arrays.observation[key][rows].numpy(), values)


def test_images_are_reduced_by_area(dataset: data.Dataset) -> None:
    full = dataset.load(keys=[CAMERA]).observation[CAMERA].double()
    half = dataset.load(keys=[CAMERA], image_size=(SIZE // 2, SIZE // 4))
    assert half.signature.observation[CAMERA].shape == (SIZE // 2, SIZE // 4, 3)
    areas = full.unflatten(1, (SIZE // 2, 2)).unflatten(3, (SIZE // 4, 4)).mean((2, 4))
    assert (half.observation[CAMERA].double() - areas).abs().max() <= 1


def test_a_cache_gives_the_same_arrays_and_is_read_again(
    dataset: data.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = dataset.load([1, 4])
    cached = dataset.load([1, 4], cache=tmp_path, memory_limit_bytes=10)
    assert torch.equal(cached.observation[CAMERA], plain.observation[CAMERA])
    monkeypatch.setattr(decoding, "_fill", None)
    again = dataset.load([1, 4], cache=tmp_path, memory_limit_bytes=10)
    assert torch.equal(again.observation[CAMERA], plain.observation[CAMERA])
    again.observation[CAMERA].zero_()
    fresh = dataset.load([1, 4], cache=tmp_path, memory_limit_bytes=10)
    assert torch.equal(fresh.observation[CAMERA], plain.observation[CAMERA])


def test_statistics_are_those_of_the_rows(dataset: data.Dataset) -> None:
    statistics = dataset.statistics([0, 4])
    episodes = [dataset.episode(0), dataset.episode(4)]
    for key, parts in (
        (STATE, [e.observation[STATE] for e in episodes]),
        (ACTION, [e.action for e in episodes]),
    ):
        rows = np.concatenate(parts).astype(np.float64)
        changes = np.concatenate([np.diff(p.astype(np.float64), axis=0) for p in parts])
        found = statistics[key]
        np.testing.assert_allclose(found.mean, rows.mean(0))
        np.testing.assert_allclose(found.std, rows.std(0))
        np.testing.assert_allclose(found.low, rows.min(0))
        np.testing.assert_allclose(found.high, rows.max(0))
        np.testing.assert_allclose(found.change_std, np.sqrt((changes**2).mean(0)))
    # All frames but each episode's last are few enough to be taken, so the mean is theirs.
    frames = np.concatenate([e.observation[CAMERA][:-1] for e in episodes]).astype(np.float64)
    np.testing.assert_allclose(statistics[CAMERA].mean, frames.mean((0, 1, 2)))
    np.testing.assert_allclose(statistics[CAMERA].std, frames.std((0, 1, 2)))


def test_single_frames_are_those_of_the_episodes(dataset: data.Dataset) -> None:
    frames = dataset.frames(CAMERA, [4, 1, 4], [29, 0, 3])
    for frame, (index, step) in zip(frames, [(4, 29), (1, 0), (4, 3)], strict=True):
        np.testing.assert_array_equal(frame, dataset.episode(index).observation[CAMERA][step])


def test_unknown_keys_and_episodes_are_named(dataset: data.Dataset) -> None:
    with pytest.raises(ForethoughtError, match=r"observation\.heat"):
        dataset.load(keys=["observation.heat"])
    with pytest.raises(ForethoughtError, match="no episode 6"):
        dataset.load([6])
    with pytest.raises(ForethoughtError, match="no episode -1"):
        dataset.episode(-1)
    with pytest.raises(ForethoughtError, match=r"held_out=1\.5"):
        dataset.split(held_out=1.5)


def test_an_empty_dataset_opens(tmp_path: Path) -> None:
    data.create(tmp_path / "d", replace(signature(), rate_hz=5.0)).close()
    empty = data.open(tmp_path / "d")
    assert (empty.num_episodes, empty.num_rows, empty.tasks) == (0, 0, [])
    with pytest.raises(ForethoughtError, match="no episodes"):
        empty.statistics()
