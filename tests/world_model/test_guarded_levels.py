"""Guardrails are passed down: every level plans within them, by its own clock."""

from __future__ import annotations

import warnings
from dataclasses import replace

import torch

from forethought import recipes, worlds
from forethought.actor import CEM, Hierarchical, Stop
from forethought.agent import Agent
from forethought.cost import goal, guardrail
from forethought.learning import CalibrationConfig, HierarchyTrainingConfig, OptimiserConfig
from forethought.learning.train import CollapseWarning, train
from forethought.model import Model
from forethought.safety import SafetyConfig
from forethought.types import PlanStatus
from forethought.world_model.hierarchy import HierarchyConfig, LevelConfig

UPPER = CEM(horizon=2, num_samples=32, num_iterations=2, num_elites=6)
LOWER = CEM(horizon=2, num_samples=32, num_iterations=2, num_elites=6)
INSIDE = guardrail("position.x", above=-500.0, risk=0.2, name="inside")
NOWHERE = guardrail("position.x", above=500.0, risk=0.2, name="nowhere")
STRONG = guardrail("step.x", below=0.5, name="gentle", risk=0.2)


def trained(recorded, out) -> Model:
    config = recipes.configure("two_rooms", recorded.signature, steps=8)
    assert config.probes is not None
    config = replace(config, critic=None, probes=replace(config.probes, num_steps=60))
    levels = HierarchyConfig(levels=(LevelConfig(stride=2),))
    training = HierarchyTrainingConfig(
        hierarchy=levels, optimiser=OptimiserConfig(num_steps=10, batch_size=16), horizon=2
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapseWarning)
        return train(
            recorded,
            replace(config, hierarchy=training, calibration=CalibrationConfig(horizon=4)),
            out,
            visible=False,
        )


def test_every_level_plans_within_guardrails_by_its_own_clock(recorded, tmp_path) -> None:
    model, world = trained(recorded, tmp_path / "run"), worlds.make("two_rooms", 2)
    observation = world.reset([1, 2])

    def decided(*rails):
        agent = Agent(
            model,
            cost=goal(observation=world.goal()),
            actor=Hierarchical(upper=UPPER, lower=LOWER),
            guardrails=rails,
            safety=SafetyConfig(fallback=Stop(), shield=None),
            num_agents=2,
        )
        return agent, agent.act_batch(observation)

    agent, decision = decided(INSIDE, STRONG)
    plan, above = decision.plan, decision.plan.above
    # Below, both; above, what is about states, widened by the end of each of its longer steps.
    assert set(plan.margins) == {"inside", "gentle"} and set(above.margins) == {"inside"}
    assert plan.status is above.status is PlanStatus.FOUND
    assert decision.action[:, 0].max() <= 0.5
    below = agent._safety.bounds("inside", 4)
    longer = agent._safety.bounds("inside", 2, steps=2)
    torch.testing.assert_close(longer.near, below.near[[1, 3]])
    _, stuck = decided(NOWHERE)
    assert stuck.plan.status is stuck.plan.above.status is PlanStatus.INFEASIBLE
    assert not stuck.action.any() and {c.by for c in stuck.changes} == {"stop"}
