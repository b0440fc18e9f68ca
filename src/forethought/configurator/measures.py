"""How a task stands to what was recorded, in numbers; what they mean is told by ``check``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from forethought.configurator.goals import ShownGoal
from forethought.configurator.recorded import Recorded
from forethought.configurator.task import Task
from forethought.cost.calibration import (
    CONFIDENCE,
    Calibration,
    Widening,
    fewest_rollouts,
)
from forethought.cost.course import Reading
from forethought.cost.guardrail import Guardrail, reading_of
from forethought.cost.region import RegionGoal
from forethought.cost.shown import latents_of
from forethought.cost.sight import Sight

SUPPORT = 0.999
"""Share of held-out moments that lie as near to recorded ones as a goal must."""
NEAR = 0.05
"""Standard deviations within which quantities are near in any case."""
CHUNK = 1024


@dataclass(frozen=True, kw_only=True)
class View:
    """What a task is held against.

    Attributes:
        sight: of an agent with the model.
        recorded: what was recorded, as the agent sees it.
        calibration: held-out rollouts; None where the model was never calibrated.
        horizon: model steps that the planner looks ahead; None where it does not say.
    """

    sight: Sight
    recorded: Recorded
    calibration: Calibration | None
    horizon: int | None


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How one guardrail stands to what was recorded.

    Attributes:
        guardrail: it.
        margins: ``(n,)`` at every recorded moment.
        rollouts: held-out rollouts that it can be calibrated on.
        needed: as many as its risk takes.
        widening: ``(h,)`` by how much it is widened for each imagined step, near it; None where
            there are too few rollouts, or none.
    """

    guardrail: Guardrail
    margins: Float[Tensor, " n"]
    rollouts: int
    needed: int
    widening: Float[Tensor, " h"] | None

    @property
    def least_risk(self) -> float:
        """The smallest risk that can be told from so many rollouts."""
        return 1 - (1 - CONFIDENCE) ** (1 / max(1, self.rollouts))

    @property
    def violated(self) -> float:
        """Share of the recorded moments that violate it."""
        return float((self.margins < 0).float().mean())

    @property
    def widest(self) -> float:
        """By how much it is widened at most, within the planner's horizon."""
        return 0.0 if self.widening is None else float(self.widening.max())

    @property
    def left(self) -> float:
        """Share of the recorded moments that meet it once it is widened."""
        return float((self.margins >= self.widest).float().mean())


@dataclass(frozen=True, kw_only=True)
class Support:
    """How far a goal lies from what was recorded.

    Attributes:
        distance: to the nearest recorded moment.
        usual: the median of the same for held-out moments.
        most: as far as nearly all of them lie at most.
    """

    distance: float
    usual: float
    most: float

    @property
    def outside(self) -> bool:
        """Whether the goal lies further off than nearly all that was recorded."""
        return not self.distance <= self.most


def unknown_quantities(names: Sequence[str], sight: Sight) -> list[str]:
    """Those that the agent can neither read nor do."""
    return [name for name in names if name not in {*sight.quantities, *action_names(sight)}]


def action_names(sight: Sight) -> tuple[str, ...]:
    """Names of the entries of an action, where it has any."""
    spec = sight.signature.action
    return () if spec.discrete else spec.names


def known_guardrails(task: Task, sight: Sight) -> list[Guardrail]:
    """Those about what the agent can read or do."""
    return [one for one in task.guardrails if not unknown_of(one, sight)]


def unknown_of(guardrail: Guardrail, sight: Sight) -> list[str]:
    """Quantities of a guardrail that the agent can neither read nor do."""
    read = guardrail.constraint.readers(sight.encode)
    return unknown_quantities([n for n in guardrail.constraint.quantities if n not in read], sight)


def uncalibrated(guardrail: Guardrail, view: View) -> list[str]:
    """Quantities of a guardrail that the calibration does not hold."""
    known = () if view.calibration is None else view.calibration.names
    probed = reading_of([guardrail], view.sight).probed
    return [name for name in probed if name not in known]


def standings(guardrails: Sequence[Guardrail], view: View) -> list[Standing]:
    """How guardrails stand to what was recorded."""
    if not guardrails:
        return []
    margins, rolled = recorded_margins(guardrails, view), _rolled(guardrails, view)
    return [
        _standing(one, margins[one.name], rolled.get(one.name), view.horizon) for one in guardrails
    ]


def recorded_margins(guardrails: Sequence[Guardrail], view: View) -> dict[str, Float[Tensor, " n"]]:
    """The margin of each guardrail at the end of every recorded clip."""
    reading, recorded = reading_of(guardrails, view.sight), view.recorded
    values = {n: recorded.quantities[..., recorded.names.index(n)] for n in reading.probed}
    course = reading.course(values, recorded.latents, recorded.actions)
    return {one.name: one.constraint.margin(course)[..., -1] for one in guardrails}


Rolled = tuple[Float[Tensor, "r h"], Float[Tensor, "r h"]]
"""Margins of held-out rollouts, as imagined and as they came to be."""


