"""Slots keep what was written in them, and are the same whether written at once or in turn."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from forethought.memory import SlotMemory, SlotMemoryConfig, SlotState, Writes
from forethought.types import ForethoughtError

SIZE = SlotMemoryConfig(slots=6, relations=3, width=6)


def unit(*shape: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(*shape, generator=generator), dim=-1)


def some_writes(stories: int, number: int, seed: int = 0) -> Writes:
    """Anything, with everything that a write can do."""
    generator = torch.Generator().manual_seed(seed)
    return Writes(
        address=unit(stories, number, SIZE.slots, seed=seed + 1),
        relation=unit(stories, number, SIZE.relations, seed=seed + 2),
        source=unit(stories, number, SIZE.relations, seed=seed + 3),
        value=torch.randn(stories, number, SIZE.width, generator=generator),
        gate=torch.rand(stories, number, 1, generator=generator),
        erase=torch.rand(stories, number, 1, generator=generator),
    )


def into(slot: int, relation: int, value: torch.Tensor) -> Writes:
    """One full write into one slot."""
    return Writes(
        address=torch.eye(SIZE.slots)[slot].view(1, 1, -1),
        relation=torch.eye(SIZE.relations)[relation].view(1, 1, -1),
        source=torch.zeros(1, 1, SIZE.relations),
        value=value.view(1, 1, -1),
        gate=torch.ones(1, 1, 1),
        erase=torch.ones(1, 1, 1),
    )


def held(memory: SlotMemory, state: SlotState, slot: int, relation: int) -> torch.Tensor:
    one = into(slot, relation, torch.zeros(SIZE.width))
    return memory.read(state, one.address, one.relation).flatten()


def full() -> tuple[SlotMemory, SlotState]:
    memory = SIZE.build()
    return memory, memory.write(memory.empty(1), some_writes(1, 5))


def test_what_was_written_is_read_and_everything_else_stays() -> None:
    memory, before = full()
    value = torch.arange(6.0)
    after = memory.write(before, into(2, 1, value))
    torch.testing.assert_close(held(memory, after, 2, 1), value)
    others = torch.ones(SIZE.slots, SIZE.relations, dtype=torch.bool)
    others[2, 1] = False
    torch.testing.assert_close(after.slots[0, others], before.slots[0, others], rtol=0, atol=0)


def test_what_was_written_at_any_address_is_read_there() -> None:
    memory, before = full()
    write = some_writes(1, 1, seed=7)
    ones = torch.ones(1, 1, 1)
    write = replace(write, gate=ones, erase=ones, source=torch.zeros_like(write.source))
    after = memory.write(before, write)
    torch.testing.assert_close(memory.read(after, write.address, write.relation), write.value)


def test_closed_gates_change_nothing() -> None:
    memory, before = full()
    write = some_writes(1, 4, seed=3).where(torch.zeros(1, 4, dtype=torch.bool))
    torch.testing.assert_close(memory.write(before, write).slots, before.slots, rtol=0, atol=0)


def test_a_content_moves_to_another_relation_of_its_slot() -> None:
    memory, before = full()
    move = replace(
        into(4, 2, torch.zeros(SIZE.width)), source=torch.eye(SIZE.relations)[0].view(1, 1, -1)
    )
    after = memory.write(before, move)
    torch.testing.assert_close(held(memory, after, 4, 2), held(memory, before, 4, 0))
    torch.testing.assert_close(held(memory, after, 4, 0), held(memory, before, 4, 0))


def test_without_erasing_contents_add_up() -> None:
    memory = SIZE.build()
    add = replace(into(1, 1, torch.ones(SIZE.width)), erase=torch.zeros(1, 1, 1))
    state = memory.write(memory.write(memory.empty(1), add), add)
    torch.testing.assert_close(held(memory, state, 1, 1), torch.full((SIZE.width,), 2.0))


def test_permuting_slots_with_their_keys_permutes_what_they_hold() -> None:
    torch.manual_seed(0)
    memory, permuted = SIZE.build(), SIZE.build()
    order = torch.randperm(SIZE.slots)
    torch.nn.init.normal_(memory.keys)
    permuted.load_state_dict({"keys": memory.keys[order]})
    about, writes = torch.randn(1, 4, SIZE.width), some_writes(1, 4)
    states = [
        one.write(one.empty(1), replace(writes, address=one.address(about)))
        for one in (memory, permuted)
    ]
    torch.testing.assert_close(states[1].slots, states[0].slots[:, order])
    answers = [
        one.read(state, one.address(about), writes.relation)
        for one, state in zip((memory, permuted), states, strict=True)
    ]
    torch.testing.assert_close(answers[1], answers[0])


@torch.no_grad()
def test_all_at_once_equals_one_after_another() -> None:
    memory = SIZE.build()
    writes, asked = some_writes(3, 20), some_writes(3, 2, seed=5)
    trace = memory.trace(writes)
    for done in (0, 1, 7, 20):
        state = memory.write(memory.empty(3), writes.at(slice(0, done)))
        torch.testing.assert_close(trace.until(done).slots, state.slots, rtol=1e-4, atol=1e-5)
        known = (torch.arange(20) < done).expand(3, 2, 20)
        torch.testing.assert_close(
            memory.recall(trace, asked.address, asked.relation, known),
            memory.read(state, asked.address, asked.relation),
            rtol=1e-4,
            atol=1e-5,
        )


@torch.no_grad()
def test_a_batch_holds_what_its_stories_hold_one_by_one() -> None:
    memory, writes = SIZE.build(), some_writes(4, 6)
    together = memory.write(memory.empty(4), writes).slots
    for story in range(4):
        parts = {k: v[story : story + 1] for k, v in vars(writes).items()}
        alone = memory.write(memory.empty(1), Writes(**parts)).slots[0]
        torch.testing.assert_close(together[story], alone)


def test_a_long_story_passes_its_gradient_on_to_its_beginning() -> None:
    memory = SIZE.build()
    first = into(3, 0, torch.ones(SIZE.width))
    later = [into(step % 3, step % 3, torch.ones(SIZE.width)) for step in range(200)]
    whole = Writes(
        **{
            name: torch.cat([vars(one)[name] for one in (first, *later)], dim=1)
            for name in vars(first)
        }
    )
    value = whole.value.clone().requires_grad_()
    trace = memory.trace(replace(whole, value=value))
    known = torch.ones(1, 1, 201, dtype=torch.bool)
    memory.recall(trace, first.address, first.relation, known).sum().backward()
    assert value.grad is not None
    torch.testing.assert_close(value.grad[0, 0], torch.ones(SIZE.width))
    assert not value.grad[0, 1:].any()


def test_a_memory_of_nothing_is_refused() -> None:
    with pytest.raises(ForethoughtError, match="at least one slot"):
        SlotMemoryConfig(slots=0)
