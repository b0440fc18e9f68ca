"""Adapting while acting: a known change is identified, nothing is changed where nothing has, and
what does not help is taken back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from forethought import data
from forethought.data.store import EpisodeArrays, create
from forethought.learning.adapting import (
    AdaptingConfig,
    Anchors,
    Learner,
    Version,
    adaptable,
    errors_of,
    predictor_of,
    put,
    recorded,
    version_of,
)
from forethought.learning.adapting_agent import AdaptingAgent
from forethought.learning.adapting_recorded import RecordedAdaptingConfig, adapt_to
from forethought.model import Model
from forethought.types import STATE, Episode, ForethoughtError
from forethought.world_model import FastConfig, ResidualMLPConfig
from forethought.world_model.adapted import AdaptedPredictor, AdaptedPredictorConfig
from forethought.world_model.predictors import MarkovPredictor, ResidualMLP
from point import BLOCK, SIGNATURE, Point, point_agent, point_model

CONFIG = AdaptingConfig(
    history=1, rank=2, held_out=20, recent=200, batch=32, seconds_per_step=10.0, camera_range=0
)
FLIPPED = np.array([1.0, -1.0], np.float32)


class Ticking:
    """A clock by which every look at it takes so long."""

    def __init__(self, tick: float) -> None:
        self.time, self.tick = 0.0, tick

    def __call__(self) -> float:
        self.time += self.tick
        return self.time


def walks(num: int = 6, rows: int = 40, scale: np.ndarray | float = 1.0) -> EpisodeArrays:
    """Recorded walks of the point, pushed at random."""
    drawn = np.random.default_rng(0)
    actions = drawn.uniform(-1, 1, (num, rows, 2)).astype(np.float32)
    begin = drawn.uniform(-2, 2, (num, 1, 2)).astype(np.float32)
    moves = np.cumsum(scale * actions, axis=1)[:, :-1]
    places = np.concatenate([begin, begin + moves], axis=1).astype(np.float32)
    return EpisodeArrays(
        observation={STATE: torch.as_tensor(places).flatten(0, 1)},
        action=torch.as_tensor(actions).flatten(0, 1),
        offsets=torch.arange(num + 1) * rows,
        episodes=tuple(range(num)),
        signature=SIGNATURE,
    )


def stored(path: Path, scale: np.ndarray | float) -> data.Dataset:
    """The same walks on disk."""
    arrays = walks(scale=scale)
    bounds = arrays.offsets.tolist()
    with create(path, SIGNATURE) as writer:
        writer.append(
            [
                Episode(
                    observation={STATE: arrays.observation[STATE][begin:end].numpy()},
                    action=arrays.action[begin:end].numpy(),
                )
                for begin, end in pairwise(bounds)
            ]
        )
    return data.open(path)


def adapting(
    config: AdaptingConfig = CONFIG, now: Callable[[], float] | None = None
) -> AdaptingAgent:
    """An agent that knows the point exactly."""
    model = adaptable(point_model(), history=config.history, rank=config.rank)
    agent = point_agent(model, (1.0, 1.0))
    anchors = Anchors.of(model, walks())
    return AdaptingAgent(agent, anchors, config, **({"now": now} if now else {}))


def wander(one: AdaptingAgent, steps: int, scale: np.ndarray | float, point: Point) -> list:
    """Adapts to what random pushes do; the agent's own would soon be at rest."""
    drawn, log = np.random.default_rng(1), []
    for _ in range(steps):
        log.append(one.adapter.see({STATE: point.observe()[STATE][None]}))
        action = drawn.uniform(-1, 1, 2).astype(np.float32)
        one.adapter.do(torch.as_tensor(action)[None])
        point.push(scale * action)
    return log


def foreseen(model: Model, action: np.ndarray) -> np.ndarray:
    """Where the model thinks that a push held for a model step leads, from the origin."""
    held = torch.as_tensor(np.tile(action, BLOCK), dtype=torch.float32)[None, None]
    with torch.no_grad():
        moved = model.world_model.imagine(torch.zeros(1, 1, 2), held[None, :, :, :][0][None])
    return moved.latents[0, 0, -1, 0].numpy()


def test_an_adaptable_copy_foresees_the_same_bit_for_bit() -> None:
    model = point_model()
    copy = adaptable(model, history=2, rank=4)
    actions = torch.rand(3, 5, 4, 4) * 2 - 1
    latents = torch.randn(3, 1, 2)
    with torch.no_grad():
        here, there = (one.world_model.imagine(latents, actions) for one in (model, copy))
    assert torch.equal(here.latents, there.latents)
    assert predictor_of(copy).acts_as_before()
    with pytest.raises(ForethoughtError, match="nothing can change"):
        predictor_of(model)


