"""The gate between Mode 1 and Mode 2: when a reflex will do, and when to deliberate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float

from forethought.config import register
from forethought.types import ForethoughtError


@runtime_checkable
class Gate(Protocol):
    """Says which agents may act by reflex.

    Attributes:
        chunk: model steps of a reflex that are acted out before the next decision, where every
            agent acts by reflex; where one deliberates, all decide again when it does.
        heeds_surprise: whether surprise is to be measured after a reflex, which takes an imagined
            step.
        deliberates: whether it may ask for a search at all. Where it may, a reflex that the shield
            would change is one cause; where not, the shield changes it.
        fewest: candidates that a search must have time for; where it has not, reflexes act.
        jitter: deviation, in units of half the box, of a push that each reflex is shaken by and
            that is held while it is acted out: a policy that always answers the same to the same
            stands before a wall for ever.
    """

    @property
    def chunk(self) -> int:
        """See the class."""
        ...

    @property
    def heeds_surprise(self) -> bool:
        """See the class."""
        ...

    @property
    def deliberates(self) -> bool:
        """See the class."""
        ...

    @property
    def fewest(self) -> int:
        """See the class."""
        ...

    @property
    def jitter(self) -> float:
        """See the class."""
        ...

    def opens(
        self, spread: Float[np.ndarray, " b"], surprise: Float[np.ndarray, " b"]
    ) -> Bool[np.ndarray, " b"]:
        """Which agents may act by reflex.

        Args:
            spread: by how much the members of the policy disagree.
            surprise: of the model step that has just ended; NaN where there is none.
        """
        ...


@register
@dataclass(frozen=True, kw_only=True)
class GateConfig:
    """Reflexes where spread and surprise are low. Implements :class:`Gate`.

    ``model.policy.gate()`` gives one by what was met while the policy was distilled.

    Attributes:
        spread: of the policy's members, above which an agent deliberates.
        surprise: of the model step that has just ended, above which it does; a step without
            surprise, such as the first, is no cause.
        chunk: see :class:`Gate`.
        fewest: see :class:`Gate`.
        deliberates: see :class:`Gate`.
        jitter: see :class:`Gate`.

    Raises:
        ForethoughtError: a chunk without a step, or a deviation below zero.
    """

    spread: float
    surprise: float
    chunk: int = 1
    fewest: int = 2
    deliberates: bool = True
    jitter: float = 0.0

    def __post_init__(self) -> None:
        if self.chunk < 1:
            raise ForethoughtError(
                f"a gate with chunk={self.chunk}; give 1 or more model steps of a reflex to act on."
            )
        if not self.jitter >= 0:
            raise ForethoughtError(f"a gate with jitter={self.jitter}; give a deviation, or 0.")

    @classmethod
    def reflexes_only(cls, *, chunk: int = 1, jitter: float = 0.0) -> GateConfig:
        """Mode 1 alone: never a search, whatever spread and surprise are."""
        always = float("inf")
        return cls(spread=always, surprise=always, chunk=chunk, deliberates=False, jitter=jitter)

    @property
    def heeds_surprise(self) -> bool:
        """See :class:`Gate`."""
        return self.surprise < float("inf")

    def opens(
        self, spread: Float[np.ndarray, " b"], surprise: Float[np.ndarray, " b"]
    ) -> Bool[np.ndarray, " b"]:
        """See :class:`Gate`."""
        return ~((spread > self.spread) | (surprise > self.surprise))
