"""Figures of speed agree with one another, and count what the planner did."""

from __future__ import annotations

from dataclasses import replace
from itertools import count, islice

import numpy as np
import pytest
import torch

from forethought.agent import Agent
from forethought.cost import goal
from forethought.evaluation import roofline
from forethought.evaluation.planning import searches
from forethought.evaluation.roofline import rollout_work
from forethought.evaluation.speed import (
    Noise,
    Speed,
    SpeedProtocol,
    Variant,
    _while_time,
    measure_speed,
)
from forethought.model import Model
from forethought.recipes import stock
from forethought.types import STATE, ForethoughtError
from point import BLOCK, PLANNER, SIGNATURE, point_agent, point_model

QUICK = SpeedProtocol(decisions=4, seconds=0.0, budget=20)


@pytest.fixture
def small_machine(monkeypatch) -> None:
    """Peaks of matrices that take no time."""
    monkeypatch.setattr(roofline, "SIDES", (8, 16))
    monkeypatch.setattr(roofline, "STREAM_BYTES", 2**12)


def seeker(model: Model, goals: dict[str, np.ndarray]) -> Agent:
    return Agent(model, cost=goal(observation=goals), actor=PLANNER)


DEMO = stock.get("demo")


@pytest.fixture
def speed(small_machine) -> Speed:
    results = measure_speed(
        [Variant(name="as it is", model=DEMO.build())],
        lambda model, goals: DEMO.acting.agent(model, goals, 1),
        lambda: Noise(DEMO.signature),
        QUICK,
        visible=False,
    )
    assert results.peaks.of("float32") == results.variants[0].gemm_peak
    return results.variants[0]


def test_it_counts_what_the_planner_did(speed) -> None:
    planner = DEMO.acting.planner
    assert speed.iterations == planner.num_iterations
    assert (speed.candidates, speed.horizon) == (planner.num_samples, planner.horizon)
    assert speed.decisions == QUICK.least
    assert 0 < speed.decision_ms["median"] <= speed.decision_ms["p99"]


def test_units_agree(speed) -> None:
    """Steps a second are those of a rollout over its time; operations a second follow."""
    found, steps = speed.to_json(), speed.candidates * speed.horizon
    assert found["flop_per_step"] > 0
    assert found["steps_per_s"] * found["rollout_ms"] / 1000 == pytest.approx(steps)
    assert found["flop_per_s"] == pytest.approx(found["steps_per_s"] * found["flop_per_step"])
    assert found["gemm_share"] == pytest.approx(found["flop_per_s"] / found["gemm_peak"])
    moved = found["steps_per_s"] * found["bytes_per_step"]
    assert found["bandwidth_share"] == pytest.approx(moved / found["bandwidth"])


def test_the_share_of_the_roofline_is_least_time_over_time(speed) -> None:
    world_model = DEMO.build().world_model
    work = rollout_work(world_model, candidates=speed.candidates, horizon=speed.horizon)
    least = work.least_seconds(speed.gemm_peak, speed.bandwidth)
    assert speed.roofline_share == pytest.approx(1000 * least / speed.rollout_ms)


def test_twice_the_machine_is_half_the_share(speed) -> None:
    twice = replace(speed, gemm_peak=2 * speed.gemm_peak, bandwidth=2 * speed.bandwidth)
    assert 2 * twice.roofline_share == pytest.approx(speed.roofline_share)


def test_searches_are_the_decisions_that_plan() -> None:
    """One in so many world steps as a plan is kept to, whatever the episode's length."""
    model, asked = point_model(), []

    class Watched(Noise):
        def step(self, actions: np.ndarray) -> dict[str, np.ndarray]:
            asked.append(actions)
            return super().step(actions)

    found = searches(
        lambda goals, _: seeker(model, goals), Watched(SIGNATURE), budget=3 * BLOCK, seed=7
    )
    decisions = list(islice(found, 5))
    assert [decision.plan_step for decision in decisions] == [0] * 5
    assert len(asked) == 4 * BLOCK


def test_timing_ends_when_time_is_up_but_not_too_early() -> None:
    """As many as asked for where there is time, and at least some where there is none."""
    patient = replace(QUICK, decisions=10, seconds=1e6)
    assert list(_while_time(count(), patient)) == list(range(10))
    assert list(_while_time(count(), QUICK)) == list(range(QUICK.least))


def test_noise_is_what_the_model_perceives() -> None:
    """The same from the same seed; an agent takes it in as it is."""
    noise = Noise(SIGNATURE)
    seen = noise.reset([3])
    np.testing.assert_array_equal(seen[STATE], Noise(SIGNATURE).reset([3])[STATE])
    assert not np.array_equal(seen[STATE], noise.step(np.zeros((1, 2)))[STATE])
    agent = point_agent(point_model(), (0.0, 0.0))
    assert agent.act_batch(seen).action.shape == (1, 2)


# ------------------------------------------------------------------------------- stock models


@pytest.mark.parametrize("name", stock.names())
def test_stock_models_act_on_what_their_signature_says(name) -> None:
    """With few candidates: their sizes fit together."""
    one = stock.get(name)
    model = one.build()
    planner = replace(one.acting.planner, num_samples=4, num_iterations=1, num_elites=2, horizon=2)
    noise = Noise(one.signature)
    agent = replace(one.acting, planner=planner).agent(model, noise.goal(), 1)
    assert agent.act_batch(noise.observe()).action.shape == (1, one.signature.action.dim)


def test_stock_weights_are_drawn_from_the_seed() -> None:
    first, again, other = (
        torch.cat([value.detach().flatten() for value in DEMO.build(seed).parameters()])
        for seed in (0, 0, 1)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_the_demo_in_stock_is_the_recipe_that_is_trained(model) -> None:
    """Same weights by name and shape: the stock model takes a trained one's."""
    ours = stock.get("demo").build()
    names = {name for name, _ in ours.named_parameters()}
    trained = {name: value for name, value in model.state_dict().items() if name in names}
    assert names == trained.keys()
    ours.load_state_dict(trained, strict=False)


def test_lewm_has_the_published_number_of_parameters() -> None:
    """18 M (arXiv 2603.19312)."""
    parameters = sum(value.numel() for value in stock.get("lewm").build().parameters())
    assert round(parameters / 1e6) == 18


def test_an_unknown_stock_model_is_told_with_those_there_are() -> None:
    with pytest.raises(ForethoughtError, match=r"\['demo', 'lewm', 'eb_jepa'\].*'lewm'"):
        stock.get("lew")
