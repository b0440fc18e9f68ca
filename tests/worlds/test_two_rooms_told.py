"""Two rooms that say in words where one came to: what is said is true, and some is never said."""

from __future__ import annotations

import numpy as np
import pytest

from forethought import data
from forethought.data.record import TRUTH
from forethought.types import ForethoughtError, Telling, words_of
from forethought.worlds.two_rooms import RANDOM
from forethought.worlds.two_rooms_told import TwoRoomsTold, never_said, places

FIRST = 1_000_000
COUNT = 200


def tasks() -> TwoRoomsTold:
    world = TwoRoomsTold(1)
    world.reset(range(FIRST, FIRST + COUNT))
    return world


def meant(world: TwoRoomsTold, sentence: str):
    """The place that a sentence names; there is one."""
    (place,) = [
        one
        for one in world.places
        if sentence in {*one.sentences(held_out=True), *one.sentences(held_out=False)}
    ]
    return place


def test_what_is_said_of_a_recording_is_true_and_may_be_said(tmp_path) -> None:
    world = TwoRoomsTold(40)
    assert isinstance(world, Telling)
    made = data.record(world, tmp_path / "d", num_episodes=60, episode_length=20, visible=False)
    told = 0
    for number, text in enumerate(made.tasks):
        if not text:
            continue
        end = made.episode(number).observation[TRUTH][-1, :2].astype(np.float64)
        place = meant(world, text)
        # As it was recorded, in single precision.
        near = [place.holds(end[None] + shift)[0] for shift in (-1e-4, 0.0, 1e-4)]
        assert any(near) and place.named and not never_said(text)
        told += 1
    assert 0.5 < told / 60 < 0.95


def test_tasks_are_asked_for_in_words_that_no_recording_says_but_all_of_which_are_known() -> None:
    world = tasks()
    said = [one for place in world.places if place.named for one in place.sentences(held_out=False)]
    known = {word for text in said for word in words_of(text)}
    for text in world.asked():
        assert never_said(text) and text not in said and known.issuperset(words_of(text))
    assert world.groups()["unnamed"].any() and world.groups()["across"].any()


def test_a_task_is_met_in_its_place_alone() -> None:
    world = tasks()
    assert not world.succeeded().any()
    named = [meant(world, text) for text in world.asked()]
    for place in world.places:
        mine = np.array([one is place for one in named])
        middle = np.array([np.mean(place.x), np.mean(place.y)])
        world.position = np.broadcast_to(middle, world.position.shape).copy()
        assert world.succeeded()[mine].all()
        world.position = np.broadcast_to([np.nan, np.nan], world.position.shape).copy()
        assert not world.succeeded().any()


def test_the_oracle_comes_to_every_place() -> None:
    world = tasks()
    expected, taken = world.path_length(), np.zeros(COUNT)
    for _ in range(int(expected.max())):
        taken += ~world.succeeded()
        world.step(np.where(world.succeeded()[:, None], 0.0, world.oracle()))
    assert world.succeeded().all()
    np.testing.assert_array_equal(taken, expected)


def test_the_same_task_and_the_same_words_again() -> None:
    one, other = tasks(), tasks()
    assert one.asked() == other.asked() and one.told() == other.told()
    np.testing.assert_array_equal(one.position, other.position)
    other.reset([FIRST + 3])
    assert other.asked() == one.asked()[3:4]


def test_the_wall_must_stay_where_it_is() -> None:
    with pytest.raises(ForethoughtError, match="expected equal ends"):
        TwoRoomsTold(1, config=RANDOM)


def test_places_lie_within_the_rooms() -> None:
    config = TwoRoomsTold(1).config
    for place in places(config):
        assert 2 <= place.x[0] < place.x[1] <= 62 and 2 <= place.y[0] < place.y[1] <= 62
