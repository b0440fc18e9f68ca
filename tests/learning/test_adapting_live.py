"""Adapting by acting: what has changed is learned of, calibration follows, and where nothing has
changed nothing is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
import torch

from forethought import data, worlds
from forethought.agent import Agent
from forethought.cost import LatentDistance, goal
from forethought.learning.adapting import AdaptingConfig, predictor_of
from forethought.learning.adapting_live import LiveAdaptingConfig, adapt_in
from forethought.model import Model
from forethought.types import STATE, ForethoughtError, Observation
from forethought.worlds.changed import ChangeConfig, Changed
from point import PLANNER, SIGNATURE, point_model

ADAPTING = AdaptingConfig(
    history=1, rank=2, held_out=20, recent=200, batch=32, seconds_per_step=10.0, camera_range=0
)
CONFIG = LiveAdaptingConfig(adapting=ADAPTING, steps=200, budget=25, hold=3, tasks=4)


class Points:
    """Points that are to be pushed to places."""

    def __init__(self, num_worlds: int) -> None:
        self.name, self.signature, self.num_worlds = "points", SIGNATURE, num_worlds
        self.reset(range(num_worlds))

    def reset(self, seeds: Sequence[int]) -> Observation:
        self.num_worlds = len(seeds)
        drawn = [np.random.default_rng(seed).uniform(-4, 4, (2, 2)) for seed in seeds]
        self.place, self.sought = np.stack(drawn, axis=1).astype(np.float32)
        return self.observe()

    def step(self, actions: np.ndarray) -> Observation:
        self.place = self.place + np.clip(actions, -1, 1).astype(np.float32)
        return self.observe()

    def observe(self) -> Observation:
        return {STATE: self.place.copy()}

    def goal(self) -> Observation:
        return {STATE: self.sought.copy()}

    def succeeded(self) -> np.ndarray:
        return np.linalg.norm(self.place - self.sought, axis=1) < 1.0

    def truth(self) -> Mapping[str, np.ndarray]:
        return {}

    goal_truth = groups = truth

    def oracle(self) -> np.ndarray:
        return np.clip(self.sought - self.place, -1, 1)

    def path_length(self) -> np.ndarray:
        return np.abs(self.sought - self.place).max(1)

    def explore(self, seed: int):
        drawn = np.random.default_rng(seed)
        return lambda seen: drawn.uniform(-1, 1, (self.num_worlds, 2)).astype(np.float32)


def seeking(model: Model, goals: Observation, count: int) -> Agent:
    cost = goal(observation=goals, distance=LatentDistance())
    return Agent(model, cost=cost, actor=PLANNER, num_agents=count)


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> data.Dataset:
    path = tmp_path_factory.mktemp("data") / "older"
    return data.record(Points(4), path, num_episodes=8, episode_length=40, visible=False)


def test_a_change_is_learned_of_and_calibration_follows(older: data.Dataset) -> None:
    model = point_model(errors=(0.0,) * 40)
    calibrated = model.calibration
    assert calibrated is not None
    adapted, report = adapt_in(
        model,
        lambda count: Changed(Points(count), ChangeConfig(flipped=(1,))),
        seeking,
        older,
        CONFIG,
    )
    assert report.before < 0.5 and report.after == 1.0
    assert report.adapted and report.took_over and report.shift == (0, 0)
    assert adapted.calibration is not None and model.calibration is calibrated
    # Bounds are of what the adapted model foresees in the world as it is now.
    ends = adapted.calibration.recorded[:, -1] - adapted.calibration.imagined[:, -1]
    began = adapted.calibration.recorded[:, -1] - adapted.calibration.recorded[:, 0]
    assert float(began.abs().mean()) > 0.1 and float(ends.abs().median()) < 0.1
    assert not torch.equal(adapted.calibration.recorded[:1], calibrated.recorded[:1])


def test_where_nothing_has_changed_nothing_is(older: data.Dataset) -> None:
    model, steps = point_model(errors=(0.0,) * 40), []
    same, report = adapt_in(model, Points, seeking, older, CONFIG, told=steps.append)
    assert not report.adapted and not report.took_over and report.after == report.before > 0.5
    assert predictor_of(same).acts_as_before() and steps == list(range(1, 201))
    assert same.calibration is not None and model.calibration is not None
    assert torch.equal(same.calibration.recorded, model.calibration.recorded)


def test_another_world_is_refused(older: data.Dataset) -> None:
    with pytest.raises(ForethoughtError, match="trained for"):
        adapt_in(point_model(), lambda n: worlds.make("two_rooms", n), seeking, older, CONFIG)
    with pytest.raises(ForethoughtError, match="no task"):
        LiveAdaptingConfig(budget=5)
