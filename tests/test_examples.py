"""What users write outside the package, in few lines, goes through the same as what is inside."""

from __future__ import annotations

import ast
import importlib.util
import json
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

from forethought.checkers import check_planner, check_predictor
from forethought.evaluation import compare, read_evaluation
from forethought.learning.train import CollapseWarning
from forethought.model import Model

EXAMPLES = Path(__file__).parent.parent / "examples"
FEW = {"episodes": 4, "budget": 20, "traces": 0, "latency_decisions": 2}


def example(name: str) -> ModuleType:
    """An example as a module, from its file."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["own_planner", "own_model"])
def test_what_is_ones_own_is_short_and_needs_nothing_inner(name) -> None:
    """Fewer than forty lines of classes, and public names alone."""
    text = (EXAMPLES / f"{name}.py").read_text()
    tree = ast.parse(text)
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    lines = text.splitlines()
    own = [
        line
        for node in classes
        for line in lines[node.lineno - 1 - len(node.decorator_list) : node.end_lineno]
        if line.strip()
    ]
    assert 10 < len(own) < 40
    imported = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert not [a.name for node in imported for a in node.names if a.name.startswith("_")]


def test_a_planner_of_ones_own(run, tmp_path) -> None:
    """It keeps to the contract, and is evaluated and compared like the recipe's."""
    own = example("own_planner")
    check_planner(own.HillClimber())
    mine = shutil.copytree(run, tmp_path / "run")
    results = own.main(str(mine), "two_rooms", **FEW)
    assert [name for name, _ in results.everyone()] == ["random floor", "agent", "oracle ceiling"]
    found = read_evaluation(mine / "evaluate-own_planner.json")
    assert compare([found], [found]).rows[0].difference.episodes == 4


def test_a_model_of_ones_own(recorded, tmp_path) -> None:
    """It keeps to the contract, is trained, saved, read back, and evaluated."""
    own = example("own_model")
    check_predictor(own.GatedConfig().build(2, 8, 3).eval(), tokens=2, width=8, action_width=3)
    with pytest.warns(CollapseWarning):
        # So few steps are no better than copying; what matters here is that it runs.
        results = own.main(str(recorded.path), str(tmp_path / "run"), "two_rooms", steps=3, **FEW)
    assert len(results.seeds) == 4
    content = json.loads((tmp_path / "run" / "config.json").read_text())
    assert "GatedConfig" in json.dumps(content)
    again = Model.from_pretrained(tmp_path / "run")
    assert isinstance(again.world_model.predictor, own.Gated)