def test_nothing_is_changed_while_nothing_has_changed() -> None:
    """The same decisions as the agent's, bit for bit, and no gradient step."""
    one, plain = adapting(), point_agent(point_model(), (1.0, 1.0))
    here, there = Point(), Point()
    for _ in range(40):
        left = one.act(here.observe()).action
        assert np.array_equal(left, plain.act(there.observe()).action)
        assert one.last is not None and one.last.updates == 0 and not one.last.learning
        here.push(left)
        there.push(left)
    assert one.adapter.acting == 0


def test_a_flipped_axis_is_identified() -> None:
    """What acts afterwards foresees what pushes do now, and the learner knows which axis it is."""
    one = adapting()
    log = wander(one, 250, FLIPPED, Point())
    assert any(step.took_over for step in log) and one.adapter.acting
    push = np.array([0.8, 0.6], np.float32)
    np.testing.assert_allclose(foreseen(one.model, push), BLOCK * FLIPPED * push, atol=0.12)


def test_what_is_left_of_the_last_push_is_identified() -> None:
    """On ice the world step before acts as well, be it of this model step or of the one before."""
    model = adaptable(point_model(), history=1, rank=1)
    anchors = Anchors.of(model, walks())
    transitions, _ = recorded(model, walks())
    pushes = transitions.actions.flatten(1).unflatten(1, (-1, 2))
    left = 0.5 * pushes[:, -BLOCK - 1 : -1].sum(1, keepdim=True)
    learner = Learner(predictor_of(model), anchors, replace(CONFIG, replay=0.0, slow=0.0))
    for _ in range(400):
        learner.update(replace(transitions, after=transitions.after + left))
    told = learner.weights()["kernel"]
    expected = torch.stack([share * torch.eye(2) for share in (1.0, 0.5, 0.0)])
    torch.testing.assert_close(told, expected, atol=0.03, rtol=0)


class Short(MarkovPredictor):
    """A point between two walls, of which nothing is known beyond pushes of 1."""

    def step(
        self, latents: Float[Tensor, "n k d"], actions: Float[Tensor, "n a"]
    ) -> Float[Tensor, "n k d"]:
        for push in actions.unflatten(1, (BLOCK, 2)).clamp(-1, 1).unbind(1):
            latents = (latents + push[:, None]).clamp(-2, 2)
        return latents


def test_what_goes_beyond_recorded_pushes_is_foreseen_part_by_part() -> None:
    """In their order, since walls stand in the way; of the same pushes one by one."""
    config = AdaptedPredictorConfig(inner=ResidualMLPConfig(), history=0, rank=1, block=BLOCK)
    predictor = AdaptedPredictor(config, Short(), 2, 2 * BLOCK)
    here = torch.zeros(3, 1, 1, 2)
    pushes = torch.tensor([[2.7, -3.0, -2.7, 3.0], [0.5, 0.5, 0.5, 0.5], [1.5, 0, 1.5, 0]])
    with torch.no_grad():
        short = predictor(here, pushes[:, None])
        predictor.parts.fill_(4)
        whole = predictor(here, pushes[:, None])
    places = [[-0.7, 1.0], [1.0, 1.0], [2.0, 0.0]]
    torch.testing.assert_close(whole[:, 0], torch.tensor(places))
    assert torch.equal(short[1], whole[1]) and not torch.allclose(short[0], whole[0])


def test_where_halves_are_not_the_whole_nothing_is_taken_in_parts() -> None:
    """As where the world goes on by itself: two half pushes take it twice as far."""
    still, drifting = adaptable(point_model()), adaptable(point_model())
    inner = predictor_of(drifting).inner
    assert isinstance(inner, ResidualMLP)
    inner.begin_linear(torch.zeros(2, 2), torch.eye(2).repeat(BLOCK, 1), torch.ones(2))
    assert Anchors.of(still, walks()).parts > 1
    assert Anchors.of(drifting, walks()).parts == 1


def test_back_in_the_old_world_the_original_acts_again_exactly() -> None:
    one, point = adapting(), Point()
    original = version_of(one.model)
    wander(one, 250, FLIPPED, point)
    assert one.adapter.acting
    log = wander(one, 100, 1.0, point)
    assert [step.took_over for step in log if step.took_over is not None] == [0]
    assert one.adapter.acting == 0 and predictor_of(one.model).acts_as_before()
    now = version_of(one.model)
    assert all(torch.equal(now.weights[name], original.weights[name]) for name in now.weights)


