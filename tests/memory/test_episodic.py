"""A moment is found again by likeness, name and time, also by the next process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch

from forethought import cost
from forethought.actor import CEM
from forethought.agent import Agent
from forethought.learning import open_memory, remember
from forethought.memory import ReadLog, episodic
from forethought.memory.episodic import EpisodicMemory, RecalledActions
from forethought.traces import Traced
from forethought.types import STATE, Episode, ForethoughtError, Proposer
from point import Point, point_agent, point_model

SHAPE, WIDTH = (2, 3), 1
LENGTHS = (12, 3, 20)


def opened(path: Path) -> EpisodicMemory:
    return EpisodicMemory(path / "memory", shape=SHAPE, action_width=WIDTH)


def filled(path: Path, generator: torch.Generator) -> tuple[EpisodicMemory, torch.Tensor]:
    """Three episodes, ten seconds a step; what was seen and done tells the row."""
    memory, known, row = opened(path), [], 0
    for number, length in enumerate(LENGTHS):
        rows = torch.arange(row, row + length)
        known.append(torch.randn(length, *SHAPE, generator=generator))
        at = (1000 * number + 10 * np.arange(length)).tolist()
        episode = memory.add(
            known[-1],
            at=at,
            actions=rows.float()[:, None],
            labels=("odd", "dock's") if number % 2 else ("even",),
            text=f"walk {number}",
            observation={STATE: rows[:, None].numpy().astype(np.float32)},
        )
        assert episode == number
        row += length
    return memory, torch.cat(known)


def test_a_moment_is_its_own_nearest_also_after_a_restart(tmp_path, generator) -> None:
    memory, latents = filled(tmp_path, generator)
    for one in (memory, opened(tmp_path)):
        for row in (0, 13, len(latents) - 1):
            found = one.nearest(latents[row], 3)
            assert found[0].row == row and found[0].distance == 0
            assert torch.equal(found[0].latents, latents[row])
            assert found[0].action is not None and found[0].action.item() == row
            assert one.observation(found[0])[STATE].tolist() == [row]
    again = opened(tmp_path).moments(episode=1)
    assert [(one.episode, one.step, one.at, one.text) for one in again] == [
        (1, step, 1000.0 + 10 * step, "walk 1") for step in range(3)
    ]


@pytest.mark.parametrize("indexed", [False, True])
def test_what_is_found_is_what_comparing_with_each_finds(
    tmp_path, monkeypatch, generator, indexed: bool
) -> None:
    """With all partitions looked into an index misses none; it is told of what came after it."""
    monkeypatch.setattr(episodic, "INDEXED_ROWS", 300 if indexed else 10**6)
    monkeypatch.setattr(episodic, "PARTITION_ROWS", 100)
    monkeypatch.setattr(episodic, "PROBED", 1.0)
    memory = opened(tmp_path)
    latents = torch.randn(400, *SHAPE, generator=generator)
    memory.add(latents[:350], at=range(350))
    memory.tidy()
    memory.add(latents[350:], at=range(350, 400), labels=["late"])
    assert memory._table.has_index == indexed
    for wanted in torch.randn(5, *SHAPE, generator=generator):
        away = (latents - wanted).flatten(1).norm(dim=1)
        found = memory.nearest(wanted, 10)
        assert [one.row for one in found] == away.argsort()[:10].tolist()
        torch.testing.assert_close(
            torch.tensor([one.distance for one in found]), away.sort()[0][:10]
        )
        late = memory.nearest(wanted, 10, label="late", after=360.0, before=380.0)
        assert [one.row for one in late] == (360 + away[360:380].argsort()[:10]).tolist()


def test_moments_are_found_by_name_and_time(tmp_path, generator) -> None:
    """As on that day at the dock: what was seen then is a goal."""
    memory, latents = filled(tmp_path, generator)
    assert [one.row for one in memory.moments(label="dock's")] == [12, 13, 14]
    when = datetime.fromtimestamp(1010, UTC)
    (moment,) = memory.moments(label="odd", after=when, before=1020)
    assert moment.row == 13 and moment.labels == ("odd", "dock's")
    assert memory.moments(label="odd", after=2000) == []
    assert memory.nearest(latents[0], 5, label="nowhere") == []
    goal = cost.goal(observation=memory.observation(moment))
    assert goal.name == "goal"


def test_an_episode_may_be_added_in_parts(tmp_path, generator) -> None:
    """Others in between; what follows on a moment is what followed in its episode."""
    memory = opened(tmp_path)
    latents = torch.randn(9, *SHAPE, generator=generator)
    actions = torch.arange(9.0)[:, None]
    first = memory.add(latents[:2], at=[0, 1], actions=actions[:2])
    memory.add(latents[2:5], at=[2, 3, 4], actions=actions[2:5])
    memory.add(latents[5:], at=[5, 6, 7, 8], actions=actions[5:], episode=first)
    assert memory.following(0, 10).flatten().tolist() == [0, 1, 5, 6, 7]
    assert memory.following(2, 1).flatten().tolist() == [2]
    assert memory.following(8, 3).shape == (0, 1)
    window = memory.windows(20, 6, generator=generator)
    expected = latents[[0, 1, 5, 6, 7, 8]]
    assert all(torch.equal(one, expected) for one in window.latents)
    assert window.step.tolist() == [0] * 20


def test_windows_are_whole_stretches_of_what_was_lived(tmp_path, generator) -> None:
    memory, latents = filled(tmp_path, generator)
    windows = memory.windows(200, 4, generator=generator, observation=True)
    rows = windows.observation[STATE][..., 0].astype(int)
    assert (np.diff(rows, axis=1) == 1).all()
    assert torch.equal(windows.latents, latents[rows])
    assert windows.actions[..., 0].tolist() == rows[:, :-1].tolist()
    starts = {*range(9), *range(15, 32)}
    assert set(rows[:, 0].tolist()) <= starts and len(set(rows[:, 0].tolist())) > 20
    assert set(windows.episode.tolist()) == {0, 2}
    with pytest.raises(ForethoughtError, match="no episode has 21 moments"):
        memory.windows(1, 21, generator=generator)


def test_what_followed_is_proposed_and_never_beyond_an_episode(tmp_path, generator) -> None:
    memory, latents = filled(tmp_path, generator)
    log = ReadLog()
    proposer = RecalledActions(memory=memory, block=3, reads=log)
    proposed = proposer(latents[[2, 11]], number=5, horizon=2, generator=generator)
    assert isinstance(proposer, Proposer) and proposed.shape == (2, 5, 2, 3)
    assert proposed[0, 0].flatten().tolist() == [2, 3, 4, 5, 6, 7]
    # The last moment of an episode begins nothing: the nearest that does stands in for it.
    begins = [row for row in range(len(latents)) if memory.following(row, 3).shape[0] == 3]
    away = (latents[begins] - latents[11]).flatten(1).norm(dim=1)
    assert proposed[1, 0, 0, 0] == begins[int(away.argmin())]
    assert not torch.isin(proposed, torch.tensor([11.0, 14.0, 34.0])).any()
    nearest = log.take()["episodic memory"]
    assert nearest[0] == {"episode": 0, "step": 2, "distance": 0.0}
    many = proposer(latents[:1], number=60, horizon=1, generator=generator)
    assert many.shape == (1, 60, 1, 3)
    with pytest.raises(ForethoughtError, match="add episodes with actions first"):
        RecalledActions(memory=memory, block=30)(
            latents[:1], number=2, horizon=1, generator=generator
        )


def test_an_agent_that_remembers_the_way_takes_it(tmp_path) -> None:
    """A memory of pushes straight to the goal, offered to a search that sees few others."""
    model = point_model()
    memory = EpisodicMemory(tmp_path / "memory", shape=(1, 2), action_width=2)
    push = torch.tensor([[1.0, 0.5]])
    places = torch.arange(9.0).view(-1, 1, 1) * push
    memory.add(places, at=range(9), actions=push.repeat(9, 1))
    log = ReadLog()
    proposals = RecalledActions(memory=memory, block=2, reads=log)
    few = CEM(horizon=3, num_samples=8, num_iterations=1, num_elites=2)
    with_memory, without = (
        point_agent(model, (6.0, 3.0), actor=few, proposals=one) for one in (proposals, None)
    )
    traced, world = Traced(with_memory, reads=log), Point()
    decision = traced.act(world.observe())
    other = without.act(world.observe())
    assert decision.plan is not None and other.plan is not None
    torch.testing.assert_close(decision.plan.actions, push.repeat(1, 3, 2))
    assert (decision.plan.energy < other.plan.energy).all()
    (record,) = traced.records()
    assert record.reads["episodic memory"] == {"episode": 0, "step": 0, "distance": 0.0}


def test_memory_is_a_goal_of_an_agent(tmp_path) -> None:
    memory = EpisodicMemory(tmp_path / "memory", shape=(1, 2), action_width=2)
    place = np.array([[1.0, -1.0]], np.float32)
    memory.add(torch.tensor([[[1.0, -1.0]]]), at=[7.0], labels=["dock"], observation={STATE: place})
    (dock,) = memory.moments(label="dock")
    goal = cost.goal(observation=memory.observation(dock), distance=cost.LatentDistance())
    agent = Agent(point_model(), cost=goal, actor=point_agent(point_model(), (0, 0)).actor)
    world = Point()
    for _ in range(8):
        world.push(agent.act(world.observe()).action)
    assert np.abs(world.place - place[0]).max() < 0.3


def test_an_episode_is_remembered_as_the_model_perceives_it(tmp_path) -> None:
    """The latents of this model are the places themselves."""
    model, places = point_model(), np.array([[0, 0], [1, 2], [3, 4]], np.float32)
    episode = Episode(
        observation={STATE: places, "observation.other": places},
        action=np.diff(places, axis=0, append=0).astype(np.float32),
        task="fetch",
    )
    memory = open_memory(tmp_path / "memory", model)
    assert remember(memory, model, episode, began=50.0, labels=["monday"]) == 0
    moments = memory.moments(label="monday")
    assert [(one.at, one.text) for one in moments] == [(50 + 0.1 * i, "fetch") for i in range(3)]
    assert torch.equal(torch.stack([one.latents[0] for one in moments]), torch.tensor(places))
    assert memory.following(0, 5).tolist() == [[1, 2], [2, 2]]
    assert list(memory.observation(moments[1])) == [STATE]
    with pytest.raises(ForethoughtError, match=r"the episode lacks 'observation\.state'"):
        remember(memory, model, Episode(observation={}, action=episode.action), began=0.0)


ADDING = """
import numpy as np, torch
from forethought.memory.episodic import EpisodicMemory
memory = EpisodicMemory({path!r}, shape=(2, 3), action_width=1)
for number in range(10**6):
    latents = torch.full((5, 2, 3), float(number))
    memory.add(latents, at=range(5), observation={{"row": np.full((5, 4), number)}})
    print(number, flush=True)
