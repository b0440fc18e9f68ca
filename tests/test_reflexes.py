"""Mode 1 beside Mode 2: when a reflex acts, when an agent deliberates, and what both leave."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from forethought.actor import GateConfig
from forethought.cost import goal, guardrail
from forethought.evaluation.planning import PlanningProtocol, evaluate
from forethought.learning.parts import with_part
from forethought.model import CONFIG, Model, load_model
from forethought.policy import Policy, PolicyConfig, Reflex
from forethought.recipes.two_rooms import ONE_ROUND
from forethought.safety import SafetyConfig
from forethought.types import STATE, ActionSpace, ForethoughtError
from point import Point, point_agent, point_model

EDGE = guardrail("position.x", below=3.0, risk=0.01, name="edge")
CALM = GateConfig(spread=0.5, surprise=0.5)


def reflexive(*, spread: float = 0.0, chunk: int = 2, push: float = 1.0) -> Model:
    """A point's model, and a policy that goes straight there; its members differ by so much."""
    model = point_model()
    model.policy = PolicyConfig(hidden=(4,), chunk=chunk).build(
        1, 2, model.world_model.action_space
    )

    def answer(latents: torch.Tensor, goals: torch.Tensor) -> Reflex:
        gap, pushes = (goals - latents)[:, 0], []
        for _ in range(2 * chunk):
            pushes.append(gap.clamp(-push, push))
            gap = gap - pushes[-1]
        actions = torch.stack(pushes, 1).unflatten(1, (chunk, 2)).flatten(2)
        return Reflex(actions=actions, spread=torch.full((len(latents),), spread))

    model.policy.answer = answer
    return model


def act(agent, point: Point, steps: int) -> list:
    decisions, seen = [], point.observe()
    for _ in range(steps):
        decisions.append(agent.act(seen))
        seen = point.push(decisions[-1].action)
    return decisions


def modes(decisions: list) -> list[int]:
    return [decision.mode for decision in decisions]


# ------------------------------------------------------------------------------- the gate


def test_an_open_gate_answers_by_reflex() -> None:
    """No plan; steps count from where the reflex chose, and what came is held against foresight."""
    agent = point_agent(reflexive(), (4.0, -3.0), gate=replace(CALM, chunk=2))
    point = Point()
    decisions = act(agent, point, 8)
    assert modes(decisions) == [1] * 8
    assert [d.plan for d in decisions] == [None] * 8
    assert [d.plan_step for d in decisions] == [0, 1, 2, 3, 0, 1, 2, 3]
    assert decisions[0].modes.tolist() == [1]
    np.testing.assert_allclose(point.place, (4.0, -3.0), atol=1e-6)
    assert np.isnan(decisions[0].surprise[0])
    assert decisions[4].surprise[0] == pytest.approx(0.0, abs=1e-6)


def test_reflexes_turn_to_another_wish() -> None:
    """At once, from wherever they are; what was under way towards the first goal is dropped."""
    agent, point = point_agent(reflexive(), (4.0, 0.0), gate=replace(CALM, chunk=2)), Point()
    act(agent, point, 3)
    agent.seek(goal(observation={STATE: np.array([0.0, 5.0], np.float32)}))
    decisions = act(agent, point, 10)
    assert modes(decisions) == [1] * 10 and decisions[0].plan_step == 0
    np.testing.assert_allclose(point.place, (0.0, 5.0), atol=1e-6)


def test_members_that_disagree_shut_it() -> None:
    agent = point_agent(reflexive(spread=0.6), (4.0, -3.0), gate=CALM)
    decisions = act(agent, Point(), 6)
    assert modes(decisions) == [2] * 6
    assert all(d.plan is not None for d in decisions)


def test_surprise_shuts_it_and_calm_opens_it_again() -> None:
    """Pushes carry half as far again: the next decision is a search. Once they do not, a reflex."""
    agent = point_agent(reflexive(), (20.0, 0.0), gate=GateConfig(spread=0.5, surprise=0.1))
    point = Point()
    assert modes(act(agent, point, 2)) == [1, 1]
    point.scale = 1.5
    assert modes(act(agent, point, 2)) == [1, 1]
    point.scale = 1.0
    deliberate = act(agent, point, 2)
    assert modes(deliberate) == [2, 2]
    assert deliberate[0].surprise[0] == pytest.approx(0.5, abs=1e-3)
    assert modes(act(agent, point, 2)) == [1, 1]


def test_reflexes_alone_heed_neither() -> None:
    agent = point_agent(reflexive(spread=9.0), (20.0, 0.0), gate=GateConfig.reflexes_only())
    decisions = act(agent, Point(scale=1.5), 6)
    assert modes(decisions) == [1] * 6
    assert all(np.isnan(d.surprise).all() for d in decisions)


