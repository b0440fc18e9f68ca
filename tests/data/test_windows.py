"""Laws of windows: every row is the right one, and none is of another episode."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from parts import signature

from forethought.data import EpisodeArrays, WindowConfig, WindowSampler
from forethought.types import STATE, ForethoughtError, Windows

configs = st.builds(
    WindowConfig,
    length=st.integers(1, 5),
    action_block=st.integers(1, 4),
    frame_stack=st.integers(1, 3),
    frame_gap=st.integers(1, 3),
    whole_history=st.booleans(),
)


def arrays(lengths: list[int], *, discrete: bool = False) -> EpisodeArrays:
    """The state says (episode, row, global row); the action says the same, or row modulo 3."""
    episode = np.repeat(np.arange(len(lengths)), lengths)
    row = np.concatenate([np.arange(n) for n in lengths])
    table = torch.from_numpy(np.stack([episode, row, np.arange(len(row))], 1)).float()
    return EpisodeArrays(
        signature=signature(discrete=discrete),
        observation={STATE: table},
        action=torch.from_numpy(row % 3) if discrete else table[:, :2],
        offsets=torch.tensor([0, *np.cumsum(lengths)]),
        episodes=tuple(10 + i for i in range(len(lengths))),
    )


def long_enough(lengths: list[int], config: WindowConfig) -> list[int]:
    return [n for n in lengths if n >= config.rows] + [config.rows + max(lengths, default=0)]


def check_rows(clips: Windows, config: WindowConfig, lengths: list[int]) -> None:
    """Everything about clips, element by element, from the definition."""
    for i in range(len(clips.step)):
        episode, start = int(clips.episode[i]) - 10, int(clips.step[i])
        assert start + config.span <= lengths[episode] - 1
        for j in range(config.length):
            row = start + j * config.action_block
            for k in range(config.frame_stack):
                before = row - (config.frame_stack - 1 - k) * config.frame_gap
                assert before >= 0 or not config.whole_history
                frame = max(0, before)
                assert clips.observation[STATE][i, j, k, :2].tolist() == [episode, frame]
            if j < config.length - 1:
                taken = [[episode, row + step] for step in range(config.action_block)]
                assert clips.actions[i, j].tolist() == [value for row in taken for value in row]
                assert taken[-1][1] < lengths[episode] - 1


@given(lengths=st.lists(st.integers(2, 25), max_size=5), config=configs, seed=st.integers(0, 99))
def test_clips_never_cross_an_episode(lengths: list[int], config: WindowConfig, seed: int) -> None:
    lengths = long_enough(lengths, config)
    sampler = WindowSampler(arrays(lengths), config)
    check_rows(sampler.sample(16, torch.Generator().manual_seed(seed)), config, lengths)
    episodes, steps = sampler.starts()
    first = (config.frame_stack - 1) * config.frame_gap if config.whole_history else 0
    expected = [(e, s) for e, n in enumerate(lengths) for s in range(first, n - config.span)]
    assert list(zip(episodes.tolist(), steps.tolist(), strict=True)) == expected
    assert sampler.num_windows == len(expected)
    check_rows(sampler.at(episodes, steps), config, lengths)


def test_every_clip_is_as_likely(rounds: int = 40_000) -> None:
    sampler = WindowSampler(arrays([4, 10, 6]), WindowConfig(length=2, action_block=2))
    clips = sampler.sample(rounds, torch.Generator().manual_seed(0))
    keys = clips.episode * 100 + clips.step
    counts = torch.unique(keys, return_counts=True)[1].double()
    assert len(counts) == sampler.num_windows == 2 + 8 + 4
    expected = rounds / sampler.num_windows
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert chi_square < 40  # 13 degrees of freedom: exceeded with chance 1e-4


def test_batches_of_all_clips_are_all_clips() -> None:
    sampler = WindowSampler(arrays([4, 10, 6]), WindowConfig(length=2, action_block=2))
    parts = list(sampler.rows(5))
    assert [len(episodes) for episodes, _ in parts] == [5, 5, 4]
    assert torch.equal(torch.cat([steps for _, steps in parts]), sampler.starts()[1])


def test_choices_become_one_hot() -> None:
    sampler = WindowSampler(arrays([8], discrete=True), WindowConfig(length=3, action_block=2))
    actions = sampler.at(torch.tensor([0]), torch.tensor([1])).actions
    assert actions.shape == (1, 2, 6)
    assert actions.dtype == torch.float32
    chosen = actions.unflatten(-1, (2, 3))
    assert torch.equal(chosen.sum(-1), torch.ones(1, 2, 2))
    assert chosen.argmax(-1).flatten().tolist() == [1, 2, 0, 1]


def test_the_generator_is_the_only_randomness() -> None:
    sampler = WindowSampler(arrays([30, 40]), WindowConfig(length=3, action_block=2))
    one, two = (sampler.sample(8, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(one.step, two.step)
    assert torch.equal(one.episode, two.episode)


def test_short_episodes_are_said() -> None:
    with pytest.warns(UserWarning, match=r"2 of 3 episodes .*\[10, 12\]"):
        sampler = WindowSampler(arrays([4, 10, 3]), WindowConfig(length=3, action_block=2))
    assert set(sampler.starts()[0].tolist()) == {1}
    with pytest.raises(ForethoughtError, match=r"needs 21 rows.*longest of 3 episodes has 10"):
        WindowSampler(arrays([4, 10, 3]), WindowConfig(length=11, action_block=2))


def test_clips_that_are_none_are_refused() -> None:
    sampler = WindowSampler(arrays([6, 6]), WindowConfig(length=3, action_block=2))
    for episode, step in ((0, 2), (2, 0), (0, -1)):
        with pytest.raises(ForethoughtError, match=f"row {step} of loaded episode {episode}"):
            sampler.at(torch.tensor([0, episode]), torch.tensor([0, step]))
    with pytest.raises(ForethoughtError, match="action_block is 0"):
        WindowConfig(length=2, action_block=0)
