"""Guardrails: conditions that plans must meet, each with the risk that it may be broken at.

A guardrail is widened by what foresight is wrong by (:mod:`forethought.cost.calibration`), so that
what it guards against happens at most as often as its risk says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from forethought.cost.constraints import AllOf, Constraint, Limit, limit
from forethought.cost.course import Reading
from forethought.cost.sight import Bounds, Sight, stacked
from forethought.types import ActionSpace, ActionSpec, ForethoughtError, Imagination

BROKEN = -1e9
"""Margin of what cannot be told: NaN counts as violated, by much."""
HAIR = 1e-6

Judge = Callable[[Imagination], Mapping[str, Float[Tensor, "b n h"]]]
"""From an imagination to the margins of each guardrail, before they are widened."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Guardrail:
    """A condition that must hold, and how often it may fail to.

    Attributes:
        constraint: the condition.
        name: how plans and logs call it.
        risk: share of the steps at which it may be broken, per imagined step.
        calibrated: whether its margin is widened by what held-out rollouts were wrong by. Only to
            show what that is worth should this be False.

    Raises:
        ForethoughtError: a risk that is not between 0 and 1.
    """

    constraint: Constraint
    name: str
    risk: float = 0.05
    calibrated: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.risk < 1:
            raise ForethoughtError(
                f"guardrail {self.name!r} has risk {self.risk}; expected a share between 0 and 1, "
                "such as 0.01."
            )

    def __str__(self) -> str:
        widened = "" if self.calibrated else ", not calibrated"
        return f"{self.name}: {self.constraint} (risk {self.risk:g}{widened})"


def guardrail(
    what: str | Constraint,
    *,
    below: float | None = None,
    above: float | None = None,
    risk: float = 0.05,
    name: str | None = None,
    calibrated: bool = True,
) -> Guardrail:
    """A limit that must not be crossed: ``guardrail("position.x", below=0.8, risk=0.01)``.

    Args:
        what: name of a quantity that probes read, or of an entry of the action; or a condition made
            with :func:`limit`, :func:`keep_out`, :func:`apart` and their like.
        below: for a quantity, what it must not exceed.
        above: for a quantity, what it must not fall short of.
        risk: share of the steps at which it may be broken.
        name: how plans and logs call it; None for the condition in words.
        calibrated: see :class:`Guardrail`.

    Raises:
        ForethoughtError: limits that make no sense, or limits beside a condition.
    """
    if isinstance(what, Constraint) and (below is not None or above is not None):
        raise ForethoughtError(
            f"guardrail: below= and above= belong to a quantity, not to the condition {what}; join "
            "it with limit(...) by `&`."
        )
    constraint = limit(what, below=below, above=above) if isinstance(what, str) else what
    return Guardrail(
        constraint=constraint, name=name or str(constraint), risk=risk, calibrated=calibrated
    )


def bind_guardrails(guardrails: Sequence[Guardrail], sight: Sight) -> Judge:
    """The margins of several guardrails as a function of an imagination, which is read once.

    On a level above, guardrails about actions are left to the level that knows them.

    Raises:
        ForethoughtError: one is about a quantity that the agent can neither read nor do.
    """
    reading = reading_of(guardrails, sight)
    judged = [one for one in guardrails if set(one.constraint.quantities) <= set(reading.names)]

    def judge(imagination: Imagination) -> Mapping[str, Float[Tensor, "b n h"]]:
        if not judged:
            return {}
        course = reading.imagined(imagination.latents, imagination.actions)
        margins = torch.stack([one.constraint.margin(course) for one in judged])
        least = worst_within(margins, reading)
        return {one.name: margin for one, margin in zip(judged, least, strict=True)}

    return judge


