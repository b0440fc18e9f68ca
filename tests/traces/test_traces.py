"""What is recorded is what was decided; it survives its writer, and decides the same again."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from forethought import cost
from forethought.agent import Agent
from forethought.cli import main
from forethought.evaluation.report import decision_picture
from forethought.memory import ReadLog
from forethought.traces import (
    DecisionRecord,
    RecordingError,
    RecordingWarning,
    Retrospect,
    TraceConfig,
    Traced,
    TraceWriter,
    explain,
    read_trace,
    replay,
    to_parquet,
    to_rerun,
)
from forethought.traces.records import as_json, plan_from_json, record_from_json
from forethought.types import STATE, ForethoughtError
from point import Point, point_agent, point_model

RAIL = cost.guardrail("position.x", below=2.0, risk=0.05, name="wall")
KEPT = TraceConfig(observations=True)


def new_agent(**settings) -> Agent:
    return point_agent(point_model(), (3.0, 1.0), guardrails=[RAIL], **settings)


def walk(acting: Traced | Agent, steps: int, *, scale: float = 1.2) -> list[DecisionRecord]:
    """One episode of a point that is pushed further than foreseen."""
    world, records = Point(scale=scale), []
    for _ in range(steps):
        world.push(acting.act(world.observe()).action)
        records += acting.records()
    return records


def recorded(path: Path, config: TraceConfig = KEPT, **settings) -> list[DecisionRecord]:
    """Two episodes; the records as they were made."""
    with TraceWriter(path, config) as writer:
        traced = Traced(new_agent(**settings), writer)
        first = walk(traced, 5)
        traced.reset()
        return [*first, *walk(traced, 3)]


def test_what_is_read_is_what_was_decided(tmp_path) -> None:
    made = recorded(tmp_path / "trace")
    trace = read_trace(tmp_path / "trace")
    found = [replace(one, observation=None) for one in trace.records]
    assert found == made
    assert [(one.episode, one.step) for one in made] == [
        *((0, step) for step in range(5)),
        *((1, step) for step in range(3)),
    ]
    assert trace.header == new_agent().header
    # Decisions behind which there is one plan share it.
    assert trace.at(1).plan is trace.at(0).plan and trace.at(2).plan is not trace.at(0).plan


def test_a_record_holds_the_numbers_of_the_decision() -> None:
    agent, world = new_agent(), Point()
    decision = agent.act(world.observe())
    (record,) = agent.records()
    plan = decision.plan
    assert plan is not None and record.plan is not None
    assert record.action == tuple(decision.action.tolist())
    assert record.plan.actions == tuple(map(tuple, plan.actions[0].tolist()))
    assert sum(record.plan.terms.values()) == pytest.approx(record.plan.energy)
    assert record.margins == {"wall": 2.0}
    # The probes of this model read the latent itself.
    ways = plan.imagination.latents[0, :, :, 0]
    assert record.plan.quantities["position.x"] == tuple(map(tuple, ways[..., 0].tolist()))


def test_every_agent_of_a_batch_has_its_own_record(tmp_path) -> None:
    states = np.array([[0.0, 0.0], [1.0, -1.0]], np.float32)
    with TraceWriter(tmp_path / "trace", KEPT) as writer:
        traced = Traced(new_agent(num_agents=2), writer)
        decisions = [traced.act_batch({STATE: states}) for _ in range(3)]
    trace = read_trace(tmp_path / "trace")
    assert len(trace.records) == 6
    for step, decision in enumerate(decisions):
        for agent in range(2):
            record = trace.at(step, agent=agent)
            assert record.action == tuple(decision.action[agent].tolist())
            assert record.margins["wall"] == float(decision.margins["wall"][agent])
    assert np.array_equal(trace.observations(trace.records[-1])[STATE], states)
    assert replay(trace, new_agent(num_agents=2)) == ()


def test_a_replay_decides_the_same_and_another_seed_does_not(tmp_path) -> None:
    recorded(tmp_path / "trace")
    trace = read_trace(tmp_path / "trace")
    assert replay(trace, new_agent()) == ()
    differences = replay(trace, new_agent(seed=1))
    assert {"action", "plan"} <= {one.part for one in differences}
    first = differences[0]
    assert (first.episode, first.step) == (0, 0) and first.recorded != first.replayed


def test_what_cannot_be_replayed_is_said(tmp_path) -> None:
    recorded(tmp_path / "blind", TraceConfig())
    with pytest.raises(ForethoughtError, match="observations were not kept"):
        replay(read_trace(tmp_path / "blind"), new_agent())
    recorded(tmp_path / "trace")
    trace = read_trace(tmp_path / "trace")
    used = new_agent()
    walk(used, 1)
    with pytest.raises(ForethoughtError, match="has acted already"):
        replay(trace, used)
    with pytest.raises(ForethoughtError, match="num_agents=2"):
        replay(trace, new_agent(num_agents=2))
    late = replace(trace, records=trace.records[2:])
    with pytest.raises(ForethoughtError, match="episode 0, step 2 where"):
        replay(late, new_agent())


def test_an_agent_may_be_traced_when_it_has_begun(tmp_path) -> None:
    """Its plan under way is written with the first decision that is recorded."""
    agent = new_agent()
    walk(agent, 1)
    with TraceWriter(tmp_path / "trace") as writer:
        made = walk(Traced(agent, writer), 2)
    trace = read_trace(tmp_path / "trace")
    assert trace.records == tuple(made) and trace.records[0].plan_step == 1


def test_what_was_wanted_at_each_step_is_kept(tmp_path) -> None:
    """An agent that is told to want something else says so from then on; a replay cannot."""
    agent = new_agent()
    with TraceWriter(tmp_path / "trace", KEPT) as writer:
        traced = Traced(agent, writer)
        made = walk(traced, 2)
        agent.seek(2.0 * cost.effort())
        made += walk(traced, 3)
        assert "effort" in traced.explain()
    trace = read_trace(tmp_path / "trace")
    assert [one.cost for one in trace.records] == [one.cost for one in made]
    told = [trace.explain(one) for one in trace.records]
    assert ["squared action" in one for one in told] == [False, False, True, True, True]
    with pytest.raises(ForethoughtError, match="from episode 0, step 2 on"):
        replay(trace, new_agent())
    assert replay(replace(trace, records=trace.records[:2]), new_agent()) == ()


def test_reflexes_have_no_plan_of_others() -> None:
    """Of two agents in lockstep one acts by reflex while the other deliberates."""
    agent = new_agent(num_agents=2)
    decision = agent.act_batch({STATE: np.zeros((2, 2), np.float32)})
    retrospect = Retrospect(None)
    retrospect.note(replace(decision, modes=np.array([1, 2])), agent.cost)
    reflex, planned = retrospect.records()
    assert (reflex.mode, reflex.plan) == (1, None) and planned.mode == 2
    assert planned.plan is not None
    assert "by reflex (mode 1)" in explain(reflex, agent.header)
    assert "deliberated (mode 2)" in explain(planned, agent.header)


def test_odd_numbers_survive_json() -> None:
    (record,) = (lambda agent: (walk(agent, 1), agent.records())[1])(new_agent())
    assert record.plan is not None
    plan = replace(
        record.plan,
        energy=math.inf,
        terms={"nan": -math.inf},
        spread=((0.1, 0.2, 0.3),),
        above=record.plan,
    )
    odd = replace(record, plan=plan, action=(3,), reads={"episodes": [{"step": 4}]})
    content = json.loads(json.dumps(as_json(odd), allow_nan=False))
    again = record_from_json(content, plan_from_json(content["plan"]))
    assert again == odd and isinstance(again.action[0], int)


# ------------------------------------------------------------------------- what goes wrong

KILLED = """
import torch
from point import Point, point_agent, point_model
from forethought import cost
from forethought.traces import Traced, TraceConfig, TraceWriter
torch.set_num_threads(1)
rail = cost.guardrail("position.x", below=2.0, risk=0.05, name="wall")
agent = point_agent(point_model(), (3.0, 1.0), guardrails=[rail])
traced = Traced(agent, TraceWriter({path!r}, TraceConfig(observations=True)))
world = Point()
while True:
    world.push(traced.act(world.observe()).action)
    print("decided", flush=True)
