"""Policies without imagination: goals in hindsight, losses in closed form, toys that are solved."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from forethought.baselines import iql
from forethought.baselines.cloning import CloningConfig
from forethought.baselines.hindsight import HindsightGoalConfig, draw_goals
from forethought.baselines.iql import IQLConfig, IQLLearner, IQLStage, LatentMoveSampler
from forethought.baselines.policies import GoalPolicy, GoalPolicyConfig
from forethought.baselines.policy_training import PolicyLearner, PolicyTraining, train_policy
from forethought.config import from_json, to_json
from forethought.data.dataset import Dataset, EpisodeArrays
from forethought.evaluation.planning import PlanningProtocol, evaluate
from forethought.learning import OptimiserConfig
from forethought.learning.checkpoint import Progress
from forethought.learning.metrics import JSONLines
from forethought.learning.trainer import Loop, LoopConfig
from forethought.perception import CNNConfig, PerceptionConfig
from forethought.perception.encoders import MLPEncoderConfig
from forethought.perception.normalise import Normaliser
from forethought.types import ACTION, STATE, ActionSpec, ArraySpec, ForethoughtError, Signature
from forethought.worlds.picture import CAMERA
from forethought.worlds.two_rooms import TwoRooms

LENGTHS = torch.tensor([30, 3, 50])


# ------------------------------------------------------------------------------------ goals


def drawn(config: HindsightGoalConfig, count: int = 20_000) -> tuple[Tensor, Tensor, Tensor]:
    """Rows of the third episode, and the goals drawn for them."""
    generator = torch.Generator().manual_seed(0)
    row = torch.randint(48, (count,), generator=generator)
    episode = torch.full((count,), 2)
    goals = draw_goals(config, LENGTHS, episode, row, action_block=2, generator=generator)
    return row, goals.episode, goals.row


@pytest.mark.parametrize("mean_steps", [None, 1.0, 4.0])
def test_later_goals_lie_in_the_same_episode_and_in_the_future(mean_steps: float | None) -> None:
    """Whole model steps ahead, and never beyond the end."""
    row, episode, goal = drawn(HindsightGoalConfig(mean_steps=mean_steps))
    assert (episode == 2).all() and (goal > row).all() and (goal < 50).all()
    assert ((goal - row) % 2 == 0).all()


def test_uniform_and_geometric_goals_have_their_distributions() -> None:
    """From the first row: 24 steps are left, each alike or each ``1 - 1/mean`` of the former."""
    generator = torch.Generator().manual_seed(0)
    row, episode = torch.zeros(100_000, dtype=torch.long), torch.full((100_000,), 2)
    for config, share in [
        (HindsightGoalConfig(), torch.ones(24)),
        (HindsightGoalConfig(mean_steps=4.0), 0.75 ** torch.arange(24)),
    ]:
        goals = draw_goals(config, LENGTHS, episode, row, action_block=2, generator=generator)
        found = torch.bincount(goals.row // 2, minlength=25)[1:25] / len(row)
        torch.testing.assert_close(found, share / share.sum(), atol=0.005, rtol=0)


def test_current_and_random_goals_have_their_shares() -> None:
    """Random ones are any row alike, whatever its episode."""
    row, episode, goal = drawn(HindsightGoalConfig(current=0.2, random=0.3))
    now = (episode == 2) & (goal == row)
    assert abs(float(now.float().mean()) - 0.2) < 0.015
    elsewhere = episode != 2
    assert abs(float(elsewhere.float().mean()) - 0.3 * 33 / 83) < 0.015
    counts = torch.bincount(goal[episode == 0], minlength=30).float()
    assert len(counts) == 30 and counts.max() < 2 * counts.mean()
    assert set(goal[episode == 1].tolist()) == {0, 1, 2}


@pytest.mark.parametrize("wrong", [{"current": 0.7, "random": 0.4}, {"mean_steps": 0.5}])
def test_goals_that_cannot_be_drawn_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ForethoughtError, match="hindsight goals"):
        HindsightGoalConfig(**wrong)


# ------------------------------------------------------------------------------------ losses


def test_the_expectile_loss_has_its_closed_form() -> None:
    """And is least at the expectile: for a coin of 0 and 1 the expectile is its own weight."""
    loss = iql.expectile_loss(torch.tensor([2.0, -1.0]), 0.9)
    torch.testing.assert_close(loss, torch.tensor((0.9 * 4 + 0.1 * 1) / 2))
    coin = torch.tensor([0.0, 1.0])
    grid = torch.linspace(0, 1, 101)
    losses = torch.stack([iql.expectile_loss(coin - one, 0.8) for one in grid])
    assert float(grid[losses.argmin()]) == pytest.approx(0.8, abs=0.01)


def test_advantage_weights_grow_and_are_clipped() -> None:
    config = IQLConfig(policy=LINE, eagerness=2.0, largest_weight=50.0)
    weight = iql.advantage_weight(torch.tensor([-1.0, 0.0, 1.0, 100.0]), config)
    torch.testing.assert_close(weight, torch.tensor([-2.0, 0.0, 2.0, 9e9]).exp().clamp(max=50))


# -------------------------------------------------------------------------------- toy recordings

LINE = GoalPolicyConfig(
    perception=PerceptionConfig(encoders={STATE: MLPEncoderConfig(width=16, hidden=(32,))}),
    hidden=(64,),
    action_block=1,
)


def signature(dim: int, bound: float = 1.0) -> Signature:
    return Signature(
        observation={STATE: ArraySpec(shape=(dim,), dtype="float32")},
        action=ActionSpec(dim=dim, low=(-bound,) * dim, high=(bound,) * dim),
        rate_hz=10.0,
    )


def recording(ways: list[Tensor], bound: float = 1.0) -> EpisodeArrays:
    """Episodes whose actions are the differences of their positions ``(rows, dim)``."""
    moves = [torch.cat([way.diff(dim=0), torch.zeros_like(way[:1])]) for way in ways]
    return EpisodeArrays(
        signature=signature(ways[0].shape[1], bound),
        observation={STATE: torch.cat(ways)},
        action=torch.cat(moves),
        offsets=torch.tensor([0, *[len(way) for way in ways]]).cumsum(0),
        episodes=tuple(range(len(ways))),
    )


def trained(config: PolicyTraining, arrays: EpisodeArrays, folder: Path) -> PolicyLearner:
    """What a run trains, without the files around it."""
    positions, width = arrays.observation[STATE], arrays.action.shape[1]
    block = config.policy.action_block
    normalisers = {
        STATE: Normaliser(positions.mean(0).tolist(), positions.std(0).tolist()),
        ACTION: Normaliser([0.0] * width * block, arrays.action.std(0).tolist() * block),
    }
    torch.manual_seed(0)
    learner = config.build(arrays.signature, normalisers)
    learner.policy.begin({STATE: positions[:, None]})
    loop = Loop(
        config=LoopConfig(seed=0, visible=False),
        learner=learner,
        folder=folder / "checkpoints",
        metrics=JSONLines(folder / "metrics.jsonl"),
    )
    progress = Progress(stage="", step=0, done=(), seconds={})
    for stage in config.stages(learner, arrays, arrays):
        progress = loop.run(stage, progress)
    learner.eval()
    return learner


def steps(number: int, **other: float) -> OptimiserConfig:
    return OptimiserConfig(num_steps=number, batch_size=64, warmup_steps=20, **other)


def test_a_cloned_policy_does_what_was_done(tmp_path) -> None:
    """Where all walk straight to where they end, at one speed, the goal tells the action."""
    generator = torch.Generator().manual_seed(0)
    starts, speed = torch.rand(40, 2, generator=generator), 0.1
    angles = 2 * torch.pi * torch.rand(40, 1, generator=generator)
    headings = speed * torch.cat([angles.cos(), angles.sin()], dim=1)
    ways = [
        start + torch.arange(8)[:, None] * way for start, way in zip(starts, headings, strict=True)
    ]
    config = CloningConfig(
        policy=replace(LINE, action_block=2),
        optimiser=steps(400, learning_rate=5e-3),
        goals=HindsightGoalConfig(mean_steps=4.0),
    )
    learner = trained(config, recording(ways, bound=0.2), tmp_path)
    here = torch.tensor([[0.5, 0.5]]).repeat(8, 1)
    turn = torch.arange(8) * torch.pi / 4
    course = torch.stack([turn.cos(), turn.sin()], dim=1)
    acting = learner.policy.seeking({STATE: (here + 0.4 * course).numpy()})
    first, second = (acting.act_batch({STATE: here.numpy()}) for _ in range(2))
    for decision in (first, second):
        np.testing.assert_allclose(decision.action, speed * course, atol=0.02)
    assert (first.mode, first.plan, first.plan_step, second.plan_step) == (1, None, 0, 1)


def test_training_begins_with_latents_of_unit_spread() -> None:
    """However little an untrained encoder tells of what moves; a resumed run keeps its units."""
    config = CloningConfig(policy=SEEN, optimiser=FEW)
    torch.manual_seed(0)
    learner = config.build(TwoRooms(1).signature, {ACTION: Normaliser([0.0] * 4, [1.0] * 4)})
    pictures = TwoRooms(64).observe()[CAMERA]
    seen = {CAMERA: torch.from_numpy(pictures)[:, None]}
    with torch.no_grad():
        before = learner.policy.encode(seen).std(0, correction=0)
        learner.policy.begin(seen)
        latents = learner.policy.encode(seen)
    assert float(before.max()) < 0.2
    torch.testing.assert_close(latents.mean(0), torch.zeros(8), atol=1e-3, rtol=0)
    torch.testing.assert_close(latents.std(0, correction=0), torch.ones(8), atol=1e-3, rtol=0)
    assert "policy.latent_normaliser.scale" in learner.state_dict()


def chain() -> EpisodeArrays:
    """Walks along six cells of a line, by steps to the left or right that dawdle or turn back."""
    generator = torch.Generator().manual_seed(0)
    ways = []
    for _ in range(150):
        place, way = int(torch.randint(6, (), generator=generator)), []
        for push in torch.randint(-1, 2, (8,), generator=generator).tolist():
            way.append(place)
            place = min(5, max(0, place + push))
        ways.append(torch.tensor(way, dtype=torch.float32)[:, None])
    return recording(ways)


def test_values_are_discounted_steps_stitched_from_wandering(tmp_path) -> None:
    """No walk goes straight from end to end; the values, and the policy, do."""
    config = IQLConfig(
        policy=LINE,
        optimiser=steps(700, learning_rate=5e-3, clip=10.0),
        cloning=steps(20),
        # So few cells are met again and again, by chance: they are goals most often on purpose.
        goals=HindsightGoalConfig(current=0.6, random=0.2),
        hidden=(64,),
        discount=0.8,
        expectile=0.97,
        target_rate=0.05,
    )
    learner = trained(config, chain(), tmp_path)
    assert isinstance(learner, IQLLearner)
    cells = torch.arange(6.0)
    start, goal = (one.flatten()[:, None] for one in torch.meshgrid(cells, cells, indexing="ij"))
    with torch.no_grad():
        state, aim = (learner.policy.encode({STATE: one[:, None]}) for one in (start, goal))
        value, way = learner.value(state, aim), learner.policy.mean(state, aim)
    true = -(1 - 0.8 ** (goal - start).abs().squeeze(1)) / (1 - 0.8)
    assert float((value - true).abs().max()) < 0.4
    apart = (goal != start).squeeze(1)
    assert torch.equal(way[apart].sign(), (goal - start)[apart].sign())


def encoded(config: IQLConfig) -> tuple[IQLLearner, LatentMoveSampler]:
    """The chain, seen by an untrained encoder."""
    learner = config.build(
        signature(1), {STATE: Normaliser([2.5], [1.7]), ACTION: Normaliser([0.0], [0.8])}
    )
    return learner, LatentMoveSampler(chain(), config, learner.policy)


def test_latents_are_drawn_for_what_they_tell() -> None:
    """State, goal and what follows of each model step, whatever the frames stacked."""
    stacked = replace(LINE, perception=replace(LINE.perception, frame_stack=2), action_block=2)
    config = IQLConfig(policy=stacked, hidden=(8,))
    learner = config.build(
        signature(1), {STATE: Normaliser([2.5], [1.7]), ACTION: Normaliser([0.0] * 2, [0.8] * 2)}
    )
    sampler = LatentMoveSampler(chain(), config, learner.policy)
    plain = stacked.moves(chain(), config.goals)
    found, seen = (one.sample(50, torch.Generator().manual_seed(0)) for one in (sampler, plain))
    with torch.no_grad():
        torch.testing.assert_close(found.state, learner.policy.encode(seen.state))
        torch.testing.assert_close(found.goal, learner.policy.encode(seen.goal))
    assert torch.equal(found.actions, seen.actions)


def test_a_step_is_worth_what_follows_until_the_goal() -> None:
    """Nothing at the goal, -1 upon reaching it, else -1 and the discounted rest."""
    config = IQLConfig(policy=LINE, goals=HindsightGoalConfig(current=0.3, mean_steps=2.0))
    _, sampler = encoded(config)
    moves = sampler.sample(500, torch.Generator().manual_seed(0))
    worth = iql.returns(moves, torch.full((500,), -3.0), 0.5)
    assert moves.there.any() and moves.arriving.any() and not (moves.there & moves.arriving).any()
    assert (worth[moves.there] == 0).all() and (worth[moves.arriving] == -1).all()
    assert (worth[~moves.there & ~moves.arriving] == -2.5).all()
    assert torch.equal(moves.goal[moves.there], moves.state[moves.there])
    assert torch.equal(moves.goal[moves.arriving], moves.following[moves.arriving])


def test_targets_follow_and_the_encoder_stays() -> None:
    """No gradient reaches the target critics or the encoder; both are left to their own ways."""
    config = IQLConfig(policy=LINE, hidden=(8,), target_rate=0.25)
    learner, sampler = encoded(config)
    stage = IQLStage(config, learner, sampler, sampler)
    trained = {id(parameter) for parameter in stage.parameters()}
    before = [p.clone() for p in learner.target_critics.parameters()]
    loss, _ = stage.loss(torch.Generator().manual_seed(0))
    loss.backward()
    for name, parameter in learner.named_parameters():
        still = name.startswith(("target_critics", "policy.perception"))
        assert (id(parameter) in trained) != still and (parameter.grad is None) == still
    with torch.no_grad():
        for parameter in learner.critics.parameters():
            parameter += 1
    stage.after_step()
    for old, new in zip(before, learner.target_critics.parameters(), strict=True):
        torch.testing.assert_close(new, old + 0.25)


# ---------------------------------------------------------------------------------- whole runs

SEEN = GoalPolicyConfig(
    perception=PerceptionConfig(encoders={CAMERA: CNNConfig(width=8, patch=8, channels=(8, 8))}),
    hidden=(16,),
    action_block=2,
)
FEW = OptimiserConfig(num_steps=30, batch_size=16)


@pytest.mark.parametrize(
    ("stage", "config"),
    [
        ("cloning", CloningConfig(policy=SEEN, optimiser=FEW)),
        ("iql", IQLConfig(policy=SEEN, optimiser=FEW, cloning=FEW, hidden=(16,))),
    ],
    ids=["cloning", "iql"],
)
def test_a_resumed_run_equals_an_unbroken_one(
    stage, config, recorded: Dataset, tmp_path, broken_off, same_weights
) -> None:
    """Stopped in the middle, to the bit; and what is left on disk acts the same."""
    assert from_json(to_json(config)) == config
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    policy = train_policy(recorded, config, whole, visible=False)
    with broken_off(stage, 13):
        train_policy(recorded, config, broken, visible=False, checkpoint_s=0.0)
    assert not (broken / "config.json").exists()
    with pytest.raises(ForethoughtError, match="--resume"):
        train_policy(recorded, config, broken, visible=False)
    with pytest.raises(ForethoughtError, match="another config"):
        train_policy(recorded, replace(config, seed=1), broken, resume=True, visible=False)
    train_policy(recorded, config, broken, resume=True, visible=False)
    same_weights(whole, broken)
    again = GoalPolicy.load(broken)
    world = TwoRooms(3)
    kept = {"train_seconds"}
    assert {k: v for k, v in again.notes.items() if k not in kept} == {
        k: v for k, v in policy.notes.items() if k not in kept
    }
    for way in ({}, {"temperature": 1.0, "seed": 3, "replan_every": 1}):
        one, two = (p.seeking(world.goal(), **way) for p in (policy, again))
        action = one.act_batch(world.observe()).action
        assert action.shape == (3, 2) and (np.abs(action) <= np.float32(1.2)).all()
        np.testing.assert_array_equal(action, two.act_batch(world.observe()).action)


def test_policies_are_evaluated_like_agents() -> None:
    """By the same protocol, tasks, floor and ceiling; no plan, so nothing imagined."""
    torch.manual_seed(0)
    spec = TwoRooms(1).signature
    policy = SEEN.build(spec, {ACTION: Normaliser([0.0] * 4, [1.0] * 4)})
    results = evaluate(
        lambda goals, count: policy.seeking(goals),
        TwoRooms,
        PlanningProtocol(episodes=6, budget=20, traces=2, latency_decisions=3),
        visible=False,
    )
    assert json.dumps(results.to_json())
    assert len(results.traces) == 2 and results.traces[0].imagined == {}
    assert np.isnan(results.traces[0].surprise).all()


def test_what_does_not_fit_is_refused(recorded: Dataset, tmp_path) -> None:
    """Before any work, with what was found."""
    policy = LINE.build(
        signature(1), {STATE: Normaliser([0.0], [1.0]), ACTION: Normaliser([0.0], [1.0])}
    )
    goals = {STATE: np.zeros((2, 1), np.float32)}
    with pytest.raises(ForethoughtError, match="replan_every=2"):
        policy.seeking(goals, replan_every=2)
    with pytest.raises(ForethoughtError, match=r"the observation.*float64"):
        policy.seeking(goals).act_batch({STATE: np.zeros((2, 1))})
    with pytest.raises(ForethoughtError, match="no whole goal policy"):
        GoalPolicy.load(tmp_path)
    with pytest.raises(ForethoughtError, match=r"observation\.state"):
        train_policy(recorded, CloningConfig(policy=LINE, optimiser=FEW), tmp_path / "new")
    assert not (tmp_path / "new").exists()
    choices = replace(signature(1), action=ActionSpec(dim=1, num_choices=3))
    with pytest.raises(ForethoughtError, match="3 discrete"):
        LINE.build(choices, {ACTION: Normaliser([0.0] * 3, [1.0] * 3)})
