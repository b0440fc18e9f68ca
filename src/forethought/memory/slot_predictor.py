"""A predictor that keeps what it saw in slots, and reads there what is out of sight.

A gated recurrent network has one hidden state that every step writes over; here a step writes to
the slots that it is about, and all others stay as they are, however long ago they were written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from forethought.config import register
from forethought.memory.slots import SlotMemoryConfig, Writes
from forethought.perception.encoders import mlp
from forethought.types import ForethoughtError
from forethought.world_model.predictors import Predictor, PredictorConfig


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
        seen = self._enter(latents.flatten(2), actions)
        return self._next(latents[:, -1], seen[:, -1], self._writes(seen))

    def unroll(
        self, latents: Float[Tensor, "n w k d"], actions: Float[Tensor, "n w_minus_1_plus_h a"]
    ) -> Float[Tensor, "n h_plus_1 k d"]:
        """See :class:`Predictor`; what a step writes is made once, though many windows have it."""
        known, states = latents.shape[1], list(latents.unbind(1))
        written: list[Writes] = []
        for step, action in enumerate(actions.unbind(1)):
            seen = self._enter(states[step].flatten(1), action)
            written.append(self._writes(seen.unsqueeze(1)))
            if step + 1 >= known:
                window = _joined(written[-self.window :])
                states.append(self._next(states[-1], seen, window))
        return torch.stack(states[known - 1 :], dim=1)

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
        self, present: Float[Tensor, "n k d"], seen: Float[Tensor, "n u"], writes: Writes
    ) -> Float[Tensor, "n k d"]:
        trace = self.memory.trace(writes)
        known = _all_known(writes)
        read: list[Tensor] = []
        for reading in self.reading:
            about, relation = reading(seen).unsqueeze(1).split(self.read_sizes, -1)
            address = self.memory.address(about + read[-1] if read else about)
            relation = functional.normalize(relation, dim=-1)
            read.append(self.memory.recall(trace, address, relation, known))
        told = torch.cat([*(one.squeeze(1) for one in read), seen], dim=-1)
        return present + self.readout(told).view_as(present)


def _joined(parts: Sequence[Writes]) -> Writes:
    names = [one.name for one in fields(Writes)]
    return Writes(**{name: torch.cat([getattr(p, name) for p in parts], 1) for name in names})


def _all_known(writes: Writes) -> Bool[Tensor, "n 1 w"]:
    number, length = writes.value.shape[:2]
    return torch.ones(number, 1, length, dtype=torch.bool, device=writes.value.device)
