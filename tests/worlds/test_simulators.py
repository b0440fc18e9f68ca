"""Worlds that can be put back: what follows a snapshot follows it again, in any copies."""

from __future__ import annotations

import numpy as np
import pytest

from forethought import worlds
from forethought.types import ForethoughtError, Simulator, World
from forethought.worlds.compass import Compass
from forethought.worlds.wrapped import Wrapped

SIMULATORS = (
    "two_rooms",
    "two_rooms_compass",
    "two_rooms_random",
    "two_rooms_hazards",
    "two_rooms_told",
    "rooms_maze",
    "rooms_maze_one",
    "pendulum",
    "pendulum_limits",
    "reacher_joints",
    "point_hazards",
)


def actions_of(world: World, steps: int, seed: int = 0) -> list[np.ndarray]:
    spec, draw = world.signature.action, np.random.default_rng(seed)
    if spec.discrete:
        return [draw.integers(spec.num_choices, size=world.num_worlds) for _ in range(steps)]
    shape = (world.num_worlds, spec.dim)
    return [draw.uniform(spec.low, spec.high, shape).astype(np.float32) for _ in range(steps)]


def everything(world: World) -> dict[str, np.ndarray]:
    """All that a world says of itself now."""
    return {
        **world.observe(),
        **{f"goal {key}": value for key, value in world.goal().items()},
        **world.truth(),
        **{f"goal {key}": value for key, value in world.goal_truth().items()},
        **world.groups(),
        "succeeded": world.succeeded(),
    }


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray], rows=slice(None)) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(value[rows], other[name], err_msg=name)


@pytest.mark.parametrize("name", SIMULATORS)
def test_what_follows_a_snapshot_follows_it_again(name: str, make_world) -> None:
    """In the same world, in another one, and in repeated copies; looking on the way or not."""
    world = make_world(name, 3)
    assert isinstance(world, Simulator)
    world.reset([1_000_001, 7, 4])
    for action in actions_of(world, 5):
        world.step(action)
    kept, before = world.snapshot(), everything(world)
    assert all(len(value) == 3 for value in kept.values())
    after = actions_of(world, 6, seed=1)
    went = []
    for action in after:
        world.step(action)
        went.append(everything(world))
    world.restore(kept)
    same(before, everything(world))
    other = make_world(name, 1)
    order = np.array([2, 2, 0, 1, 0])
    other.restore({key: value[order] for key, value in kept.items()})
    assert other.num_worlds == 5
    for action, came in zip(after, went, strict=True):
        world.advance(action)
        same(came, everything(world))
        other.step(action[order])
        same(came, everything(other), order)


def test_a_compass_of_what_cannot_be_put_back_says_so() -> None:
    world = Compass(Wrapped(worlds.make("two_rooms", 2)))
    with pytest.raises(ForethoughtError, match="cannot be put back"):
        world.snapshot()
