"""``forethought predict``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console

from forethought.cli.output import Answer, Common, table


@dataclass(frozen=True, kw_only=True)
class Arguments(Common):
    """Open-loop prediction on held-out recorded episodes, against copy, extrapolation and ridge."""

    run: tyro.conf.Positional[Path]
    """Folder of the run."""
    data: Path
    """Folder of the dataset that the run was trained on."""
    episodes: tuple[int, ...] = ()
    """Episodes to look at; those that training held out where not said."""


def run(arguments: Arguments) -> Answer:
    """Predicts, and writes results and report into the run."""
    from forethought import data, recipes
    from forethought.evaluation import predict
    from forethought.evaluation.report import predict_report, prediction_rows
    from forethought.model import load_model, write_safely

    model = load_model(arguments.run)
    dataset = data.open(arguments.data)
    protocol = recipes.get(model.notes["recipe"]).prediction
    results = predict(
        model,
        dataset,
        protocol,
        episodes=arguments.episodes or None,
        visible=not arguments.json,
    )
    payload = results.to_json()
    write_safely(arguments.run / "predict.json", json.dumps(payload, indent=2).encode())
    report = predict_report(arguments.run, results)
    tables = prediction_rows(results)

    def show(console: Console) -> None:
        for title, header, rows in tables:
            console.print(table(title, header, rows))
            console.print()
        console.print(f"report {report}")

    return Answer(payload={**payload, "report": str(report)}, show=show)
