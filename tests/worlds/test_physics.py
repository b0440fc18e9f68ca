"""The world that is only watched: what it shows obeys physics, and is the same each time."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from forethought import data, worlds
from forethought.checkers import check_world
from forethought.types import ForethoughtError
from forethought.worlds.physics import (
    LENGTH,
    SIZE,
    Bar,
    Form,
    Growth,
    Scene,
    Screen,
    Thing,
    draw,
    film,
    hidden,
    possible,
    simulate,
)
from forethought.worlds.physics.world import draw_falling, draw_sliding
from forethought.worlds.picture import CAMERA

RED = (235, 35, 35)


def thing(**changes: object) -> Thing:
    settings = {"form": Form.DISC, "colour": RED, "radius": 3.0, "position": (8.0, 16.0)}
    return Thing(**{**settings, **changes})  # type: ignore[arg-type]


def test_it_is_a_world_like_others() -> None:
    check_world(worlds.make("physics", 3))


def test_clips_end(tmp_path) -> None:
    """As many rows as a clip has frames can be recorded; more are refused, and nothing is kept."""
    whole = data.record(
        worlds.make("physics", 2),
        tmp_path / "whole",
        num_episodes=2,
        episode_length=LENGTH,
        visible=False,
    )
    frames = whole.episode(1).observation[CAMERA]
    assert np.array_equal(frames, possible(1).frames)
    with pytest.raises(ForethoughtError, match=f"clips of {LENGTH} frames .* --length {LENGTH}"):
        data.record(
            worlds.make("physics", 2),
            tmp_path / "long",
            num_episodes=2,
            episode_length=LENGTH + 1,
            visible=False,
        )
    assert not (tmp_path / "long" / "data").exists()


def test_the_same_seed_shows_the_same_clip() -> None:
    for seed in range(4):
        first, second = possible(seed), possible(seed)
        assert np.array_equal(first.frames, second.frames)
    assert not np.array_equal(possible(0).frames, possible(1).frames)


@pytest.mark.parametrize("seed", range(12))
def test_what_slides_loses_no_energy(seed: int) -> None:
    """All masses are one; seen from above, bounces are elastic and nothing turns."""
    motion = simulate(draw_sliding(np.random.default_rng(seed)))
    energy = np.square(motion.velocity).sum((1, 2))
    assert np.allclose(energy, energy[0], rtol=0.03, atol=1e-6)
    assert not motion.angle.any()


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("draw_scene", [draw_sliding, draw_falling])
def test_nothing_is_inside_a_wall_or_outside_the_picture(draw_scene, seed: int) -> None:
    scene = draw_scene(np.random.default_rng(seed))
    motion = simulate(scene)
    assert motion.position.min() > 1 and motion.position.max() < SIZE - 1
    for number in range(len(scene.things)):
        for wall in scene.walls:
            place = motion.position[:, number]
            inside = ((place > np.array(wall.low)) & (place < np.array(wall.high))).all(1)
            assert not inside.any()


def test_equal_balls_pass_their_motion_on() -> None:
    coming = thing(position=(6.0, 16.0), velocity=(1.5, 0.0))
    motion = simulate(Scene(things=(coming, thing(position=(18.0, 16.0)))))
    assert np.allclose(motion.velocity[9], [[0, 0], [1.5, 0]], atol=0.02)


def test_what_is_let_go_falls_until_something_is_under_it() -> None:
    platform = Bar(low=(2.0, 20.0), high=(14.0, 23.0))
    scene = Scene(
        things=(thing(position=(8.0, 12.0), held_until=5), thing(position=(24, 12), held_until=5)),
        walls=(platform,),
        gravity=0.3,
    )
    heights = simulate(scene).position[:, :, 1]
    assert (heights[:6] == 12).all()
    # What rests has 0.3 pixels per frame and frame of fall behind it; the other is still falling.
    assert heights[-1, 0] == pytest.approx(17, abs=0.3) and heights[-1, 1] > 21
    falling = heights[5:10, 1] - 12
    assert np.allclose(falling, 0.15 * np.arange(5) ** 2, atol=0.1)


def test_what_is_behind_a_screen_is_not_seen() -> None:
    """Things that are called hidden leave no trace in the picture."""
    screen = Screen(bar=Bar(low=(12.0, 0.0), high=(22.0, 32.0)), growth=Growth.MIDDLE_X, up=4)
    scene = Scene(things=(thing(position=(5.0, 16.0), velocity=(1.4, 0.0)),), screens=(screen,))
    motion = simulate(scene)
    out = hidden(scene, motion)[:, 0]
    coloured = (np.ptp(draw(scene, motion), axis=-1) > 0).any((1, 2))
    assert out.any() and not (out & coloured).any()


def test_screens_come_and_go() -> None:
    screen = Screen(bar=Bar(low=(0, 0), high=(8, 8)), growth=Growth.LEFT, up=4, goes=True)
    covers = [screen.cover(frame) for frame in range(LENGTH)]
    assert covers[4:9] == [1] * 5 and covers[13:] == [0] * (LENGTH - 13)
    assert all(later > earlier for earlier, later in pairwise(covers[:5]))


@pytest.mark.parametrize("seed", range(8))
def test_what_is_true_of_a_clip_is_seen_in_it(seed: int) -> None:
    """Mirrored and turned with its frames: where the thing is said to be, there is its colour."""
    seen = film(Scene(things=(thing(position=(6 + seed, 12.0), velocity=(0.8, 0.6)),)))
    for other in (seen, seen.mirrored(), seen.turned(), seen.turned().mirrored().turned()):
        coloured = np.ptp(other.frames.astype(int), axis=-1) > 60
        for frame in range(LENGTH):
            rows, columns = np.nonzero(coloured[frame])
            middle = np.array([columns.mean(), rows.mean()]) + 0.5
            assert np.abs(middle - other.position[frame]).max() < 0.6
        assert np.allclose(other.position[1] - other.position[0], other.velocity[0], atol=0.05)


def test_much_goes_out_of_sight() -> None:
    """Wholly, and its first thing: in a third of the clips and more; narrow screens hide a part."""
    clips = [possible(seed) for seed in range(200)]
    gone = sum(bool(one.hidden.any() and not one.hidden[0]) for one in clips)
    assert gone > 0.3 * len(clips)
