"""Parts are replaced by what they stand for, and planted failures are told for what they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from forethought import worlds
from forethought.actor import CEM, BeamSearch, Gradient, Halving, Mixed
from forethought.agent import Agent
from forethought.cost import LatentDistance, goal, guardrail
from forethought.evaluation.attribution import AttributionConfig, attribute
from forethought.evaluation.episode_log import EpisodeLog, Witness
from forethought.evaluation.evidence import estimates, weigh
from forethought.evaluation.simulated import (
    ReplacedAgent,
    Replacement,
    Simulation,
)
from forethought.evaluation.thorough import Thorough, with_budget
from forethought.memory import ObservationWindow
from forethought.model import Model, ModelConfig
from forethought.perception import CNNConfig, PerceptionConfig
from forethought.perception.normalise import Normaliser
from forethought.types import STATE, ForethoughtError, Plan
from forethought.world_model import ResidualMLPConfig, WorldModelConfig
from forethought.worlds.wrapped import Wrapped
from point import BLOCK, SIGNATURE, point_calibration, point_model

REACH, BUDGET = 12, 24
SHORT = AttributionConfig(budget=BUDGET, repeats=2, most=12)
GOOD = CEM(horizon=3, num_samples=24, num_iterations=2, num_elites=4)
STARVED = CEM(horizon=3, num_samples=1, num_iterations=1, num_elites=1)
POOR = replace(STARVED, num_samples=2)


class Plane:
    """Points that go where they are pushed; a :class:`forethought.types.Simulator`."""

    name, signature = "plane", SIGNATURE

    def __init__(self, num_worlds: int = 1) -> None:
        self.reset(range(num_worlds))

    def reset(self, seeds: Sequence[int]):
        draws = [np.random.default_rng(seed) for seed in seeds]
        self.num_worlds = len(draws)
        self.place = np.zeros((len(draws), 2))
        angles = np.array([draw.uniform(0, 2 * np.pi) for draw in draws])
        self.target = REACH * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        return self.observe()

    def step(self, actions: np.ndarray):
        self.advance(actions)
        return self.observe()

    def advance(self, actions: np.ndarray) -> None:
        self.place = self.place + actions

    def observe(self):
        return {STATE: self.place.astype(np.float32)}

    def goal(self):
        return {STATE: self.target.astype(np.float32)}

    def succeeded(self) -> np.ndarray:
        return np.linalg.norm(self.place - self.target, axis=1) < 1.5

    def truth(self):
        return dict(zip(("position.x", "position.y"), self.place.T.copy(), strict=True))

    def goal_truth(self):
        return dict(zip(("position.x", "position.y"), self.target.T.copy(), strict=True))

    def groups(self):
        return {}

    def oracle(self) -> np.ndarray:
        return np.clip(self.target - self.place, -1, 1).astype(np.float32)

    def path_length(self) -> np.ndarray:
        return np.linalg.norm(self.place - self.target, axis=1)

    def explore(self, seed: int):
        raise NotImplementedError

    def snapshot(self):
        return {"place": self.place.copy(), "target": self.target.copy()}

    def restore(self, snapshot) -> None:
        self.place, self.target = snapshot["place"].copy(), snapshot["target"]
        self.num_worlds = len(self.place)

    def lengths_from(self, index: int, points: np.ndarray, goal: np.ndarray) -> np.ndarray:
        return np.linalg.norm(points - goal, axis=1)


def maker(spoiled: str = "nothing"):
    """Builds agents of the plane with one part spoiled."""
    model = point_model()
    model.calibration = point_calibration(np.linspace(0.01, 0.1, 60))
    if spoiled == "model":
        pushes = torch.tensor([[-1.0, 0.0], [0.0, 1.0]]).repeat(BLOCK, 1)
        model.world_model.predictor.begin_linear(torch.zeros(2, 2), pushes, torch.zeros(2))

    def make(goals, count: int, seed: int) -> Agent:
        sought = goals[STATE] * (-1.0 if spoiled == "objective" else 1.0)
        return Agent(
            model,
            cost=goal(observation={STATE: sought.astype(np.float32)}, distance=LatentDistance()),
            actor=STARVED if spoiled == "search" else GOOD,
            num_agents=count,
            seed=seed,
        )

    return make


def failures(make, count: int = 24) -> tuple[list[int], list[int]]:
    """Tasks that an agent fails at, and tasks that it solves."""
    world = Plane(count)
    observation, agent = world.observe(), make(world.goal(), count, 0)
    met = np.zeros(count, bool)
    for _ in range(BUDGET):
        observation = world.step(agent.act_batch(observation).action)
        met |= world.succeeded()
    return np.flatnonzero(~met).tolist(), np.flatnonzero(met).tolist()


# ------------------------------------------------------------------------------- whole


def test_nothing_spoiled_nothing_fails() -> None:
    assert failures(maker())[0] == []
    with pytest.raises(ForethoughtError, match="no episode failed"):
        attribute(maker(), Plane, [], SHORT, visible=False)


@pytest.mark.parametrize("spoiled", ["model", "objective", "search"])
def test_planted_failures_are_named(spoiled: str) -> None:
    make = maker(spoiled)
    failed, solved = failures(make)
    assert len(failed) >= 8
    found = attribute(make, Plane, failed, SHORT, solved=solved, visible=False)
    assert all(found.again)
    assert np.mean([verdict == spoiled for verdict in found.verdicts]) >= 0.9
    assert np.mean([verdict == spoiled for verdict in found.evidence.verdicts]) >= 0.8
    content = found.to_json()
    assert content["parts"] == ["model", "objective", "search"]
    assert content["episodes"][0]["solved"]["nothing"] == 0
    # With that part replaced, the way that is kept comes to the goal.
    gap = np.linalg.norm(found.ways[(spoiled,)] - _targets(found.seeds), axis=-1).min(0)
    assert np.mean(gap < 1.5) >= 0.9


def _targets(seeds: Sequence[int]) -> np.ndarray:
    world = Plane()
    world.reset(seeds)
    return world.target


def test_what_cannot_be_done_in_time_is_nobodys_fault() -> None:
    config = replace(SHORT, budget=6)
    found = attribute(maker("model"), Plane, range(6), config, visible=False)
    assert found.verdicts == ["none"] * 6


def test_a_world_that_cannot_be_put_back_leaves_the_rest() -> None:
    """The search alone can be replaced; the episodes themselves tell of the others."""
    make = maker("objective")
    found = attribute(make, lambda n: Wrapped(Plane(n)), range(6), SHORT, visible=False)
    assert found.parts == ("search",) and found.verdicts == ["none"] * 6
    assert np.isnan(found.evidence.estimates["objective"]).all()
    assert found.evidence.verdicts == ("objective",) * 6
    assert np.isnan(found.log.came).all() and np.isfinite(found.log.places).all()


@pytest.mark.parametrize(
    ("setting", "message"), [({"repeats": 0}, "repeats=0"), ({"more": 1}, "needs 2 or more")]
)
def test_settings_that_make_no_sense_are_refused(setting, message: str) -> None:
    with pytest.raises(ForethoughtError, match=message):
        AttributionConfig(**setting)


# ------------------------------------------------------------------------------- parts


def pixels(name: str, frame_stack: int, frame_gap: int) -> Model:
    """A model of random weights that sees the rooms."""
    signature = worlds.make(name, 1).signature
    (camera,) = signature.cameras
    config = WorldModelConfig(
        perception=PerceptionConfig(
            encoders={camera: CNNConfig(width=4, patch=8, channels=(8, 8))},
            frame_stack=frame_stack,
            frame_gap=frame_gap,
        ),
        predictor=ResidualMLPConfig(hidden=(8,)),
        action_block=3,
    )
    width = 3 * signature.action.width
    return Model(
        ModelConfig(world_model=config),
        signature,
        {"action": Normaliser([0.0] * width, [1.0] * width)},
    ).eval()


@pytest.mark.parametrize(
    ("name", "frame_stack", "frame_gap"),
    [("two_rooms", 1, 1), ("two_rooms_random", 3, 2), ("two_rooms_compass", 2, 4)],
)
def test_the_simulator_foresees_what_comes(name: str, frame_stack: int, frame_gap: int) -> None:
    """What is imagined of actions is what is perceived when they have been done."""
    model = pixels(name, frame_stack, frame_gap)
    world, copies = worlds.make(name, 2), worlds.make(name, 1)
    agent = Agent(
        model,
        cost=goal(observation={k: v for k, v in world.goal().items()}, distance=LatentDistance()),
        actor=BeamSearch(horizon=2, widths=(2, 4)) if name == "two_rooms_compass" else POOR,
        num_agents=2,
    )
    replaced = ReplacedAgent(agent, world, copies, Replacement(model=True))
    window = ObservationWindow(frame_stack=frame_stack, frame_gap=frame_gap)
    observation, plans = world.observe(), []
    for _ in range(10):
        window = window.see(observation)
        with torch.no_grad():
            seen = model.world_model.encode(window.stacked())
        decision = replaced.act_batch(observation)
        assert isinstance(decision.plan, Plan)
        if decision.plan_step == 0:
            torch.testing.assert_close(decision.plan.imagination.latents[:, 0, 0], seen)
            if plans:
                torch.testing.assert_close(plans[-1].imagination.latents[:, 0, 1], seen)
                assert (decision.surprise < 1e-10).all()
            plans.append(decision.plan)
        observation = world.step(decision.action)
    assert len(plans) == 4


def test_places_are_where_actions_lead(generator) -> None:
    """Without a look at anything; worlds that are over stay where they are."""
    world, copies = worlds.make("two_rooms", 3), worlds.make("two_rooms", 1)
    simulation = Simulation(pixels("two_rooms", 1, 1), world, copies)
    simulation.going = np.array([True, False, True])
    actions = 2 * torch.rand(3, 4, 2, 6, generator=generator) - 1
    places = simulation.places(actions).latents[..., 0, :].numpy()
    here = world.snapshot()
    for candidate in range(4):
        world.restore(here)
        for step in range(6):
            world.step(actions[:, candidate].unflatten(-1, (3, 2)).flatten(1, 2)[:, step].numpy())
        there = np.stack([world.truth()[name] for name in ("position.x", "position.y")], -1)
        np.testing.assert_allclose(places[::2, candidate, 2], there[::2], atol=1e-5)
    np.testing.assert_allclose(places[1, :, 2], np.tile(here["position"][1], (4, 1)), atol=1e-5)


def test_more_search_is_never_worse_and_begins_as_the_search_does() -> None:
    world = Plane(8)
    plain, thorough, tenfold = (
        Agent(
            point_model(),
            cost=goal(observation=world.goal(), distance=LatentDistance()),
            actor=planner,
            num_agents=8,
        )
        for planner in (
            POOR,
            Thorough(planner=POOR, searches=1),
            Thorough(planner=POOR, searches=10),
        )
    )
    one, same, ten = (agent.act_batch(world.observe()).plan for agent in (plain, thorough, tenfold))
    assert torch.equal(one.actions, same.actions)
    assert (ten.energy <= one.energy).all() and (ten.energy < one.energy - 0.1).any()
    assert ten.num_candidates == 10 * one.num_candidates


def test_ten_times_the_budget_of_any_planner() -> None:
    """As many candidates, within other planners too; searches where candidates are not counted."""
    found = with_budget(GOOD, 10)
    assert found == replace(GOOD, num_samples=240, num_elites=40)
    assert with_budget(Halving(planner=GOOD), 10) == Halving(planner=found)
    beam = BeamSearch(horizon=2)
    both = with_budget(Mixed(first=GOOD, second=beam), 10)
    assert both == Mixed(first=found, second=Thorough(planner=beam, searches=10))
    assert with_budget(beam, 1) is beam


def test_witnessing_changes_nothing(tmp_path) -> None:
    """The same actions with and without a witness, and the log is read back as it was written."""
    make, world = maker(), Plane(3)
    agent, witness = (
        make(world.goal(), 3, 5),
        Witness(make(world.goal(), 3, 5), budget=3, ahead=2),
    )
    for _ in range(8):
        observation = world.observe()
        action = agent.act_batch(observation).action
        np.testing.assert_array_equal(action, witness.act_batch(observation).action)
        world.step(action)
    witness.see(world.observe())
    thought = witness.thought()
    assert (thought["more"] <= thought["energy"]).all()
    assert np.nanmax(thought["foreseen"]) < 1e-8
    log = EpisodeLog(
        seeds=np.arange(3),
        truth={"position.x": np.zeros((9, 3))},
        goal_truth={"position.x": np.zeros(3)},
        met=np.zeros((8, 3), bool),
        lengths=np.zeros((9, 3)),
        **thought,
    )
    again = EpisodeLog.load(log.save(tmp_path / "log.npz"))
    np.testing.assert_array_equal(again.foreseen, log.foreseen)
    np.testing.assert_array_equal(again.truth["position.x"], log.truth["position.x"])


def test_estimates_are_what_they_say() -> None:
    """Errors by their rank, pairs by their order, more search by what there was to gain."""
    log = EpisodeLog(
        seeds=np.arange(1),
        truth={},
        goal_truth={},
        actions=np.zeros((4, 1, 2)),
        met=np.zeros((4, 1), bool),
        searched=np.array([0, 2]),
        planned=np.zeros((2, 1, 1, 2)),
        energy=np.array([[6.0], [4.0]]),
        more=np.array([[4.0], [4.0]]),
        idle=np.array([[14.0], [5.0]]),
        places=np.zeros((2, 1, 2, 2)),
        came=np.zeros((2, 1, 2, 2)),
        worth=np.array([[3.0], [2.0], [1.0], [4.0], [0.0]]),
        foreseen=np.full((5, 1, 1), 0.75),
        lengths=np.array([[9.0], [7.0], [5.0], [3.0], [1.0]]),
    )
    found = estimates(log, np.linspace(0, 1, 101)[:, None])
    assert found["model"][0] == pytest.approx(75 / 101, abs=0.01)
    # Of ten pairs, the three of which the fourth moment is the nearer are judged the other way.
    assert found["objective"][0] == pytest.approx(0.3)
    assert found["search"][0] == pytest.approx(1.0 / 10.0)
    assert weigh(log, None, np.linspace(0, 1, 101)[:, None]).verdicts == ("objective",)


def test_guardrails_and_gradients_are_refused() -> None:
    world = Plane(1)
    guarded = Agent(
        point_model(),
        cost=goal(observation=world.goal(), distance=LatentDistance()),
        actor=GOOD,
        guardrails=[guardrail("position.x", below=50.0)],
    )
    with pytest.raises(ForethoughtError, match="guardrails cannot be replaced"):
        ReplacedAgent(guarded, world, Plane(1), Replacement(model=True))
    plain = Agent(
        point_model(),
        cost=goal(observation=world.goal(), distance=LatentDistance()),
        actor=Gradient(horizon=2),
    )
    replaced = ReplacedAgent(plain, world, Plane(1), Replacement(model=True))
    with pytest.raises(ForethoughtError, match="follows gradients"):
        replaced.act_batch(world.observe())
    with pytest.raises(ForethoughtError, match="cannot be put back"):
        ReplacedAgent(plain, Wrapped(world), Wrapped(world), Replacement(model=True))
    with pytest.raises(ForethoughtError, match="does not tell how long"):
        ReplacedAgent(plain, Wrapped(world), Wrapped(world), Replacement(objective=True))