def test_reflexes_that_are_shaken_come_free() -> None:
    """As much as is said, held while the reflex is acted out, within the box; with the same seed
    the same again. The policy alone would never move."""
    stuck = reflexive(push=0.0)
    gate = GateConfig.reflexes_only(chunk=2, jitter=0.3)
    agents = [
        point_agent(stuck, (4.0, 0.0), gate=gate, seed=seed, num_agents=400) for seed in (0, 0, 1)
    ]
    seen = {STATE: np.zeros((400, 2), np.float32)}
    first, same, other = ([a.act_batch(seen).action for _ in range(5)] for a in agents)
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)
    for step in range(1, 4):
        np.testing.assert_array_equal(first[step], first[0])
    assert not np.array_equal(first[4], first[0])
    assert first[0].std() == pytest.approx(0.3, rel=0.1) and abs(first[0].mean()) < 0.05
    wild = GateConfig.reflexes_only(jitter=5.0)
    action = point_agent(stuck, (4.0, 0.0), gate=wild, num_agents=400).act_batch(seen).action
    assert np.abs(action).max() == 1.0
    with pytest.raises(ForethoughtError, match="jitter=-1"):
        GateConfig.reflexes_only(jitter=-1.0)


def test_each_of_several_agents_has_a_mode_of_its_own() -> None:
    model = reflexive()
    inner = model.policy.answer

    def answer(latents: torch.Tensor, goals: torch.Tensor) -> Reflex:
        return replace(inner(latents, goals), spread=torch.tensor([0.0, 1.0]))

    model.policy.answer = answer
    agent = point_agent(model, (4.0, -3.0), gate=CALM, num_agents=2)
    decision = agent.act_batch({"observation.state": np.zeros((2, 2), np.float32)})
    assert decision.mode == 2 and decision.modes.tolist() == [1, 2]
    np.testing.assert_allclose(decision.action[0], (1.0, -1.0))
    # The plan is that of both, and was followed by the second.
    np.testing.assert_allclose(decision.action[1], decision.plan.actions[1, 0, :2])


def test_without_time_for_a_search_reflexes_act() -> None:
    """The gate is shut, and asks for more candidates than there can be time for."""
    shut = GateConfig(spread=-1.0, surprise=0.5, fewest=10**9)
    model = reflexive()
    assert modes(act(point_agent(model, (4.0, 0.0), gate=shut), Point(), 2)) == [2, 2]
    hurried = point_agent(model, (4.0, 0.0), gate=shut, deadline_s=0.5)
    assert modes(act(hurried, Point(), 2)) == [1, 1]
    patient = point_agent(model, (4.0, 0.0), gate=replace(shut, fewest=1), deadline_s=30.0)
    assert modes(act(patient, Point(), 2)) == [2, 2]


# ------------------------------------------------------------------------------- guardrails


def test_what_the_shield_would_change_is_deliberated() -> None:
    """Reflexes run straight at the edge; before it the agent thinks, and stays within."""
    agent = point_agent(reflexive(), (6.0, 1.0), guardrails=[EDGE], gate=replace(CALM, chunk=2))
    point = Point()
    decisions = act(agent, point, 12)
    assert modes(decisions)[0] == 1 and modes(decisions)[-1] == 2
    assert point.place[0] <= 3.0 + 1e-4
    by_reflex = [d for d in decisions if d.mode == 1]
    assert not any(d.shielded.any() for d in by_reflex)


def test_reflexes_alone_are_changed_by_the_shield() -> None:
    gate = GateConfig.reflexes_only()
    agent = point_agent(reflexive(), (6.0, 1.0), guardrails=[EDGE], gate=gate)
    point = Point()
    decisions = act(agent, point, 12)
    assert modes(decisions) == [1] * 12
    assert point.place[0] <= 3.0 + 1e-4 and any(d.shielded.any() for d in decisions)


def test_what_cannot_be_gated_is_refused() -> None:
    with pytest.raises(ForethoughtError, match="forethought distill"):
        point_agent(point_model(), (1.0, 0.0), gate=CALM)
    with pytest.raises(ForethoughtError, match="needs the shield"):
        safety = SafetyConfig(shield=None)
        point_agent(reflexive(), (1.0, 0.0), guardrails=[EDGE], safety=safety, gate=CALM)
    with pytest.raises(ForethoughtError, match="answers 2 model steps"):
        point_agent(reflexive(), (1.0, 0.0), gate=replace(CALM, chunk=3))
    with pytest.raises(ForethoughtError, match="chunk=0"):
        GateConfig(spread=1.0, surprise=1.0, chunk=0)


def test_a_cost_without_one_goal_is_refused() -> None:
    from forethought.agent import Agent
    from forethought.cost import effort

    with pytest.raises(ForethoughtError, match="one goal that is shown"):
        Agent(reflexive(), cost=effort(), actor=ONE_ROUND, gate=CALM)


# ------------------------------------------------------------------------------- the policy


