"""Tasks are what they say: unsolved, as far as told, as recorded, the same for everyone."""

from __future__ import annotations

import numpy as np
import pytest

from forethought import worlds
from forethought.data.record import TRUTH
from forethought.evaluation import (
    DrawnTasks,
    HoldStill,
    Oracle,
    PlanningProtocol,
    RandomActions,
    RecordedTasks,
    TasksAtDistance,
    evaluate,
    stable_worldmodel,
)
from forethought.types import Decision, ForethoughtError
from forethought.worlds.picture import CAMERA


class Still:
    """An agent that does nothing."""

    def __init__(self, count: int, dim: int = 2) -> None:
        self.actions = np.zeros((count, dim), np.float32)

    def act_batch(self, observation) -> Decision:
        off = np.full(len(self.actions), np.nan, np.float32)
        return Decision(
            action=self.actions,
            mode=1,
            plan=None,
            plan_step=0,
            surprise=off,
            shielded=np.zeros(len(off), bool),
            seconds=0.0,
        )


def measured(protocol: PlanningProtocol, name: str = "two_rooms", **settings):
    """Of an agent that does nothing."""
    return evaluate(
        lambda goals, count: Still(count),
        lambda count: worlds.make(name, count),
        protocol,
        visible=False,
        **settings,
    )


def test_tasks_are_as_far_as_they_say_and_as_many_of_each() -> None:
    world = worlds.make("two_rooms", 1)
    tasks = TasksAtDistance(distances=(10, 30, 45), tolerance=2).draw(world, count=31, seed=9)
    tasks.begin(world)
    lengths = world.path_length()
    assert [int(mask.sum()) for mask in tasks.bands.values()] == [11, 10, 10]
    for distance, mask in zip((10, 30, 45), tasks.bands.values(), strict=True):
        assert (np.abs(lengths[mask] - distance) <= 2).all()
    assert len(set(tasks.seeds)) == 31 and not world.succeeded().any()
    with pytest.raises(ForethoughtError, match="the farthest goal is"):
        TasksAtDistance(distances=(10, 300)).draw(world, count=4, seed=9)


def test_unknown_path_lengths_are_refused() -> None:
    world = worlds.make("point_hazards", 1)
    with pytest.raises(ForethoughtError, match="does not know how long its paths are"):
        TasksAtDistance().draw(world, count=2, seed=0)


def test_recorded_tasks_begin_and_end_where_the_recording_did(recorded) -> None:
    """Start and goal are the recorded pictures, of the episodes that were asked for."""
    world = worlds.make("two_rooms", 1)
    chosen = (3, 7, 11)
    tasks = RecordedTasks(data=recorded, episodes=chosen, steps=(10, 30))
    drawn = tasks.draw(world, count=12, seed=5)
    seen = drawn.begin(world)[CAMERA].astype(int)
    goals, later = world.goal()[CAMERA].astype(int), drawn.bands["30 steps"]
    assert {episode for episode, _ in drawn.origins} <= set(chosen) and later.sum() == 6
    for i, (episode, row) in enumerate(drawn.origins):
        frames = recorded.episode(episode).observation[CAMERA].astype(int)
        assert np.abs(seen[i] - frames[row]).max() <= 1
        assert np.abs(goals[i] - frames[row + (30 if later[i] else 10)]).max() <= 1
    assert not world.succeeded().any() and drawn.held_out
    again = tasks.draw(world, count=12, seed=5)
    assert again.origins == drawn.origins


