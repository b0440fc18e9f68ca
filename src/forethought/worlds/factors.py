"""Factors of variation: one thing each that may be different from what was recorded, by degrees.

At no strength a world is the same to the bit; at its reference a factor is about as strong as
anybody would meet it. Those that a world does not offer are left out.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from forethought.types import ForethoughtError, World
from forethought.worlds.appearance import AppearanceConfig, Repainted
from forethought.worlds.changed import changed
from forethought.worlds.fork import Fork
from forethought.worlds.picture import SIZE
from forethought.worlds.rooms_maze import RoomsMaze
from forethought.worlds.sensing import Dropped, LateToAct, LateToSee, NoiseConfig, Noisy
from forethought.worlds.two_rooms import TwoRooms
from forethought.worlds.two_rooms_hazards import TwoRoomsHazards

EVENLY = (0.25, 0.5, 0.75, 1.0)
TOGETHER = "together"


@dataclass(frozen=True, kw_only=True)
class Factor:
    """One thing that may be different.

    Attributes:
        name: what commands call it.
        kind: what it belongs to: layout, appearance, dynamics, camera, noise or time.
        description: what is different, in a few words.
        unit: of its strength.
        reference: the strength at which it is fully there.
        change: makes a world different, by so much.
        only_seen: whether it changes nothing but what is seen, so that who looks at nothing, or
            at the truth, does as before.
        offered: whether a world has it.
        shares: shares of the reference that are swept, from low to high.
    """

    name: str
    kind: str
    description: str
    unit: str
    reference: float
    change: Callable[[World, float], World]
    only_seen: bool
    offered: Callable[[World], bool]
    shares: tuple[float, ...] = EVENLY

    def world(self, world: World, strength: float) -> World:
        """A world that is different by so much, in the factor's unit; 0 is as it was recorded."""
        return self.change(world, strength)

    def strengths(self) -> tuple[float, ...]:
        """What is swept, in the factor's unit; without 0."""
        return tuple(share * self.reference for share in self.shares)


# ------------------------------------------------------------------------------- what offers what


def _seen(world: World) -> bool:
    return bool(world.signature.cameras)


def _pushed(world: World) -> bool:
    return not world.signature.action.discrete


def _pushed_in_a_plane(world: World) -> bool:
    return _pushed(world) and world.signature.action.dim >= 2


def _has_a_dot(world: World) -> bool:
    return type(world) in (TwoRooms, TwoRoomsHazards, RoomsMaze, Fork)


def _has_two_rooms(world: World) -> bool:
    return type(world) is TwoRooms


def _always(_: World) -> bool:
    return True


# ------------------------------------------------------------------------------- what they change


def _wall(world: World, pixels: float) -> World:
    assert isinstance(world, TwoRooms)
    low, high = world.config.wall_range
    config = replace(world.config, wall_range=(low + pixels, high + pixels))
    return TwoRooms(world.num_worlds, config=config, name=world.name)


def _door(world: World, pixels: float) -> World:
    """Doors stay within the picture."""
    assert isinstance(world, TwoRooms)
    nearest = world.config.margin + world.config.door_half_width
    low, high = np.clip(np.add(world.config.door_range, pixels), nearest, SIZE - nearest)
    config = replace(world.config, door_range=(float(low), float(high)))
    return TwoRooms(world.num_worlds, config=config, name=world.name)


def _size(world: World, share: float) -> World:
    assert isinstance(world, TwoRooms | RoomsMaze | Fork)
    config = replace(world.config, dot_sigma=(1 + share) * world.config.dot_sigma)
    make = cast(Callable[..., World], type(world))
    return make(world.num_worlds, config=config, name=world.name)


def _painted(world: World, **settings: float) -> World:
    return Repainted(world, replace(AppearanceConfig(), **settings))


def _grainy(world: World, share: float) -> World:
    return Noisy(world, NoiseConfig(share=share, scales=spreads(world) if share else {}))


def spreads(world: World, *, seeds: Sequence[int] = range(8), steps: int = 100) -> dict[str, list]:
    """Standard deviation of each entry of every sensor that is a vector, while exploring.

    Args:
        world: it is reset.
        seeds: of the episodes.
        steps: of each.
    """
    vectors = [k for k, spec in world.signature.observation.items() if spec.dtype == "float32"]
    if not vectors:
        return {}
    world.reset(seeds)
    act, seen = world.explore(0), []
    for _ in range(steps):
        seen.append(world.step(act(world.observe())))
    return {
        key: np.stack([one[key] for one in seen]).std((0, 1)).tolist()
        for key in vectors
        if key in seen[0]
    }


