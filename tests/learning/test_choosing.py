"""Clips to label: each the farthest from those before it, none twice, none that has labels."""

from __future__ import annotations

import json
import warnings

import pytest
import torch

from forethought import data, recipes, worlds
from forethought.cli import main
from forethought.data import Dataset
from forethought.learning import Clip, choose_clips
from forethought.learning.choosing import farthest_first
from forethought.learning.train import CollapseWarning
from forethought.model import Model
from forethought.types import ForethoughtError

PLACES = torch.tensor([0.0, 0.1, -0.1, 0.2, 10.0, -6.0, 0.0])


def clips_at(places: torch.Tensor) -> torch.Tensor:
    """Of two moments each, on a line."""
    return places[:, None, None].expand(-1, 2, 1) + torch.tensor([[-0.01], [0.01]])


def test_the_farthest_comes_next() -> None:
    """From the middle of all, 0.6, outwards; then what is left between."""
    assert farthest_first(clips_at(PLACES), 3) == [3, 4, 5]


def test_what_is_known_counts_as_picked() -> None:
    known = [torch.tensor([[9.0], [11.0]]), torch.tensor([[-5.5]])]
    assert farthest_first(clips_at(PLACES), 1, known)[0] not in (4, 5)


def test_all_are_picked_once_and_no_gap_is_wider_than_the_one_before() -> None:
    clips = torch.randn(40, 3, 4, generator=torch.Generator().manual_seed(0))
    picked = farthest_first(clips, 40)
    assert sorted(picked) == list(range(40))
    gaps = [
        float(torch.cdist(clips[one], clips[picked[:place]].flatten(0, 1)).amin(1).mean())
        for place, one in enumerate(picked)
        if place
    ]
    assert gaps == sorted(gaps, reverse=True)


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("rooms") / "episodes"
    return data.record(
        worlds.make("two_rooms", 6), folder, num_episodes=6, episode_length=48, visible=False
    )


@pytest.fixture(scope="module")
def model(rooms: Dataset) -> Model:
    """After five steps; it tells places apart all the same."""
    out = rooms.path.parent / "run"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapseWarning)
        return recipes.train(rooms, recipe="two_rooms", out=out, steps=5, visible=False)


def test_clips_of_recordings(rooms: Dataset, model: Model) -> None:
    """End to end, without those that share a row with one that has labels, however it lies."""
    everything = choose_clips(model, rooms, 18, length=15)
    assert sorted(everything) == [
        Clip(episode=one, first=first, length=15) for one in range(6) for first in (0, 15, 30)
    ]
    assert choose_clips(model, rooms, 4, length=15) == everything[:4]
    labelled = Clip(episode=2, first=10, length=10)
    others = choose_clips(model, rooms, 7, length=15, episodes=[1, 2, 4], labelled=[labelled])
    assert {one.episode for one in others} == {1, 2, 4}
    assert [one for one in others if one.episode == 2] == [Clip(episode=2, first=30, length=15)]


def test_more_clips_than_there_are(rooms: Dataset, model: Model) -> None:
    with pytest.raises(ForethoughtError, match="18 such clips"):
        choose_clips(model, rooms, 19, length=15)
    with pytest.raises(ForethoughtError, match="has 48 rows"):
        beyond = Clip(episode=0, first=40, length=15)
        choose_clips(model, rooms, 1, length=15, labelled=[beyond])


def test_from_the_command_line(rooms: Dataset, model: Model, capsys) -> None:
    run = rooms.path.parent / "run"
    words = ["choose", str(run), "--data", str(rooms.path), "--clips", "3", "--length", "15"]
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["clips"]
    assert [Clip(**one) for one in told] == list(choose_clips(model, rooms, 3, length=15))
