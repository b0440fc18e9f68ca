"""The README's Python runs as it stands."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

from forethought.learning.train import CollapseWarning

README = Path(__file__).parent.parent / "README.md"


def test_the_python_of_the_readme_runs(tmp_path, monkeypatch, capsys) -> None:
    """Every Python block, one after another, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert blocks
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapseWarning)
        scope: dict[str, object] = {}
        for block in blocks:
            exec(compile(block, str(README), "exec"), scope)
    assert scope["decision"].action.shape == (2,)
    assert "goal" in capsys.readouterr().out
