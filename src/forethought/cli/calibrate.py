"""``forethought calibrate``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from rich.console import Console

from forethought.cli.output import Answer, Common, table

SHOWN = (1, 2, 4, 8, 16, 32)


@dataclass(frozen=True, kw_only=True)
class Arguments(Common):
    """What foresight is wrong by on held-out recordings: what guardrails are widened by."""

    run: tyro.conf.Positional[Path]
    """Folder of the run."""
    data: Path
    """Folder of a dataset: the one that the run was trained on, or a later one."""
    episodes: tuple[int, ...] = ()
    """Episodes to use; where not said, those that training held out if it is the run's own
    dataset, else all."""
    rollouts: int = 4000
    """Rollouts drawn from them."""
    horizon: int = 8
    """Model steps of each."""
    seed: int = 0
    """Of the draw."""


def run(arguments: Arguments) -> Answer:
    """Calibrates, and leaves the calibration with the run."""
    from forethought import data
    from forethought.cost.calibration import save_calibration
    from forethought.learning.calibrating import CalibrationConfig, calibrate, episodes_for
    from forethought.model import CALIBRATION, load_model, write_safely

    model = load_model(arguments.run)
    dataset = data.open(arguments.data)
    arrays = episodes_for(model, dataset, arguments.episodes or None)
    config = CalibrationConfig(num_rollouts=arguments.rollouts, horizon=arguments.horizon)
    with Console(stderr=True, quiet=arguments.json).status("imagining what was recorded"):
        calibration = calibrate(model, arrays, config, seed=arguments.seed)
    path = arguments.run / CALIBRATION
    write_safely(path, save_calibration(calibration))
    wrong = calibration.wrong()
    shares = (0.5, 0.95, 0.99)
    steps = [step for step in SHOWN if step <= calibration.horizon]
    payload = {
        "calibration": str(path),
        "rollouts": len(calibration.actions),
        "horizon": calibration.horizon,
        "off_by": {
            name: {
                f"{share:g}": torch.quantile(wrong[name], share, dim=0).tolist() for share in shares
            }
            for name in calibration.names
        },
    }

    def show(console: Console) -> None:
        header = ["quantity", "share of rollouts", *(f"{step} steps" for step in steps)]
        rows = [
            [name, f"{float(share):.0%}", *(f"{values[step - 1]:.3g}" for step in steps)]
            for name, by_share in payload["off_by"].items()
            for share, values in by_share.items()
        ]
        title = f"off by at most this, of {payload['rollouts']} held-out rollouts"
        console.print(table(title, header, rows))
        console.print(f"calibration {path}")

    return Answer(payload=payload, show=show)
