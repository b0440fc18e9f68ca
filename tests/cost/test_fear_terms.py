"""Fear in costs and guardrails: what lies beyond the horizon counts, and nothing before it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from forethought.actor import CEM
from forethought.agent import Agent
from forethought.checkers import check_cost_term
from forethought.cost import (
    Cost,
    FearConfig,
    LatentDistance,
    Sight,
    anticipated,
    effort,
    fear_limit,
    term,
)
from forethought.cost.constraints import limit
from forethought.cost.guardrail import bind_guardrails, guardrail
from forethought.learning.critic import target_of
from forethought.learning.fear import FearStage, FearTrainingConfig
from forethought.learning.latents import LatentEpisodes
from forethought.learning.trainer import OptimiserConfig
from forethought.types import (
    ActionSpace,
    ActionSpec,
    ForethoughtError,
    Imagination,
    PlanningProblem,
    Signature,
)

SIGHT = Sight(
    encode=lambda observation: torch.zeros(1, 1, 2),
    push=lambda latents, units: latents,
    distance=LatentDistance(),
    read=lambda latents: {"position": latents[..., 0, 0]},
    quantities=("position",),
    space=ActionSpace(low=-torch.ones(1), high=torch.ones(1)),
    signature=Signature(observation={}, action=ActionSpec(dim=1), rate_hz=1.0),
)


def untrained(**given):
    torch.manual_seed(0)
    config = FearConfig(hidden=(8,), num_quantiles=20, **given)
    return config.build(1, 2, name="cliff").requires_grad_(False)


def imagined(horizon: int = 3) -> Imagination:
    torch.manual_seed(1)
    return Imagination(
        latents=torch.randn(2, 4, horizon + 1, 1, 2), actions=torch.zeros(2, 4, horizon, 1)
    )


@pytest.mark.parametrize(("quantile", "steps"), [(False, 1), (True, 1), (True, 4)])
def test_the_last_state_alone_is_feared(quantile, steps) -> None:
    """At a discount for every model step before it, of levels above as well."""
    fear, future = untrained(discount=0.8), imagined()
    one = anticipated(fear, quantile=quantile)
    values = one.bind(replace(SIGHT, steps=steps))(future)
    last = future.latents[:, :, -1]
    expected = fear.upper(last) if quantile else fear.mean(last)
    assert not values[..., :-1].any()
    torch.testing.assert_close(values[..., -1], 0.8 ** (3 * steps) * expected)


@pytest.mark.parametrize("quantile", [False, True])
def test_it_is_a_cost_term(quantile) -> None:
    one = anticipated(untrained(), weight=2.0, quantile=quantile)
    check_cost_term(one.bind(SIGHT), tokens=1, width=2, action_width=1)
    assert (1.5 * one).weight == 3.0
    assert "anticipated cliff  2" in str(one + effort())
    assert not one.judges_actions and not one.seeks_goal


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(0.1, 100.0))
def test_no_weights_foretell_less_than_nothing_or_quantiles_that_cross(seed, scale) -> None:
    torch.manual_seed(seed)
    fear = FearConfig(hidden=(8,), num_quantiles=20).build(1, 2, name="any")
    mean, quantiles = fear(scale * torch.randn(50, 1, 2))
    assert (mean >= 0).all() and (quantiles >= 0).all() and (quantiles.diff(dim=-1) >= 0).all()


def test_a_limit_is_a_condition_like_others() -> None:
    """Its margin is the bound less what is foretold; it joins conditions on quantities."""
    fear, future = untrained(), imagined()
    bound = float(fear.upper(future.latents).median())
    afraid, near = fear_limit(fear, below=bound), limit("position", below=0.1)
    rails = [guardrail(afraid), guardrail(afraid & near, name="both")]
    assert rails[0].name == f"fear of cliff < {bound:g}"
    margins = bind_guardrails(rails, SIGHT)(future)
    left = bound - fear.upper(future.latents[:, :, 1:])
    torch.testing.assert_close(margins[rails[0].name], left)
    torch.testing.assert_close(
        margins["both"], torch.minimum(left, 0.1 - future.latents[:, :, 1:, 0, 0])
    )
    calm = guardrail(fear_limit(fear, below=bound, quantile=False))
    assert calm.name.startswith("expectation of cliff")
    judged = bind_guardrails([calm, rails[0]], SIGHT)(future)
    torch.testing.assert_close(judged[calm.name], bound - fear.mean(future.latents[:, :, 1:]))
    with pytest.raises(ForethoughtError, match="positive number"):
        fear_limit(fear, below=0.0)


def test_a_limit_is_calibrated_and_kept_by_an_agent(model) -> None:
    """On latents foreseen and seen; margins of fear are measured while acting."""
    from forethought import worlds

    tokens, width = model.world_model.num_tokens, model.world_model.width
    torch.manual_seed(0)
    fear = FearConfig(hidden=(8,)).build(tokens, width, name="zone").requires_grad_(False)
    world = worlds.make("two_rooms", 2)
    observation = world.reset([1, 2])
    agent = Agent(
        model,
        cost=effort() + anticipated(fear, weight=0.5),
        actor=CEM(horizon=2, num_samples=8, num_iterations=1, num_elites=2),
        guardrails=[guardrail(fear_limit(fear, below=100.0), risk=0.2)],
        num_agents=2,
    )
    decision = agent.act_batch(observation)
    assert set(decision.plan.terms) == {"effort", "anticipated zone"}
    assert decision.plan.feasible.all()
    measured = 100.0 - fear.upper(model.world_model.encode(agent._window.stacked()))
    torch.testing.assert_close(torch.tensor(decision.margins["fear of zone < 100"]), measured)


# ------------------------------------------------------------------------ it foresees


LIMIT, START = 10.0, 0.0


def drive(states: torch.Tensor, pushes: torch.Tensor) -> torch.Tensor:
    """A cart on a line ``(..., 2)``: place and speed; pushes change the speed by at most 0.25."""
    speed = (states[..., 1] + 0.25 * pushes.clamp(-1, 1)).clamp(-1.5, 1.5)
    return torch.stack([states[..., 0] + speed, speed], dim=-1)


def beyond(states: torch.Tensor) -> torch.Tensor:
    return (states[..., 0] > LIMIT).float()


@pytest.fixture(scope="module")
def fear():
    """Learned from carts that were pushed at random."""
    draw = torch.Generator().manual_seed(0)
    states = torch.rand(600, 2, generator=draw) * torch.tensor([14.0, 3.0]) - torch.tensor(
        [1.0, 1.5]
    )
    rows = [states]
    for _ in range(15):
        rows.append(drive(rows[-1], torch.rand(600, generator=draw) * 2 - 1))
    path = torch.stack(rows, 1)
    episodes = LatentEpisodes(
        latents=path.reshape(-1, 1, 2), offsets=torch.arange(601) * 16, block=1
    )
    costs = torch.nn.functional.pad(beyond(path)[:, 1:], (0, 1)).reshape(-1)
    config = FearTrainingConfig(
        fear=FearConfig(hidden=(64, 64), num_quantiles=20, discount=0.8),
        optimiser=OptimiserConfig(num_steps=500, batch_size=64, learning_rate=3e-3),
    )
    torch.manual_seed(0)
    found = config.fear.build(1, 2, name="the edge")
    stage = FearStage(config, found, target_of(found), episodes, costs)
    stage.begin()
    optimiser = torch.optim.Adam(found.parameters(), 3e-3)
    for _ in range(config.optimiser.num_steps):
        loss, _ = stage.loss(draw)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        stage.after_step()
    return found.requires_grad_(False)


def driven(cost: Cost) -> torch.Tensor:
    """Places of a cart that looks one step ahead, and is asked to be at 9.5."""
    state, generator, places = torch.tensor([START, 0.0]), torch.Generator().manual_seed(0), []

    def imagine(actions: torch.Tensor) -> Imagination:
        now = state.expand(*actions.shape[:2], 2)
        rows = [now]
        for step in range(actions.shape[2]):
            rows.append(drive(rows[-1], actions[:, :, step, 0]))
        return Imagination(latents=torch.stack(rows, 2)[..., None, :], actions=actions)

    for _ in range(40):
        problem = PlanningProblem(
            imagine=imagine, score=cost.bind(SIGHT), space=SIGHT.space, num_worlds=1
        )
        planner = CEM(horizon=1, num_samples=64, num_iterations=3, num_elites=8)
        plan = planner.plan(problem, generator=generator)
        state = drive(state, plan.actions[0, 0, 0])
        places.append(state)
    return torch.stack(places)


def test_who_fears_brakes_in_time(fear) -> None:
    """Sight of one step shows the edge when it is too late; the fear of it is felt before, and at
    worst sooner than on average."""
    near = term("near", lambda future: (future.latents[:, :, 1:, 0, 0] - 9.5).abs())
    edge = term("edge", lambda future: beyond(future.latents[:, :, 1:, 0]))
    blind, expected, worst = (
        driven(near + 20.0 * edge + weight * anticipated(fear, quantile=quantile))
        for weight, quantile in ((0.0, False), (1.0, False), (1.0, True))
    )
    assert float(beyond(blind).sum()) >= 2
    assert not beyond(expected).any() and not beyond(worst).any()
    assert float(expected[:, 0].max()) > float(worst[:, 0].max()) + 1 > 3.5


def test_a_limit_on_fear_keeps_from_where_it_is_too_late(fear) -> None:
    """As a guardrail, with no cost on the edge at all."""
    near = term("near", lambda future: (future.latents[:, :, 1:, 0, 0] - 9.5).abs())
    rails = (guardrail(fear_limit(fear, below=1.0)),)
    kept = driven(Cost(terms=(near,), guardrails=rails))
    seen = driven(Cost(terms=(near,), guardrails=(guardrail("position", below=LIMIT),)))
    assert not beyond(kept).any() and beyond(seen).any()
