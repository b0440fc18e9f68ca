"""Associative memory: slots that are written and read by what they are about.

A slot is addressed by content: what is to be found is compared with the slots' keys, and each slot
answers as far as it matches. It holds one content for each of several relations (where, whose,
before), so that a content that was read addresses the next slot, and chains are followed by reading
again. Writing first takes away what was there, as far as a gate says, and then adds what is new, as
far as another says: slots that do not match stay as they are.

The slots are the third-order memory of Schlag and Schmidhuber (2018), with the gates that recurrent
entity networks have (Henaff et al., 2017) and addresses of length one, so that what was written
fully is read back exactly. Since writing is linear in what is there, a whole story is written in
one triangular solve (:meth:`SlotMemory.trace`; the delta rule in its parallel form, Yang et al.,
2024) where learning would otherwise go step by step; acting goes step by step
(:meth:`SlotMemory.write`). Both give the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from forethought.config import register
from forethought.types import ForethoughtError


@register
@dataclass(frozen=True, kw_only=True)
class SlotMemoryConfig:
    """Size of a memory of slots.

    Attributes:
        slots: how many there are.
        relations: how many contents a slot can tell apart.
        width: d of a content.

    Raises:
        ForethoughtError: a size below one.
    """

    slots: int = 48
    relations: int = 16
    width: int = 48

    def __post_init__(self) -> None:
        if min(self.slots, self.relations, self.width) < 1:
            raise ForethoughtError(
                f"a memory needs at least one slot, relation and number of content; found "
                f"slots={self.slots}, relations={self.relations}, width={self.width}."
            )

    def build(self) -> SlotMemory:
        """A memory of this size."""
        return SlotMemory(self)


@dataclass(frozen=True, kw_only=True)
class SlotState:
    """What a memory holds; writing returns a new one.

    Attributes:
        slots: ``(b, s, r, d)`` one content for each slot and relation.
    """

    slots: Float[Tensor, "b s r d"]


@dataclass(frozen=True, kw_only=True)
class Writes:
    """What is written, one after another; see :meth:`SlotMemory.writes`.

    Attributes:
        address: ``(b, w, s)`` which slots, of length one.
        relation: ``(b, w, r)`` under which relation, of length one.
        source: ``(b, w, r)`` the relation whose content of the same slots is written besides the
            value; zeros for none.
        value: ``(b, w, d)`` what is written.
        gate: ``(b, w, 1)`` how much of it, from 0 to 1.
        erase: ``(b, w, 1)`` how much of what was there goes, from 0 to 1.
    """

    address: Float[Tensor, "b w s"]
    relation: Float[Tensor, "b w r"]
    source: Float[Tensor, "b w r"]
    value: Float[Tensor, "b w d"]
    gate: Float[Tensor, "b w 1"]
    erase: Float[Tensor, "b w 1"]

    def at(self, index: slice | Tensor) -> Writes:
        """Some of them, by their place in the order."""
        parts = {one.name: getattr(self, one.name)[:, index] for one in fields(self)}
        return Writes(**parts)

    def where(self, said: Bool[Tensor, "b w"]) -> Writes:
        """The same, but that those which are not said change nothing."""
        kept = said.unsqueeze(-1).to(self.gate)
        return replace(self, gate=self.gate * kept, erase=self.erase * kept)


@dataclass(frozen=True, kw_only=True)
class Trace:
    """All that was ever written, kept apart by when; what slots hold at any time is their sum.

    Attributes:
        address: ``(b, w, s)`` as it was written.
        relation: ``(b, w, r)`` as it was written.
        change: ``(b, w, d)`` by how much each write changed the content.
    """

    address: Float[Tensor, "b w s"]
    relation: Float[Tensor, "b w r"]
    change: Float[Tensor, "b w d"]

    def until(self, last: int) -> SlotState:
        """What the slots hold after the first so many writes."""
        places = _places(self.address[:, :last], self.relation[:, :last])
        slots = places.transpose(1, 2) @ self.change[:, :last]
        sizes = self.address.shape[-1], self.relation.shape[-1]
        return SlotState(slots=slots.unflatten(1, sizes))


class SlotMemory(nn.Module):
    """See the module; its only weights are the keys of the slots.

    Attributes:
        config: its size.
        keys: ``(s, d)`` what each slot is about; orthonormal to begin with, as far as they can be.
    """

    def __init__(self, config: SlotMemoryConfig) -> None:
        super().__init__()
        self.config = config
        self.keys = nn.Parameter(torch.eye(config.slots, config.width))

    def empty(self, number: int) -> SlotState:
        """A memory of so many agents or stories that holds nothing."""
        size = self.config
        return SlotState(slots=self.keys.new_zeros(number, size.slots, size.relations, size.width))

    def address(self, content: Float[Tensor, "*n d"]) -> Float[Tensor, "*n s"]:
        """Which slots a content is about: how it matches their keys, of length one."""
        return functional.normalize(content @ self.keys.T, dim=-1)

    def write(self, state: SlotState, writes: Writes) -> SlotState:
        """The memory after some writes, one after another."""
        slots = state.slots
        for step in range(writes.value.shape[1]):
            one = writes.at(slice(step, step + 1))
            change = one.value + _content(slots, one.address, one.source)
            change = one.gate * change - one.erase * _content(slots, one.address, one.relation)
            places = _places(one.address, one.relation).transpose(1, 2)
            slots = torch.baddbmm(slots.flatten(1, 2), places, change).view_as(slots)
        return replace(state, slots=slots)

    def read(
        self,
        state: SlotState,
        address: Float[Tensor, "b q s"],
        relation: Float[Tensor, "b q r"],
    ) -> Float[Tensor, "b q d"]:
        """What slots hold under a relation."""
        return _content(state.slots, address, relation)

    def trace(self, writes: Writes) -> Trace:
        """The same as :meth:`write` from an empty memory, for all times at once.

        How much a write changes depends linearly on how much those before it changed.
        """
        same = writes.address @ writes.address.transpose(1, 2)
        relations = writes.relation.transpose(1, 2)
        gone = writes.erase * (writes.relation @ relations)
        moved = writes.gate * (writes.source @ relations)
        change = torch.linalg.solve_triangular(
            (same * (gone - moved)).tril(-1),
            writes.gate * writes.value,
            upper=False,
            unitriangular=True,
        )
        return Trace(address=writes.address, relation=writes.relation, change=change)

    def recall(
        self,
        trace: Trace,
        address: Float[Tensor, "b q s"],
        relation: Float[Tensor, "b q r"],
        known: Bool[Tensor, "b q w"],
    ) -> Float[Tensor, "b q d"]:
        """The same as :meth:`read`, of what the slots held when some of it was written.

        Args:
            trace: all that is written.
            address: what is asked about.
            relation: and what of it.
            known: the writes that came before each question.
        """
        match = (address @ trace.address.transpose(1, 2)) * (
            relation @ trace.relation.transpose(1, 2)
        )
        return (match * known) @ trace.change


def _content(
    slots: Float[Tensor, "b s r d"],
    address: Float[Tensor, "b q s"],
    relation: Float[Tensor, "b q r"],
) -> Float[Tensor, "b q d"]:
    return _places(address, relation) @ slots.flatten(1, 2)


def _places(
    address: Float[Tensor, "b q s"], relation: Float[Tensor, "b q r"]
) -> Float[Tensor, "b q sr"]:
    """How much each relation of each slot is meant."""
    return (address.unsqueeze(-1) * relation.unsqueeze(-2)).flatten(2)
