"""Which command is at work, so that what it leaves can say how to make it again."""

from __future__ import annotations

from contextvars import ContextVar

COMMAND: ContextVar[str] = ContextVar("command", default="")
"""The command line as it was typed; empty where Python was used."""
