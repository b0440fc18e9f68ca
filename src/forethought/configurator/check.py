"""What is wrong with a task, found before anything moves.

A task is held against a model and what was recorded: what can never be met, what asks for nothing,
what contradicts itself, and what the model has never seen. An error leaves nothing to hope for; a
warning should be looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from forethought.configurator.goals import ShownGoal
from forethought.configurator.measures import (
    SUPPORT,
    Standing,
    Support,
    View,
    action_names,
    contradiction,
    goal_quantities,
    goal_support,
    known_guardrails,
    margins_at_rest,
    standings,
    uncalibrated,
    unknown_of,
)
from forethought.configurator.parts import hint
from forethought.configurator.recorded import Recorded
from forethought.configurator.task import Task, planner_horizon
from forethought.cost.region import RegionGoal
from forethought.cost.terms import CostTerm
from forethought.data.check import Severity
from forethought.model import Model
from forethought.senses import sight_of
from forethought.types import ForethoughtError, Imagination

MOSTLY = 0.95
"""Share of moments that violate a guardrail from which on that is told."""
LITTLE = 0.05
"""Share of moments that a widened guardrail should leave."""
FAR = 3.0
"""Standard deviations within which data should come near a guardrail."""
FLAT = 1e-3
"""Spread of a term, relative to its size, below which it steers nothing."""
MOST_CLIPS = 2000
"""Clips that terms are asked about."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is wrong with a task.

    Attributes:
        severity: an error leaves nothing to hope for, a warning should be looked at.
        about: the goal, or the name of a term or guardrail.
        found: what was found, in numbers.
        why: why it matters.
        remedy: what to do.
    """

    severity: Severity
    about: str
    found: str
    why: str
    remedy: str


@dataclass(frozen=True, kw_only=True)
class TaskReport:
    """What was looked at, and what was found.

    Attributes:
        findings: the worst first.
        guardrails: how each stands to what was recorded.
        goal: how far it lies from that; None where it cannot be told.
        moments: recorded moments that were looked at.
    """

    findings: tuple[Finding, ...]
    guardrails: tuple[Standing, ...]
    goal: Support | None
    moments: int

    @property
    def sound(self) -> bool:
        """Whether there is no error."""
        return all(one.severity is not Severity.ERROR for one in self.findings)

    def to_json(self) -> dict[str, Any]:
        """The same in JSON types."""
        return {
            "sound": self.sound,
            "moments": self.moments,
            "findings": [{**vars(one), "severity": one.severity.value} for one in self.findings],
            "guardrails": [
                {
                    "name": one.guardrail.name,
                    "condition": str(one.guardrail.constraint),
                    "risk": one.guardrail.risk,
                    "violated": one.violated,
                    "least_margin": float(one.margins.min()),
                    "widening": None if one.widening is None else one.widening.tolist(),
                    "left": one.left,
                }
                for one in self.guardrails
            ],
            "goal": None if self.goal is None else {**vars(self.goal)},
        }


@torch.no_grad()
def check_task(task: Task, model: Model, recorded: Recorded) -> TaskReport:
    """Holds a task against a model and what was recorded.

    Args:
        task: what is asked.
        model: what is known of the world.
        recorded: see :func:`recorded_of`.

    Raises:
        ForethoughtError: the planner that the task asks for is none.
    """
    view = View(
        sight=sight_of(model),
        recorded=recorded,
        calibration=model.calibration,
        horizon=planner_horizon(task.acting(model).planner),
    )
    alone = [replace(task, goal=leg.goal, legs=()) for leg in task.legs] or [task]
    first, *others = (check(one, one.cost(model).terms, view) for one in alone)
    findings = [*first.findings, *of_settings(task, model)]
    for number, report in enumerate(others, start=2):
        about_goal = (one for one in report.findings if one.about == "goal")
        findings += [replace(one, about=f"goal {number}") for one in about_goal]
    return replace(first, findings=_worst_first(findings))


@torch.no_grad()
def check(task: Task, terms: Sequence[CostTerm], view: View) -> TaskReport:
    """The same of a task whose terms are known, the goal's included."""
    standing = standings(known_guardrails(task, view.sight), view)
    findings = [*of_quantities(task, view), *of_terms(terms, view), *of_calibration(task, view)]
    for one in standing:
        findings += of_guardrail(one)
    findings += of_contradictions(standing)
    support = _support(task, view)
    if support is not None:
        findings += [*of_support(support, task, view), *of_conflicts(task, standing, view)]
    return TaskReport(
        findings=_worst_first(findings),
        guardrails=tuple(standing),
        goal=support,
        moments=view.recorded.moments,
    )


