"""Where a camera that was pushed may stand: the place from which pictures look as recorded."""

from __future__ import annotations

from itertools import product


class Looking:
    """A search for the camera's place: every second pixel, then nearer and nearer the best.

    Args:
        reach: pixels that it may have moved at most, either way.
        present: where it is taken to be now; tried first.

    Attributes:
        distances: how strange the world is, seen from each place.
    """

    def __init__(self, reach: int, present: tuple[int, int] = (0, 0)) -> None:
        self._reach, self._apart = reach, min(2, reach)
        self.distances: dict[tuple[int, int], float] = {}
        ticks = range(-reach, reach + 1, self._apart)
        self._todo = [present, *((y, x) for y, x in product(ticks, ticks) if (y, x) != present)]

    def next(self) -> tuple[int, int] | None:
        """The next place to try; None where the search is over."""
        while not self._todo and self._apart > 1:
            self._apart //= 2
            (y, x), _ = self.best()
            steps = (-self._apart, 0, self._apart)
            around = [(y + down, x + right) for down, right in product(steps, steps)]
            self._todo = [
                place
                for place in around
                if place not in self.distances and max(map(abs, place)) <= self._reach
            ]
        return self._todo.pop(0) if self._todo else None

    def found(self, place: tuple[int, int], distance: float) -> None:
        """How strange the world is, seen from a place."""
        self.distances[place] = distance

    def best(self) -> tuple[tuple[int, int], float]:
        """The place from which the world is least strange."""
        return min(self.distances.items(), key=lambda item: item[1])
