"""What a cost may know of the agent it is bound to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from forethought.types import ActionSpace, Distance, ForethoughtError, Observation, Signature


@dataclass(frozen=True, kw_only=True, eq=False)
class Bounds:
    """By how much a guardrail is widened for what the agent's foresight may be wrong by.

    Attributes:
        near: ``(..., h)`` at each imagined step, where the margin is imagined within ``reach`` of
            zero.
        far: ``(..., h)`` elsewhere; never more than ``reach``, so that what looks far is feasible.
        reach: ``(..., h)``.
        grown: ``(..., b, 1, h)`` what all three have grown by since; ``b`` is 1 for all alike.
        unit: a usual size of its margins, so that those of several can be added up.
    """

    near: Float[Tensor, "*alike h"]
    far: Float[Tensor, "*alike h"]
    reach: Float[Tensor, "*alike h"]
    grown: Float[Tensor, "*g b 1 h"]
    unit: float = 1.0

    @classmethod
    def none(cls, horizon: int) -> Bounds:
        """Nothing is widened."""
        zero = torch.zeros(horizon)
        return cls(near=zero, far=zero, reach=zero, grown=zero[None, None])

    def to(self, device: torch.device) -> Bounds:
        """The same bounds on another device."""
        return replace(
            self,
            near=self.near.to(device),
            far=self.far.to(device),
            reach=self.reach.to(device),
            grown=self.grown.to(device),
        )

    def of(self, margins: Float[Tensor, "*b h"]) -> Float[Tensor, "*b h"]:
        """By how much these margins are widened, before anything has grown."""
        return torch.where(margins.abs() <= self.reach, self.near, self.far)

    def widen(self, margins: Float[Tensor, "*b h"]) -> Float[Tensor, "*b h"]:
        """Margins ``(..., b, n, h)`` less what foresight may be wrong by."""
        left = margins - self.grown
        return left - self.of(left)


@lru_cache(maxsize=64)
def stacked(bounds: tuple[Bounds, ...]) -> Bounds:
    """The bounds of several guardrails as one, for margins ``(g, b, n, h)``.

    Remembered by identity: a search asks for the same bounds in every round.
    """

    def each(values: Iterable[Tensor]) -> Tensor:
        return torch.stack(tuple(values))

    return Bounds(
        near=each(one.near for one in bounds)[:, None, None],
        far=each(one.far for one in bounds)[:, None, None],
        reach=each(one.reach for one in bounds)[:, None, None],
        grown=each(one.grown for one in bounds),
    )


def no_words(sentences: Sequence[str]) -> Float[Tensor, "n k d"]:
    """Of an agent that reads no goals in words.

    Raises:
        ForethoughtError: always.
    """
    raise ForethoughtError(
        f"found a goal in words, {sentences[0]!r}, for a model that reads none. Teach it with "
        "`forethought words RUN --data DATA --out RUN2`, from recordings that say in words what "
        "was done, or show the goal."
    )


@dataclass(frozen=True, kw_only=True)
class Sight:
    """What a cost term may know of the agent it is bound to.

    Attributes:
        encode: observations ``(b, ...)`` per key to latents ``(b, k, d)``.
        push: latents ``(n, k, d)`` and world actions ``(n, c)``, in units of their box, to the
            latents ``(n, k, d)`` that follow when each is held for a model step.
        distance: the agent's own measure of how far apart two latents are.
        read: physical quantities by name, read from latents ``(..., k, d)`` by the agent's probes.
        quantities: their names.
        space: the model actions, or what a level above searches.
        steps: model steps in an imagined step: more than one on a level above.
        block: world steps in a model step.
        acts: whether what is searched are the world's actions; not so on a level above.
        signature: the observations and actions of the world.
        in_vain: per agent ``(m, 2, k, d)`` imagined steps, from where to where, that it set out for
            and that did not come about; empty where the agent keeps no account.
        bounds: of a guardrail by name, for so many imagined steps.
        meant: sentences to the latents ``(n, k, d)`` that they stand for.
    """

    encode: Callable[[Observation], Float[Tensor, "b k d"]]
    push: Callable[[Float[Tensor, "n k d"], Float[Tensor, "n c"]], Float[Tensor, "n k d"]]
    distance: Distance
    read: Callable[[Float[Tensor, "*batch k d"]], Mapping[str, Tensor]]
    quantities: tuple[str, ...] = ()
    space: ActionSpace
    steps: int = 1
    block: int = 1
    acts: bool = True
    signature: Signature
    in_vain: Callable[[], Sequence[Float[Tensor, "_ 2 k d"]]] = tuple
    bounds: Callable[[str, int], Bounds] = lambda name, horizon: Bounds.none(horizon)
    meant: Callable[[Sequence[str]], Float[Tensor, "n k d"]] = no_words