def _worst_first(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    order = list(Severity)
    return tuple(sorted(findings, key=lambda one: order.index(one.severity)))


def _support(task: Task, view: View) -> Support | None:
    """How far off the goal is; None where it cannot be read, which its term tells."""
    try:
        known = not (isinstance(task.goal, RegionGoal) and _unread(task.goal, view))
        return goal_support(task.goal, view) if known else None
    except ForethoughtError:
        return None


def _unread(goal: RegionGoal, view: View) -> list[str]:
    return [name for name in goal.bounds if name not in view.recorded.names]


# ------------------------------------------------------------------------------- the words


def of_quantities(task: Task, view: View) -> Iterator[Finding]:
    """Guardrails and goals about what the agent can neither read nor do."""
    read, done = view.sight.quantities, action_names(view.sight)
    asked = {one.name: unknown_of(one, view.sight) for one in task.guardrails}
    if isinstance(task.goal, RegionGoal):
        asked["goal"] = _unread(task.goal, view)
    for about, names in asked.items():
        for name in names:
            yield Finding(
                severity=Severity.ERROR,
                about=about,
                found=f"unknown quantity {name!r}; the probes read {sorted(read)}, the actions are "
                f"{sorted(done)}",
                why="nothing can be asked of what cannot be read",
                remedy=f"name one of them, or train with data that hold it.{hint(name, read)}",
            )


def of_terms(terms: Sequence[CostTerm], view: View) -> Iterator[Finding]:
    """Terms that cannot be computed, that are NaN, and that never vary."""
    clips = view.recorded.few(MOST_CLIPS)
    imagination = Imagination(latents=clips.latents[None], actions=clips.actions[None])
    for term in terms:
        try:
            values = term.bind(view.sight)(imagination)[0].sum(-1)
        except ForethoughtError as error:
            yield Finding(
                severity=Severity.ERROR,
                about=term.name,
                found=str(error),
                why="the term cannot be computed, so no plan can be made",
                remedy="mend the term as it says",
            )
            continue
        yield from _of_values(term, values)


def _of_values(term: CostTerm, values: Float[Tensor, " n"]) -> Iterator[Finding]:
    broken = float((~values.isfinite()).float().mean())
    if broken:
        yield Finding(
            severity=Severity.ERROR,
            about=term.name,
            found=f"NaN or infinite on {broken:.1%} of the recorded moments",
            why="plans cannot be compared by it",
            remedy="mend the term: no division by zero, no root or logarithm of what may be "
            "negative",
        )
        return
    spread, size = float(values.std(correction=0)), float(values.abs().mean())
    if spread <= FLAT * size:
        yield Finding(
            severity=Severity.ERROR if term.seeks_goal else Severity.WARNING,
            about=term.name,
            found=f"{size:.3g} at every recorded moment, give or take {spread:.2g}",
            why="what never varies cannot steer",
            remedy="ask for what differs between states, or leave the term out",
        )


def of_settings(task: Task, model: Model) -> Iterator[Finding]:
    """A mode, a memory or an adaptation that an agent of this model cannot have."""
    asked: dict[str, Callable[[], object]] = {}
    if task.mode:
        asked["mode"] = partial(task.mode.gate, model)
    if task.memory:
        asked["memory"] = partial(task.memory.open, model)
    if task.adaptation:
        asked["adaptation"] = partial(task.adaptation.ready, model)
    for about, ask in asked.items():
        try:
            ask()
        except ForethoughtError as error:
            yield Finding(
                severity=Severity.ERROR,
                about=about,
                found=str(error),
                why="no agent can be made that acts so",
                remedy="mend it as it says, or leave it out",
            )


def of_calibration(task: Task, view: View) -> Iterator[Finding]:
    """What cannot be calibrated at all, and what only for a part of the way ahead."""
    if not task.guardrails:
        return
    calibration = view.calibration
    if calibration is None:
        yield Finding(
            severity=Severity.ERROR,
            about="guardrails",
            found="the model was never calibrated",
            why="how far foresight is wrong has to be known to keep within a guardrail",
            remedy="forethought calibrate RUN --data DATA, with data that no training saw",
        )
        return
    for one in known_guardrails(task, view.sight):
        for name in uncalibrated(one, view):
            yield Finding(
                severity=Severity.ERROR,
                about=one.name,
                found=f"the calibration holds {list(calibration.names)}, not {name!r}",
                why="how far foresight is wrong has to be known to keep within a guardrail",
                remedy="forethought calibrate RUN --data DATA, with data that hold it",
            )
    if view.horizon is not None and view.horizon > calibration.horizon:
        yield Finding(
            severity=Severity.ERROR,
            about="planner",
            found=f"a horizon of {view.horizon} model steps, calibrated for {calibration.horizon}",
            why="beyond that nothing is known of how far foresight is wrong",
            remedy=f"lower it, or forethought calibrate RUN --data DATA --horizon {view.horizon}",
        )


def of_guardrail(one: Standing) -> Iterator[Finding]:
    """One guardrail that data always violate or never come near, or that is widened too far."""
    least, spread = float(one.margins.min()), float(one.margins.std(correction=0))
    about = one.guardrail.name
    if one.violated > MOSTLY:
        yield Finding(
            severity=Severity.ERROR if one.violated == 1 else Severity.WARNING,
            about=about,
            found=f"violated at {one.violated:.1%} of {len(one.margins)} recorded moments; margins "
            f"from {least:.3g} to {float(one.margins.max()):.3g}",
            why="the agent hardly knows states that meet it",
            remedy="look at its sign and its unit, or record what meets it",
        )
    elif least > FAR * spread:
        yield Finding(
            severity=Severity.WARNING,
            about=about,
            found=f"its margin is never below {least:.3g}, and varies by {spread:.2g}",
            why="what data never come near is pointless, or in another unit",
            remedy="look at its unit; keep it if it is meant for what was never recorded",
        )
    yield from _of_widening(one)


def _of_widening(one: Standing) -> Iterator[Finding]:
    about = one.guardrail.name
    if one.widening is None:
        if one.rollouts:
            yield Finding(
                severity=Severity.ERROR,
                about=about,
                found=f"a risk of {one.guardrail.risk:g} takes {one.needed} held-out rollouts, "
                f"there are {one.rollouts}",
                why="so small a risk cannot be told from so few",
                remedy=f"calibrate on more data (forethought calibrate RUN --data DATA --rollouts "
                f"{one.needed}), or state a risk of {1.06 * one.least_risk:.2g} or more",
            )
    elif one.left < LITTLE and one.violated <= MOSTLY:
        yield Finding(
            severity=Severity.WARNING if one.left else Severity.ERROR,
            about=about,
            found=f"widened by {float(one.widening[0]):.3g} for one model step and by "
            f"{one.widest:.3g} within {len(one.widening)}, it is met at {one.left:.1%} of the "
            f"recorded moments, before at {1 - one.violated:.1%}",
            why="hardly any plan is feasible: the fallback will act",
            remedy="state a larger risk, lower the planner's horizon, loosen the guardrail, or "
            "train a model that foresees it better",
        )


def of_contradictions(standing: Sequence[Standing]) -> Iterator[Finding]:
    """Guardrails that no recorded moment meets at once, though each alone is met."""
    for widened in (False, True):
        margins = {
            one.guardrail.name: one.margins - (one.widest if widened else 0.0) for one in standing
        }
        met = {name: margin >= 0 for name, margin in margins.items() if bool((margin >= 0).any())}
        names = list(met)
        clash = contradiction(torch.stack(list(met.values()), 1)) if len(met) > 1 else ()
        if clash:
            yield _contradiction({names[i]: met[names[i]] for i in clash}, widened)
            return


def _contradiction(met: Mapping[str, Bool[Tensor, " n"]], widened: bool) -> Finding:
    alone = ", ".join(f"{name!r} at {float(one.float().mean()):.1%}" for name, one in met.items())
    once = ", once widened" if widened else ""
    return Finding(
        severity=Severity.ERROR,
        about=" and ".join(met),
        found=f"no recorded moment meets them together{once}; each alone is met ({alone})",
        why="no plan is feasible: the fallback will always act",
        remedy="look at their signs and units; loosen one of them, or leave it out",
    )


def of_support(support: Support, task: Task, view: View) -> Iterator[Finding]:
    """A goal unlike anything that was recorded."""
    if not support.outside:
        return
    unit = " usual deviations" if isinstance(task.goal, RegionGoal) else " in latents"
    yield Finding(
        severity=Severity.ERROR,
        about="goal",
        found=f"the nearest recorded moment is {support.distance:.3g}{unit} away; of held-out "
        f"moments {SUPPORT:.1%} are within {support.most:.3g}, half within {support.usual:.3g}"
        f"{_ranges(task, view)}",
        why="the agent knows nothing of such a state: neither how to come there nor when it is "
        "there",
        remedy="show a goal like what was recorded (same camera, same light, same size), or record "
        "such states and train again",
    )


def _ranges(task: Task, view: View) -> str:
    """Where a region's quantities lie outside of all that was recorded."""
    if not isinstance(task.goal, RegionGoal):
        return ""
    said = []
    for name, (low, high) in task.goal.bounds.items():
        values = view.recorded.quantities[:, -1, view.recorded.names.index(name)]
        least, most = float(values.min()), float(values.max())
        if (low is not None and low > most) or (high is not None and high < least):
            said.append(f"{name} was recorded from {least:.3g} to {most:.3g}")
    return "".join(f"; {one}" for one in said)


def of_conflicts(task: Task, standing: Sequence[Standing], view: View) -> Iterator[Finding]:
    """Guardrails that are violated at the goal; those about actions say nothing of states."""
    done = set(action_names(view.sight))
    rails = [
        one
        for one in standing
        if one.violated < 1 and not done & set(one.guardrail.constraint.quantities)
    ]
    if not rails:
        return
    states = goal_quantities(task.goal, view)
    margins = margins_at_rest([one.guardrail for one in rails], view, *states)
    best = {name: float(margin.max()) for name, margin in margins.items()}
    for one in rails:
        yield from _of_conflict(one, best[one.guardrail.name], task)
    together = torch.stack(list(margins.values()), 1) >= 0
    if len(rails) > 1 and min(best.values()) >= 0 and (clash := contradiction(together)):
        names = [rails[i].guardrail.name for i in clash]
        yield Finding(
            severity=Severity.ERROR,
            about="goal",
            found=f"no state at the goal meets {' and '.join(map(repr, names))} at once",
            why="the agent will never come to the goal",
            remedy="move the goal, or loosen one of them",
        )


def _of_conflict(one: Standing, margin: float, task: Task) -> Iterator[Finding]:
    """One guardrail, by its best margin at the goal."""
    by = "as probes read the goal" if isinstance(task.goal, ShownGoal) else "at its best"
    name, step = one.guardrail.name, 0.0 if one.widening is None else float(one.widening[0])
    if margin < 0:
        yield Finding(
            severity=Severity.ERROR,
            about="goal",
            found=f"it violates the guardrail {name!r} by {-margin:.3g}, {by}",
            why="the agent will never come to the goal",
            remedy="move the goal, or the guardrail",
        )
    elif margin < step:
        yield Finding(
            severity=Severity.WARNING,
            about="goal",
            found=f"it is {margin:.3g} from violating the guardrail {name!r}, {by}, which is "
            f"widened by {step:.3g} for a single model step",
            why="the agent will stop short of the goal",
            remedy="move the goal or the guardrail, or state a larger risk",
        )