"""


def test_a_killed_writer_leaves_all_that_was_decided(tmp_path) -> None:
    """SIGKILL while it acts: every decision whose action has left can be read and replayed."""
    program = KILLED.format(path=str(tmp_path / "trace"))
    paths = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    environment = {**os.environ, "PYTHONPATH": paths}
    left = 0
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout is not None
        for _ in process.stdout:
            left += 1
            if left == 7:
                process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    trace = read_trace(tmp_path / "trace")
    assert len(trace.records) in (left, left + 1)
    assert replay(trace, new_agent()) == ()


@pytest.mark.parametrize("cut", [1, 30, 500])
def test_a_last_line_that_was_cut_off_is_left_out(tmp_path, cut: int) -> None:
    made = recorded(tmp_path / "trace", TraceConfig())
    file = tmp_path / "trace" / "trace.jsonl"
    file.write_bytes(file.read_bytes()[:-cut])
    with pytest.warns(RecordingWarning, match=r"trace\.jsonl:9: the last line was cut off"):
        trace = read_trace(tmp_path / "trace")
    assert trace.records == tuple(made[:-1])


def test_a_last_decision_that_lacks_agents_is_left_out(tmp_path) -> None:
    with TraceWriter(tmp_path / "trace") as writer:
        traced = Traced(new_agent(num_agents=2), writer)
        for _ in range(2):
            traced.act_batch({STATE: np.zeros((2, 2), np.float32)})
    file = tmp_path / "trace" / "trace.jsonl"
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:-1]))
    with pytest.warns(RecordingWarning, match="lacks some of the agents"):
        assert len(read_trace(tmp_path / "trace").records) == 2


@pytest.mark.parametrize("harm", [b"{}", b"\x00\xff", b'{"decision": {"agent": 0}}', b""])
def test_other_damage_is_named_with_its_line(tmp_path, harm: bytes) -> None:
    recorded(tmp_path / "trace", TraceConfig())
    file = tmp_path / "trace" / "trace.jsonl"
    lines = file.read_bytes().splitlines()
    lines[3] = harm
    file.write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(ForethoughtError, match=r"trace\.jsonl:4: the line is damaged"):
        read_trace(tmp_path / "trace")


def test_no_trace_and_other_versions_are_said(tmp_path) -> None:
    with pytest.raises(ForethoughtError, match="no trace here"):
        read_trace(tmp_path)
    recorded(tmp_path / "trace", TraceConfig())
    with pytest.raises(ForethoughtError, match="there already"):
        TraceWriter(tmp_path / "trace")
    file = tmp_path / "trace" / "trace.jsonl"
    file.write_bytes(file.read_bytes().replace(b'"format": 1', b'"format": 7', 1))
    with pytest.raises(ForethoughtError, match="found trace format 7, this version reads 1"):
        read_trace(tmp_path / "trace")


class Filling:
    """A file on a disk that has room for so many bytes more."""

    def __init__(self, file, room: float) -> None:
        self._file, self.room = file, room

    def write(self, content) -> int:
        if self.room <= 0:
            raise OSError(28, "No space left on device")
        written = self._file.write(content[: int(min(self.room, len(content)))])
        self.room -= written
        return written

    def __getattr__(self, name: str):
        return getattr(self._file, name)


def test_a_full_disk_is_an_error_that_carries_the_decision(tmp_path) -> None:
    """What was half written is taken back, so that recording can go on when there is room."""
    with TraceWriter(tmp_path / "trace") as writer:
        traced = Traced(new_agent(), writer)
        walk(traced, 1)
        disk = Filling(writer._file, room=100)
        writer._file = disk  # type: ignore[assignment]
        with pytest.raises(RecordingError, match="No space left on device") as failed:
            traced.act(Point().observe())
        assert failed.value.decision is not None
        assert failed.value.decision.action.shape == (2,)
        disk.room = math.inf
        walk(traced, 1)
    assert [one.step for one in read_trace(tmp_path / "trace").records] == [0, 2]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_an_agent_that_is_told_to_goes_on_without_a_trace(tmp_path) -> None:
    alone = walk(new_agent(), 4)
    writer = TraceWriter(tmp_path / "trace", TraceConfig(go_on=True))
    traced = Traced(new_agent(), writer)
    writer.close()
    with (
        Path("/dev/full").open("wb", buffering=0) as writer._file,
        pytest.warns(RecordingWarning, match="Nothing more is recorded") as told,
    ):
        actions = [one.action for one in walk(traced, 4)]
    assert len(told) == 1 and actions == [one.action for one in alone]
    assert read_trace(tmp_path / "trace").records == ()


# ------------------------------------------------------------------------- why


def test_the_words_tell_what_was_weighed_and_what_was_changed(tmp_path) -> None:
    """A point that begins beyond the wall: no plan is feasible, and the fallback acts."""
    agent = new_agent()
    with pytest.raises(ForethoughtError, match="let it act first"):
        agent.explain()
    agent.act({STATE: np.array([9.0, 0.0], np.float32)})
    (record,) = agent.records()
    told = agent.explain()
    assert record.plan is not None and not record.plan.feasible
    assert f"goal  {record.plan.terms['goal']:.4g}" in told
    assert "no candidate kept within every guardrail" in told
    assert "the fallback took over (violate least), since it would have violated wall by" in told
    walls = [line.split() for line in told.splitlines() if line.startswith("wall")]
    assert [wall[1:3] for wall in walls if wall[1] != "risk"] == [
        ["-7", f"{min(record.plan.margins['wall']):.4g}"]
    ]


def test_surprise_is_held_against_what_was_usual() -> None:
    """A world as foreseen, far from the wall, then one push by somebody else."""
    agent, world = new_agent(), Point((-40.0, 0.0))
    for _ in range(14):
        world.push(agent.act(world.observe()).action)
    assert len(agent.usual()) == 6
    assert "where" not in agent.explain().split("Surprise")[1]
    world.place = world.place + 1
    agent.act(world.observe())
    assert agent.records()[0].surprise == pytest.approx(1.0, rel=0.2)
    assert "more than 100 % of the 6 before" in agent.explain()


def test_a_deadline_and_memory_reads_are_told(tmp_path) -> None:
    log = ReadLog()
    times = iter(range(10**6))
    slow = new_agent(now=lambda: float(next(times)))
    with TraceWriter(tmp_path / "trace") as writer:
        traced = Traced(slow, writer, reads=log)
        log.note("episodes", [{"episode": 3, "step": 12}])
        traced.act(Point().observe())
        assert "episodes: {'episode': 3, 'step': 12}" in traced.explain()
        traced.act(Point().observe())
    first, second = read_trace(tmp_path / "trace").records
    assert first.reads == {"episodes": {"episode": 3, "step": 12}} and second.reads == {}
    trace = read_trace(tmp_path / "trace")
    late = replace(trace, header=replace(trace.header, deadline_s=0.5))
    assert f"of 500 ms: {1000 * first.seconds - 500:.3g} ms late." in late.explain(first)
    assert traced.explain() == trace.explain(second)


def test_a_trace_becomes_a_table(tmp_path) -> None:
    from pyarrow import parquet

    made = recorded(tmp_path / "trace")
    table = parquet.read_table(to_parquet(read_trace(tmp_path / "trace"), tmp_path / "t.parquet"))
    assert table["action"].to_pylist() == [list(one.action) for one in made]
    assert table["term.goal"].to_pylist() == [one.plan.terms["goal"] for one in made if one.plan]
    assert table["surprise"].to_pylist() == [one.surprise for one in made]
    assert json.loads(table.schema.metadata[b"forethought.trace"])["num_agents"] == 1


def test_a_trace_becomes_a_recording_for_rerun(tmp_path) -> None:
    pytest.importorskip("rerun")
    from rerun.chunk import RrdReader

    made = recorded(tmp_path / "trace")
    path = to_rerun(read_trace(tmp_path / "trace"), tmp_path / "trace.rrd")
    rows: dict[str, int] = {}
    for chunk in RrdReader(str(path)).stream():
        rows[chunk.entity_path] = rows.get(chunk.entity_path, 0) + chunk.num_rows
    assert rows["/agent_0/terms/goal"] == rows["/agent_0/why"] == len(made)
    assert rows["/agent_0/surprise"] == sum(one.surprise is not None for one in made)


def test_the_picture_shows_the_imagined_way(tmp_path) -> None:
    """The way's colour lies where the plan leads, and nowhere else on the camera's picture."""
    from PIL import Image

    (record,) = (lambda agent: (walk(agent, 1), agent.records())[1])(new_agent())
    grey = np.full((8, 8, 3), 200, np.uint8)
    assert record.plan is not None
    drawn, hidden = (
        np.asarray(Image.open(decision_picture(one, tmp_path / "p.png", background=grey)))
        for one in (
            record,
            replace(record, plan=replace(record.plan, quantities={"speed": ((0.0, 1.0),)})),
        )
    )

    def orange(picture: np.ndarray) -> int:
        third = picture[:, : picture.shape[1] // 3, :3].astype(int)
        return int((np.abs(third - (224, 138, 30)).max(-1) < 40).sum())

    assert orange(drawn) > 50 and orange(hidden) == 0
    with pytest.raises(ForethoughtError, match="was a reflex"):
        decision_picture(replace(record, plan=None), tmp_path / "p.png")


def test_the_command_tells_of_all_and_of_one(tmp_path, capsys) -> None:
    recorded(tmp_path / "trace")
    folder = str(tmp_path / "trace")
    assert main(["explain", folder, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["decisions"]
    places = [(row["episode"], row["step"]) for row in rows if row["changed_by"] is None]
    assert {(0, 0), (0, 2), (0, 4), (1, 0), (1, 2)} >= set(places) != set()
    picture = tmp_path / "why.png"
    assert main(["explain", folder, "--step", "2", "--picture", str(picture)]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "it deliberated (mode 2)" in told and picture.stat().st_size > 1000
    assert main(["explain", folder, "--step", "99"]) == 2
    assert "the last is step 2 of episode 1" in capsys.readouterr().err
    assert main(["explain", folder, "--picture", str(picture)]) == 2
    assert "say which with --step" in capsys.readouterr().err
