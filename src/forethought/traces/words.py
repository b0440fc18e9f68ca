"""Why an agent decided as it did, in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from forethought.cost.table import shares, table
from forethought.traces.records import DecisionRecord, PlanRecord, TraceHeader

FEW = 5
"""So many surprises are needed to tell what is usual."""


def explain(record: DecisionRecord, header: TraceHeader, usual: Sequence[float] = ()) -> str:
    """What was wanted, which action left and why, in a few paragraphs and tables.

    Args:
        record: of the decision; ``Agent.records()`` has the latest, a trace has all.
        header: of its agent.
        usual: surprises of the same agent before, oldest first.
    """
    parts = [
        _decided(record, header),
        f"It wants:\n{record.cost}",
        *_planned(record),
        *_guarded(record),
        *_changed(record),
        _surprised(record, header, usual),
        *_remembered(record),
        _took(record, header),
    ]
    return "\n\n".join(parts)


def _decided(record: DecisionRecord, header: TraceHeader) -> str:
    names = header.signature.action.names
    where = f"Episode {record.episode}, world step {record.step}, agent {record.agent}"
    return f"{where}: {_mode(record)}\nAction: {_vector(record.action, names)}."


def _mode(record: DecisionRecord) -> str:
    if record.mode == 1:
        since = f", chosen {record.plan_step} world steps before" if record.plan_step else ""
        return f"it acted by reflex (mode 1), without a plan{since}."
    if record.plan_step == 0:
        return "it deliberated (mode 2) and made a plan."
    return f"it went on with the plan that it made {record.plan_step} world steps before (mode 2)."


def _planned(record: DecisionRecord) -> list[str]:
    """What each term had of the energy, how the search ended, and where it leads."""
    plan, parts = record.plan, []
    while plan is not None:
        level = "The plan" if plan is record.plan else "The plan of the level above"
        # Margins as measured have a table of their own, beside those of the plan.
        told = {} if record.margins and plan is record.plan else _least(plan)
        parts += [
            f"{level} costs:\n{shares(plan.terms, plan.energy, told)}",
            f"{level} was searched in {plan.num_iterations} rounds and {plan.num_candidates} "
            f"candidates, {1000 * plan.seconds:.3g} ms: {_ended(plan)}",
        ]
        if plan.quantities:
            rows = [(name, f"{v[0][0]:.4g}", _foreseen(v)) for name, v in plan.quantities.items()]
            parts.append(
                f"{level} leads from here to there:\n{table(('quantity', 'begins', 'ends'), *rows)}"
            )
        plan = plan.above
    return parts


def _foreseen(outcomes: Sequence[Sequence[float]]) -> str:
    """The end of every outcome, or the range of several."""
    ends = [values[-1] for values in outcomes]
    if len(ends) == 1:
        return f"{ends[0]:.4g}"
    return f"{min(ends):.4g} to {max(ends):.4g}"


def _ended(plan: PlanRecord) -> str:
    if not plan.feasible:
        return "no candidate kept within every guardrail for this agent; this one violates least."
    return {
        "found": "it ended as it should.",
        "infeasible": "it found a plan here, and none for some other agent.",
        "out_of_time": "the time was up; this is the best until then.",
    }[plan.status]


def _least(plan: PlanRecord) -> dict[str, float]:
    return {name: min(margin) for name, margin in plan.margins.items()}


def _guarded(record: DecisionRecord) -> list[str]:
    """How far each guardrail is from being violated: now, and at worst where it means to go."""
    if not record.margins:
        return []
    rows = []
    for name, now in sorted(record.margins.items(), key=lambda one: one[1]):
        ahead = record.plan.margins.get(name) if record.plan else None
        if not ahead:
            rows.append((name, f"{now:.4g}", "", ""))
            continue
        least = min(range(len(ahead)), key=ahead.__getitem__)
        rows.append((name, f"{now:.4g}", f"{ahead[least]:.4g}", str(least + 1)))
    header = ("guardrail", "margin now", "least planned", "at model step")
    return [f"Guardrails, negative where violated:\n{table(header, *rows)}"]


def _changed(record: DecisionRecord) -> list[str]:
    told = []
    for change in record.changes:
        by = (
            "The shield changed the action"
            if change.by == "shield"
            else f"No plan was feasible, so that the fallback took over ({change.by})"
        )
        why = f", since it would have violated {change.reason}" if change.reason else ""
        told.append(
            f"{by}{why}: planned was {_vector(change.planned)}, in its place came "
            f"{_vector(change.action)}."
        )
    return told


def _surprised(record: DecisionRecord, header: TraceHeader, usual: Sequence[float]) -> str:
    if record.surprise is None:
        reason = (
            "no model step has just ended as it was planned; surprise is measured after each, of "
            f"{header.action_block} world steps"
        )
        latest = f" The latest was {usual[-1]:.3g}." if usual else ""
        return f"Surprise: {reason}.{latest}"
    told = f"Surprise: {record.surprise:.3g}"
    if len(usual) < FEW:
        return f"{told}; too few before it to say what is usual."
    below = sum(one < record.surprise for one in usual) / len(usual)
    return (
        f"{told}, where {median(usual):.3g} is usual: more than {100 * below:.0f} % of the "
        f"{len(usual)} before."
    )


def _remembered(record: DecisionRecord) -> list[str]:
    lines = [f"{name}: {found}" for name, found in record.reads.items() if found]
    return ["Read from memory:\n" + "\n".join(lines)] if lines else []


def _took(record: DecisionRecord, header: TraceHeader) -> str:
    took = f"The decision took {1000 * record.seconds:.3g} ms"
    if header.deadline_s is None:
        return f"{took}; there was no deadline."
    late = record.seconds - header.deadline_s
    kept = f"{1000 * late:.3g} ms late" if late > 0 else "in time"
    return f"{took} of {1000 * header.deadline_s:.3g} ms: {kept}."


def _vector(values: Sequence[float], names: Sequence[str] = ()) -> str:
    said = [f"{v:.4g}" if math.isfinite(v) else str(v) for v in values]
    if len(names) == len(said):
        said = [f"{name} {one}" for name, one in zip(names, said, strict=True)]
    return ", ".join(said)
