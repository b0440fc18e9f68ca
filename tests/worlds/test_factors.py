"""A factor at no strength is the world itself, to the bit; at any strength it keeps what worlds
promise, and does what it says."""

from __future__ import annotations

import numpy as np
import pytest

from forethought import worlds
from forethought.checkers import check_world
from forethought.types import ForethoughtError, World
from forethought.worlds.appearance import AppearanceConfig, Repainted, frequent
from forethought.worlds.factors import FACTORS, Factor, factors_of, spreads, together
from forethought.worlds.sensing import Dropped, LateToAct, LateToSee, NoiseConfig, Noisy

CAMERA = "observation.images.top"
BY_NAME = {factor.name: factor for factor in FACTORS}
each_factor = pytest.mark.parametrize("factor", FACTORS, ids=lambda factor: factor.name)


def rooms(num_worlds: int = 3) -> World:
    return worlds.make("two_rooms", num_worlds)


def pushes(count: int, steps: int = 8) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1.2, 1.2, (steps, count, 2)).astype(np.float32)


def seen_while_pushed(world: World, seeds: tuple[int, ...] = (4, 5, 6)) -> list[np.ndarray]:
    """Everything that a world shows over some steps: observations, the goal, the truth."""
    shown = [world.reset(seeds)[CAMERA], world.goal()[CAMERA]]
    for push in pushes(len(seeds)):
        shown.append(world.step(push)[CAMERA])
        shown.append(np.stack(list(world.truth().values())))
        assert np.array_equal(world.observe()[CAMERA], shown[-2])
    return shown


@each_factor
def test_at_no_strength_nothing_differs(factor: Factor) -> None:
    plain, same = seen_while_pushed(rooms()), seen_while_pushed(factor.world(rooms(), 0.0))
    assert all(np.array_equal(one, other) for one, other in zip(plain, same, strict=True))


@each_factor
def test_every_strength_keeps_what_worlds_promise(factor: Factor) -> None:
    for strength in factor.strengths():
        check_world(factor.world(rooms(), strength))


@each_factor
def test_at_its_reference_something_differs(factor: Factor) -> None:
    plain, other = (
        seen_while_pushed(rooms()),
        seen_while_pushed(factor.world(rooms(), factor.reference)),
    )
    assert not all(np.array_equal(*pair) for pair in zip(plain, other, strict=True))


@each_factor
def test_what_changes_only_what_is_seen_leaves_the_truth(factor: Factor) -> None:
    plain, other = rooms(), factor.world(rooms(), factor.reference)
    plain.reset([4, 5, 6]), other.reset([4, 5, 6])
    for push in pushes(3):
        plain.step(push), other.step(push)
    same = all(np.array_equal(v, other.truth()[name]) for name, v in plain.truth().items())
    assert same == factor.only_seen


def test_all_together_keep_their_promises_and_begin_at_nothing() -> None:
    everything = together(FACTORS)
    plain, same = seen_while_pushed(rooms()), seen_while_pushed(everything.world(rooms(), 0.0))
    assert all(np.array_equal(one, other) for one, other in zip(plain, same, strict=True))
    check_world(everything.world(rooms(), 1.0))


def test_what_is_late_is_what_was_seen_that_many_steps_ago() -> None:
    plain, late = rooms(2), LateToSee(rooms(2), 3)
    shown = [plain.reset([1, 2])[CAMERA]]
    assert np.array_equal(late.reset([1, 2])[CAMERA], shown[0])
    for step, push in enumerate(pushes(2), start=1):
        shown.append(plain.step(push)[CAMERA])
        assert np.array_equal(late.step(push)[CAMERA], shown[max(0, step - 3)])
    # A new episode remembers nothing of the last.
    assert np.array_equal(late.reset([7, 8])[CAMERA], plain.reset([7, 8])[CAMERA])


def test_late_actions_do_then_what_they_would_have_done() -> None:
    plain, late = rooms(2), LateToAct(rooms(2), 3)
    plain.reset([1, 2]), late.reset([1, 2])
    start, done = late.truth(), pushes(2)
    for push in done[:3]:
        late.step(push)
        assert all(np.array_equal(late.truth()[name], v) for name, v in start.items())
    for push, now in zip(done[:5], done[3:], strict=True):
        plain.step(push), late.step(now)
        assert all(np.array_equal(late.truth()[name], v) for name, v in plain.truth().items())


def test_what_is_lost_is_the_last_shown_again_as_often_as_said() -> None:
    copies, steps = 40, 60
    plain, dropped = rooms(copies), Dropped(rooms(copies), 0.5)
    seeds = range(copies)
    last, fresh = plain.reset(seeds)[CAMERA], 0
    assert np.array_equal(dropped.reset(seeds)[CAMERA], last)
    for push in pushes(copies, steps):
        seen, shown = plain.step(push)[CAMERA], dropped.step(push)[CAMERA]
        came = (shown == seen).all((1, 2, 3))
        assert np.array_equal(shown[~came], last[~came])
        last, fresh = shown, fresh + came.sum()
    # Three deviations of a binomial.
    assert abs(fresh / (copies * steps) - 0.5) < 3 * 0.5 / np.sqrt(copies * steps)


