"""Conditions that states must meet, as margins: how far each is from being violated.

A constraint judges a course (:mod:`forethought.cost.course`): quantities by name, at moments one
world step apart. What is imagined and what was recorded are judged by the same lines, so that one
can be held against the other (:mod:`forethought.cost.calibration`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from forethought.cost.course import Course, Reader
from forethought.types import ForethoughtError, Observation

Encode = Callable[[Observation], Float[Tensor, "b k d"]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Constraint(ABC):
    """A condition on the course of some quantities; joins others with ``&`` and ``|``."""

    @property
    @abstractmethod
    def quantities(self) -> tuple[str, ...]:
        """Names of the quantities that it is about."""

    @abstractmethod
    def margin(self, course: Course) -> Float[Tensor, "*batch s_minus_1"]:
        """How far each moment after the first is from violating it; negative where it does."""

    @abstractmethod
    def __str__(self) -> str:
        """The condition in a few words."""

    def readers(self, encode: Encode) -> Mapping[str, Reader]:
        """Of the quantities, those that it reads from latents itself.

        Args:
            encode: observations ``(b, ...)`` per key to latents ``(b, k, d)``.
        """
        return {}

    def __and__(self, other: Constraint) -> Constraint:
        return AllOf(parts=(self, other))

    def __or__(self, other: Constraint) -> Constraint:
        return AnyOf(parts=(self, other))

    def only_when(self, condition: Constraint) -> Constraint:
        """The same condition, which has to be met only where another one is."""
        return OnlyWhen(parts=(self, condition))


@dataclass(frozen=True, kw_only=True, eq=False)
class Limit(Constraint):
    """A quantity stays below, above, or between.

    Attributes:
        quantity: its name.
        below: what it must not exceed; None for no such limit.
        above: what it must not fall short of; None for no such limit.

    Raises:
        ForethoughtError: no limit at all, or limits that leave nothing between them.
    """

    quantity: str
    below: float | None = None
    above: float | None = None

    def __post_init__(self) -> None:
        if self.below is None and self.above is None:
            raise ForethoughtError(
                f"the limit of {self.quantity!r} has neither below= nor above=; give one."
            )
        if self.below is not None and self.above is not None and self.below <= self.above:
            raise ForethoughtError(
                f"the limit of {self.quantity!r} asks for less than {self.below:g} and more than "
                f"{self.above:g}, which nothing meets; exchange them."
            )

    @property
    def quantities(self) -> tuple[str, ...]:
        """See :class:`Constraint`."""
        return (self.quantity,)

    def margin(self, course: Course) -> Float[Tensor, "*batch s_minus_1"]:
        """See :class:`Constraint`; in the quantity's unit."""
        values = course[self.quantity][..., 1:]
        left = [] if self.below is None else [self.below - values]
        left += [] if self.above is None else [values - self.above]
        return torch.stack(left).amin(0)

    def __str__(self) -> str:
        low = "" if self.above is None else f"{self.above:g} < "
        high = "" if self.below is None else f" < {self.below:g}"
        return f"{low}{self.quantity}{high}"


@dataclass(frozen=True, kw_only=True, eq=False)
class RateLimit(Constraint):
    """A quantity changes no faster than so much in a second.

    Attributes:
        quantity: its name.
        at_most: largest change, in its unit per second.
    """

    quantity: str
    at_most: float

    @property
    def quantities(self) -> tuple[str, ...]:
        """See :class:`Constraint`."""
        return (self.quantity,)

    def margin(self, course: Course) -> Float[Tensor, "*batch s_minus_1"]:
        """See :class:`Constraint`; in the quantity's unit per second."""
        return self.at_most - course[self.quantity].diff(dim=-1).abs() / course.step_s

    def __str__(self) -> str:
        return f"|change of {self.quantity}| < {self.at_most:g} per second"