def test_the_protocol_of_stable_worldmodel_draws_as_its_script_does(recorded) -> None:
    """The rows are those of its own few lines of NumPy; solved starts stay, and it is said."""
    protocol = stable_worldmodel(recorded, episodes=30)
    results = measured(protocol, floors=[RandomActions(), HoldStill()])
    length, offset = 80, 25
    step = np.tile(np.arange(length), recorded.num_episodes)
    valid = np.nonzero(step <= length - offset - 1)[0]
    rows = np.sort(valid[np.random.default_rng(42).choice(len(valid), size=30, replace=False)])
    assert results.tasks.origins == tuple((row // length, row % length) for row in rows.tolist())
    assert (protocol.budget, results.protocol.hold) == (50, 1)
    solved = results.tasks.solved.sum()
    assert solved > 0 and sum(results.ever) == solved, "doing nothing meets what is met already"
    said = " ".join(results.remarks())
    for part in ("not held out", f"{solved} of 30 starts", "random ", "hold still", "last step"):
        assert part in said
    assert results.to_json()["remarks"] == results.remarks()


def test_held_out_unsolved_tasks_have_nothing_to_remark() -> None:
    results = measured(PlanningProtocol(episodes=8, budget=70, traces=0, latency_decisions=2))
    assert results.remarks() == []
    (late,) = measured(
        PlanningProtocol(
            episodes=4,
            budget=10,
            traces=0,
            latency_decisions=2,
            tasks=TasksAtDistance(distances=(30,)),
        )
    ).remarks()[:1]
    assert "4 of 4 goals cannot be met within 10 steps" in late


@pytest.mark.parametrize("name", ["two_rooms_hazards", "two_rooms_told", "rooms_maze"])
def test_worlds_that_cannot_be_put_back_say_so(name, recorded) -> None:
    with pytest.raises(ForethoughtError, match="cannot be"):
        RecordedTasks(data=recorded, episodes=None).draw(worlds.make(name, 2), count=2, seed=0)


def test_recordings_without_truth_are_refused(recorded) -> None:
    class Blind:
        path, signature = recorded.path, worlds.make("two_rooms", 1).signature

    tasks = RecordedTasks(data=Blind(), episodes=None)  # type: ignore[arg-type]
    with pytest.raises(ForethoughtError, match=TRUTH):
        tasks.draw(worlds.make("two_rooms", 1), count=2, seed=0)
    with pytest.raises(ForethoughtError, match="moments have another 79 steps"):
        RecordedTasks(data=recorded, episodes=(1,), steps=(79,)).draw(
            worlds.make("two_rooms", 1), count=2, seed=0
        )


@pytest.mark.parametrize(
    "name", ["two_rooms", "two_rooms_random", "point_hazards", "reacher_joints"]
)
def test_a_world_that_is_put_back_goes_on_as_it_did(name) -> None:
    """By truth alone: the same observations and successes under the same actions as before."""
    one, other = worlds.make(name, 3), worlds.make(name, 3)
    one.reset([5, 6, 7])
    draw = np.random.default_rng(0)
    spec = one.signature.action
    moves = draw.uniform(spec.low, spec.high, (12, 3, spec.dim)).astype(np.float32)
    for move in moves[:6]:
        one.step(move)
    goal = {**one.truth(), **one.goal_truth()}
    other.reset([15, 16, 17])
    seen = other.place(one.truth(), goal)
    for key, value in one.observe().items():
        np.testing.assert_allclose(seen[key], value, atol=1e-6)
        np.testing.assert_allclose(other.goal()[key], one.goal()[key], atol=1e-6)
    np.testing.assert_array_equal(other.path_length(), one.path_length())
    for move in moves[6:]:
        seen, expected = other.step(move), one.step(move)
        for key, value in expected.items():
            np.testing.assert_allclose(seen[key], value, atol=1e-6)
        np.testing.assert_array_equal(other.succeeded(), one.succeeded())


# ------------------------------------------------------------------- who does them beside the agent


def test_everyone_does_the_same_tasks_and_is_kept_episode_by_episode() -> None:
    """Doing nothing twice, as agent and as floor, comes to the same in every episode."""
    protocol = PlanningProtocol(episodes=10, budget=60, traces=0, latency_decisions=2)
    results = measured(protocol, floors=[RandomActions(), HoldStill()], ceilings=[Oracle()])
    names = [name for name, _ in results.everyone()]
    assert names == ["random floor", "hold still floor", "agent", "oracle ceiling"]
    assert results.floors[1].ever == results.acted.ever
    oracle = results.ceilings[0]
    assert oracle.ever == (True,) * 10
    np.testing.assert_array_equal(oracle.steps, results.distances)
    bands = {name: int(mask.sum()) for name, mask in results.bands.items()}
    assert sum(bands.values()) == 10 and list(results.agent.bands) == list(bands)
    content = results.to_json()
    assert content["floor"]["ever"]["value"] == results.floor.ever.value
    assert content["episodes"][0]["distance"] == results.distances[0]
    assert set(results.headline()) == {"agent", "floor", "ceiling"}


def test_a_ceiling_is_not_needed() -> None:
    """Worlds without a known controller are measured all the same."""
    results = measured(
        PlanningProtocol(episodes=3, budget=5, traces=0, latency_decisions=2), ceilings=[]
    )
    assert set(results.headline()) == {"agent", "floor"}
    with pytest.raises(ForethoughtError, match="no ceilings were measured"):
        assert results.ceiling


def test_holding_still_is_what_the_world_says_it_is() -> None:
    """The compass has an action for it; a cart on rails has none, and nobody guesses."""
    compass = worlds.make("two_rooms_compass", 4)
    seen = compass.reset([1, 2, 3, 4])
    act = HoldStill().begin(compass, 0)
    np.testing.assert_array_equal(compass.step(act(seen))[CAMERA], seen[CAMERA])
    with pytest.raises(ForethoughtError, match="does not say"):
        HoldStill().begin(worlds.make("cartpole", 1), 0)


def test_starts_that_are_all_solved_leave_nothing_to_draw() -> None:
    class Solved(worlds.TwoRooms):
        def succeeded(self) -> np.ndarray:
            return np.ones(self.num_worlds, bool)

    with pytest.raises(ForethoughtError, match="too easy"):
        DrawnTasks().draw(Solved(1), count=3, seed=0)
