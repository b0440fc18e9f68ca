"""The worlds by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass

from forethought.types import ForethoughtError, World

PREFIX = "gymnasium:"


@dataclass(frozen=True, kw_only=True)
class WorldEntry:
    """A world that can be made by name.

    Attributes:
        name: what commands call it.
        description: one line for people.
        make: makes it with so many copies.
    """

    name: str
    description: str
    make: Callable[[int], World]


def _two_rooms(num_worlds: int) -> World:
    from forethought.worlds.two_rooms import FIXED, TwoRooms

    return TwoRooms(num_worlds, config=FIXED, name="two_rooms")


def _two_rooms_compass(num_worlds: int) -> World:
    from forethought.worlds.compass import Compass

    return Compass(_two_rooms(num_worlds), name="two_rooms_compass")


def _two_rooms_random(num_worlds: int) -> World:
    from forethought.worlds.two_rooms import RANDOM, TwoRooms

    return TwoRooms(num_worlds, config=RANDOM, name="two_rooms_random")


def _two_rooms_hazards(num_worlds: int) -> World:
    from forethought.worlds.two_rooms_hazards import TwoRoomsHazards

    return TwoRoomsHazards(num_worlds)


def _two_rooms_sign(num_worlds: int) -> World:
    from forethought.worlds.two_rooms_sign import TwoRoomsSign

    return TwoRoomsSign(num_worlds)


def _two_rooms_told(num_worlds: int) -> World:
    from forethought.worlds.two_rooms_told import TwoRoomsTold

    return TwoRoomsTold(num_worlds)


def _rooms_maze(num_worlds: int) -> World:
    from forethought.worlds.rooms_maze import RoomsMaze

    return RoomsMaze(num_worlds)


def _rooms_maze_one(num_worlds: int) -> World:
    from forethought.worlds.rooms_maze import ONE, RoomsMaze

    return RoomsMaze(num_worlds, config=ONE, name="rooms_maze_one")


def _fork(num_worlds: int) -> World:
    from forethought.worlds.fork import Fork

    return Fork(num_worlds)


def _pendulum(num_worlds: int) -> World:
    from forethought.worlds.classic import pendulum

    return pendulum(num_worlds)


def _pendulum_limits(num_worlds: int) -> World:
    from forethought.worlds.pendulum_limits import pendulum_limits

    return pendulum_limits(num_worlds)


def _cartpole(num_worlds: int) -> World:
    from forethought.worlds.classic import cartpole

    return cartpole(num_worlds)


def _reacher(num_worlds: int) -> World:
    from forethought.worlds.reacher import reacher

    return reacher(num_worlds)


def _reacher_joints(num_worlds: int) -> World:
    from forethought.worlds.reacher import reacher_joints

    return reacher_joints(num_worlds)


def _point_hazards(num_worlds: int) -> World:
    from forethought.worlds.point_hazards import point_hazards

    return point_hazards(num_worlds)


def _physics(num_worlds: int) -> World:
    from forethought.worlds.physics import Physics

    return Physics(num_worlds)


def _car_racing(num_worlds: int) -> World:
    from forethought.worlds.car_racing import car_racing

    return car_racing(num_worlds)


_worlds = {
    entry.name: entry
    for entry in (
        WorldEntry(
            name="two_rooms",
            description="a dot, two rooms, a door: 64x64 pixels, the wall is always the same",
            make=_two_rooms,
        ),
        WorldEntry(
            name="two_rooms_compass",
            description="the same by nine discrete actions: eight directions, or to stay",
            make=_two_rooms_compass,
        ),
        WorldEntry(
            name="two_rooms_random",
            description="two rooms with wall and door drawn anew in each episode",
            make=_two_rooms_random,
        ),
        WorldEntry(
            name="two_rooms_hazards",
            description="the two rooms with a zone and a patrolling disc that one keeps out of",
            make=_two_rooms_hazards,
        ),
        WorldEntry(
            name="two_rooms_sign",
            description="a narrow field of view: a sign seen once says which of two doors is safe",
            make=_two_rooms_sign,
        ),
        WorldEntry(
            name="two_rooms_told",
            description="the two rooms, and recordings that say in words where they came to",
            make=_two_rooms_told,
        ),
        WorldEntry(
            name="rooms_maze",
            description="a maze of 5x5 rooms, another in each episode, some never recorded",
            make=_rooms_maze,
        ),
        WorldEntry(
            name="rooms_maze_one",
            description="one maze of 5x5 rooms, always begun in its corner: to be explored",
            make=_rooms_maze_one,
        ),
        WorldEntry(
            name="fork",
            description="an obstacle turns into one of two lanes at random: bet, or wait",
            make=_fork,
        ),
        WorldEntry(
            name="pendulum",
            description="Gymnasium's Pendulum-v1 from 64x64 pixels: swing up and hold",
            make=_pendulum,
        ),
        WorldEntry(
            name="pendulum_limits",
            description="the pendulum held aside, close to an angle that it must not pass",
            make=_pendulum_limits,
        ),
        WorldEntry(
            name="cartpole",
            description="Gymnasium's CartPole-v1 from 64x64 pixels: discrete actions",
            make=_cartpole,
        ),
        WorldEntry(
            name="reacher",
            description="MuJoCo's Reacher-v5 from 64x64 pixels: an arm takes poses; needs OpenGL",
            make=_reacher,
        ),
        WorldEntry(
            name="reacher_joints",
            description="the same arm from the angles and velocities of its joints",
            make=_reacher_joints,
        ),
        WorldEntry(
            name="point_hazards",
            description="a heavy point among hazards on MuJoCo, from its state: cross, keep out",
            make=_point_hazards,
        ),
        WorldEntry(
            name="physics",
            description="things that slide, bounce, fall and hide, 32x32 pixels: to be watched",
            make=_physics,
        ),
        WorldEntry(
            name="car_racing",
            description="Gymnasium's CarRacing from 48x48 pixels: keep driving, keep to the road",
            make=_car_racing,
        ),
    )
}


def entries() -> list[WorldEntry]:
    """The worlds there are; cheap to call."""
    return list(_worlds.values())


def register_world(name: str, description: str, make: Callable[[int], World]) -> None:
    """Adds a world of one's own.

    Args:
        name: what commands will call it.
        description: one line for people.
        make: makes it with so many copies.
    """
    _worlds[name] = WorldEntry(name=name, description=description, make=make)


def make(name: str, num_worlds: int = 1) -> World:
    """A world by name; ``gymnasium:<id>`` makes one of any registered Gymnasium environment.

    Raises:
        ForethoughtError: no such world; suggests the closest.
    """
    if name.startswith(PREFIX):
        from forethought.worlds.adapter import gymnasium_world

        return gymnasium_world(name.removeprefix(PREFIX), num_worlds=num_worlds)
    if name not in _worlds:
        close = difflib.get_close_matches(name, _worlds, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ForethoughtError(
            f"no world {name!r}; there are {sorted(_worlds)}, and {PREFIX}<id> for any Gymnasium "
            f"environment.{hint}"
        )
    return _worlds[name].make(num_worlds)
