"""Pictures of scenes. All but the things themselves is grey, so that colours can be exchanged."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8

from forethought.worlds.physics.scene import (
    FLOOR,
    SIZE,
    Bar,
    Form,
    Growth,
    Motion,
    Scene,
    Screen,
    Thing,
)

GROUND, SKY, SOLID, VEIL, PASSING_VEIL, HAND = 205, 225, 60, 120, 155, 20
HIGH, LOW = 235, 35
COLOURS = {
    "red": (HIGH, LOW, LOW),
    "green": (LOW, HIGH, LOW),
    "blue": (LOW, LOW, HIGH),
    "yellow": (HIGH, HIGH, LOW),
    "magenta": (HIGH, LOW, HIGH),
    "cyan": (LOW, HIGH, HIGH),
}
"""Three that are exchanges of each other's channels, and another three."""
FINEST = 16
"""Positions are drawn to so many parts of a pixel: such numbers add up without rounding, so that
what is a mirror image of something is so in every bit."""


def draw(scene: Scene, motion: Motion) -> UInt8[np.ndarray, "t 32 32 3"]:
    """The frames of a scene."""
    base = SKY if scene.gravity else GROUND
    frames = np.full((scene.length, SIZE, SIZE, 3), base, np.float32)
    if scene.gravity:
        frames[:, int(FLOOR) :] = SOLID
    for wall in scene.walls:
        _paint(frames, _box(wall), np.full(3, SOLID, np.float32))
    for number, thing in enumerate(scene.things):
        places = np.round(motion.position[:, number] * FINEST) / FINEST
        cover = outline(thing, places, motion.angle[:, number])
        _paint(frames, cover, np.array(thing.colour, np.float32))
        _draw_hand(frames, thing)
    veil(frames, scene.screens)
    return (frames + np.float32(0.5)).astype(np.uint8)


def outline(
    thing: Thing, places: Float[np.ndarray, "t 2"], angles: Float[np.ndarray, " t"]
) -> Float[np.ndarray, "t 32 32"]:
    """How much of each pixel a thing covers, its edge antialiased."""
    ticks = np.arange(SIZE) + 0.5
    x = (ticks - places[:, :1])[:, None, :]
    y = (ticks - places[:, 1:])[:, :, None]
    if np.any(angles):
        c, s = np.cos(angles)[:, None, None], np.sin(angles)[:, None, None]
        x, y = c * x + s * y, c * y - s * x
    if thing.form is Form.DISC:
        beyond = np.sqrt(x * x + y * y) - thing.radius
    elif thing.form is Form.SQUARE:
        beyond = np.maximum(np.abs(x), np.abs(y)) - thing.radius
    else:
        slope = (2 * np.abs(x) - y - thing.radius) / np.sqrt(5)
        beyond = np.maximum(y - thing.radius, slope)
    return np.clip(0.5 - beyond, 0, 1).astype(np.float32)


def veil(frames: np.ndarray, screens: Sequence[Screen]) -> None:
    """Draws screens over frames, in place."""
    for number, frame in enumerate(frames):
        for screen in screens:
            _draw_screen(frame, screen, number)


def _box(bar: Bar) -> Float[np.ndarray, "32 32"]:
    ticks = np.arange(SIZE, dtype=np.float32)
    along = [
        np.clip(np.minimum(bar.high[axis], ticks + 1) - np.maximum(bar.low[axis], ticks), 0, 1)
        for axis in (0, 1)
    ]
    return along[1][:, None] * along[0][None, :]


def _paint(frames: np.ndarray, cover: np.ndarray, colour: Float[np.ndarray, " 3"]) -> None:
    """Lays a colour over frames, in place."""
    frames += cover[..., None] * (colour - frames)


def _draw_hand(frames: np.ndarray, thing: Thing) -> None:
    """What holds a thing: a short bar on it, until it is let go."""
    if not thing.held_until:
        return
    x, y = np.round(np.array(thing.position) * FINEST) / FINEST
    top = np.floor(y - thing.radius) - 2
    bar = Bar(low=(x - 2.5, max(top, 0.0)), high=(x + 2.5, top + 2.0))
    # It is gone in the first frame in which the thing may move.
    _paint(frames[: thing.held_until], _box(bar), np.full(3, HAND, np.float32))


def _draw_screen(frame: np.ndarray, screen: Screen, number: int) -> None:
    cover = screen.cover(number)
    (left, top), (right, bottom) = screen.bar.low, screen.bar.high
    lack_x, lack_y = (1 - cover) * (right - left), (1 - cover) * (bottom - top)
    middle_x, middle_y = round(lack_x / 2), round(lack_y / 2)
    cut = {
        Growth.ALWAYS: (0, 0, 0, 0),
        Growth.MIDDLE_X: (middle_x, 0, middle_x, 0),
        Growth.MIDDLE_Y: (0, middle_y, 0, middle_y),
        Growth.LEFT: (0, 0, round(lack_x), 0),
        Growth.RIGHT: (round(lack_x), 0, 0, 0),
        Growth.TOP: (0, 0, 0, round(lack_y)),
        Growth.BOTTOM: (0, round(lack_y), 0, 0),
    }[screen.growth]
    columns = slice(int(left) + cut[0], max(int(left) + cut[0], int(right) - cut[2]))
    rows = slice(int(top) + cut[1], max(int(top) + cut[1], int(bottom) - cut[3]))
    frame[rows, columns] = PASSING_VEIL if screen.goes else VEIL
