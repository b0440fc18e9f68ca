"""Worlds: environments with the little extra that evaluation needs."""

from forethought.worlds.adapter import GoalTask, GymnasiumConfig, GymnasiumWorld, gymnasium_world
from forethought.worlds.fork import Fork, ForkConfig
from forethought.worlds.registry import WorldEntry, entries, make, register_world
from forethought.worlds.rooms_maze import RoomsMaze, RoomsMazeConfig
from forethought.worlds.two_rooms import TwoRooms, TwoRoomsConfig
from forethought.worlds.two_rooms_hazards import TwoRoomsHazards, TwoRoomsHazardsConfig

__all__ = [
    "Fork",
    "ForkConfig",
    "GoalTask",
    "GymnasiumConfig",
    "GymnasiumWorld",
    "RoomsMaze",
    "RoomsMazeConfig",
    "TwoRooms",
    "TwoRoomsConfig",
    "TwoRoomsHazards",
    "TwoRoomsHazardsConfig",
    "WorldEntry",
    "entries",
    "gymnasium_world",
    "make",
    "register_world",
]