def _rolled(guardrails: Sequence[Guardrail], view: View) -> dict[str, Rolled]:
    """What guardrails are calibrated on, where there is any.

    All at once, as an agent is calibrated: a condition on latents leaves fewer rollouts for all.
    """
    known = [one for one in guardrails if not uncalibrated(one, view)]
    if view.calibration is None or not known:
        return {}
    imagined, came = view.calibration.margins(known, view.sight)
    return {one.name: (imagined[one.name], came[one.name]) for one in known}


def _standing(
    guardrail: Guardrail, margins: Float[Tensor, " n"], rolled: Rolled | None, horizon: int | None
) -> Standing:
    rollouts, needed = 0 if rolled is None else len(rolled[0]), fewest_rollouts(guardrail.risk)
    widening = None
    if rolled is not None and rollouts >= needed:
        widening = Widening.of(guardrail, *rolled).bounds.near[:horizon]
    return Standing(
        guardrail=guardrail, margins=margins, rollouts=rollouts, needed=needed, widening=widening
    )


def contradiction(met: Bool[Tensor, "n g"]) -> tuple[int, ...]:
    """Conditions that no row meets together, as few as may be; empty where a row meets all."""
    if bool(met.all(1).any()):
        return ()
    kept = list(range(met.shape[1]))
    for one in range(met.shape[1]):
        rest = [other for other in kept if other != one]
        if rest and not bool(met[:, rest].all(1).any()):
            kept = rest
    return tuple(kept)


# ------------------------------------------------------------------------------- goals


def goal_support(goal: ShownGoal | RegionGoal, view: View) -> Support:
    """How far a goal lies from what was recorded.

    A shown goal is held against recorded latents, a region against recorded quantities, in their
    standard deviations.

    Raises:
        ForethoughtError: the goal is not as the agent perceives.
    """
    recorded = view.recorded
    if isinstance(goal, ShownGoal):
        reference = recorded.latents[:, 0].flatten(1)
        target = latents_of(goal.observation, view.sight).flatten(1)
        others = _nearest(recorded.shown.flatten(1), reference)
        return _support(_nearest(target, reference).max(), others, at_least=0.0)
    columns = [recorded.names.index(name) for name in goal.bounds]
    found = recorded.quantities[:, -1, columns]
    scale = found.std(0).clamp_min(1e-6)
    inside = within(goal, found, list(goal.bounds))
    distance = torch.linalg.vector_norm((found - inside) / scale, dim=-1).min()
    shown = recorded.shown_quantities[:, columns] / scale
    return _support(distance, _nearest(shown, found / scale), at_least=NEAR)


def within(
    goal: RegionGoal, quantities: Float[Tensor, "n q"], names: Sequence[str]
) -> Float[Tensor, "n q"]:
    """Quantities moved to the nearest that the region allows; those that are free stay."""
    moved = quantities.clone()
    for name, (low, high) in goal.bounds.items():
        column = moved[:, names.index(name)]
        moved[:, names.index(name)] = column.clamp(
            -math.inf if low is None else low, math.inf if high is None else high
        )
    return moved


def goal_quantities(
    goal: ShownGoal | RegionGoal, view: View
) -> tuple[Float[Tensor, "c q"], Float[Tensor, "c k d"]]:
    """What is recorded or read, and the latents, of states that are at the goal.

    Of a region these are the recorded moments moved into it.
    """
    recorded = view.recorded
    if isinstance(goal, RegionGoal):
        found = within(goal, recorded.quantities[:, -1], recorded.names)
        return found, recorded.latents[:, -1]
    latents = latents_of(goal.observation, view.sight)
    if not recorded.names:
        return latents.new_zeros(len(latents), 0), latents
    read = view.sight.read(latents)
    return torch.stack([read[name] for name in recorded.names], dim=-1), latents


def margins_at_rest(
    guardrails: Sequence[Guardrail],
    view: View,
    quantities: Float[Tensor, "c q"],
    latents: Float[Tensor, "c k d"],
) -> dict[str, Float[Tensor, " c"]]:
    """The margin of each guardrail in states where nothing changes."""
    reading = reading_of(guardrails, view.sight)
    still = {
        name: quantities[:, view.recorded.names.index(name), None].expand(-1, reading.steps + 1)
        for name in reading.probed
    }
    ends = latents[:, None].expand(-1, 2, -1, -1)
    course = reading.course(still, ends, _no_action(reading, view, len(latents)))
    return {one.name: one.constraint.margin(course)[..., -1] for one in guardrails}


def _no_action(reading: Reading, view: View, count: int) -> Float[Tensor, "c 1 a"]:
    return view.recorded.actions.new_zeros(count, 1, view.sight.space.dim)


def _nearest(points: Float[Tensor, "m d"], reference: Float[Tensor, "n d"]) -> Float[Tensor, " m"]:
    """Distance of each point to the nearest of the reference."""
    return torch.cat([torch.cdist(some, reference).amin(1) for some in points.split(CHUNK)])


def _support(distance: Tensor, others: Float[Tensor, " m"], *, at_least: float) -> Support:
    return Support(
        distance=float(distance),
        usual=float(others.median()),
        most=max(float(torch.quantile(others, SUPPORT)), at_least),
    )
