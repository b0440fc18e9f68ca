"""A predictor that keeps what it saw in slots, and reads there what is out of sight.

A gated recurrent network has one hidden state that every step writes over; here a step writes to
the slots that it is about, and all others stay as they are, however long ago they were written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from forethought.config import register
from forethought.memory.slots import SlotMemoryConfig, SlotState, Writes
from forethought.perception.encoders import mlp
from forethought.types import ForethoughtError
from forethought.world_model.predictors import Predictor, PredictorConfig

Recall = Callable[[Tensor, Tensor], Tensor]
"""Addresses ``(n, q, s)`` and relations ``(n, q, r)`` to what the slots hold there."""


@register
@dataclass(frozen=True, kw_only=True)
class SlotPredictorConfig(PredictorConfig):
    """A memory of slots over a window of latents and actions.

    For worlds in which what was seen once matters much later. What lies further back than the
    window is forgotten, so it should span an episode.

    Attributes:
        memory: size of the memory.
        hidden: width of the layers between.
        window: model steps that are remembered.
        hops: how often the memory is read for a prediction, each time at what was read before.

    Raises:
        ForethoughtError: no window, or no hop.
    """

    memory: SlotMemoryConfig = field(
        default_factory=lambda: SlotMemoryConfig(slots=16, relations=4, width=32)
    )
    hidden: int = 128
    window: int = 32
    hops: int = 2

    def __post_init__(self) -> None:
        if min(self.window, self.hops) < 1:
            raise ForethoughtError(
                f"a memory of slots needs a window and a hop of at least 1; found "
                f"window={self.window}, hops={self.hops}."
            )

    def build(self, tokens: int, width: int, action_width: int) -> Predictor:
        """See :class:`PredictorConfig`."""
        return SlotPredictor(self, tokens * width, action_width)


class SlotPredictor(Predictor):
    """``s + readout(what was read, s, a)``; each step of the window writes before it is read."""

    def __init__(self, config: SlotPredictorConfig, width: int, action_width: int) -> None:
        super().__init__()
        size, hidden = config.memory, config.hidden
        self.window, self.hops = config.window, config.hops
        self.memory = size.build()
        self.entrance = nn.Linear(width + action_width, hidden)
        # An address, a value and a relation to write at, and two gates.
        self.write_sizes = (size.width, size.width, size.relations, 2)
        self.writing = nn.Linear(hidden, sum(self.write_sizes))
        self.read_sizes = (size.width, size.relations)
        self.reading = nn.ModuleList(
            nn.Linear(hidden, sum(self.read_sizes)) for _ in range(config.hops)
        )
        self.readout = mlp(config.hops * size.width + hidden, (hidden,), width)
        with torch.no_grad():
            for parameter in self.readout[-1].parameters():
                parameter.mul_(0.1)

    def forward(
        self, latents: Float[Tensor, "n w k d"], actions: Float[Tensor, "n w a"]
    ) -> Float[Tensor, "n k d"]:
        """See :class:`Predictor`."""
        slots, seen = self._told(latents, actions)
        return self._next(latents[:, -1:], seen[:, -1:], partial(self.memory.read, slots))[:, 0]

    def holds(
        self, latents: Float[Tensor, "n w k d"], actions: Float[Tensor, "n w a"]
    ) -> SlotState:
        """What the slots hold after consecutive steps; for looking at."""
        return self._told(latents, actions)[0]

    def each(
        self, latents: Float[Tensor, "n t k d"], actions: Float[Tensor, "n t a"]
    ) -> Float[Tensor, "n t k d"]:
        """See :class:`Predictor`; what is written, and when, is the same for all steps."""
        number, time = latents.shape[:2]
        if time > self.window:
            return super().each(latents, actions)
        seen = self._enter(latents.flatten(2), actions)
        trace = self.memory.trace(self._writes(seen))
        known = torch.ones(time, time, dtype=torch.bool, device=latents.device).tril()
        known = known.expand(number, time, time)
        return self._next(latents, seen, partial(self.memory.recall, trace, known=known))

    def unroll(
        self, latents: Float[Tensor, "n w k d"], actions: Float[Tensor, "n w_minus_1_plus_h a"]
    ) -> Float[Tensor, "n h_plus_1 k d"]:
        """See :class:`Predictor`; each step writes once, to what the slots hold by then.

        Only where the window is full, and its oldest step is to be forgotten, all are written anew.
        """
        known, states = latents.shape[1], list(latents.unbind(1))
        writes = self._writes(self._enter(latents.flatten(2), actions[:, :known]))
        slots = self.memory.trace(writes.at(slice(known - 1))).until(known - 1)
        for step in range(known - 1, actions.shape[1]):
            seen = self._enter(states[-1].flatten(1), actions[:, step]).unsqueeze(1)
            newest = self._writes(seen)
            if step >= known:
                writes = _joined(writes, newest, self.window)
            if step < self.window:
                slots = self.memory.write(slots, newest)
            else:
                slots = self.memory.trace(writes).until(self.window)
            recall = partial(self.memory.read, slots)
            states.append(self._next(states[-1].unsqueeze(1), seen, recall)[:, 0])
        return torch.stack(states[known - 1 :], dim=1)

    def _told(
        self, latents: Float[Tensor, "n w k d"], actions: Float[Tensor, "n w a"]
    ) -> tuple[SlotState, Float[Tensor, "n w u"]]:
        """What the slots hold after all steps, and what entered at each."""
        seen = self._enter(latents.flatten(2), actions)
        return self.memory.trace(self._writes(seen)).until(latents.shape[1]), seen

    def _enter(
        self, flat: Float[Tensor, "*batch w"], actions: Float[Tensor, "*batch a"]
    ) -> Float[Tensor, "*batch u"]:
        return functional.gelu(self.entrance(torch.cat([flat, actions], dim=-1)))

    def _writes(self, seen: Float[Tensor, "n w u"]) -> Writes:
        about, value, relation, gates = self.writing(seen).split(self.write_sizes, -1)
        gates = torch.sigmoid(gates)
        return Writes(
            address=self.memory.address(about),
            relation=functional.normalize(relation, dim=-1),
            source=torch.zeros_like(relation),
            value=value,
            gate=gates[..., :1],
            erase=gates[..., 1:],
        )

    def _next(
        self, present: Float[Tensor, "n q k d"], seen: Float[Tensor, "n q u"], recall: Recall
    ) -> Float[Tensor, "n q k d"]:
        """What follows states, by what was seen in each and what the slots held then."""
        read: list[Tensor] = []
        for reading in self.reading:
            about, relation = reading(seen).split(self.read_sizes, -1)
            address = self.memory.address(about + read[-1] if read else about)
            read.append(recall(address, functional.normalize(relation, dim=-1)))
        told = torch.cat([*read, seen], dim=-1)
        return present + self.readout(told).view_as(present)


def _joined(writes: Writes, newest: Writes, window: int) -> Writes:
    """Writes of a window, the oldest left out where there are more."""

    def both(name: str) -> Tensor:
        return torch.cat([getattr(writes, name), getattr(newest, name)], dim=1)[:, -window:]

    return Writes(**{one.name: both(one.name) for one in fields(Writes)})