def distinct(generator: torch.Generator, tokens: int, width: int, number: int = 64):
    return (torch.randn(number, tokens, width, generator=generator) for _ in range(2))


@pytest.mark.parametrize("grid", [None, (4, 8)])
def test_a_policy_learns_vectors_in_a_box(grid, generator) -> None:
    low, high = torch.tensor([-1.0, 0.0]), torch.tensor([1.0, 4.0])
    config = PolicyConfig(hidden=(64,), chunk=1, grid=grid)
    policy = built(config, 16, 3, ActionSpace(low=low, high=high))
    latents, goals = distinct(generator, 16, 3)
    wanted = torch.stack([latents[:, 0, 0].tanh(), 2 + 2 * goals[:, 0, 0].tanh()], -1)[:, None]
    learn(policy, latents, goals, wanted)
    answer = policy.answer(latents, goals)
    assert float((answer.actions - wanted).abs().mean()) < 0.15
    assert (answer.actions >= low).all() and (answer.actions <= high).all()
    assert policy(latents, goals).shape == (64, 2)
    # Far from all that was learned, the members agree less.
    far = policy.answer(5 * goals, 5 * latents)
    assert far.spread.mean() > answer.spread.mean()


def test_a_policy_learns_choices(generator) -> None:
    space = ActionSpace(low=torch.zeros(6), high=torch.ones(6), num_choices=3, block=2)
    policy = built(PolicyConfig(hidden=(64,), chunk=2), 1, 4, space)
    latents, goals = distinct(generator, 1, 4)
    first = latents[:, 0, :3].argmax(-1)
    wanted = torch.nn.functional.one_hot(first, 3).float().repeat(1, 4).unflatten(1, (2, 6))
    assert policy.error(latents, goals, wanted).mean() > 0.3
    learn(policy, latents, goals, wanted)
    assert policy.error(latents, goals, wanted).mean() < 0.05
    actions = policy.answer(latents, goals).actions
    assert torch.equal(space.project(actions), actions)


def built(config: PolicyConfig, tokens: int, width: int, space: ActionSpace) -> Policy:
    torch.manual_seed(0)
    return config.build(tokens, width, space)


def learn(policy: Policy, latents, goals, wanted, steps: int = 150) -> None:
    optimiser = torch.optim.AdamW(policy.parameters(), lr=5e-3)
    heeded = torch.ones(len(latents), policy.config.num_members, dtype=torch.bool)
    for _ in range(steps):
        optimiser.zero_grad()
        policy.loss(latents, goals, wanted, heeded).backward()
        optimiser.step()


def test_a_policy_is_saved_and_loaded_with_its_model(model, tmp_path, generator) -> None:
    whole = with_part(model, 3, policy=PolicyConfig(hidden=(8,), chunk=4))
    whole.policy.usual.copy_(torch.linspace(0, 1, 101).expand(5, -1))
    whole.save_pretrained(tmp_path)
    again = load_model(tmp_path)
    latents, goals = distinct(generator, again.world_model.num_tokens, again.world_model.width)
    ours, theirs = whole.policy.answer(latents, goals), again.policy.answer(latents, goals)
    assert torch.equal(ours.actions, theirs.actions) and torch.equal(ours.spread, theirs.spread)
    assert again.policy.gate(0.5, chunk=4) == GateConfig(spread=0.5, surprise=0.5, chunk=4)
    assert whole.policy.config.chunk == 4
    with pytest.raises(ForethoughtError, match=r"share=1\.5"):
        again.policy.gate(1.5)
    with pytest.raises(ForethoughtError, match="nothing was measured"):
        with_part(model, 3, policy=PolicyConfig(hidden=(8,), chunk=4)).policy.gate()


def test_runs_from_before_there_were_policies_load(model, tmp_path) -> None:
    model.save_pretrained(tmp_path)
    content = json.loads((tmp_path / CONFIG).read_text())
    del content["model"]["policy"]
    (tmp_path / CONFIG).write_text(json.dumps(content))
    assert load_model(tmp_path).policy is None


def test_traces_tell_both_modes(model) -> None:
    """Of agents in two rooms, of which some deliberate: every step says how it was decided."""
    from forethought import recipes, worlds

    whole = with_part(model, 0, policy=PolicyConfig(hidden=(8,), chunk=4))
    acting = recipes.acting(recipes.get("two_rooms"))
    for gate, told in (
        (GateConfig(spread=0.0, surprise=1.0), {2}),
        (GateConfig.reflexes_only(), {1}),
    ):
        results = evaluate(
            lambda goals, count, gate=gate: acting.agent(whole, goals, count, gate=gate),
            lambda count: worlds.make("two_rooms", count),
            PlanningProtocol(episodes=3, budget=12, latency_decisions=2),
            visible=False,
        )
        assert [set(trace.modes.tolist()) for trace in results.traces] == [told] * 3