def test_a_spoiled_version_is_rolled_back() -> None:
    one, point = adapting(), Point()
    wander(one, 60, 1.0, point)
    weights = {k: v + 1.0 for k, v in one.adapter.versions[0].weights.items()}
    one.adapter._take_over(Version(shift=(0, 0), weights=weights))
    assert one.adapter.acting == 1
    log = wander(one, BLOCK, 1.0, point)
    assert log[-1].took_over == 0 and predictor_of(one.model).acts_as_before()


def test_the_bound_of_a_step_is_kept_by_the_clock() -> None:
    """Work that would go beyond it waits; with more time more of it is done."""
    updates = {}
    for bound in (0.02, 0.1):
        clock = Ticking(0.004)
        config = replace(CONFIG, seconds_per_step=bound, updates=100)
        one = adapting(config, now=clock)
        log = wander(one, 60, FLIPPED, Point())
        assert any(step.learning for step in log)
        assert max(step.seconds for step in log) <= bound + 0.0041
        updates[bound] = sum(step.updates for step in log)
    assert 0 < 2 * updates[0.02] < updates[0.1]


def test_replay_keeps_what_actions_that_amount_to_the_same_lead_to() -> None:
    """The map of actions may turn; behind it the world is as it was recorded."""
    model = adaptable(point_model(), history=0, rank=2)
    anchors = Anchors.of(model, walks())
    turned, _ = recorded(model, walks(scale=FLIPPED))
    errors = {}
    for replay in (0.0, 1.0):
        learner = Learner(predictor_of(model), anchors, replace(CONFIG, replay=replay))
        for _ in range(300):
            learner.update(turned)
        told = adaptable(point_model(), history=0, rank=2)
        front = {k: v for k, v in version_of(told).weights.items() if k in ("kernel", "offset")}
        put(told, Version(shift=(0, 0), weights={**learner.weights(), **front}))
        errors[replay] = float(errors_of(predictor_of(told), None, anchors.transitions).mean())
    assert errors[1.0] < 0.2 * errors[0.0]


def test_what_was_adapted_to_outlives_the_process(tmp_path) -> None:
    one, other = adapting(), adapting()
    wander(one, 250, FLIPPED, Point())
    one.save(tmp_path)
    other.load(tmp_path)
    push = np.array([0.3, -0.9], np.float32)
    assert other.adapter.acting == one.adapter.acting > 0
    assert np.array_equal(foreseen(one.model, push), foreseen(other.model, push))
    wander(other, 100, 1.0, Point())
    assert predictor_of(other.model).acts_as_before()
    with pytest.raises(ForethoughtError, match="another run"):
        adapting(replace(CONFIG, history=2)).load(tmp_path)
    (tmp_path / "adaptation.safetensors").write_bytes(b"torn")
    with pytest.raises(ForethoughtError, match="no adaptation can be read"):
        other.load(tmp_path)


def test_a_run_is_adapted_to_recordings_where_held_out_error_falls(tmp_path) -> None:
    """Turned pushes are learned of, and calibration follows; of the same world nothing is."""
    older = stored(tmp_path / "older", 1.0)
    config = RecordedAdaptingConfig(adapting=CONFIG, updates=400)
    model = point_model(errors=(0.0,) * 40)
    adapted, report = adapt_to(model, stored(tmp_path / "turned", FLIPPED), older, config)
    assert report.adapted and report.after < 0.05 * report.before
    push = np.array([0.5, 0.5], np.float32)
    np.testing.assert_allclose(foreseen(adapted, push), BLOCK * FLIPPED * push, atol=0.12)
    assert adapted.calibration is not None
    assert not torch.equal(adapted.calibration.recorded, model.calibration.recorded)
    same, report = adapt_to(model, stored(tmp_path / "same", 1.0), older, config)
    assert not report.adapted and predictor_of(same).acts_as_before()
    assert same.calibration is not None
    assert torch.equal(same.calibration.recorded, model.calibration.recorded)


def test_what_cannot_be_adapted_is_refused() -> None:
    model = adaptable(point_model())
    with pytest.raises(ForethoughtError, match="adapted already"):
        adaptable(model)
    fast = point_agent(model, (1.0, 1.0), fast=FastConfig(compiled=False, cached=False))
    with pytest.raises(ForethoughtError, match="make it without"):
        AdaptingAgent(fast, Anchors.of(model, walks()))
    with pytest.raises(ForethoughtError, match="margin"):
        AdaptingConfig(margin=0.0)
    with pytest.raises(ForethoughtError, match="two recorded episodes"):
        Anchors.of(model, walks(num=1))
