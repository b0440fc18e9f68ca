"""Time: how many candidates a search may still evaluate, and what a decision is made of."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from forethought.types import Pace


@dataclass
class Clock:
    """Says how many candidates there is time for, by what the calls of the search took so far.

    A call is timed from one :meth:`call` to the next, so that drawing and ranking are counted too.

    Attributes:
        deadline_s: seconds from the start; None for no limit.
        pace: how long calls take; None until one was timed.
        now: what time it is.
    """

    deadline_s: float | None
    pace: Pace | None = None
    now: Callable[[], float] = time.perf_counter

    def __post_init__(self) -> None:
        self._started = self._call_began = self.now()
        self._calling = self._largest = 0
        self._known = self.pace is not None

    @property
    def seconds(self) -> float:
        """Since the start."""
        return self.now() - self._started

    @property
    def left(self) -> float:
        """Seconds until the deadline."""
        return torch.inf if self.deadline_s is None else self.deadline_s - self.seconds

    def call(self, most: int, *, least: int = 0) -> int:
        """How many of so many candidates the call that now begins shall have.

        All, where there is time, else a power of two: kernels may be compiled for each size that
        they meet, which takes longer than many a call. Where the pace was not known calls begin
        with one candidate, and no call has more than twice as many as the largest before.

        Args:
            most: as many as there are; all of them where there is no deadline.
            least: as many as there must be, late or not.
        """
        self.stop()
        count = min(most, self._fitting())
        if 0 < count < most:
            count = 2 ** (count.bit_length() - 1)
        self._calling = max(least, count)
        self._largest = max(self._largest, self._calling)
        return self._calling

    def stop(self) -> None:
        """The latest call ends here."""
        now = self.now()
        if self._calling:
            self.took(self._calling, now - self._call_began)
        self._call_began, self._calling = now, 0

    def took(self, count: int, seconds: float) -> None:
        """Takes note of how long a call of so many candidates took."""
        seconds = max(seconds, 1e-9)
        self.pace = self.pace.after(count, seconds) if self.pace else Pace.first(count, seconds)

    def time_for_another(self) -> bool:
        """Whether a call of a single candidate would be in time."""
        self.stop()
        return self._fitting() > 0

    def time_for(self, count: int, *, part: float = 1.0) -> bool:
        """Whether a call of so many candidates, or some part of it, would be in time.

        Not so where it is not known how long any call takes.
        """
        self.stop()
        if self.deadline_s is None:
            return True
        return self.pace is not None and self.pace.fitting(self.left / part) >= count

    def _fitting(self) -> int:
        if self.deadline_s is None:
            return sys.maxsize
        if self.pace is None:
            return 1
        fitting = self.pace.fitting(self.left)
        return fitting if self._known else min(fitting, 2 * self._largest)


@dataclass
class Timetable:
    """How the time of an agent's decisions is divided: perception, search, fallback, and the rest.

    The rest (the shield, margins) is taken to last as long as it did of late, and is kept free for
    it. So is the time that the fallback took of late; where it had hardly more, twice as much, up
    to half of all.

    Attributes:
        deadline_s: seconds from the observation coming in to the action leaving; None for no limit.
        now: what time it is.
    """

    deadline_s: float | None
    now: Callable[[], float] = time.perf_counter
    _fallback_s: float = 0.0
    _rest_s: float = 0.0
    _began: float = 0.0
    _searched: float = 0.0
    _decided: float = 0.0
    _allowed: float | None = None

    def begin(self) -> None:
        """The observation comes in."""
        self._began = self.now()

    def for_search(self) -> float | None:
        """Seconds that a search may take which begins now."""
        left = self._left()
        return None if left is None else left - self._fallback_s

    def searched(self) -> float | None:
        """The search has ended: seconds that a fallback may take."""
        self._searched, self._allowed = self.now(), self._left()
        return self._allowed

    def decided(self) -> None:
        """What to do is clear, after a fallback where one was needed."""
        self._decided = self.now()
        took = self._decided - self._searched
        if self.deadline_s is not None and self._allowed is not None and took > 0.5 * self._allowed:
            took = min(2 * took, self.deadline_s / 2)
        self._fallback_s = max(took, 0.9 * self._fallback_s)

    def answered(self) -> None:
        """What to do is clear without a search."""
        self._decided = self.now()

    def ended(self) -> None:
        """The action that was searched for leaves."""
        rest = self.now() - self._decided
        self._rest_s = max(rest, 0.9 * self._rest_s)

    @property
    def seconds(self) -> float:
        """Since the observation came in."""
        return self.now() - self._began

    def _left(self) -> float | None:
        return None if self.deadline_s is None else self.deadline_s - self._rest_s - self.seconds