@dataclass(frozen=True, kw_only=True, eq=False)
class KeepOut(Constraint):
    """Some quantities, alike in unit, never lie within a box.

    Attributes:
        box: by name, the two ends that the box has along that quantity; None for an open end.
    """

    box: Mapping[str, tuple[float | None, float | None]]

    @property
    def quantities(self) -> tuple[str, ...]:
        """See :class:`Constraint`."""
        return tuple(self.box)

    def margin(self, course: Course) -> Float[Tensor, "*batch s_minus_1"]:
        """See :class:`Constraint`; how far outside the box along the axis that is furthest out."""
        out = []
        for name, (low, high) in self.box.items():
            values = course[name][..., 1:]
            out += [] if low is None else [low - values]
            out += [] if high is None else [values - high]
        return torch.stack(out).amax(0)

    def __str__(self) -> str:
        sides = [
            f"{'' if low is None else f'{low:g} < '}{name}{'' if high is None else f' < {high:g}'}"
            for name, (low, high) in self.box.items()
        ]
        return f"not ({' and '.join(sides)})"


@dataclass(frozen=True, kw_only=True, eq=False)
class KeepAway(Constraint):
    """A place stays away from points that never move.

    Attributes:
        place: quantities that say where something is, alike in unit.
        points: the same for what to stay away from; the nearest counts.
        distance: in their unit.
    """

    place: tuple[str, ...]
    points: tuple[tuple[float, ...], ...]
    distance: float

    @property
    def quantities(self) -> tuple[str, ...]:
        """See :class:`Constraint`."""
        return self.place

    def margin(self, course: Course) -> Float[Tensor, "*batch s_minus_1"]:
        """See :class:`Constraint`; in the unit of the place."""
        places = course.places(self.place)[..., 1:, None, :]
        square = (places - places.new_tensor(self.points)).square().sum(-1).amin(-1)
        return square.add(1e-12).sqrt() - self.distance

    def __str__(self) -> str:
        points = ", ".join(f"({', '.join(f'{v:g}' for v in point)})" for point in self.points)
        return f"({', '.join(self.place)}) at least {self.distance:g} from {points}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Apart(Constraint):
    """Two things that both may move keep a distance.

    Attributes:
        first: quantities that say where one is, alike in unit.
        second: where the other is, in the same order.
        distance: in their unit.
    """

    first: tuple[str, ...]
    second: tuple[str, ...]
    distance: float

    @property
    def quantities(self) -> tuple[str, ...]:
        """See :class:`Constraint`."""
        return (*self.first, *self.second)

    def margin(self, course: Course) -> Float[Tensor, "*batch s_minus_1"]:
        """See :class:`Constraint`; in the unit of the places."""
        gaps = course.places(self.first) - course.places(self.second)
        return _length(gaps[..., 1:, :]) - self.distance

    def __str__(self) -> str:
        places = " and ".join(f"({', '.join(names)})" for names in (self.first, self.second))
        return f"{places} at least {self.distance:g} apart"


@dataclass(frozen=True, kw_only=True, eq=False)
class Joined(Constraint):
    """Several conditions made one.

    Attributes:
        parts: the conditions.
    """

    parts: tuple[Constraint, ...]

    @property
    def quantities(self) -> tuple[str, ...]:
        """See :class:`Constraint`."""
        return tuple(dict.fromkeys(name for part in self.parts for name in part.quantities))

    def readers(self, encode: Encode) -> Mapping[str, Reader]:
        """See :class:`Constraint`."""
        return {name: one for part in self.parts for name, one in part.readers(encode).items()}


@dataclass(frozen=True, kw_only=True, eq=False)
class AllOf(Joined):
    """Every part holds; the least margin counts."""

    def margin(self, course: Course) -> Float[Tensor, "*batch s_minus_1"]:
        """See :class:`Constraint`."""
        return torch.stack([part.margin(course) for part in self.parts]).amin(0)

    def __str__(self) -> str:
        return " and ".join(f"({part})" for part in self.parts)


