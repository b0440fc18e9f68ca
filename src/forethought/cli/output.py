"""What all commands share: arguments, tables, JSON, errors that a person can act on."""

from __future__ import annotations

import contextlib
import errno
import json
import shlex
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import tyro
from rich.console import Console
from rich.table import Table

from forethought import provenance
from forethought.types import ForethoughtError

WRONG_INPUT = 2
INTERRUPTED = 130


@dataclass(frozen=True, kw_only=True)
class Common:
    """What every command takes."""

    json: bool = False
    """Print one JSON document on standard output, for machines."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a command has to say.

    Attributes:
        payload: JSON types, for ``--json``.
        show: prints the same for people.
        code: exit code.
    """

    payload: Any
    show: Callable[[Console], None]
    code: int = 0


def run_command(
    command: str,
    arguments_type: type[Common],
    run: Callable[[Any], Answer],
    words: Sequence[str],
) -> int:
    """Parses, runs, and prints the answer or the error."""
    try:
        arguments = tyro.cli(arguments_type, args=list(words), prog=f"forethought {command}")
    except SystemExit as stop:
        return int(stop.code or 0)
    as_json = arguments.json
    provenance.COMMAND.set(shlex.join(["forethought", *command.split(), *words]))
    try:
        with _warnings_told():
            answer = run(arguments)
    except ForethoughtError as error:
        return _failed(str(error), as_json)
    except KeyboardInterrupt:
        print("interrupted; what was finished is kept", file=sys.stderr)
        return INTERRUPTED
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        where = f"{error.filename}: " if error.filename else ""
        return _failed(
            f"{where}the disk is full. What was finished is kept; free some space and run the "
            "same command with --resume.",
            as_json,
        )
    if as_json:
        print(json.dumps(answer.payload, indent=2, allow_nan=True))
    else:
        answer.show(Console())
    return answer.code


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A table for people."""
    result = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for column in header:
        result.add_column(column, overflow="fold")
    for row in rows:
        result.add_row(*row)
    return result


def _failed(message: str, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"error": message}))
    Console(stderr=True, soft_wrap=True, highlight=False).print("[bold red]error:[/]", end=" ")
    print(message, file=sys.stderr)
    return WRONG_INPUT


@contextlib.contextmanager
def _warnings_told() -> Any:
    """Our own warnings as sentences, without the line of code they came from."""

    def told(message: Warning | str, category: type[Warning], *place: Any) -> None:
        print(f"warning: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.showwarning = told
        yield
