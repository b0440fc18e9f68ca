"""A policy distilled from plans: it does what they did, the same again, and after a kill."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest
import torch

from forethought import recipes, worlds
from forethought.actor import GateConfig
from forethought.agent import Agent
from forethought.cli import main
from forethought.cost import LatentDistance, goal
from forethought.data import Dataset
from forethought.data.store import create
from forethought.data.store import open as open_data
from forethought.learning import distilling
from forethought.learning.distilling import DistillingConfig, Mirror, distill
from forethought.learning.trainer import OptimiserConfig
from forethought.model import Model, ModelConfig, load_model
from forethought.perception import MLPEncoderConfig, PerceptionConfig
from forethought.perception.normalise import Normaliser
from forethought.policy import PolicyConfig
from forethought.recipes.two_rooms import ONE_ROUND
from forethought.types import STATE, Episode, ForethoughtError, Plan, PlanStatus
from forethought.world_model import ResidualMLPConfig, WorldModelConfig
from forethought.worlds.picture import CAMERA
from point import SIGNATURE

REACH = 6.0


class Points:
    """Points that go where they are pushed, each with a goal; implements ``Setting``."""

    def __init__(self, count: int) -> None:
        self.reset(range(count))

    def reset(self, seeds) -> dict[str, np.ndarray]:
        drawn = [np.random.default_rng(s).uniform(-REACH, REACH, (2, 2)) for s in seeds]
        self.place, self.target = np.array(drawn, np.float32).transpose(1, 0, 2)
        return {STATE: self.place}

    def goal(self) -> dict[str, np.ndarray]:
        return {STATE: self.target}

    def step(self, actions: np.ndarray) -> dict[str, np.ndarray]:
        self.place = self.place + actions
        return {STATE: self.place}

    def best(self, horizon: int) -> torch.Tensor:
        """What takes each point to its goal soonest: full pushes, and the rest of the way last."""
        gap, pushes = self.target - self.place, []
        for _ in range(2 * horizon):
            pushes.append(np.clip(gap, -1, 1))
            gap = gap - pushes[-1]
        return torch.as_tensor(np.stack(pushes, 1)).unflatten(1, (horizon, 2)).flatten(2)


@dataclass
class Best:
    """A planner that knows the best plan. Implements ``Planner``."""

    points: Points
    horizon: int = 3

    @torch.no_grad()
    def plan(self, problem, *, generator, warm_start=None, deadline_s=None) -> Plan:
        actions = self.points.best(self.horizon)
        b = len(actions)
        return Plan(
            actions=actions,
            energy=torch.zeros(b),
            terms={},
            margins={},
            feasible=torch.ones(b, dtype=torch.bool),
            status=PlanStatus.FOUND,
            imagination=problem.imagine(actions[:, None]),
            num_iterations=1,
            num_candidates=1,
            seconds=0.0,
        )


def blind_model() -> Model:
    """Sees places through random weights, and has learned nothing."""
    world_model = WorldModelConfig(
        perception=PerceptionConfig(encoders={STATE: MLPEncoderConfig(width=8, hidden=(32,))}),
        predictor=ResidualMLPConfig(hidden=(4,)),
        action_block=2,
    )
    normalisers = {
        STATE: Normaliser([0.0] * 2, [REACH] * 2),
        "action": Normaliser([0.0] * 4, [1.0] * 4),
    }
    torch.manual_seed(0)
    notes = {"recipe": "two_rooms"}
    return Model(ModelConfig(world_model=world_model), SIGNATURE, normalisers, notes).eval()


CONFIG = DistillingConfig(
    policy=PolicyConfig(hidden=(64, 64), chunk=2, num_members=2),
    optimiser=OptimiserConfig(num_steps=400, batch_size=256, learning_rate=3e-3),
    rounds=2,
    num_agents=300,
    budget=14,
)
SHORT = replace(CONFIG, optimiser=replace(CONFIG.optimiser, num_steps=20), num_agents=10, budget=6)


class Scene:
    """The points that agents and their planner have in common."""

    def world(self, count: int) -> Points:
        self.points = Points(count)
        return self.points

    def agent(self, model, goals, num_agents, *, seed=0, gate=None) -> Agent:
        cost = goal(observation=dict(goals), distance=LatentDistance())
        planner = Best(self.points)
        return Agent(model, cost=cost, actor=planner, num_agents=num_agents, seed=seed, gate=gate)


def distilled(out, config=SHORT, **settings) -> Model:
    scene = Scene()
    settings = {"visible": False, "config": config, "name": "points", **settings}
    return distill(blind_model(), scene.agent, scene.world, out, **settings)


def test_a_policy_comes_to_what_is_known_to_be_best(tmp_path) -> None:
    """On tasks that it was never taught, and as fast as by searching; the gate lets it act."""
    model = distilled(tmp_path / "run", CONFIG)
    assert model.policy is not None
    scene = Scene()
    points = scene.world(200)
    seen = points.reset(range(200))
    agent = scene.agent(model, points.goal(), 200, gate=GateConfig.reflexes_only())
    far = np.abs(points.target - points.place).max(1)
    soonest = np.ceil(far)
    took = np.full(200, np.nan)
    for step in range(1, 20):
        wanted = points.best(1)[:, 0, :2].numpy()
        decision = agent.act_batch(seen)
        if step == 1:
            assert np.abs(decision.action - wanted).mean() < 0.15
        seen = points.step(decision.action)
        there = np.abs(points.target - points.place).max(1) < 0.7
        took = np.where(np.isnan(took) & there, step, took)
    assert np.isfinite(took).mean() > 0.98
    assert np.nanmean(took - soonest) < 1.0
    rounds = json.loads((tmp_path / "run" / "train.json").read_text())["distilled"]["rounds"]
    assert rounds[-1]["error"] < 0.25 * rounds[-1]["of_the_mean"]
    assert rounds[0]["error_before"] is None and rounds[1]["error_before"] > 0
    gate = model.policy.gate(1.0)
    assert 0 < gate.spread < 1 and 0 < gate.surprise < float("inf")


def weights(model: Model) -> dict[str, torch.Tensor]:
    assert model.policy is not None
    return model.policy.state_dict()


def same(one: Model, other: Model) -> bool:
    ours, theirs = weights(one), weights(other)
    return all(torch.equal(ours[k].nan_to_num(-1), theirs[k].nan_to_num(-1)) for k in ours)


def test_the_same_seed_gives_the_same_policy(tmp_path) -> None:
    first, second = distilled(tmp_path / "a"), distilled(tmp_path / "b")
    assert same(first, second)
    assert not same(first, distilled(tmp_path / "c", replace(SHORT, seed=1)))


class Stop(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize("where", ["while learning", "while acting"])
def test_a_distillation_that_is_cut_short_ends_as_if_it_never_were(
    where, tmp_path, monkeypatch
) -> None:
    whole = distilled(tmp_path / "whole")
    calls = {"count": 0}
    kind, name, last = (
        (distilling.DistillingStage, "loss", 27)
        if where == "while learning"
        else (Points, "step", 9)
    )
    original = getattr(kind, name)

    def counted(self, *words):
        calls["count"] += 1
        if calls["count"] == last:
            raise Stop
        return original(self, *words)

    with monkeypatch.context() as patch:
        patch.setattr(kind, name, counted)
        with pytest.raises(Stop):
            distilled(tmp_path / "cut", checkpoint_s=0.0)
    with pytest.raises(ForethoughtError, match="--resume"):
        distilled(tmp_path / "cut")
    with pytest.raises(ForethoughtError, match="another config"):
        distilled(tmp_path / "cut", replace(SHORT, rounds=3), resume=True)
    resumed = distilled(tmp_path / "cut", resume=True)
    assert same(whole, resumed)
    rounds = [(tmp_path / run / "rounds.json").read_text() for run in ("whole", "cut")]
    assert json.loads(rounds[0]) == json.loads(rounds[1])


def test_nothing_is_learned_from_held_out_agents(tmp_path) -> None:
    distilled(tmp_path / "run")
    labelled = distilling.Labelled.load(tmp_path / "run" / "round1.safetensors")
    by_agent = labelled.held_out.view(-1, 10)
    assert torch.equal(by_agent.any(0), by_agent.all(0)) and int(by_agent[0].sum()) == 1
    stage = distilling.DistillingStage(
        SHORT, 0, PolicyConfig().build(1, 8, blind_model().world_model.action_space), labelled
    )
    assert not set(stage._rows.tolist()) & set(stage.held_out.tolist())


def pushed(path, rows: int = 30) -> Dataset:
    """Recorded walks of points that are pushed at random."""
    drawn = np.random.default_rng(0)
    with create(path, SIGNATURE) as writer:
        for _ in range(12):
            pushes = drawn.uniform(-1, 1, (rows, 2)).astype(np.float32)
            places = drawn.uniform(-REACH, REACH, 2) + np.cumsum(pushes, 0) - pushes
            walk = Episode(observation={STATE: places.astype(np.float32)}, action=pushes)
            writer.append([walk])
    return open_data(path)


def test_what_was_done_is_the_way_to_where_it_led(tmp_path) -> None:
    """Goals of cloned decisions are where the recorded actions take the point."""
    model, data = blind_model(), pushed(tmp_path / "walks")
    config = replace(SHORT, cloned=50)
    found = distilling.recorded_decisions(model, data, config)
    assert len(found.latents) == 50 and not found.held_out.any()
    encode = model.world_model.encode
    arrays = data.load(range(data.num_episodes), keys=[STATE])
    places = arrays.observation[STATE]
    with torch.no_grad():
        known = encode({STATE: places[:, None]})
        for latents, goals, actions in zip(*found.at(torch.arange(50)), strict=True):
            row = int((known - latents).square().sum((1, 2)).argmin())
            came = places[row] + actions.view(-1, 2).sum(0)
            torch.testing.assert_close(encode({STATE: came[None, None]})[0], goals)


def test_cloning_is_part_of_what_is_learned(tmp_path) -> None:
    """The same again, cut short or not; without it another policy."""
    data = pushed(tmp_path / "walks")
    first = distilled(tmp_path / "a", clone=data)
    assert same(first, distilled(tmp_path / "b", clone=data))
    assert not same(first, distilled(tmp_path / "c"))
    with pytest.raises(ForethoughtError, match="another clips"):
        distilled(tmp_path / "a", resume=True)


BOTH = Mirror(axes=(0, 1), actions=(0, 1))


def test_a_mirror_shows_a_world_that_could_be() -> None:
    """What a mirrored push does to a mirrored picture of the field is what the push does, seen in
    the mirror; twice mirrored, all is as it was."""
    world = worlds.make("two_rooms", 4)
    for mirror in (Mirror(axes=(0,), actions=(1,)), BOTH):
        picture = world.reset(range(4))
        push = torch.as_tensor(world.oracle())[:, None]
        seen, done = mirror.seen(picture), mirror.done(push, 2)
        assert not np.array_equal(seen[CAMERA], picture[CAMERA])
        np.testing.assert_array_equal(mirror.seen(seen)[CAMERA], picture[CAMERA])
        assert torch.equal(mirror.done(done, 2), push)
        moved = world.step(push[:, 0].numpy())
        before, after = (_dot(one[CAMERA]) for one in (seen, mirror.seen(moved)))
        expected = _dot(moved[CAMERA]) - _dot(picture[CAMERA])
        sign = np.where([axis in mirror.axes for axis in (1, 0)], -1, 1)
        np.testing.assert_allclose(after - before, sign * expected, atol=1e-4)


def _dot(pictures: np.ndarray) -> np.ndarray:
    """x and y of what is unlike a world without a dot there: the reddest pixels' mean."""
    pixels = pictures.astype(float)
    red = np.clip(pixels[..., 0] - pixels[..., 1], 0, None)
    y, x = np.mgrid[: red.shape[1], : red.shape[2]]
    whole = red.sum((1, 2))
    return np.stack([(red * x).sum((1, 2)) / whole, (red * y).sum((1, 2)) / whole], 1)