"""


def test_a_killed_process_loses_at_most_what_it_was_adding(tmp_path) -> None:
    program = ADDING.format(path=str(tmp_path / "memory"))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    added = -1
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            added = int(line)
            if added == 6:
                process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    memory = opened(tmp_path)
    assert memory.num_episodes in (added + 1, added + 2) and len(memory) % 5 == 0
    for number in range(memory.num_episodes):
        found = memory.nearest(torch.full(SHAPE, float(number)), 5)
        assert {one.episode for one in found} == {number}
        assert memory.observation(found[0])["row"].tolist() == [number] * 4
    assert memory.add(torch.zeros(1, *SHAPE), at=[0.0]) == memory.num_episodes - 1


def test_many_small_additions_are_joined_and_lose_nothing(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(episodic, "MANY_FRAGMENTS", 5)
    with opened(tmp_path) as memory:
        for number in range(8):
            memory.add(torch.full((1, *SHAPE), float(number)), at=[number], labels=[str(number)])
    assert len(memory._table.get_fragments()) == 1
    assert [one.labels for one in opened(tmp_path).moments()] == [(str(n),) for n in range(8)]


def test_what_does_not_fit_is_said_and_nothing_is_added(tmp_path, generator) -> None:
    memory, latents = filled(tmp_path, generator)
    one = latents[:2]
    for wrong, message in (
        ({"latents": one[..., :2], "at": [0, 1]}, r"shape \(2, 2, 2\); expected finite ones"),
        ({"latents": one * torch.nan, "at": [0, 1]}, "expected finite ones"),
        ({"latents": one, "at": [0]}, "at has 1 rows for 2 moments"),
        ({"latents": one, "at": [0, torch.nan]}, "NaN or infinite times"),
        ({"latents": one, "at": [0, 1], "actions": torch.zeros(2, 3)}, r"of shape \(2, 1\)"),
        ({"latents": one, "at": [0, 1], "episode": 9}, "episode 9 is not among the 3"),
        ({"latents": one, "at": [0, 1], "observation": {"s": np.zeros(3)}}, "has 3 rows"),
    ):
        with pytest.raises(ForethoughtError, match=message):
            memory.add(**wrong)
    assert len(opened(tmp_path)) == len(memory) == sum(LENGTHS)
    with pytest.raises(ForethoughtError, match="of shape"):
        memory.nearest(latents[0, :1], 3)
    other = opened(tmp_path)
    memory.add(one, at=[0, 1])
    with pytest.raises(ForethoughtError, match="another process has changed the memory"):
        other.add(one, at=[0, 1])
    with pytest.raises(ForethoughtError, match="Latents of another model"):
        EpisodicMemory(tmp_path / "memory", shape=(1, 3), action_width=WIDTH)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("")
    with pytest.raises(ForethoughtError, match="no memory that can be read"):
        EpisodicMemory(tmp_path / "other", shape=SHAPE, action_width=WIDTH)
