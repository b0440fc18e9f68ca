"""Writes docs/results.md from the committed results: ``python benchmarks/tables.py``."""

import json
from pathlib import Path

ROOT = Path(__file__).parent.parent
HEAD = """# Results

Made by `python benchmarks/tables.py` from `benchmarks/results/*.json`; each file is written by
the command named beside it. Intervals are 95 %. A missed goal stays in the table.
"""


def row(figure: dict) -> str:
    """One figure as a table row."""
    value = f"{figure['value']:.4g} {figure['unit']}".strip()
    interval = "" if figure["low"] is None else f"{figure['low']:.4g} to {figure['high']:.4g}"
    mark = {True: "yes", False: "**no**", None: ""}[figure["holds"]]
    count = "" if figure["n"] is None else str(figure["n"])
    return (
        f"| {figure['name']} | {value} | {interval} | {count} | {figure['goal'] or ''} | {mark} |"
    )


def section(path: Path) -> str:
    """One benchmark as a section."""
    content = json.loads(path.read_text())
    machine = content["machine"]
    lines = [
        f"## {content['name']}",
        "",
        f"`{content['command']}`, seeds {content['seed']}, {content['seconds']:.0f} s on "
        f"{machine['threads']} of {machine['cores']} cores "
        f"([file](../benchmarks/results/{content['name']}.json))",
        "",
        "| figure | value | interval | n | goal | holds |",
        "|---|---|---|---|---|---|",
        *map(row, content["figures"]),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    results = sorted((ROOT / "benchmarks" / "results").glob("*.json"))
    text = "\n".join([HEAD, *map(section, results)])
    (ROOT / "docs" / "results.md").write_text(text)
