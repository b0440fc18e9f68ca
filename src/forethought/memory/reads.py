"""What was read from memories, for whoever records an agent's decisions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class ReadLog:
    """Takes note of reads, until they are taken away."""

    def __init__(self) -> None:
        self._reads: dict[str, list[Any]] = {}

    def note(self, memory: str, found: Sequence[Any]) -> None:
        """What a memory found for each of ``b`` agents, in JSON types; the latest read counts."""
        self._reads[memory] = list(found)

    def take(self) -> dict[str, list[Any]]:
        """All that was noted since it was last taken, by the name of the memory."""
        reads, self._reads = self._reads, {}
        return reads
