"""The command line: ``forethought COMMAND``.

Help is printed from a table, and a command's module is imported only when it runs, so that
answers come at once.
"""

from __future__ import annotations

import difflib
import importlib
import json
import sys
from collections.abc import Sequence

from forethought import __version__

COMMANDS = {
    "demo": "everything, in minutes, on a CPU: record, train, plan, report",
    "worlds": "the worlds there are",
    "recipes": "the recipes there are",
    "record": "record episodes of a world",
    "explore": "record episodes by curiosity: where a world model does not know what comes",
    "data import": "bring in LeRobot datasets, Donkeycar tubs, CSV and Parquet recordings",
    "data inspect": "what is in a dataset, with pictures",
    "data check": "what is wrong with a dataset",
    "choose": "which recorded clips deserve labels",
    "pretrain": "pretrain a recipe's perception on pictures alone, without actions",
    "train": "train a world model, and critic and probes where the recipe says",
    "distill": "teach a policy to answer at once what the agent would plan (Mode 1)",
    "words": "teach a run to read goals in the words of its recordings",
    "evaluate": "planning success in a world, between floor and ceiling",
    "shifts": "what is left of an agent where the world is not as recorded, by degrees",
    "probe": "what latents hold, and how the agent's energy ranks true path lengths",
    "compare": "whether two evaluated runs differ, task by task",
    "attribute": "why episodes failed: of the model, the objective, or the search",
    "predict": "open-loop prediction on recorded episodes",
    "physics": "intuitive physics: is what cannot happen more surprising than what can",
    "adapt": "adapt a run to recordings of the world as it is now",
    "calibrate": "what foresight is wrong by: what guardrails are widened by",
    "check-task": "what is wrong with a task, before anything moves",
    "task-schema": "the JSON Schema of task files, for editors",
    "explain": "why an agent decided as a trace of it tells, in words, pictures and tables",
    "bench": "how fast an agent thinks on this machine, beside what the machine can do",
    "claims": "the claims of the architecture: predicted, measured, and the verdict",
    "report": "one page of all that was measured of a run",
}

WORDS = str.maketrans(" -", "__")
"""From the words of a command to the module that runs it."""

WRONG_INPUT = 2
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit code: 0 done, 1 a fault of ours, 2 wrong input."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help"):
        print(_help())
        return 0
    if words[0] == "--version":
        print(f"forethought {__version__}")
        return 0
    command, rest = _command(words)
    if command is None:
        return _unknown(" ".join(words[:2]) if words[0] == "data" else words[0])
    return _run(command, rest)


def _command(words: list[str]) -> tuple[str | None, list[str]]:
    for length in (2, 1):
        name = " ".join(words[:length])
        if name in COMMANDS:
            return name, words[length:]
    return None, words


def _run(command: str, rest: list[str]) -> int:
    from forethought.allocation import keep_freed_memory
    from forethought.cli.output import run_command

    keep_freed_memory()
    module = importlib.import_module(f"forethought.cli.{command.translate(WORDS)}")
    return run_command(command, module.Arguments, module.run, rest)


def _help() -> str:
    width = max(len(name) for name in COMMANDS)
    rows = [f"  {name:<{width}}  {text}" for name, text in COMMANDS.items()]
    return "\n".join(
        [
            "forethought: agents that learn how their world works by watching it,",
            "and think before they act.",
            "",
            "usage: forethought COMMAND [options]",
            "",
            *rows,
            "",
            "`forethought COMMAND --help` says more; every command has --json for machines.",
        ]
    )


def _unknown(name: str) -> int:
    close = difflib.get_close_matches(name, COMMANDS, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    message = f"no command {name!r}.{hint} `forethought --help` lists them."
    if "--json" in sys.argv:
        print(json.dumps({"error": message}))
    print(f"error: {message}", file=sys.stderr)
    return WRONG_INPUT
