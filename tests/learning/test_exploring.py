"""Curiosity: to where an ensemble disagrees, within guardrails, in rounds."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from forethought import data, recipes, worlds
from forethought.agent import Agent
from forethought.cli import main
from forethought.cost import curiosity, guardrail
from forethought.data.behaviours import independent_random
from forethought.learning.exploring import (
    ExplorationConfig,
    Usual,
    curious,
    ensemble_of,
    explore,
)
from forethought.learning.jepa import JEPAConfig
from forethought.learning.train import CollapseWarning, TrainConfig
from forethought.model import Model
from forethought.perception.normalise import Normaliser
from forethought.senses import sight_of
from forethought.types import (
    STATE,
    ActionSpec,
    ArraySpec,
    ForethoughtError,
    Imagination,
    Signature,
)
from forethought.world_model import EnsembleConfig
from point import BLOCK, PLANNER, Point, point_calibration, point_model

CAMERA = "observation.images.top"
SMALL = ExplorationConfig(num_episodes=9, episode_length=48, rounds=2, members=2)


def undecided() -> Model:
    """A point that two models foresee; what pushes along y do they disagree about."""
    single = point_model()
    world_model = replace(
        single.config.world_model,
        predictor=EnsembleConfig(member=single.config.world_model.predictor, num_members=2),
    )
    normalisers = {STATE: Normaliser([0.0] * 2, [1.0] * 2)}
    normalisers["action"] = Normaliser([0.0] * 4, [1.0] * 4)
    model = Model(
        replace(single.config, world_model=world_model), single.signature, normalisers, single.notes
    ).eval()
    model.world_model.perception.forward = lambda seen: seen[STATE][:, -1:].clone()
    weights = dict(model.world_model.predictor.named_parameters())
    (pushes,) = (value for name, value in weights.items() if "linear_action" in name)
    with torch.no_grad():
        for member, share in zip(pushes, (0.5, 1.5), strict=True):
            member.copy_(torch.diag(torch.tensor([1.0, share])).repeat(1, BLOCK))
    model.mlp_probe.forward = lambda latents: latents[..., 0, :]
    model.calibration = point_calibration((0.0,) * 400)
    return model


def test_it_goes_where_the_members_disagree() -> None:
    """Along y, one way or the other, most of the way that can be gone."""
    agent = Agent(undecided(), cost=curiosity(), actor=PLANNER, replan_every=BLOCK * 3)
    point = Point()
    for _ in range(BLOCK * 3):
        point.push(agent.act(point.observe()).action)
    assert abs(point.place[1]) > 0.6 * BLOCK * 3


def test_it_keeps_within_guardrails() -> None:
    """Which leaves the other way."""
    rail = guardrail("position.y", below=1.0, risk=0.05)
    agent = Agent(undecided(), cost=curiosity(), actor=PLANNER, guardrails=(rail,))
    point, highest = Point(), 0.0
    for _ in range(20):
        point.push(agent.act(point.observe()).action)
        highest = max(highest, float(point.place[1]))
    assert highest <= 1.0 and point.place[1] < -5.0


def test_a_single_model_is_never_in_doubt() -> None:
    agent = Agent(point_model(), cost=curiosity(), actor=PLANNER)
    with pytest.raises(ForethoughtError, match="EnsembleConfig"):
        agent.act(Point().observe())


def imagination(spread: float) -> Imagination:
    """Two agents of one candidate that stays where it is, at zero, for two steps."""
    latents, actions = torch.zeros(2, 1, 3, 1, 4), torch.zeros(2, 1, 2, 2)
    return Imagination(latents=latents, actions=actions, spread=torch.full((2, 1, 2), spread))


@pytest.mark.parametrize(("spread", "gain"), [(0.1, 0.5), (0.2, 1.0), (50.0, 1.0)])
def test_enough_is_enough(spread: float, gain: float) -> None:
    """Beyond what counts as unknown, more is not sought."""
    energy = curiosity(enough=0.2).bind(sight_of(undecided()))(imagination(spread))
    torch.testing.assert_close(energy, torch.full((2, 1, 2), -gain))


def test_what_was_looked_at_is_worth_less() -> None:
    """The first agent has been here three times, the second one radius away once."""
    here = torch.zeros(3, 1, 4)
    away = torch.stack([torch.ones(1, 4), *torch.full((2, 1, 4), 100.0)])
    term = curiosity(looked_at=lambda: torch.stack([here, away]), radius=1.0)
    energy = term.bind(sight_of(undecided()))(imagination(1.0))
    expected = -torch.tensor([(1 + 3) ** -0.5, (1 + math.exp(-0.5)) ** -0.5])
    torch.testing.assert_close(energy, expected[:, None, None].expand(2, 1, 2))


@pytest.mark.parametrize("wrong", [{"enough": 0.0}, {"radius": -1.0}])
def test_limits_that_make_no_sense(wrong) -> None:
    with pytest.raises(ForethoughtError, match="above zero"):
        curiosity(**wrong)


def test_an_ensemble_stays_as_it_is() -> None:
    config = recipes.configure("two_rooms", worlds.make("two_rooms", 1).signature)
    several = ensemble_of(config, 3)
    assert isinstance(several.world_model.predictor, EnsembleConfig)
    assert several.bootstrap is not None
    assert several.world_model.predictor.member == config.world_model.predictor
    assert ensemble_of(several, 7) == several


def test_what_only_a_single_predictor_can_begin_with_is_left_out() -> None:
    signature = Signature(
        observation={STATE: ArraySpec(shape=(5,), dtype="float32")},
        action=ActionSpec(dim=2, low=(-1.0,) * 2, high=(1.0,) * 2),
        rate_hz=20.0,
    )
    single = recipes.configure("point_hazards", signature)
    several = ensemble_of(single, 2)
    assert isinstance(single.objective, JEPAConfig) and single.objective.start is not None
    assert several.objective == replace(single.objective, start=None)


@pytest.mark.parametrize(("episodes", "rounds"), [(3, 3), (10, 0)])
def test_more_rounds_than_episodes(episodes, rounds) -> None:
    with pytest.raises(ForethoughtError, match="more episodes than rounds"):
        ExplorationConfig(num_episodes=episodes, rounds=rounds)


def training(signature: Signature) -> TrainConfig:
    """A few steps of everything that exploring needs."""
    config = recipes.configure("two_rooms", signature, steps=5)
    assert config.probes is not None
    return replace(config, critic=None, probes=replace(config.probes, num_steps=5))


few_steps = pytest.mark.filterwarnings("ignore:prediction is no better")
"""Runs of five steps have not learned anything."""


@pytest.fixture(scope="module")
def explored(tmp_path_factory):
    """A little of two rooms; asked for twice, the second time nothing is left to do."""
    folder = tmp_path_factory.mktemp("explored")

    def once():
        return explore(
            worlds.make("two_rooms", 3),
            folder / "data",
            training,
            folder / "runs",
            SMALL,
            visible=False,
        )

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapseWarning)
        first = once().num_episodes
    marks = [path.stat().st_mtime_ns for path in sorted(folder.rglob("train.json"))]
    again = once().num_episodes
    assert marks == [path.stat().st_mtime_ns for path in sorted(folder.rglob("train.json"))]
    assert first == again
    return folder


def test_every_round_learns_of_what_there_is(explored) -> None:
    """From the second share on episodes are an agent's: pushes that change at every step."""
    dataset = data.open(explored / "data")
    assert dataset.num_episodes == SMALL.num_episodes
    assert len(list((explored / "runs").iterdir())) == SMALL.rounds
    model = Model.from_pretrained(explored / "runs" / "round-1")
    assert isinstance(model.config.world_model.predictor, EnsembleConfig)
    assert model.config.world_model.predictor.num_members == SMALL.members


