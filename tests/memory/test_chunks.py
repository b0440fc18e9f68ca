"""What was done in the nearest recorded states, never beyond the end of an episode."""

from __future__ import annotations

import pytest
import torch

from forethought.data.windows import as_vectors
from forethought.learning import action_chunks
from forethought.learning.calibrating import arrays_of
from forethought.learning.latents import encode_rows
from forethought.memory import ActionChunks, chunks
from forethought.types import ForethoughtError, Proposer

LENGTHS = (30, 2, 41)


def recorded(generator: torch.Generator, *, block: int = 3, choice: int = 4) -> ActionChunks:
    """Three episodes, one of them too short for a model step; an action tells its row."""
    rows = sum(LENGTHS)
    ends = torch.tensor(LENGTHS).cumsum(0) - 1
    return ActionChunks(
        latents=torch.randn(rows, 2, 3, generator=generator),
        actions=torch.arange(rows).float()[:, None],
        last=ends.repeat_interleave(torch.tensor(LENGTHS)),
        block=block,
        choice=choice,
    )


@pytest.mark.parametrize("at_once", [7, 1000])
def test_the_nearest_are_those_that_comparing_with_each_finds(
    at_once, monkeypatch, generator
) -> None:
    """Among the rows from which a model step was taken, however many are compared at once."""
    monkeypatch.setattr(chunks, "CHUNK_ROWS", at_once)
    known = recorded(generator)
    wanted = torch.randn(4, 2, 3, generator=generator)
    found = known.nearest(wanted, 12)
    begins = [row for row, last in enumerate(known.last.tolist()) if row + 3 <= last]
    for world, rows in zip(wanted, found, strict=True):
        away = (known.latents[begins] - world).square().sum((1, 2))
        assert rows.tolist() == torch.tensor(begins)[away.argsort()[:12]].tolist()
    assert known.nearest(wanted, 1000).shape == (4, len(begins))


def test_what_is_proposed_followed_on_a_near_state_and_ends_with_its_episode(generator) -> None:
    """Two model steps of three world steps; the action in the last row led nowhere."""
    known = recorded(generator)
    wanted = known.latents[[5, 26, 69]]
    proposed = known(wanted, number=5, horizon=2, generator=generator)
    assert isinstance(known, Proposer) and proposed.shape == (3, 5, 2, 3)
    first = proposed[:, 0].flatten(1).int().tolist()
    assert first == [[5, 6, 7, 8, 9, 10], [26, 27, 28, 28, 28, 28], [69, 70, 71, 71, 71, 71]]
    ends = torch.tensor(LENGTHS).cumsum(0) - 1
    assert not torch.isin(proposed, ends.float()).any()
    for world, sequences in zip(wanted, proposed.flatten(2), strict=True):
        near = known.nearest(world[None], 20)[0]
        assert torch.isin(sequences[:, 0].long(), near).all()


def test_neighbours_are_drawn_alike_for_all_worlds_and_repeated_where_they_are_few(
    generator,
) -> None:
    """The same seed, the same draw; a world draws as if it were alone."""
    known = recorded(generator)
    wanted = torch.randn(3, 2, 3, generator=generator)

    def proposed(latents: torch.Tensor, number: int) -> torch.Tensor:
        draw = torch.Generator().manual_seed(5)
        return known(latents, number=number, horizon=1, generator=draw)

    assert torch.equal(proposed(wanted, 6)[1:2], proposed(wanted[1:2], 6))
    assert len(proposed(wanted, 6)[0, :, 0, 0].unique()) == 6
    many = proposed(wanted, 150)[0, :, 0, 0]
    assert len(many) == 150 and len(many.unique()) == 27 + 38


def test_episodes_without_a_model_step_are_refused(generator) -> None:
    with pytest.raises(ForethoughtError, match="42 rows that a model step needs"):
        recorded(generator, block=41)


def test_a_dataset_is_indexed_as_the_model_perceives_it(recorded, model, generator) -> None:
    """Asked about a recorded state, what is proposed first is what was done there."""
    known = action_chunks(model, recorded, [3, 5])
    arrays = arrays_of(model, recorded, [3, 5])
    assert torch.equal(known.latents, encode_rows(model.world_model, arrays))
    block = model.config.world_model.action_block
    for row in (0, 17, 80 + 9):
        proposed = known(known.latents[row : row + 1], number=2, horizon=3, generator=generator)
        done = as_vectors(arrays)[row : row + 3 * block].reshape(3, -1)
        torch.testing.assert_close(proposed[0, 0], done)
