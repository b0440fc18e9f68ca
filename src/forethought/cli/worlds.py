"""``forethought worlds``."""

from __future__ import annotations

from dataclasses import dataclass

from forethought.cli.output import Answer, Common, table


@dataclass(frozen=True, kw_only=True)
class Arguments(Common):
    """The worlds there are; any registered Gymnasium environment is one too."""


def run(arguments: Arguments) -> Answer:
    """Lists them."""
    from forethought.worlds.registry import entries

    rows = [(entry.name, entry.description) for entry in entries()]
    rows.append(("gymnasium:<id>", "any registered Gymnasium environment, from pixels"))
    payload = [{"name": name, "description": description} for name, description in rows]
    return Answer(
        payload=payload,
        show=lambda console: console.print(table("", ("world", "what it is"), rows)),
    )
