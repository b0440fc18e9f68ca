"""Protocols keep their promises on agents and data whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from forethought import data, recipes, worlds
from forethought.agent import Agent
from forethought.data.importers import ImportSettings, import_dataset
from forethought.evaluation import PlanningProtocol, evaluate, predict
from forethought.evaluation.report import evaluate_report, predict_report, train_report
from forethought.learning import train
from forethought.learning.ridge import fit_ridge
from forethought.types import ForethoughtError


def test_tasks_are_unsolved_and_the_floor_lies_below_the_ceiling(model, run) -> None:
    """Starts already at the goal are left out; the oracle reaches every goal."""
    acting = recipes.acting(recipes.get("two_rooms"))
    results = evaluate(
        lambda goals, count: acting.agent(model, goals, count),
        lambda count: worlds.make("two_rooms", count),
        PlanningProtocol(episodes=12, budget=80, traces=2, latency_decisions=5),
        visible=False,
    )
    world = worlds.make("two_rooms", 12)
    world.reset(results.seeds)
    assert not world.succeeded().any()
    assert results.ceiling.ever.value == 1 and results.floor.ever.value < 0.7
    assert set(results.agent.groups) == {"same", "across"}
    assert results.decision_ms["median"] > 0
    assert results.traces[0].imagined["position.x"].shape[0] == 80
    assert {"goal"} <= set(results.traces[0].terms)
    assert results.traces[0].terms["goal"].shape == (80,) and not results.traces[0].margins
    page = evaluate_report(run, results).read_text()
    assert "data:image/webp" in page and "What the plans were weighed by" in page


def test_episodes_are_shown_by_lot_failures_too(model) -> None:
    """Half of them failed, others succeeded, and each ends as it did when it was measured."""
    acting = recipes.acting(recipes.get("two_rooms"))
    results = evaluate(
        lambda goals, count: acting.agent(model, goals, count),
        lambda count: worlds.make("two_rooms", count),
        PlanningProtocol(episodes=16, budget=30, traces=6, latency_decisions=1),
        visible=False,
    )
    shown = [results.seeds.index(trace.seed) for trace in results.traces]
    failed = [i for i in shown if not results.ever[i]]
    failures = len(results.ever) - sum(results.ever)
    assert 0 < failures < 16 and len(set(shown)) == 6 and shown != sorted(shown)
    assert len(failed) == min(failures, max(3, 6 - sum(results.ever))) and shown[0] in failed
    for i, trace in zip(shown, results.traces, strict=True):
        assert trace.succeeded.any() == results.ever[i]


def test_a_world_that_is_always_solved_is_refused(model) -> None:
    class Solved(worlds.TwoRooms):
        def succeeded(self) -> np.ndarray:
            return np.ones(self.num_worlds, bool)

    with pytest.raises(ForethoughtError, match="too easy"):
        evaluate(
            lambda goals, count: Agent(model, cost=None, actor=None),
            Solved,
            PlanningProtocol(episodes=3),
            visible=False,
        )


def test_ridge_recovers_a_linear_law(generator) -> None:
    inputs = torch.randn(500, 4, generator=generator)
    law = torch.randn(4, 2, generator=generator)
    episodes = torch.arange(500) // 50
    fitted = fit_ridge(inputs, inputs @ law + 3, episodes)
    torch.testing.assert_close(fitted(inputs), inputs @ law + 3, atol=1e-2, rtol=1e-2)


@pytest.fixture(scope="module")
def cart(tmp_path_factory: pytest.TempPathFactory) -> data.Dataset:
    """A cart pushed at random: position and speed follow from the force exactly."""
    root = tmp_path_factory.mktemp("cart")
    draw = np.random.default_rng(0)
    for number in range(30):
        folder = root / f"run_{number}"
        folder.mkdir()
        place, speed, force, states, forces = 0.0, 0.0, 0.0, [], []
        for _ in range(90):
            if draw.random() < 0.2:
                force = draw.uniform(-1, 1)
            states.append(f"{place},{speed}")
            forces.append(f"{force}")
            speed = 0.95 * speed + 0.1 * force
            place += 0.1 * speed
        (folder / "state.csv").write_text("\n".join(states) + "\n")
        (folder / "force.csv").write_text("\n".join(forces[:-1]) + "\n")
    mapping = root / "cart.yaml"
    mapping.write_text(
        "episodes: 'run_*'\nrate_hz: 20\n"
        "state:\n"
        "  - {file: state.csv, column: 0, name: place, unit: m}\n"
        "  - {file: state.csv, column: 1, name: speed, unit: m/s}\n"
        "action:\n  - {file: force.csv, column: 0, name: force, unit: N}\n"
    )
    return import_dataset(root, root / "data", ImportSettings(mapping=mapping), visible=False)


def test_prediction_of_a_cart(cart, tmp_path) -> None:
    """A lawful system is foreseen far better than by copying; its actions matter and come back."""
    config = recipes.configure("vehicle_state", cart.signature, steps=250)
    assert config.probes is not None
    run = tmp_path / "run"
    trained = train(
        cart, replace(config, probes=replace(config.probes, num_steps=50)), run, visible=False
    )
    protocol = replace(recipes.get("vehicle_state").prediction, horizons=(5, 20), recoveries=(5,))
    results = predict(trained, cart, protocol, visible=False)
    for horizon in results.horizons:
        assert horizon.quantities < 0.1
        assert horizon.quantities_shuffled > 5 * horizon.quantities
    (recovery,) = results.recoveries
    assert recovery.plan < 0.5 * recovery.mean
    assert results.splice_auroc > 0.9
    assert "data:image/svg" in predict_report(run, results).read_text()
    assert "Learning curves" in train_report(run, cart).read_text()
    with pytest.raises(ForethoughtError, match="no multiple of the model's action_block 5"):
        predict(trained, cart, replace(protocol, horizons=(7,)), visible=False)
    with pytest.raises(ForethoughtError, match="episode 99 was asked for"):
        predict(trained, cart, protocol, episodes=[99], visible=False)


def test_the_plain_recipe_on_random_walls_is_caught(tmp_path) -> None:
    """It keeps the wall and loses the dot: the run ends with a warning that says so."""
    from forethought.learning.train import CollapseWarning

    rooms = data.record(
        worlds.make("two_rooms_random", 50),
        tmp_path / "rooms",
        num_episodes=150,
        episode_length=60,
        visible=False,
    )
    config = recipes.configure("two_rooms_random_plain", rooms.signature, steps=150)
    assert config.critic is not None and config.probes is not None
    critic = replace(config.critic, optimiser=replace(config.critic.optimiser, num_steps=5))
    config = replace(config, critic=critic, probes=replace(config.probes, num_steps=20))
    with pytest.warns(CollapseWarning, match="TemporalVariance|InverseDynamics"):
        train(rooms, config, tmp_path / "run", visible=False)
