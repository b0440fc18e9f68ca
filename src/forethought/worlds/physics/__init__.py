"""A flat world of moving things, to be watched: pymunk's physics, drawn at 32x32 pixels."""

from forethought.worlds.physics import staged
from forethought.worlds.physics.drawing import COLOURS, draw
from forethought.worlds.physics.rooms import RoomScene, picture
from forethought.worlds.physics.scene import (
    LENGTH,
    SIZE,
    Bar,
    Form,
    Growth,
    Motion,
    Scene,
    Screen,
    Thing,
    free,
    hidden,
    simulate,
)
from forethought.worlds.physics.world import Film, Physics, film, possible

__all__ = [
    "COLOURS",
    "LENGTH",
    "SIZE",
    "Bar",
    "Film",
    "Form",
    "Growth",
    "Motion",
    "Physics",
    "RoomScene",
    "Scene",
    "Screen",
    "Thing",
    "draw",
    "film",
    "free",
    "hidden",
    "picture",
    "possible",
    "simulate",
    "staged",
]
