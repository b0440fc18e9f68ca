"""What guardrails are calibrated on: rollouts of what was held out, beside what came."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from forethought.cli import main
from forethought.cost import guardrail
from forethought.cost.calibration import load_calibration
from forethought.data.record import TRUTH
from forethought.learning import CalibrationConfig, calibrate, learn_unlike
from forethought.learning.calibrating import episodes_for
from forethought.learning.latents import encode_rows
from forethought.model import CALIBRATION, Model, load_model
from forethought.senses import sight_of
from forethought.types import ForethoughtError

SHORT = CalibrationConfig(num_rollouts=40, horizon=3)


def test_rollouts_are_what_was_done_and_recorded_is_what_came(model: Model, recorded) -> None:
    """Every rollout is found in a held-out episode, row by row, and imagined from its beginning."""
    arrays = episodes_for(model, recorded)
    found = calibrate(model, arrays, SHORT)
    block = model.config.world_model.action_block
    assert found.imagined.shape == (40, 4, 4) and found.recorded.shape == (40, 3 * block + 1, 4)
    truth, actions = arrays.observation[TRUTH], arrays.action
    for number in (0, 17, 39):
        (row,) = (truth == found.recorded[number, 0]).all(1).nonzero()[0].tolist()
        assert torch.equal(truth[row : row + 3 * block + 1], found.recorded[number])
        assert torch.equal(
            actions[row : row + 3 * block].flatten(), found.actions[number].flatten()
        )
        latents = encode_rows(model.world_model, arrays)[row : row + 1]
        again = model.world_model.rollout(
            latents, model.world_model.normalise(found.actions[number : number + 1])
        )
        torch.testing.assert_close(again[0], found.foreseen[number], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(model.mlp_probe(again[0]), found.imagined[number])


def test_a_run_holds_its_calibration_of_held_out_episodes(model: Model, run, recorded) -> None:
    known = load_calibration(run / CALIBRATION)
    assert torch.equal(known.recorded, load_model(run).calibration.recorded)
    held_out = recorded.load(model.notes["held_out_episodes"], keys=[TRUTH]).observation[TRUTH]
    starts = known.recorded[:20, 0]
    assert all((held_out == start).all(1).any() for start in starts)


def test_what_training_has_seen_is_no_calibration(model: Model, recorded) -> None:
    seen = next(e for e in range(24) if e not in model.notes["held_out_episodes"])
    with pytest.raises(ForethoughtError, match=f"episode {seen} is none to calibrate on"):
        episodes_for(model, recorded, [seen])


def test_the_command_calibrates_a_run_anew(run, recorded, tmp_path, capsys) -> None:
    import shutil

    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    (copy / CALIBRATION).unlink()
    command = ["calibrate", str(copy), "--data", str(recorded.path), "--horizon", "2", "--json"]
    assert main(command) == 0
    told = json.loads(capsys.readouterr().out)
    known = load_calibration(copy / CALIBRATION)
    assert told["horizon"] == known.horizon == 2 and told["rollouts"] == len(known.actions)
    wrong = known.wrong()["position.x"][:, 0]
    assert told["off_by"]["position.x"]["0.95"][0] == pytest.approx(float(wrong.quantile(0.95)))
    (copy / CALIBRATION).write_bytes(b"torn")
    with pytest.raises(ForethoughtError, match="forethought calibrate RUN"):
        load_model(copy)


def test_bad_states_are_told_from_others_as_often_as_stated(model: Model, recorded) -> None:
    """Of bad states that were not shown, at most about the stated share looks fine."""
    arrays = recorded.load(list(range(24)), keys=[*model.world_model.perception.keys, TRUTH])
    place = arrays.observation[TRUTH][:, 0]
    bad = place > 40
    half = recorded.load(list(range(12)), keys=[*model.world_model.perception.keys, TRUTH])
    shown = half.observation[TRUTH][:, 0] > 40
    unlike = learn_unlike(model, half, shown, name="the right", missed=0.1)
    rows = int(half.offsets[-1])
    (name,) = unlike.quantities
    likeness = unlike.readers(sight_of(model).encode)[name](
        encode_rows(model.world_model, arrays)[rows:]
    )
    looks_bad = likeness >= unlike.threshold
    assert float((~looks_bad)[bad[rows:]].float().mean()) < 0.25
    assert float(looks_bad[place[rows:] < 28].float().mean()) < 0.25
    # Such a condition is calibrated on latents, like any other.
    model.calibration = replace(calibrate(model, arrays, SHORT))
    rail = guardrail(unlike, risk=0.2)
    bounds = model.calibration.bounds([rail], sight_of(model))[rail.name].bounds
    assert bounds.near.shape == (3,) and bounds.near.isfinite().all()


def test_too_few_bad_states_are_said(model: Model, recorded) -> None:
    arrays = recorded.load([0], keys=[*model.world_model.perception.keys, TRUTH])
    few = torch.zeros(int(arrays.offsets[-1]), dtype=torch.bool)
    few[:3] = True
    with pytest.raises(ForethoughtError, match="3 of 80 rows are marked; at least 76"):
        learn_unlike(model, arrays, few, name="odd")
    with pytest.raises(ForethoughtError, match="5 marks for 80 rows"):
        learn_unlike(model, arrays, few[:5], name="odd")