def test_decisions_are_learned_from_in_the_mirror_too(run, tmp_path) -> None:
    """As many again for each mirror, and nothing of a held-out task in any of them."""
    model, acting = load_model(run), recipes.acting(recipes.get("two_rooms"))
    config = replace(SHORT, num_agents=6, rounds=1, mirrors=(BOTH,))
    distill(
        model,
        acting.agent,
        partial(worlds.make, "two_rooms"),
        tmp_path / "run",
        config=config,
        visible=False,
    )
    labelled = distilling.Labelled.load(tmp_path / "run" / "round0.safetensors")
    first, second = labelled.actions.view(-1, 2, 6, *labelled.actions.shape[1:]).unbind(1)
    assert torch.equal(first, -second) and len(labelled.goals) == 12
    held_out = labelled.held_out.view(-1, 2, 6)
    assert torch.equal(held_out[:, 0], held_out[:, 1]) and held_out.any() and not held_out.all()
    shown, mirrored = labelled.latents.view(-1, 2, 6, *labelled.latents.shape[1:]).unbind(1)
    assert not torch.allclose(shown, mirrored)


def test_what_no_mirror_can_show_is_refused(tmp_path) -> None:
    with pytest.raises(ForethoughtError, match="mirrors are for single pictures"):
        distilled(tmp_path / "a", replace(SHORT, mirrors=(BOTH,)))
    with pytest.raises(ForethoughtError, match=r"axes=\(2,\)"):
        Mirror(axes=(2,), actions=())


