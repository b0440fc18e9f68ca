"""``forethought recipes``."""

from __future__ import annotations

from dataclasses import dataclass

from forethought.cli.output import Answer, Common, table


@dataclass(frozen=True, kw_only=True)
class Arguments(Common):
    """The recipes there are: named, complete configurations."""


def run(arguments: Arguments) -> Answer:
    """Lists them."""
    from forethought import recipes

    rows = [(name, recipes.get(name).description) for name in recipes.names()]
    payload = [{"name": name, "description": description} for name, description in rows]
    return Answer(
        payload=payload,
        show=lambda console: console.print(table("", ("recipe", "what it is for"), rows)),
    )
