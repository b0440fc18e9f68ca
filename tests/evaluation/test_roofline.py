"""What work takes is counted right, and the machine's limits bound it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from forethought.evaluation import roofline
from forethought.evaluation.roofline import Peaks, Work, measure_peaks, rollout_work
from forethought.perception import MLPEncoderConfig, PerceptionConfig
from forethought.perception.normalise import Normaliser
from forethought.types import STATE, ActionSpec, ArraySpec, Signature
from forethought.world_model import (
    CausalTransformerConfig,
    PredictorConfig,
    ResidualMLPConfig,
    WorldModelConfig,
)
from forethought.world_model.world_model import WorldModel

WIDTH, ACTION, HIDDEN = 6, 2, 16
positive = st.floats(1e-3, 1e12)


def world_model(predictor: PredictorConfig) -> WorldModel:
    config = WorldModelConfig(
        perception=PerceptionConfig(encoders={STATE: MLPEncoderConfig(width=WIDTH, hidden=(4,))}),
        predictor=predictor,
    )
    signature = Signature(
        observation={STATE: ArraySpec(shape=(3,), dtype="float32")},
        action=ActionSpec(dim=ACTION, low=(-1.0,) * ACTION, high=(1.0,) * ACTION),
        rate_hz=10.0,
    )
    sizes = {STATE: 3, "action": ACTION}
    same = {key: Normaliser([0.0] * size, [1.0] * size) for key, size in sizes.items()}
    return WorldModel(config, signature, same)


# ------------------------------------------------------------------------------- the work


def test_the_operations_of_an_mlp_are_those_on_paper() -> None:
    """Two for each weight and candidate and step: ``s + linear(s, a) + mlp(s, a)``."""
    model = world_model(ResidualMLPConfig(hidden=(HIDDEN, HIDDEN)))
    entrance = (WIDTH + ACTION) * HIDDEN
    weights = entrance + HIDDEN * HIDDEN + HIDDEN * WIDTH + (WIDTH + ACTION) * WIDTH
    work = rollout_work(model, candidates=7, horizon=3)
    assert work.flop == 2 * weights * 7 * 3


def test_more_candidates_take_more_work_but_read_the_weights_no_oftener() -> None:
    model = world_model(ResidualMLPConfig(hidden=(HIDDEN,)))
    few, many = (rollout_work(model, candidates=n, horizon=2) for n in (10, 30))
    assert many.flop == 3 * few.flop
    weights = 4 * 2 * sum(p.numel() for p in model.predictor.parameters())
    assert many.bytes - weights == 3 * (few.bytes - weights)


def test_weights_of_half_the_width_are_read_in_half_the_bytes() -> None:
    model = world_model(ResidualMLPConfig(hidden=(HIDDEN,)))
    whole, half = (rollout_work(model, candidates=1, horizon=4, width=w) for w in (4, 2))
    weights = sum(p.numel() for p in model.predictor.parameters())
    assert whole.bytes - half.bytes == 2 * 4 * weights and whole.flop == half.flop


def test_what_is_looked_back_at_counts() -> None:
    model = world_model(CausalTransformerConfig(window=3, depth=1, heads=1, head_width=4))
    alone, after = (rollout_work(model, candidates=2, horizon=2, past_steps=p) for p in (0, 2))
    assert after.flop > alone.flop


def test_counting_leaves_the_model_alone() -> None:
    model = world_model(ResidualMLPConfig(hidden=(HIDDEN,)))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    rollout_work(model, candidates=2, horizon=2)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


# ------------------------------------------------------------------------------- the roof


@given(flop=positive, moved=positive, peak=positive, bandwidth=positive, factor=positive)
def test_no_time_is_below_the_roof(flop, moved, peak, bandwidth, factor) -> None:
    """The slower of the two counts; a machine that is so much faster takes so much less."""
    work = Work(flop=flop, bytes=moved)
    least = work.least_seconds(peak, bandwidth)
    assert least >= flop / peak and least >= moved / bandwidth
    assert least in (flop / peak, moved / bandwidth)
    faster = work.least_seconds(factor * peak, factor * bandwidth)
    assert faster == pytest.approx(least / factor)


def test_the_ridge_is_where_both_bind() -> None:
    """Operations per byte that equal peak over bandwidth."""
    peak, bandwidth = 100.0, 10.0
    ridge = Work(flop=50.0, bytes=5.0)
    assert ridge.least_seconds(2 * peak, bandwidth) == ridge.least_seconds(peak, bandwidth)
    assert ridge.least_seconds(peak, 2 * bandwidth) == ridge.least_seconds(peak, bandwidth)


def test_a_peak_is_the_fastest_library_of_its_arithmetic() -> None:
    peaks = Peaks(
        device="a machine",
        threads=1,
        gemm={"float32": 1.0, "float32 (another)": 3.0, "bfloat16": 9.0},
        bandwidth=1.0,
    )
    assert (peaks.of("float32"), peaks.of("bfloat16")) == (3.0, 9.0)


def test_this_machine_is_measured(monkeypatch) -> None:
    """Every way to multiply that there is, and the memory."""
    monkeypatch.setattr(roofline, "SIDES", (8, 16))
    monkeypatch.setattr(roofline, "STREAM_BYTES", 2**12)
    device = torch.zeros(()).device
    peaks = measure_peaks(device)
    assert peaks.gemm.keys() == roofline.products(device).keys()
    assert all(rate > 0 for rate in peaks.gemm.values()) and peaks.bandwidth > 0
    assert peaks.threads == torch.get_num_threads()


@pytest.mark.parametrize("name", roofline.products(torch.zeros(()).device))
def test_every_way_to_multiply_multiplies(name) -> None:
    """A matrix by its own transpose, as precisely as the arithmetic says."""
    matrix = torch.randn(12, 12, generator=torch.Generator().manual_seed(0))
    found = roofline.products(matrix.device)[name](matrix)()
    tolerance = 5e-2 if name == "bfloat16" else 1e-5
    torch.testing.assert_close(found.float(), matrix @ matrix.T, atol=tolerance, rtol=tolerance)
