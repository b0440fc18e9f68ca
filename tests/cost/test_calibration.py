"""Conformal bounds cover as often as they say, whatever the errors are."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from forethought.cost import conformal_quantile, guardrail, keep_away
from forethought.cost.calibration import load_calibration, save_calibration
from forethought.cost.chances import fewest_beyond
from forethought.types import ForethoughtError
from point import NAMES, point_calibration, sight


def uniform_cubed(*shape: int, generator: torch.Generator) -> torch.Tensor:
    return torch.rand(*shape, generator=generator) ** 3


@pytest.mark.parametrize("risk", [0.05, 0.2])
@pytest.mark.parametrize("draw", [torch.randn, uniform_cubed])
def test_a_further_error_exceeds_the_bound_as_often_as_its_rank_says(risk, draw, generator) -> None:
    """Over many calibrations of 99 errors each: one more than is left beyond, of a hundred."""
    errors = draw(99, 20_000, generator=generator)
    missed = draw(20_000, generator=generator) > conformal_quantile(errors, risk)
    expected = (1 + fewest_beyond(99, risk, 0.95)) / 100
    spread = 4 * math.sqrt(expected * (1 - expected) / 20_000)
    assert expected <= risk and float(missed.float().mean()) == pytest.approx(expected, abs=spread)


@pytest.mark.parametrize("risk", [0.01, 0.05, 0.2])
@pytest.mark.parametrize("confidence", [0.5, 0.95])
def test_nearly_every_calibration_keeps_the_risk(risk, confidence, generator) -> None:
    """Of a uniform error its bound is its coverage; no further error left beyond would do."""
    errors = torch.rand(400, 20_000, generator=generator)
    keeps = conformal_quantile(errors, risk, confidence=confidence) >= 1 - risk
    spread = 4 * math.sqrt(confidence * (1 - confidence) / 20_000)
    assert float(keeps.float().mean()) >= confidence - spread
    beyond = fewest_beyond(400, risk, confidence)
    closer = errors.sort(0).values[400 - 2 - beyond] >= 1 - risk
    assert float(closer.float().mean()) <= confidence + spread


def test_bounds_that_need_not_be_sure_are_not_wider_than_the_risk_asks() -> None:
    """With thousands of rollouts the price of confidence is well below two points."""
    for risk in (0.01, 0.05):
        assert risk - 0.01 < fewest_beyond(3000, risk, 0.95) / 3000 < risk


def test_too_few_rollouts_for_a_risk_are_said() -> None:
    assert conformal_quantile(torch.arange(299.0)[:, None], 0.01).item() == 298.0
    with pytest.raises(ForethoughtError, match="299 held-out rollouts at least, there are 298"):
        conformal_quantile(torch.zeros(298, 1), 0.01)


def test_a_guardrail_is_widened_by_its_own_errors_and_on_the_right_side() -> None:
    """What came lay further right than imagined: that matters for a limit on the right alone."""
    calibration = point_calibration(np.linspace(0.0, 1.0, 101))
    right, left = guardrail("position.x", below=3.0), guardrail("position.x", above=-3.0)
    bounds = calibration.bounds([right, left], sight())
    quantile = conformal_quantile(torch.linspace(0, 1, 101)[:, None], 0.05)
    torch.testing.assert_close(bounds[right.name].bound, quantile.expand(4))
    torch.testing.assert_close(bounds[left.name].bound, torch.zeros(4), atol=0.06, rtol=0)
    bare = guardrail("position.x", below=3.0, calibrated=False)
    assert not calibration.bounds([bare], sight())[bare.name].bound.any()


def test_a_condition_on_several_quantities_is_calibrated_as_one() -> None:
    """Its bound is the quantile of its own margin's errors, not a sum of the quantities'."""
    calibration = point_calibration(np.linspace(-1.0, 1.0, 201))
    zone = guardrail(keep_away(NAMES, (0.0, 3.0), distance=1.0), name="zone", risk=0.1)
    imagined, came = calibration.margins([zone], sight())
    expected = torch.tensor([math.hypot(x, 3.0) - 1 for x in np.linspace(-1, 1, 201)])
    torch.testing.assert_close(came["zone"][:, 0], expected.float(), atol=1e-5, rtol=0)
    torch.testing.assert_close(imagined["zone"], torch.full((201, 4), 2.0))
    bound = calibration.bounds([zone], sight())["zone"].bound
    assert (imagined["zone"] - bound <= came["zone"]).float().mean() >= 0.9


def test_a_calibration_survives_its_file_and_a_damaged_one_is_refused(tmp_path) -> None:
    calibration = point_calibration(np.linspace(0.0, 1.0, 101))
    path = tmp_path / "calibration.safetensors"
    path.write_bytes(save_calibration(calibration))
    again = load_calibration(path)
    assert again.names == calibration.names
    assert torch.equal(again.recorded, calibration.recorded)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ForethoughtError, match=r"calibration.safetensors.*forethought calibrate"):
        load_calibration(path)


def test_what_was_not_recorded_cannot_be_calibrated() -> None:
    calibration = point_calibration(np.zeros(101))
    known = sight(quantities=(*NAMES, "speed"), read=lambda latents: {})
    with pytest.raises(ForethoughtError, match=r"'speed'.*position.x"):
        calibration.bounds([guardrail("speed", below=1.0)], known)