FACTORS = (
    Factor(
        name="wall",
        kind="layout",
        description="the wall stands further right",
        unit="pixels",
        reference=12.0,
        change=_wall,
        only_seen=False,
        offered=_has_two_rooms,
    ),
    Factor(
        name="door",
        kind="layout",
        description="the door is further down",
        unit="pixels",
        reference=24.0,
        change=_door,
        only_seen=False,
        offered=_has_two_rooms,
    ),
    Factor(
        name="size",
        kind="appearance",
        description="the dot looks larger",
        unit="times its size more",
        reference=1.0,
        change=_size,
        only_seen=True,
        offered=_has_a_dot,
    ),
    Factor(
        name="gain",
        kind="dynamics",
        description="actions do more",
        unit="times as much more",
        reference=1.5,
        change=lambda world, more: changed(world, gain=1 + more),
        only_seen=False,
        offered=_pushed,
    ),
    Factor(
        name="weakness",
        kind="dynamics",
        description="actions do less",
        unit="share of them lost",
        reference=0.8,
        change=lambda world, less: changed(world, gain=1 - less),
        only_seen=False,
        offered=_pushed,
    ),
    Factor(
        name="turn",
        kind="dynamics",
        description="actions point elsewhere",
        unit="degrees",
        reference=90.0,
        change=lambda world, degrees: changed(world, turned=degrees),
        only_seen=False,
        offered=_pushed_in_a_plane,
    ),
    Factor(
        name="ice",
        kind="dynamics",
        description="actions go on by themselves",
        unit="share left over",
        reference=0.8,
        change=lambda world, left: changed(world, sliding=left),
        only_seen=False,
        offered=_pushed,
    ),
    Factor(
        name="late_actions",
        kind="time",
        description="actions arrive late",
        unit="world steps",
        reference=8.0,
        change=lambda world, steps: LateToAct(world, round(steps)),
        only_seen=False,
        offered=_pushed,
    ),
    Factor(
        name="background",
        kind="appearance",
        description="the background has another colour",
        unit="share of another colour",
        reference=1.0,
        change=lambda world, share: _painted(world, background=share),
        only_seen=True,
        offered=_seen,
    ),
    Factor(
        name="patch",
        kind="appearance",
        description="a patch hides what is under it",
        unit="pixels",
        reference=16.0,
        change=lambda world, side: _painted(world, patch=round(side)),
        only_seen=True,
        offered=_seen,
    ),
    Factor(
        name="hue",
        kind="appearance",
        description="colours are turned",
        unit="degrees",
        reference=180.0,
        change=lambda world, degrees: _painted(world, hue=degrees),
        only_seen=True,
        offered=_seen,
    ),
    Factor(
        name="contrast",
        kind="appearance",
        description="contrast is lost",
        unit="share lost",
        reference=0.8,
        change=lambda world, share: _painted(world, faded=share),
        only_seen=True,
        offered=_seen,
    ),
    Factor(
        name="light",
        kind="appearance",
        description="light is lost",
        unit="share lost",
        reference=0.8,
        change=lambda world, share: _painted(world, dimmed=share),
        only_seen=True,
        offered=_seen,
    ),
    Factor(
        name="camera",
        kind="camera",
        description="the camera was pushed, right and down alike",
        unit="pixels",
        reference=8.0,
        change=lambda world, pixels: changed(world, camera=(round(pixels), round(pixels))),
        only_seen=True,
        offered=lambda world: _seen(world) and _pushed(world),
    ),
    Factor(
        name="noise",
        kind="noise",
        description="sensors are noisy",
        unit="share of their scale",
        reference=0.2,
        change=_grainy,
        only_seen=True,
        offered=_always,
    ),
    Factor(
        name="specks",
        kind="noise",
        description="pixels are black or white",
        unit="share of the pixels",
        reference=0.2,
        change=lambda world, share: Noisy(world, NoiseConfig(specks=share)),
        only_seen=True,
        offered=_seen,
    ),
    Factor(
        name="dropped",
        kind="time",
        description="observations are lost, the last is shown again",
        unit="chance of each",
        reference=0.9,
        change=Dropped,
        only_seen=True,
        offered=_always,
    ),
    Factor(
        name="latency",
        kind="time",
        description="observations arrive late",
        unit="world steps",
        reference=8.0,
        change=lambda world, steps: LateToSee(world, round(steps)),
        only_seen=True,
        offered=_always,
    ),
)
"""The factors there are, in the order in which they happen: world, push, scene, camera, sensor,
wire. Together they are applied in this order."""


def together(factors: Sequence[Factor]) -> Factor:
    """All factors at once, each at the same share of its reference.

    Args:
        factors: in the order in which they are applied.

    Raises:
        ForethoughtError: no factor.
    """
    if not factors:
        raise ForethoughtError("there is no factor to be put together; give one or more.")

    def change(world: World, share: float) -> World:
        for factor in factors:
            world = factor.world(world, share * factor.reference)
        return world

    return Factor(
        name=TOGETHER,
        kind=TOGETHER,
        description=f"all at once: {', '.join(factor.name for factor in factors)}",
        unit="share of each",
        reference=1.0,
        change=change,
        only_seen=all(factor.only_seen for factor in factors),
        offered=_always,
        shares=(0.1, *EVENLY),
    )


def factors_of(
    world: World, names: Sequence[str] = (), *, known: Sequence[Factor] = FACTORS
) -> tuple[Factor, ...]:
    """The factors that a world offers, or those of them that are named, in their order.

    Args:
        world: which is to be different.
        names: of factors; empty for all that it offers.
        known: the factors there are; add your own to :data:`FACTORS`.

    Raises:
        ForethoughtError: a name that there is not, or a factor that the world does not offer.
    """
    here = [factor for factor in known if factor.offered(world)]
    everywhere, offered = [one.name for one in known], [one.name for one in here]
    for name in names:
        if name not in everywhere:
            close = difflib.get_close_matches(name, everywhere, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ForethoughtError(f"no factor {name!r}; there are {everywhere}.{hint}")
        if name not in offered:
            raise ForethoughtError(
                f"world {world.name!r} does not offer the factor {name!r}; it offers {offered}."
            )
    return tuple(factor for factor in here if not names or factor.name in names)
