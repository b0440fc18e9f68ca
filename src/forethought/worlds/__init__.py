"""Worlds: environments with the little extra that evaluation needs."""

from forethought.worlds.adapter import GoalTask, GymnasiumConfig, GymnasiumWorld, gymnasium_world
from forethought.worlds.registry import WorldEntry, entries, make, register_world
from forethought.worlds.two_rooms import TwoRooms, TwoRoomsConfig

__all__ = [
    "GoalTask",
    "GymnasiumConfig",
    "GymnasiumWorld",
    "TwoRooms",
    "TwoRoomsConfig",
    "WorldEntry",
    "entries",
    "gymnasium_world",
    "make",
    "register_world",
]