@dataclass(frozen=True, kw_only=True, eq=False)
class AnyOf(Joined):
    """At least one part holds; the largest margin counts."""

    def margin(self, course: Course) -> Float[Tensor, "*batch s_minus_1"]:
        """See :class:`Constraint`."""
        return torch.stack([part.margin(course) for part in self.parts]).amax(0)

    def __str__(self) -> str:
        return " or ".join(f"({part})" for part in self.parts)


@dataclass(frozen=True, kw_only=True, eq=False)
class OnlyWhen(Joined):
    """The first part, wherever the second one is met."""

    def margin(self, course: Course) -> Float[Tensor, "*batch s_minus_1"]:
        """See :class:`Constraint`; how far the condition is from being met counts as a margin."""
        constraint, condition = self.parts
        return torch.maximum(constraint.margin(course), -condition.margin(course))

    def __str__(self) -> str:
        constraint, condition = self.parts
        return f"({constraint}) where ({condition})"


def limit(quantity: str, *, below: float | None = None, above: float | None = None) -> Limit:
    """A quantity stays below, above, or between; also an entry of the action, by its name.

    Raises:
        ForethoughtError: no limit at all, or limits that leave nothing between them.
    """
    return Limit(quantity=quantity, below=below, above=above)


def rate_limit(quantity: str, *, at_most: float) -> RateLimit:
    """A quantity changes by no more than so much in a second.

    Raises:
        ForethoughtError: a rate that is not positive.
    """
    _positive("rate_limit", "at_most", at_most)
    return RateLimit(quantity=quantity, at_most=at_most)


def keep_out(box: Mapping[str, tuple[float | None, float | None]]) -> KeepOut:
    """Never be inside a box, e.g. ``{"position.x": (10, 20), "position.y": (None, 30)}``.

    Raises:
        ForethoughtError: a box without ends, or with ends the wrong way round.
    """
    ends = [end for sides in box.values() for end in sides if end is not None]
    if not ends:
        raise ForethoughtError(f"keep_out needs a box with at least one end; found {dict(box)}.")
    for name, (low, high) in box.items():
        if low is not None and high is not None and low >= high:
            raise ForethoughtError(
                f"keep_out: the box has {name!r} from {low:g} to {high:g}; exchange them."
            )
    return KeepOut(box=dict(box))


def keep_away(place: tuple[str, ...], *points: tuple, distance: float) -> KeepAway:
    """Stay away from points, e.g. ``("position.x", "position.y"), (20, 30), distance=6``.

    Args:
        place: quantities that say where something is.
        points: as many numbers each; the nearest of the points counts.
        distance: in the unit of the place.

    Raises:
        ForethoughtError: as many names as numbers are needed, and a positive distance.
    """
    _positive("keep_away", "distance", distance)
    for point in points or ((),):
        _alike("keep_away", place, point)
    every = tuple(tuple(point) for point in points)
    return KeepAway(place=tuple(place), points=every, distance=distance)


def apart(first: tuple[str, ...], second: tuple[str, ...], *, distance: float) -> Apart:
    """Two things keep a distance, e.g. ``("position.x",), ("obstacle.x",), distance=6``.

    Raises:
        ForethoughtError: as many names for both are needed, and a positive distance.
    """
    _positive("apart", "distance", distance)
    _alike("apart", first, second)
    return Apart(first=tuple(first), second=tuple(second), distance=distance)


def _length(vectors: Float[Tensor, "*batch q"]) -> Float[Tensor, "*batch"]:
    """Euclidean length, with a finite gradient at zero."""
    return vectors.square().sum(-1).add(1e-12).sqrt()


def _positive(what: str, name: str, value: float) -> None:
    if not value > 0:
        raise ForethoughtError(f"{what}: {name} is {value}; expected a positive number.")


def _alike(what: str, first: tuple, second: tuple) -> None:
    if len(first) != len(second) or not first:
        raise ForethoughtError(
            f"{what} needs two places of as many numbers; found {first} and {second}."
        )
