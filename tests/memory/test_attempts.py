"""What was tried in vain is remembered, and what came about late is not held against it."""

from __future__ import annotations

import pytest
import torch

from forethought.cost import LatentDistance
from forethought.memory import Attempts, AttemptsConfig
from forethought.types import ForethoughtError


def place(*values: float) -> torch.Tensor:
    return torch.tensor(values).view(-1, 1, 1)


def walked(config: AttemptsConfig, *path: float) -> Attempts:
    """One agent that sets out from 0 for 4, two model steps away, and walks like this."""
    memory = Attempts(config=config, distance=LatentDistance())
    memory = memory.set_out(place(0.0), place(4.0), steps=2)
    for at in path:
        memory = memory.arrive(place(at))
    return memory


def test_an_attempt_is_judged_when_its_time_is_up_and_not_before() -> None:
    config = AttemptsConfig(patience=1.5, share=0.5)
    assert not len(walked(config, 0.1, 0.2).in_vain[0])
    tried = walked(config, 0.1, 0.2, 0.3)
    torch.testing.assert_close(tried.in_vain[0], torch.tensor([0.0, 4.0]).view(1, 2, 1, 1))
    assert not tried.pending
    torch.testing.assert_close(walked(config, 0.1, 0.2, 0.3, 0.4).in_vain, tried.in_vain)


@pytest.mark.parametrize("path", [(0.1, 2.5, 0.0), (3.0, 3.5, 4.0), (0.0, 0.0, 2.1)])
def test_who_came_nearer_at_some_time_has_not_failed(path: tuple[float, ...]) -> None:
    assert not len(walked(AttemptsConfig(share=0.5), *path).in_vain[0])


def test_each_agent_has_its_own_account_and_short_ways_prove_nothing() -> None:
    memory = Attempts(config=AttemptsConfig(patience=1.0, least=0.5), distance=LatentDistance())
    memory = memory.set_out(place(0.0, 1.0, 2.0), place(1.0, 2.0, 2.4), steps=1)
    memory = memory.arrive(place(1.0, 1.0, 2.0))
    assert [len(pairs) for pairs in memory.in_vain] == [0, 1, 0]
    memory = memory.set_out(place(5.0, 5.0, 5.0), place(7.0, 7.0, 7.0), steps=1)
    memory = memory.arrive(place(5.0, 5.0, 7.0))
    assert [len(pairs) for pairs in memory.in_vain] == [1, 2, 0]
    torch.testing.assert_close(memory.in_vain[1][:, :, 0, 0], torch.tensor([[1.0, 2], [5, 7]]))


def test_settings_that_judge_too_soon_are_refused() -> None:
    for wrong in ({"patience": 0.5}, {"share": 0.0}, {"share": 1.5}):
        with pytest.raises(ForethoughtError, match="patience"):
            AttemptsConfig(**wrong)
