"""Readable tables: of a cost, and of what each of its terms and guardrails makes of a plan."""

from __future__ import annotations

from collections.abc import Mapping

from forethought.types import ForethoughtError, Plan


def table(*rows: tuple[str, ...]) -> str:
    """Rows of as many cells, in columns; the first row names them."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def shares(
    terms: Mapping[str, float], energy: float, margins: Mapping[str, float] | None = None
) -> str:
    """What each cost term has in an energy, as a table, and each guardrail's least margin.

    Args:
        terms: share of each term by name.
        energy: their sum.
        margins: least margin of each guardrail by name.
    """
    rows = [("term", "energy")]
    rows += [(name, f"{share:.4g}") for name, share in terms.items()]
    rows.append(("sum", f"{energy:.4g}"))
    if margins:
        rows += [("", ""), ("guardrail", "least margin")]
        rows += [(name, f"{least:.4g}") for name, least in margins.items()]
    return table(*rows)


def explain(plan: Plan, *, world: int = 0) -> str:
    """What each cost term has in the energy of a plan, as a table; the energy is their sum.

    Below it each guardrail's least margin over the plan, widened; negative where it is violated.

    Args:
        plan: what a planner or ``Agent.act(...).plan`` gave. The plan of a level above
            (``plan.above``) has terms of its own.
        world: which of the ``b`` worlds it was made for.

    Raises:
        ForethoughtError: no such world.
    """
    if not 0 <= world < len(plan.energy):
        raise ForethoughtError(
            f"world {world}: the plan is for {len(plan.energy)}, counted from zero; name one of "
            "them."
        )
    return shares(
        {name: float(share[world]) for name, share in plan.terms.items()},
        float(plan.energy[world]),
        {name: float(left[world].min()) for name, left in plan.margins.items()},
    )