def test_its_first_share_is_the_worlds_own(explored, tmp_path) -> None:
    """The same to the bit as a recording of as many episodes."""
    own = data.record(
        worlds.make("two_rooms", 3), tmp_path / "own", num_episodes=3, episode_length=48,
        visible=False,
    )  # fmt: skip
    dataset = data.open(explored / "data")
    actions = [one.load(keys=[CAMERA], episodes=[0, 1, 2]).action for one in (own, dataset)]
    np.testing.assert_array_equal(*actions)


def test_what_is_usual_can_be_told(explored) -> None:
    """Curiosity is measured by it: what makes no sense is refused."""
    asked = []

    def told(model: Model, recording: data.Dataset, episodes: Sequence[int]) -> Usual:
        asked.append((model, recording.num_episodes, list(episodes)))
        return Usual(doubt=0.0, step=1.0)

    dataset = data.open(explored / "data")
    model = Model.from_pretrained(explored / "runs" / "round-1")
    begin = curious(model, dataset, SMALL.planner, episodes=[1, 2], known=told)
    assert asked == [(model, SMALL.num_episodes, [1, 2])]
    with pytest.raises(ForethoughtError, match=r"enough=0\.0"):
        begin(worlds.make("two_rooms", 3), 0)


def pushes(dataset: data.Dataset, episodes: list[int]) -> np.ndarray:
    return np.asarray(dataset.load(episodes, keys=[CAMERA]).action)


@few_steps
def test_a_whole_exploration_keeps_within_guardrails(tmp_path) -> None:
    """From the first round on; what is collected before knows of none, and is as asked for.

    A limit on an action holds whatever the model has learned.
    """
    world = worlds.make("two_rooms", 3)
    rail = guardrail("step.x", below=0.25, risk=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapseWarning)
        dataset = explore(
            world, tmp_path / "data", training,
            tmp_path / "runs", SMALL, guardrails=(rail,), first=independent_random, visible=False,
        )  # fmt: skip
    limit = world.signature.action.high[0]
    first, later = pushes(dataset, [0, 1, 2]), pushes(dataset, list(range(3, 9)))
    assert first[:, 0].max() > 0.95 * limit and later[:, 0].max() <= 0.25
    assert later[:, 1].max() > 0.95 * limit


def test_guardrails_need_a_training_that_calibrates(tmp_path) -> None:
    """Which is said before anything is recorded."""

    def uncalibrated(signature: Signature) -> TrainConfig:
        return replace(training(signature), calibration=None)

    with pytest.raises(ForethoughtError, match="calibrates"):
        explore(
            worlds.make("two_rooms", 3), tmp_path / "data", uncalibrated, tmp_path / "runs", SMALL,
            guardrails=(guardrail("step.x", below=0.25, risk=0.05),), visible=False,
        )  # fmt: skip
    assert not (tmp_path / "data").exists()


@few_steps
def test_from_the_command_line(tmp_path, capsys) -> None:
    words = ["explore", "two_rooms", "--recipe", "two_rooms", "--out", str(tmp_path / "data")]
    words += ["--runs", str(tmp_path / "runs"), "--episodes", "4", "--length", "48"]
    words += ["--rounds", "1", "--members", "2", "--steps", "5", "--worlds", "2", "--json"]
    assert main(words) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["episodes"], told["by_curiosity"]) == (4, 2)
    assert main([*words[:3], "no_recipe", *words[4:]]) == 2
