"""Where results are read from: a folder of results files, or the figures that this package carries.

The package carries the figures that its claims are about (``figures.json``, made by
``python benchmarks/tables.py`` from ``benchmarks/results``), so that an installed copy can show
them; a test holds them to the committed files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from forethought.evaluation.claims.weighing import Claim, Experiment
from forethought.types import ForethoughtError

FIGURES = "figures.json"
KEPT = ("name", "value", "low", "high", "n", "unit")


def committed() -> dict[str, Experiment]:
    """The results that this package carries, by the name of the benchmark."""
    text = resources.files("forethought.evaluation.claims").joinpath(FIGURES).read_text()
    return {name: Experiment.from_json(content) for name, content in json.loads(text).items()}


def measured_in(folder: Path, claims: Sequence[Claim]) -> dict[str, Experiment]:
    """The results in a folder such as ``benchmarks/results``, without experiments that have none.

    Raises:
        ForethoughtError: there is no such folder, it holds no results of theirs, or a file in it
            is no results file.
    """
    if not folder.is_dir():
        raise ForethoughtError(f"{folder}: no such folder; give the folder of results files.")
    found = _files(folder, claims)
    if not found and any(claim.predictions for claim in claims):
        wanted = sorted({name for claim in claims for name in claim.experiments()})
        raise ForethoughtError(
            f"{folder}: none of the results that these claims are about: expected at least one of "
            f"{', '.join(f'{name}.json' for name in wanted)}. Make them with `make bench`, or give "
            "the folder that holds them."
        )
    return {name: Experiment.from_json(content) for name, content in found.items()}


def cited(folder: Path, claims: Sequence[Claim]) -> dict[str, Any]:
    """Of the results in a folder, what claims are about, in the form that the package carries."""
    wanted = {
        figure: None for claim in claims for one in claim.predictions for figure in one.names()
    }
    return {
        name: {
            "command": content["command"],
            "seed": content["seed"],
            "figures": [
                {key: figure[key] for key in KEPT}
                for figure in content["figures"]
                if figure["name"] in wanted
            ],
        }
        for name, content in _files(folder, claims).items()
    }


def _files(folder: Path, claims: Sequence[Claim]) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for name in sorted({name for claim in claims for name in claim.experiments()}):
        path = folder / f"{name}.json"
        if not path.exists():
            continue
        try:
            content = json.loads(path.read_text())
            Experiment.from_json(content)
        except (ValueError, KeyError, TypeError) as error:
            raise ForethoughtError(
                f"{path}: no results file ({type(error).__name__}: {error}); make it again with "
                f"`make bench NAME={name}`."
            ) from error
        found[name] = content
    return found
