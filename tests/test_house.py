"""The house rules that a machine can check."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "src").rglob("*.py"))


@pytest.mark.parametrize(
    "statement",
    [
        "import forethought",
        "from forethought.cli import main; main(['--help'])",
        "from forethought.cli import main; main(['--version'])",
    ],
)
def test_torch_is_not_loaded_until_it_is_needed(statement: str) -> None:
    """Importing the package and asking for help stay cheap."""
    program = f"{statement}\nimport sys\nassert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_nothing_is_unpickled() -> None:
    """No source names a loader that could execute what a file says.

    PyTorch's reader of plain tensors may be used, and the error by which it refuses anything else.
    """
    forbidden = re.compile(
        r"pickle\.(?!UnpicklingError)|from (c?pickle|dill|joblib)|import (dill|joblib|cloudpickle)"
        r"|torch\.load\((?!.*weights_only=True)|allow_pickle=True|\beval\([\w\"']"
    )
    found = [
        f"{path.name}: {line.strip()}"
        for path in SOURCES
        for line in path.read_text().splitlines()
        if forbidden.search(line)
    ]
    assert found == []


def test_no_device_is_named() -> None:
    """Code follows the device of its model; it may ask what kind of device that is."""
    literal = re.compile(r"""["'](cuda|mps|cpu)(:\d+)?["']""")
    asked = re.compile(r"device\.type [!=]= |is_autocast_enabled\(|torch\.load\(")
    named = [
        f"{path.name}: {line.strip()}"
        for path in SOURCES
        for line in path.read_text().splitlines()
        if literal.search(line) and not asked.search(line)
    ]
    assert named == []


def test_every_public_function_is_typed() -> None:
    """Annotations everywhere, so that shapes can be checked."""
    import ast

    missing = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name[0] != "_" and not node.returns:
                missing.append(f"{path.name}:{node.lineno} {node.name}")
    assert missing == []


def test_documents_quote_the_committed_results() -> None:
    """The README's table and docs/results.md are what the results files say."""
    import importlib.util

    path = ROOT / "benchmarks" / "tables.py"
    spec = importlib.util.spec_from_file_location("tables", path)
    assert spec is not None and spec.loader is not None
    tables = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tables)
    text = (ROOT / "README.md").read_text()
    assert (ROOT / "docs" / "results.md").read_text() == tables.results()
    assert text == tables.readme(text) and "decision" in tables.headlines()
    assert tables.CLAIMED.read_text() == tables.claimed()


@pytest.mark.parametrize("name", ["README.md", "docs/design.md"])
def test_prose_leaves_what_was_measured_to_the_table(name: str) -> None:
    """Rates, times and errors stand in the table that is made from results, and nowhere else."""
    text = (ROOT / name).read_text()
    for part in (r"```.*?```", r"<!-- results -->.*?<!-- end of results -->"):
        text = re.sub(part, "", text, flags=re.DOTALL)
    measured = re.compile(r"\d(\.\d+)? ?(%|ms\b|px\b|percent|points\b|times as)")
    assert [line for line in text.splitlines() if measured.search(line)] == []


def test_every_benchmark_that_documents_name_exists_and_every_result_has_one() -> None:
    """What a document says can be measured again, can be; no results outlive their benchmark."""
    scripts = {path.stem for path in (ROOT / "benchmarks").glob("*.py")}
    for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        named = set(re.findall(r"make bench NAME=([a-z0-9_]+)", path.read_text()))
        assert named <= scripts, f"{path.name} names {sorted(named - scripts)}"
    assert {path.stem for path in (ROOT / "benchmarks" / "results").glob("*.json")} <= scripts