def reading_of(guardrails: Sequence[Guardrail], sight: Sight) -> Reading:
    """How the quantities of guardrails are read, by this agent at this level.

    Raises:
        ForethoughtError: one of them can neither be read nor done.
    """
    readers = {
        name: reader
        for one in guardrails
        for name, reader in one.constraint.readers(sight.encode).items()
    }
    spec = sight.signature.action
    places = {} if spec.discrete else {name: i for i, name in enumerate(spec.names)}
    for one in guardrails:
        for name in one.constraint.quantities:
            if name not in {*sight.quantities, *readers, *places}:
                raise ForethoughtError(
                    f"guardrail {one.name!r} is about {name!r}; the agent's probes read "
                    f"{sorted(sight.quantities)}, its actions are {sorted(places)}. Name one of "
                    "them, or train with data that hold it."
                )
    wanted = dict.fromkeys(name for one in guardrails for name in one.constraint.quantities)
    done = {name: place for name, place in places.items() if name in wanted}
    return Reading(
        names=tuple(name for name in wanted if sight.acts or name not in done),
        probes=sight.read,
        readers=readers,
        actions=done if sight.acts else {},
        steps=sight.steps * sight.block,
        step_s=1 / sight.signature.rate_hz,
    )


def worst_within(margins: Float[Tensor, "*batch hs"], reading: Reading) -> Float[Tensor, "*b h"]:
    """The least margin within each imagined step."""
    return margins.unflatten(-1, (-1, reading.steps)).amin(-1)


def widened(
    raw: Mapping[str, Float[Tensor, "b nm h"]],
    bounds: Mapping[str, Bounds],
    num_outcomes: int,
) -> dict[str, Float[Tensor, "b n h"]]:
    """Margins less what foresight may be wrong by; of several outcomes the worst counts.

    Raises:
        ForethoughtError: every margin of a guardrail is NaN.
    """
    if not raw:
        return {}
    margins = torch.stack(tuple(raw.values()))
    broken = torch.isnan(margins)
    for name, nowhere in zip(raw, broken.flatten(1).all(1).tolist(), strict=True):
        if nowhere:
            raise ForethoughtError(
                f"guardrail {name!r} is NaN for every candidate: the observation, the weights or "
                "its condition hold NaN. Check the observation, and the numbers of the guardrail."
            )
    worst = torch.where(broken, BROKEN, margins)
    if num_outcomes > 1:
        worst = worst.unflatten(2, (-1, num_outcomes)).amin(3)
    left = stacked(tuple(bounds[name] for name in raw)).widen(worst)
    return dict(zip(raw, left, strict=True))


def allowed_actions(
    guardrails: Sequence[Guardrail], space: ActionSpace, spec: ActionSpec
) -> ActionSpace:
    """The actions that limits on single entries leave: those need not be searched for.

    Args:
        guardrails: of which limits on entries of the action, also joined by ``&``, are taken.
        space: model actions.
        spec: of the world's actions, which name the entries.

    Raises:
        ForethoughtError: nothing is left.
    """
    if spec.discrete:
        return space
    low, high = (
        space.low.unflatten(0, (space.block, -1)),
        space.high.unflatten(0, (space.block, -1)),
    )
    low, high = low.clone(), high.clone()
    for one in _limits([rail.constraint for rail in guardrails]):
        if one.quantity not in spec.names:
            continue
        place = spec.names.index(one.quantity)
        # A hair inside, so that rounding makes no violation of what lies on the limit.
        hair = HAIR * (high[:, place] - low[:, place])
        if one.below is not None:
            high[:, place] = high[:, place].clamp(max=one.below) - hair
        if one.above is not None:
            low[:, place] = low[:, place].clamp(min=one.above) + hair
        if bool((low[:, place] > high[:, place]).any()):
            raise ForethoughtError(
                f"the guardrail {one} leaves no action at all: {one.quantity!r} lies between "
                f"{spec.low[place]:g} and {spec.high[place]:g}. Loosen it."
            )
    return replace(space, low=low.flatten(), high=high.flatten())


def _limits(constraints: Sequence[Constraint]) -> Iterator[Limit]:
    """The limits that hold whenever all of the conditions do."""
    for one in constraints:
        if isinstance(one, Limit):
            yield one
        elif isinstance(one, AllOf):
            yield from _limits(one.parts)
