"""``forethought task-schema``."""

from __future__ import annotations

import json
from dataclasses import dataclass

from forethought.cli.output import Answer, Common


@dataclass(frozen=True, kw_only=True)
class Arguments(Common):
    """The JSON Schema of task files, for editors that complete and check as one writes."""


def run(arguments: Arguments) -> Answer:
    """Prints it."""
    from forethought.configurator import task_schema

    schema = task_schema()
    return Answer(payload=schema, show=lambda console: print(json.dumps(schema, indent=2)))
