"""The agent perceives, imagines and decides; and says what is wrong with its input."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from huggingface_hub import HfApi, ModelCard

from forethought import worlds
from forethought.actor import CEM
from forethought.agent import Agent
from forethought.cost import effort, goal
from forethought.cost.terms import CostTerm
from forethought.memory import AttemptsConfig, ObservationWindow
from forethought.model import Model, note_measured
from forethought.types import ForethoughtError, PlanStatus

CAMERA = "observation.images.top"
HEADLINE = ("agent", "floor", "ceiling")
PLANNER = CEM(horizon=3, num_samples=32, num_iterations=2, num_elites=6)


def task(seed: int = 3) -> tuple[dict[str, np.ndarray], np.ndarray]:
    world = worlds.make("two_rooms", 1)
    observation = world.reset([seed])
    return {CAMERA: observation[CAMERA][0]}, world.goal()[CAMERA][0]


def agent(model: Model, **settings) -> Agent:
    _, image = task()
    return Agent(model, cost=goal(image=image) + 0.1 * effort(), actor=PLANNER, **settings)


def test_a_decision_carries_its_evidence(model) -> None:
    observation, _ = task()
    decision = agent(model).act(observation)
    assert decision.action.shape == (2,) and decision.action.dtype == np.float32
    assert np.abs(decision.action).max() <= 1.2 + 1e-6
    assert decision.plan.status is PlanStatus.FOUND and decision.mode == 2
    total = sum(decision.plan.terms.values())
    torch.testing.assert_close(total, decision.plan.energy)
    assert set(decision.plan.terms) == {"goal", "effort"}


def test_a_plan_is_carried_out_before_the_next_search(model) -> None:
    """Five world steps of one model step, then a new plan, and surprise is known."""
    one = agent(model)
    observation, _ = task()
    decisions = [one.act(observation) for _ in range(6)]
    assert [d.plan_step for d in decisions] == [0, 1, 2, 3, 4, 0]
    expected = decisions[0].plan.actions[0, 0].reshape(5, 2).numpy()
    np.testing.assert_allclose([d.action for d in decisions[:5]], expected)
    assert np.isnan(decisions[0].surprise).all() and np.isfinite(decisions[5].surprise).all()


def test_what_does_not_come_about_is_told_to_the_cost(model) -> None:
    """A world that stands still: every model step the agent set out for is in vain, once judged."""
    told = []

    @dataclass(frozen=True, kw_only=True, eq=False)
    class Listening(CostTerm):
        name: str = "listening"

        def bind(self, sight):
            def score(imagination):
                told.append([len(pairs) for pairs in sight.in_vain()])
                return torch.zeros(imagination.actions.shape[:3])

            return score

    observation, _ = task()
    account = AttemptsConfig(patience=2.0, least=0.0)
    one = Agent(model, cost=Listening(), actor=PLANNER, attempts=account)
    for _ in range(16):
        one.act(observation)
    rounds = [told[i][0] if told[i] else 0 for i in range(0, len(told), len(told) // 4)]
    assert rounds == [0, 0, 1, 2]
    one.reset()
    told.clear()
    one.act(observation)
    assert not any(count for counts in told for count in counts)


def test_the_same_seed_gives_the_same_actions(model) -> None:
    observation, _ = task()
    first, second = (agent(model, seed=4).act(observation).action for _ in range(2))
    assert np.array_equal(first, second)


def test_reset_forgets_the_episode(model) -> None:
    one = agent(model)
    observation, _ = task()
    one.act(observation)
    one.reset()
    assert one.act(observation).plan_step == 0


def test_many_agents_act_at_once(model) -> None:
    world = worlds.make("two_rooms", 4)
    observation = world.reset(range(4))
    many = Agent(model, cost=goal(observation=world.goal()), actor=PLANNER, num_agents=4)
    assert many.act_batch(observation).action.shape == (4, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda image: {}, r"lacks 'observation.images.top'"),
        (lambda image: {CAMERA: image[:32]}, r"shape \(32, 64, 3\), expected \(64, 64, 3\)"),
        (lambda image: {CAMERA: image.astype(np.float32)}, r"float32, expected uint8"),
    ],
)
def test_wrong_observations_are_named(model, change, message) -> None:
    observation, _ = task()
    with pytest.raises(ForethoughtError, match=message):
        agent(model).act(change(observation[CAMERA]))


def test_a_goal_of_another_size_is_refused_at_once(model) -> None:
    with pytest.raises(ForethoughtError, match="the goal"):
        Agent(model, cost=goal(image=np.zeros((32, 32, 3), np.uint8)), actor=PLANNER)


def test_a_plan_must_outlast_its_execution(model) -> None:
    observation, _ = task()
    with pytest.raises(ForethoughtError, match="replan_every=40"):
        agent(model, replan_every=40).act(observation)


def test_terms_add_scale_and_print(model) -> None:
    _, image = task()
    cost = goal(image=image) + 0.5 * effort()
    rows = [row.split(maxsplit=2) for row in str(cost).splitlines()]
    assert rows[0] == ["term", "weight", "asks"]
    assert rows[1] == ["goal", "1", "distance to a goal image, running 1, terminal 1"]
    assert rows[2][:2] == ["effort", "0.5"] and "squared action" in rows[2][2]
    with pytest.raises(ForethoughtError, match="named"):
        cost + effort()


def test_the_window_clamps_and_keeps_its_gap() -> None:
    """Three frames, two steps apart, as the training windows have them."""
    window = ObservationWindow(frame_stack=3, frame_gap=2)
    for step in range(6):
        window = window.see({"x": np.array([step])})
        stacked = window.stacked()["x"][0].tolist()
        assert stacked == [max(0, step - 4), max(0, step - 2), step]


# ------------------------------------------------------------------------ models on disk


def test_a_model_survives_saving(model, tmp_path) -> None:
    model.save_pretrained(tmp_path)
    again = Model.from_pretrained(tmp_path)
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
    assert again.notes == model.notes


@pytest.mark.parametrize("place", ["nowhere", "./no/where", "one/two/three"])
def test_a_missing_folder_is_not_looked_for_on_a_hub(place: str, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ForethoughtError, match="no such folder"):
        Model.from_pretrained(place)


def test_a_hub_that_has_no_such_model_is_said(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ForethoughtError, match="someone/nothing: neither a folder here nor"):
        Model.from_pretrained("someone/nothing", local_files_only=True)


def test_other_formats_and_damage_are_refused(model, tmp_path) -> None:
    with pytest.raises(ForethoughtError, match=r"config\.json is missing"):
        Model.from_pretrained(tmp_path)
    model.save_pretrained(tmp_path)
    config = tmp_path / "config.json"
    content = json.loads(config.read_text())
    config.write_text(json.dumps({**content, "format": 99}))
    with pytest.raises(ForethoughtError, match="found model format 99, this version reads 1"):
        Model.from_pretrained(tmp_path)
    config.write_text(json.dumps(content))
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    with pytest.raises(ForethoughtError, match="cannot be read"):
        Model.from_pretrained(tmp_path)


def test_goals_in_worlds_with_discrete_actions() -> None:
    """An agent for cartpole chooses integers."""
    from forethought.model import ModelConfig
    from forethought.perception import CNNConfig, Normaliser, PerceptionConfig
    from forethought.world_model import ResidualMLPConfig, WorldModelConfig

    world = worlds.make("cartpole", 2)
    (camera,) = world.signature.cameras
    config = ModelConfig(
        world_model=WorldModelConfig(
            perception=PerceptionConfig(encoders={camera: CNNConfig()}, frame_stack=2),
            predictor=ResidualMLPConfig(),
            action_block=2,
        )
    )
    normalisers = {"action": Normaliser([0.5] * 4, [0.5] * 4)}
    untrained = Model(config, world.signature, normalisers)
    observation = world.reset([0, 1])
    many = Agent(untrained, cost=goal(observation=world.goal()), actor=PLANNER, num_agents=2)
    action = many.act_batch(observation).action
    assert action.shape == (2,) and set(action.tolist()) <= {0, 1}
    world.step(action)


def test_a_card_tells_what_was_measured_of_the_run(run, tmp_path) -> None:
    """Training figures stand in it from the start; planning figures are added, weights kept."""
    folder = tmp_path / "copy"
    shutil.copytree(run, folder)
    summary = json.loads((folder / "train.json").read_text())
    card = ModelCard.load(folder / "README.md")
    assert card.data.library_name == "forethought" and "world-model" in card.data.tags
    assert f"{summary['diagnostics']['effective_rank']:.3f}" in card.text
    assert "position.x" in card.text and "Goals reached" not in card.text
    before = Model.from_pretrained(folder).state_dict()
    estimate = {"value": 0.97, "low": 0.95, "high": 0.99, "episodes": 200}
    note_measured(folder, "planning", {"two_rooms": dict.fromkeys(HEADLINE, estimate)})
    card = ModelCard.load(folder / "README.md")
    assert "| two_rooms | 97.0 % (95.0 to 99.0), n = 200 |" in card.text
    after = Model.from_pretrained(folder)
    assert all(torch.equal(before[name], value) for name, value in after.state_dict().items())
    after.save_pretrained(tmp_path / "again")
    assert (tmp_path / "again" / "README.md").read_text() == (folder / "README.md").read_text()


def test_a_model_is_pushed_with_card_weights_and_configuration(model, monkeypatch) -> None:
    """What is uploaded is what a folder holds; no network is needed to see it."""
    uploaded: dict[str, set[str]] = {}

    def upload(self, *, folder_path, repo_id, **rest):
        uploaded[repo_id] = {path.name for path in Path(folder_path).iterdir()}
        return f"hub/{repo_id}"

    monkeypatch.setattr(
        HfApi, "create_repo", lambda self, repo_id, **rest: SimpleNamespace(repo_id=repo_id)
    )
    monkeypatch.setattr(HfApi, "upload_folder", upload)
    model.push_to_hub("someone/rooms")
    files = ("README.md", "config.json", "model.safetensors", "calibration.safetensors")
    assert uploaded == {"someone/rooms": set(files)}
