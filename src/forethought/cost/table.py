"""Readable tables: of a cost, and of what each of its terms and guardrails makes of a plan."""

from __future__ import annotations

from forethought.types import ForethoughtError, Plan


def table(*rows: tuple[str, ...]) -> str:
    """Rows of as many cells, in columns; the first row names them."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


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
    shares = [(name, f"{float(share[world]):.4g}") for name, share in plan.terms.items()]
    rows = [("term", "energy"), *shares, ("sum", f"{float(plan.energy[world]):.4g}")]
    margins = [(name, f"{float(left[world].min()):.4g}") for name, left in plan.margins.items()]
    if margins:
        rows += [("", ""), ("guardrail", "least margin"), *margins]
    return table(*rows)