def test_noise_is_as_strong_as_said_and_each_task_has_its_own() -> None:
    grey, noisy = rooms(2), Noisy(rooms(2), NoiseConfig(share=0.1))
    seen = [noisy.reset([4, 5])[CAMERA], noisy.step(np.zeros((2, 2), np.float32))[CAMERA]]
    clean = grey.reset([4, 5])[CAMERA].astype(float)
    # The wall is far from black and from white, so that no noise is cut off.
    wall = (clean[0] < 100).all(-1)
    noise = seen[0][0].astype(float)[wall] - clean[0][wall]
    assert abs(noise.std() / 25.5 - 1) < 0.1
    assert abs(noise.mean()) < 3
    assert not np.array_equal(*seen)
    assert np.array_equal(noisy.reset([5])[CAMERA][0], seen[0][1])
    assert np.array_equal(noisy.goal()[CAMERA], grey.reset([5]) and grey.goal()[CAMERA])


def test_specks_are_black_or_white() -> None:
    speckled = Noisy(rooms(4), NoiseConfig(specks=0.2)).reset([1, 2, 3, 4])[CAMERA]
    clean = rooms(4).reset([1, 2, 3, 4])[CAMERA]
    hit = (speckled != clean).any(-1)
    assert abs(hit.mean() - 0.2) < 0.01
    assert np.isin(speckled[hit], (0, 255)).all()


def test_vectors_are_as_noisy_as_they_vary() -> None:
    plain = worlds.make("point_hazards", 4)
    scales = spreads(plain)
    assert set(scales) == {
        k for k, s in plain.signature.observation.items() if s.dtype == "float32"
    }
    noisy = BY_NAME["noise"].world(worlds.make("point_hazards", 64), 0.1)
    key = next(iter(scales))
    seen, clean = noisy.reset(range(64)), worlds.make("point_hazards", 64).reset(range(64))
    off = (seen[key] - clean[key]).std(0)
    moving = np.array(scales[key]) > 0
    assert np.allclose(off[moving] / np.array(scales[key])[moving], 0.1, rtol=0.4)
    check_world(noisy)


def test_colours_are_what_they_are_said_to_be() -> None:
    clean, goal = rooms(2).reset([4, 5])[CAMERA], rooms(2)
    goal.reset([4, 5])

    def shown(**settings: float) -> np.ndarray:
        world = Repainted(rooms(2), AppearanceConfig(**settings))
        return world.reset([4, 5])[CAMERA]

    assert np.abs(shown(hue=360.0).astype(int) - clean).max() <= 1
    # About the grey axis: the sum of the three colours stays, where none is cut off.
    turned = shown(hue=120.0)
    assert np.abs(turned.astype(int) - clean[..., [2, 0, 1]]).max() <= 1
    assert np.array_equal(shown(faded=1.0), np.full_like(clean, 128))
    assert not shown(dimmed=1.0).any()
    painted = shown(background=1.0)
    assert np.array_equal(frequent(painted), np.tile(AppearanceConfig().painted, (2, 1)))
    patch = (shown(patch=10) == AppearanceConfig().pasted).all(-1)
    assert (patch.sum((1, 2)) == 100).all()
    world = Repainted(rooms(2), AppearanceConfig(dimmed=1.0))
    assert not world.goal()[CAMERA].any()


def test_layouts_move_as_far_as_said() -> None:
    for name, quantity in (("wall", "wall.x"), ("door", "door.y")):
        moved = BY_NAME[name].world(rooms(), 8.0)
        moved.reset([1, 2, 3]), (plain := rooms()).reset([1, 2, 3])
        assert np.allclose(moved.truth()[quantity] - plain.truth()[quantity], 8.0)


def test_worlds_offer_what_they_have_and_wrong_names_are_told() -> None:
    assert {factor.name for factor in factors_of(rooms())} == set(BY_NAME)
    compass = {factor.name for factor in factors_of(worlds.make("two_rooms_compass"))}
    assert {"hue", "noise", "latency"} <= compass
    assert not compass & {"gain", "turn", "late_actions", "wall"}
    point = {factor.name for factor in factors_of(worlds.make("point_hazards"))}
    assert {"noise", "dropped", "gain"} <= point
    assert not point & {"hue", "specks", "camera"}
    assert [f.name for f in factors_of(rooms(), ["latency", "hue"])] == ["hue", "latency"]
    with pytest.raises(ForethoughtError, match="Did you mean 'latency'"):
        factors_of(rooms(), ["latncy"])
    with pytest.raises(ForethoughtError, match="does not offer the factor 'hue'"):
        factors_of(worlds.make("point_hazards"), ["hue"])


def test_what_cannot_be_is_refused() -> None:
    for settings in ({"dimmed": 1.5}, {"patch": -1}):
        with pytest.raises(ForethoughtError, match="give"):
            AppearanceConfig(**settings)
    with pytest.raises(ForethoughtError, match="give"):
        NoiseConfig(share=-0.1)
    with pytest.raises(ForethoughtError, match="give"):
        Dropped(rooms(), 2.0)
    with pytest.raises(ForethoughtError, match="give"):
        LateToSee(rooms(), -1)
    with pytest.raises(ForethoughtError, match="discrete"):
        LateToAct(worlds.make("two_rooms_compass"), 1)
    with pytest.raises(ForethoughtError, match="no camera"):
        Repainted(worlds.make("point_hazards"), AppearanceConfig())
    with pytest.raises(ForethoughtError, match="no factor"):
        together([])
