"""The README's Python runs as it stands, and so does its task file."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

from PIL import Image

from forethought import worlds
from forethought.learning.train import CollapseWarning
from forethought.worlds.picture import CAMERA

README = Path(__file__).parent.parent / "README.md"


def test_the_python_of_the_readme_runs(tmp_path, monkeypatch, capsys) -> None:
    """Every Python block, one after another, in a folder with the task file and its picture."""
    monkeypatch.chdir(tmp_path)
    (task,) = re.findall(r"```yaml\n(.*?)```", README.read_text(), re.DOTALL)
    Path("task.yaml").write_text(task)
    Image.fromarray(worlds.make("two_rooms").goal()[CAMERA][0]).save("goal.png")
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert blocks
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapseWarning)
        scope: dict[str, object] = {}
        for block in blocks:
            exec(compile(block, str(README), "exec"), scope)
    assert scope["decision"].action.shape == (2,)
    assert "goal" in capsys.readouterr().out
