"""What a task sets beside the search: reflexes answer, memories compete, the agent adapts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from forethought.actor import CEM
from forethought.agent import Agent
from forethought.configurator import (
    Following,
    Gating,
    Leg,
    Recalling,
    Search,
    SequencedAgent,
    ShownGoal,
    Task,
    agent_for,
    read_task,
)
from forethought.data.store import create
from forethought.learning.adapting import AdaptingConfig
from forethought.learning.adapting_agent import AdaptingAgent
from forethought.learning.parts import with_part
from forethought.learning.remembering import open_memory, remember
from forethought.model import Model
from forethought.policy import PolicyConfig
from forethought.types import STATE, Episode, ForethoughtError
from point import BLOCK, SIGNATURE, Point, point_model

GOAL = ShownGoal(observation={STATE: np.array([6.0, 0.0], np.float32)})
SEARCH = Search(planner=CEM(num_samples=64, num_iterations=2, num_elites=8), horizon=3)
ADAPTING = AdaptingConfig(held_out=20, recent=200, batch=32, seconds_per_step=10.0, camera_range=0)


def task(**settings) -> Task:
    return Task(**{"goal": GOAL, "search": SEARCH, **settings})


def with_policy() -> Model:
    return with_part(point_model(), 0, policy=PolicyConfig(hidden=(8,), chunk=2))


def walk(pushes: np.ndarray) -> Episode:
    """What the point saw while it was pushed so."""
    before = np.concatenate([np.zeros((1, 2)), np.cumsum(pushes, 0)[:-1]])
    return Episode(observation={STATE: before.astype(np.float32)}, action=pushes)


def walks(path: Path, num: int = 6, rows: int = 40) -> Path:
    """Recorded walks, pushed at random."""
    drawn = np.random.default_rng(0)
    with create(path, SIGNATURE) as writer:
        writer.append(
            [walk(drawn.uniform(-1, 1, (rows, 2)).astype(np.float32)) for _ in range(num)]
        )
    return path


def written(folder: Path, text: str) -> Task:
    path = folder / "task.yaml"
    path.write_text("goal: {state: [6, 0]}\n" + text)
    return read_task(path)


# ------------------------------------------------------------------------ the file


@pytest.mark.parametrize(
    ("text", "gating"),
    [
        ("", None),
        ("mode: deliberate", None),
        ("mode: gated", Gating()),
        ("mode: {gated: {share: 0.9, chunk: 2}}", Gating(share=0.9, chunk=2)),
        ("mode: {gated: {jitter: 0.4}}", Gating(jitter=0.4)),
        ("mode: reflexes", Gating(share=None)),
        ("mode: {reflexes: {chunk: 3}}", Gating(share=None, chunk=3)),
    ],
)
def test_the_mode_in_a_file(tmp_path, text, gating) -> None:
    assert written(tmp_path, text).mode == gating


def test_paths_in_a_file_lie_beside_it(tmp_path) -> None:
    task = written(
        tmp_path,
        "memory: {path: memories/rooms, label: dock}\n"
        "adaptation: {recorded: data/rooms, seconds_per_step: 0.02, camera_range: 0}",
    )
    assert task.memory == Recalling(path=tmp_path / "memories" / "rooms", label="dock")
    assert task.adaptation == Following(
        recorded=tmp_path / "data" / "rooms",
        config=AdaptingConfig(seconds_per_step=0.02, camera_range=0),
    )


# ------------------------------------------------------------------------ mode


def test_reflexes_alone_never_search() -> None:
    model, point = with_policy(), Point()
    agent = agent_for(task(mode=Gating(share=None, chunk=2)), model)
    decisions = [agent.act(point.observe()) for _ in range(3 * BLOCK)]
    assert all(one.mode == 1 and one.plan is None for one in decisions)


def test_a_gate_lets_through_what_was_usual() -> None:
    """Where the members of the policy always agree more than they did, there is no search; where
    they never do, there is nothing else."""
    for level, mode in ((1e3, 1), (0.0, 2)):
        model = with_policy()
        assert model.policy is not None
        model.policy.usual.fill_(level)
        agent = agent_for(task(mode=Gating(share=0.5)), model)
        assert agent.act(Point().observe()).mode == mode


def test_a_mode_that_the_model_cannot_have() -> None:
    with pytest.raises(ForethoughtError, match=r"no policy to react by.*forethought distill"):
        agent_for(task(mode=Gating()), point_model())
    with pytest.raises(ForethoughtError, match="nothing was measured of this policy"):
        agent_for(task(mode=Gating()), with_policy())


# ------------------------------------------------------------------------ memory


def test_what_was_done_once_competes_in_the_search(tmp_path) -> None:
    """Two candidates, to stand still and what is remembered: it is what leads to the goal."""
    pushes = np.tile(np.array([[0.7, 0.1]], np.float32), (20, 1))
    model = point_model()
    with open_memory(tmp_path / "lived", model) as memory:
        remember(memory, model, walk(pushes), began=0.0, labels=["dock"])
    search = Search(planner=CEM(num_samples=2, num_iterations=1, num_elites=1, proposed_share=0.5))
    for label, action in ((None, pushes[0]), ("dock", pushes[0])):
        recalling = Recalling(path=tmp_path / "lived", label=label)
        agent = agent_for(task(memory=recalling, search=replace(search, horizon=3)), model)
        np.testing.assert_allclose(agent.act(Point().observe()).action, action, atol=1e-6)


def test_a_memory_that_is_not_there_is_not_made(tmp_path) -> None:
    model, path = point_model(), tmp_path / "lived"
    with pytest.raises(ForethoughtError, match=r"memory\.path: there is no memory at .*lived"):
        agent_for(task(memory=Recalling(path=path)), model)
    assert not path.exists()
    with open_memory(path, model) as memory:
        with pytest.raises(ForethoughtError, match=r"of 0 moments in .* there is none"):
            agent_for(task(memory=Recalling(path=path)), model)
        remember(memory, model, walk(np.zeros((4, 2), np.float32)), began=0.0)
    with pytest.raises(ForethoughtError, match=r"there is none called 'dock'.*memory\.label"):
        agent_for(task(memory=Recalling(path=path, label="dock")), model)


# ------------------------------------------------------------------------ adaptation


def test_who_adapts_decides_as_before_while_nothing_has_changed(tmp_path) -> None:
    following = Following(recorded=walks(tmp_path / "walks"), config=ADAPTING)
    adapting, plain = agent_for(task(adaptation=following), point_model()), Point()
    usual, other = agent_for(task(), point_model()), Point()
    assert isinstance(adapting, AdaptingAgent) and isinstance(usual, Agent)
    for _ in range(12):
        first, second = adapting.act(plain.observe()), usual.act(other.observe())
        np.testing.assert_array_equal(first.action, second.action)
        plain.push(first.action), other.push(second.action)


def test_a_sequence_adapts_on_every_leg(tmp_path) -> None:
    following = Following(recorded=walks(tmp_path / "walks"), config=ADAPTING)
    places = ((3.0, 0.0), (3.0, 3.0))
    legs = tuple(
        Leg(goal=ShownGoal(observation={STATE: np.array(place, np.float32)}), within=1.0)
        for place in places
    )
    agent = agent_for(task(goal=legs[0].goal, legs=legs, adaptation=following), point_model())
    assert isinstance(agent, SequencedAgent) and isinstance(agent.agent, AdaptingAgent)
    point = Point()
    for _ in range(30):
        point.push(agent.act(point.observe()).action)
    assert agent.done and np.linalg.norm(point.place - np.array(places[-1])) < 1.0
    assert agent.agent.last is not None


def test_recordings_that_do_not_fit_are_named(tmp_path) -> None:
    following = Following(recorded=tmp_path / "nothing", config=ADAPTING)
    with pytest.raises(ForethoughtError, match=r"adaptation\.recorded: .*nothing"):
        agent_for(task(adaptation=following), point_model())


def test_the_model_is_left_as_it_is(tmp_path) -> None:
    model = point_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    following = Following(recorded=walks(tmp_path / "walks"), config=ADAPTING)
    agent_for(task(adaptation=following), model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
