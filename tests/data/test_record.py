"""Laws of recording: rows are what happened, and a kill changes nothing."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from parts import assert_same
from toy_world import Line

from forethought import data
from forethought.data.record import TRUTH
from forethought.types import STATE, ActionSpec, Episode, ForethoughtError, World


def recorded(
    path: Path, num_episodes: int, *, resume: bool = False, worlds: int = 3
) -> list[Episode]:
    dataset = data.record(
        Line(worlds),
        path,
        num_episodes=num_episodes,
        episode_length=20,
        seed=4,
        resume=resume,
        visible=False,
    )
    return [dataset.episode(i) for i in range(dataset.num_episodes)]


def test_a_row_holds_an_observation_and_what_was_done_on_it(tmp_path: Path) -> None:
    assert isinstance(Line(1), World)
    episodes = recorded(tmp_path / "d", 7)
    assert len(episodes) == 7
    for episode in episodes:
        x = episode.observation[STATE]
        np.testing.assert_allclose(x[1:], (x + episode.action)[:-1], rtol=1e-6)
        np.testing.assert_array_equal(episode.observation[TRUTH], 2 * x)
    assert len({float(episode.observation[STATE][0, 0]) for episode in episodes}) == 7


@pytest.mark.parametrize("before", [1, 3, 5])
def test_recorded_in_two_goes_is_recorded_in_one(tmp_path: Path, before: int) -> None:
    whole = recorded(tmp_path / "whole", 8)
    recorded(tmp_path / "d", before)
    resumed = recorded(tmp_path / "d", 8, resume=True)
    for found, expected in zip(resumed, whole, strict=True):
        assert_same(found, expected)
    assert len(recorded(tmp_path / "d", 8, resume=True)) == 8


PROGRAM = """
import sys
sys.path[:0] = {path!r}
from toy_world import Line
from forethought import data
data.record(Line(3, pause_s={pause_s}), {out!r}, num_episodes=60, episode_length=20, seed=4,
            resume=True, visible=False)
"""


def test_killed_again_and_again_the_recording_ends_the_same(tmp_path: Path) -> None:
    whole = recorded(tmp_path / "whole", 60)
    path, survived = tmp_path / "d", 0
    paths = [str(Path(__file__).parent), *sys.path]
    slow = PROGRAM.format(path=paths, out=str(path), pause_s=0.002)
    for delay_s in (0.0, 0.15, 0.3):
        with subprocess.Popen([sys.executable, "-c", slow]) as process:
            deadline = time.monotonic() + 60
            while not path.exists() and time.monotonic() < deadline:
                time.sleep(0.005)
            time.sleep(delay_s)
            process.kill()
        found = data.open(path).num_episodes if any(path.glob("_versions/*.manifest")) else 0
        assert found >= survived
        survived = found
    fast = PROGRAM.format(path=paths, out=str(path), pause_s=0.0)
    subprocess.run([sys.executable, "-c", fast], check=True, timeout=120)
    dataset = data.open(path)
    assert dataset.num_episodes == 60
    for index, expected in enumerate(whole):
        assert_same(dataset.episode(index), expected)


def test_another_recording_is_not_continued(tmp_path: Path) -> None:
    recorded(tmp_path / "d", 3)
    with pytest.raises(ForethoughtError, match="already"):
        recorded(tmp_path / "d", 6)
    with pytest.raises(ForethoughtError, match="num_worlds 3"):
        recorded(tmp_path / "d", 6, resume=True, worlds=2)


def test_a_world_that_breaks_is_named_and_what_was_finished_stays(tmp_path: Path) -> None:
    with pytest.raises(ForethoughtError, match=r"episode 2: 'observation\.state' holds NaN"):
        data.record(
            Line(2, broken_at=2),
            tmp_path / "d",
            num_episodes=6,
            episode_length=5,
            visible=False,
        )
    assert data.open(tmp_path / "d").num_episodes == 2


def test_nothing_to_record_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(ForethoughtError, match="episode_length=1"):
        data.record(Line(1), tmp_path / "d", num_episodes=3, episode_length=1)
    assert not (tmp_path / "d").exists()


class _Spec(Line):
    """The line, with another action."""

    def __init__(self, action: ActionSpec, num_worlds: int) -> None:
        super().__init__(num_worlds)
        self.signature = type(self.signature)(observation={}, action=action, rate_hz=1.0)


def test_persistent_actions_persist_and_keep_to_the_box() -> None:
    spec = ActionSpec(dim=2, low=(-1.0, 2.0), high=(1.0, 6.0))
    act = data.persistent_random(_Spec(spec, 50), seed=0, persistence_steps=5.0)
    actions = np.stack([act({}) for _ in range(400)])
    assert actions.dtype == np.float32
    assert (actions >= [-1, 2]).all()
    assert (actions <= [1, 6]).all()
    np.testing.assert_allclose(actions.mean((0, 1)), [0, 4], atol=0.1)
    centred = actions - actions.mean((0, 1))
    correlation = (centred[5:] * centred[:-5]).mean() / (centred**2).mean()
    assert correlation == pytest.approx(np.exp(-1), abs=0.08)


def test_persistent_choices_use_all_and_last() -> None:
    act = data.persistent_random(
        _Spec(ActionSpec(dim=1, num_choices=4), 50), seed=0, persistence_steps=5.0
    )
    actions = np.stack([act({}) for _ in range(400)])
    assert actions.dtype == np.int64
    assert set(np.unique(actions)) == {0, 1, 2, 3}
    # Kept, or drawn again: one draw in four is the same choice.
    expected = np.exp(-0.2) + (1 - np.exp(-0.2)) / 4
    assert (actions[1:] == actions[:-1]).mean() == pytest.approx(expected, abs=0.02)