def test_what_cannot_be_distilled_is_refused(tmp_path) -> None:
    with pytest.raises(ForethoughtError, match=r"lower PolicyConfig\.chunk"):
        distilled(tmp_path / "a", replace(SHORT, policy=PolicyConfig(chunk=4)))
    with pytest.raises(ForethoughtError, match=r"held_out=1\.5"):
        DistillingConfig(held_out=1.5)
    with pytest.raises(ForethoughtError, match="two agents"):
        DistillingConfig(num_agents=1)


# ------------------------------------------------------------------------------- by command


def ask(capsys, *words: object) -> tuple[int, dict]:
    code = main([*map(str, words), "--json"])
    return code, json.loads(capsys.readouterr().out)


FEW = ("--rounds", 2, "--agents", 4, "--budget", 10, "--steps", 5)


@pytest.mark.parametrize("where", ["world", "data"])
def test_the_command(where, run, recorded, tmp_path, capsys) -> None:
    """Distils in a world or on recordings; the run that comes of it is evaluated by both modes."""
    place = ("--world", "two_rooms") if where == "world" else ("--data", recorded.path)
    more = ("--clone", recorded.path) if where == "world" else ()
    code, answer = ask(capsys, "distill", run, *place, *more, "--out", tmp_path / "new", *FEW)
    assert code == 0 and len(answer["rounds"]) == 2
    assert answer["rounds"][1]["decisions"] == 8
    words = ("evaluate", tmp_path / "new", "--world", "two_rooms", "--episodes", 2, "--budget", 6)
    for flags in ((), ("--gated",), ("--reflexes", "--chunk", 2)):
        code, answer = ask(capsys, *words, *flags)
        assert code == 0 and answer["agent"]["ever"]["episodes"] == 2


def test_the_command_distils_another_search(run, tmp_path, capsys) -> None:
    """As thorough as is said; what was begun by one search is not gone on with by another."""
    words = ("distill", run, "--world", "two_rooms", "--out", tmp_path / "new", *FEW)
    code, _ = ask(capsys, *words, "--samples", 48, "--iterations", 2)
    assert code == 0
    planner = str(replace(ONE_ROUND, num_samples=48, num_iterations=2))
    begun = json.loads((tmp_path / "new" / "run.json").read_text())
    assert begun["config"]["world"] == f"two_rooms by {planner}"
    code, answer = ask(capsys, *words, "--resume")
    assert code == 2 and "another config" in answer["error"]


def test_the_command_refuses(run, tmp_path, capsys) -> None:
    code, answer = ask(capsys, "distill", run, "--out", tmp_path / "new")
    assert code == 2 and "--world" in answer["error"]
    code, answer = ask(capsys, "distill", run, "--world", "two_room", "--out", tmp_path / "new")
    assert code == 2 and "two_rooms" in answer["error"]
    code, answer = ask(capsys, "evaluate", run, "--world", "two_rooms", "--gated")
    assert code == 2 and "forethought distill" in answer["error"]
    assert not (tmp_path / "new").exists()
