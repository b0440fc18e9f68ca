"""YAML that is read together with where each of its keys stands, so that errors name the line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from forethought.types import ForethoughtError


def read_yaml(path: Path, what: str) -> tuple[Any, yaml.Node | None]:
    """The content of a YAML or JSON file, and its tree, which knows the lines.

    Only plain values are made of what the file says; nothing in it is executed.

    Args:
        path: the file.
        what: what it is, for messages.

    Raises:
        ForethoughtError: it cannot be read, is not YAML, or says a key twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ForethoughtError(f"{path}: the {what} cannot be read ({error}).") from error
    try:
        content, tree = yaml.safe_load(text), yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        raise ForethoughtError(
            f"{place}: not valid YAML or JSON: {error}. Check indentation, colons and brackets "
            "there and in the line above."
        ) from error
    _refuse_doubles(path, tree)
    return content, tree


def line_of(node: yaml.Node | None, where: Sequence[int | str]) -> int:
    """The line, counted from 1, of a key, or of what it is missing from."""
    line = node.start_mark.line + 1 if node is not None else 1
    for part in where:
        if isinstance(node, yaml.MappingNode):
            found = [(key, value) for key, value in node.value if key.value == part]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            found = [(one, one) for one in node.value[part : part + 1]]
        else:
            break
        if not found:
            break
        key, node = found[0]
        line = key.start_mark.line + 1
    return line


def _refuse_doubles(path: Path, tree: yaml.Node | None) -> None:
    """YAML takes the last of several equal keys, which nobody means."""
    nodes, met = [tree] if tree is not None else [], set()
    while nodes:
        node = nodes.pop()
        if id(node) in met or not isinstance(node, yaml.CollectionNode):
            continue
        met.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            nodes += node.value
            continue
        lines: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if isinstance(key, yaml.ScalarNode) and key.value in lines:
                raise ForethoughtError(
                    f"{path}:{line}: {key.value} stands here and in line {lines[key.value]}; "
                    "expected once. Remove one of them."
                )
            lines[str(key.value)] = line
            nodes.append(value)
