"""Predictors: the latent of the next model step, from the latest latents and model actions.

All of them predict the change, so that an untrained predictor starts close to "nothing changes";
only the LeWM that is imported predicts the latent itself.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeGuard

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from forethought.config import register
from forethought.perception.encoders import mlp
from forethought.perception.grid import GridPlaces, grid_side, use_channels_last
from forethought.products import Product, linear
from forethought.world_model.units import is_rewritten, units_for


class Predictor(nn.Module, ABC):
    """The network of a predictor; implements :class:`forethought.types.Predictor`.

    Attributes:
        numbers_at_once: latent numbers unrolled at once on a CPU: what is made of them then stays
            in the cache.
    """

    numbers_at_once: int = 2**16
    window: int = 1
    num_members: int = 1

    @abstractmethod
    def forward(
        self, latents: Float[Tensor, "n w k d"], actions: Float[Tensor, "n w a"]
    ) -> Float[Tensor, "n k d"]:
        """The next latents; ``w`` is at most ``window``, oldest first."""

    def unroll(
        self, latents: Float[Tensor, "n w k d"], actions: Float[Tensor, "n w_minus_1_plus_h a"]
    ) -> Float[Tensor, "n h_plus_1 k d"]:
        """The present and the latents that follow, each from those before it.

        The numbers are those of :meth:`forward` called step by step; predictors that can share work
        between steps say so here.

        Args:
            latents: the latest known ones, oldest first, the present last; at most ``window``.
            actions: those taken between them, then those whose outcomes are asked.
        """
        known, states = latents.shape[1], list(latents.unbind(1))
        for step in range(known, actions.shape[1] + 1):
            seen = torch.stack(states[-self.window :], dim=1)
            states.append(self(seen, actions[:, max(0, step - self.window) : step]))
        return torch.stack(states[known - 1 :], dim=1)

    def each(
        self, latents: Float[Tensor, "n t k d"], actions: Float[Tensor, "n t a"]
    ) -> Float[Tensor, "n t k d"]:
        """What follows each of consecutive latents, from it and those before it.

        The numbers are those of :meth:`forward`; predictors that can share work between steps say
        so here.
        """
        time, window = latents.shape[1], self.window
        begun = range(1, min(window, time + 1))
        parts = [self(latents[:, :end], actions[:, :end]).unsqueeze(1) for end in begun]
        if time >= window:
            seen = latents.unfold(1, window, 1).movedim(-1, 2)
            done = actions.unfold(1, window, 1).movedim(-1, 2)
            after = [self(*one) for one in zip(seen.unbind(1), done.unbind(1), strict=True)]
            parts.append(torch.stack(after, dim=1))
        return torch.cat(parts, dim=1)


class MarkovPredictor(Predictor):
    """A predictor to which the present says all."""

    def forward(
        self, latents: Float[Tensor, "n w k d"], actions: Float[Tensor, "n w a"]
    ) -> Float[Tensor, "n k d"]:
        """See :class:`Predictor`."""
        return self.step(latents[:, -1], actions[:, -1])

    @abstractmethod
    def step(
        self, latents: Float[Tensor, "n k d"], actions: Float[Tensor, "n a"]
    ) -> Float[Tensor, "n k d"]:
        """The next latents."""


def steps_as(predictor: Predictor, make: type[Predictor], *methods: str) -> bool:
    """Whether a predictor makes its steps as a class does, so that what this shares may be used.

    A subclass that overrides one of the methods makes other steps, and so does a predictor that was
    given another one for itself.

    Args:
        predictor: one of this class.
        make: the class.
        methods: of it, of which a step is made.
    """
    own = (getattr(getattr(predictor, name), "__func__", None) for name in methods)
    return all(one is getattr(make, name) for name, one in zip(methods, own, strict=True))


class PredictorConfig(ABC):
    """Settings of a predictor, and how to build it."""

    @abstractmethod
    def build(self, tokens: int, width: int, action_width: int) -> Predictor:
        """A predictor for latents of so many tokens of a width, and actions of a width."""


@register
@dataclass(frozen=True, kw_only=True)
class ResidualMLPConfig(PredictorConfig):
    """An MLP on the flattened latent and the action, added to the latent.

    Attributes:
        hidden: width of each hidden layer.
        dropout: share of hidden units left out in training, for little data.
        invariant: entries of the flattened latent that change but do not matter for the change,
            such as an anchored position.
    """

    hidden: tuple[int, ...] = (128, 128)
    dropout: float = 0.0
    invariant: tuple[int, ...] = ()

    def build(self, tokens: int, width: int, action_width: int) -> Predictor:
        """See :class:`PredictorConfig`."""
        return ResidualMLP(self, tokens * width, action_width)


class ResidualMLP(MarkovPredictor):
    """``s + linear(s, a) + mlp(s, a)``.

    The linear path lets the model contain every linear system, which the MLP then corrects.
    """

    kept: Tensor
    same: Tensor

    def __init__(self, config: ResidualMLPConfig, width: int, action_width: int) -> None:
        super().__init__()
        sizes = (width, *config.hidden)
        self.invariant = config.invariant
        kept = torch.ones(width)
        kept[list(config.invariant)] = 0
        self.register_buffer("kept", kept, persistent=False)
        self.register_buffer("same", torch.eye(width), persistent=False)
        self.latent_in = nn.Linear(width, sizes[1])
        self.action_in = nn.Linear(action_width, sizes[1], bias=False)
        layers: list[nn.Module] = [nn.GELU(), nn.Dropout(config.dropout)]
        for size_in, size_out in pairwise(sizes[1:]):
            layers += [nn.Linear(size_in, size_out), nn.GELU(), nn.Dropout(config.dropout)]
        self.last = nn.Linear(sizes[-1], width)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        self.layers = nn.Sequential(*layers)
        self.linear_latent = nn.Linear(width, width, bias=False)
        self.linear_action = nn.Linear(action_width, width, bias=False)
        nn.init.zeros_(self.linear_latent.weight)
        nn.init.zeros_(self.linear_action.weight)

    def step(
        self, latents: Float[Tensor, "n k d"], actions: Float[Tensor, "n a"]
    ) -> Float[Tensor, "n k d"]:
        """See :class:`MarkovPredictor`."""
        flat = self.seen(latents.flatten(1))
        change = self.last(self.layers(self.latent_in(flat) + self.action_in(actions)))
        change = change + self.linear_latent(flat) + self.linear_action(actions)
        return latents + change.view_as(latents)

    def unroll(
        self, latents: Float[Tensor, "n w k d"], actions: Float[Tensor, "n w_minus_1_plus_h a"]
    ) -> Float[Tensor, "n h_plus_1 k d"]:
        """See :class:`Predictor`; state and action enter by one product for both."""
        as_here = steps_as(self, ResidualMLP, "forward", "step", "seen")
        if torch.is_grad_enabled() or self.training or not as_here:
            return super().unroll(latents, actions)
        layers, stays = self._joined()
        maps = [Product(len(latents), *layer, functional.gelu) for layer in layers]
        leave = Product(len(latents), self.last.weight, self.last.bias)
        width, told_width = stays.shape
        # What each step is told: its state, and beside it its action.
        told = actions.new_empty(actions.shape[1] + 1, len(latents), told_width)
        states = told[:, :, :width]
        states[0] = latents[:, -1].flatten(1)
        told[:-1, :, width:] = actions.transpose(0, 1)
        for now, ahead in zip(told[:-1].unbind(), states[1:].unbind(), strict=True):
            hidden = now
            for layer in maps:
                hidden = layer(hidden)
            torch.addmm(leave(hidden), now, stays.T, out=ahead)
        return states.transpose(0, 1).unflatten(-1, latents.shape[2:])

    def _joined(self) -> tuple[Sequence[tuple[Tensor, Tensor]], Float[Tensor, "w w_plus_a"]]:
        """Weights and biases of the hidden layers, and the linear path with what stays as it is;
        those of state and action side by side."""
        latent_in, linear_latent = self.latent_in.weight, self.linear_latent.weight
        if self.invariant:
            latent_in, linear_latent = latent_in * self.kept, linear_latent * self.kept
        stays = linear_latent + self.same
        inner = [layer for layer in self.layers if isinstance(layer, nn.Linear)]
        entrance = torch.cat([latent_in, self.action_in.weight], 1)
        layers = [(entrance, self.latent_in.bias), *((one.weight, one.bias) for one in inner)]
        return layers, torch.cat([stays, self.linear_action.weight], 1)

    def seen(self, flat: Float[Tensor, "n w"]) -> Float[Tensor, "n w"]:
        """A flattened latent without its invariant entries."""
        return flat * self.kept

    @torch.no_grad()
    def begin_linear(
        self,
        latent: Float[Tensor, "w w"],
        action: Float[Tensor, "a w"],
        bias: Float[Tensor, " w"],
    ) -> None:
        """Makes an untrained predictor this linear map, for the MLP to correct."""
        self.linear_latent.weight.copy_(latent.T)
        self.linear_action.weight.copy_(action.T)
        self.last.bias.copy_(bias)


@register
@dataclass(frozen=True, kw_only=True)
class GridPredictorConfig(PredictorConfig):
    """Residual convolutions over a square grid of tokens, moved by the action.

    What happens at a place depends on its neighbourhood and on the action alone, so that a law
    learned at one place (a wall stops, a door does not) holds at every other.

    Attributes:
        channels: width of the hidden maps.
        num_blocks: layers after the first, each of which sees one ring of tokens further.
    """

    channels: int = 48
    num_blocks: int = 1

    def build(self, tokens: int, width: int, action_width: int) -> Predictor:
        """See :class:`PredictorConfig`."""
        return GridPredictor(self, grid_side(tokens), width, action_width)


class GridPredictor(MarkovPredictor):
    """Convolutions whose channels the action scales and shifts (FiLM, Perez et al., 2018)."""

    def __init__(
        self, config: GridPredictorConfig, side: int, width: int, action_width: int
    ) -> None:
        super().__init__()
        hidden = config.channels
        self.side = side
        self.place = GridPlaces(side)
        self.entrance = nn.Conv2d(width + 2, hidden, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Conv2d(hidden, hidden, 3, padding=1) for _ in range(config.num_blocks)
        )
        self.films = nn.ModuleList(
            nn.Linear(action_width, 2 * hidden) for _ in range(config.num_blocks + 1)
        )
        self.exit = nn.Conv2d(hidden, width, 3, padding=1)
        with torch.no_grad():
            for parameter in self.exit.parameters():
                parameter.mul_(0.1)
        use_channels_last(self)

    def step(
        self, latents: Float[Tensor, "n k d"], actions: Float[Tensor, "n a"]
    ) -> Float[Tensor, "n k d"]:
        """See :class:`MarkovPredictor`."""
        maps = self._moved(0, self.entrance(self.place(latents)), actions)
        for number, block in enumerate(self.blocks, start=1):
            maps = maps + self._moved(number, block(maps), actions)
        return latents + self.exit(maps).flatten(2).transpose(1, 2)

    def _moved(self, number: int, maps: Tensor, actions: Float[Tensor, "n a"]) -> Tensor:
        scale, shift = self.films[number](actions)[..., None, None].chunk(2, dim=1)
        return functional.gelu(maps * (1 + scale) + shift)


@register
@dataclass(frozen=True, kw_only=True)
class GRUConfig(PredictorConfig):
    """A gated recurrent network over a window of latents and actions (Cho et al., 2014).

    For worlds whose present observation does not say all: what the last steps showed is carried in
    the hidden state.

    Attributes:
        hidden: width of the hidden state.
        window: model steps that it is run over.
    """

    hidden: int = 128
    window: int = 4

    def build(self, tokens: int, width: int, action_width: int) -> Predictor:
        """See :class:`PredictorConfig`."""
        return GRU(self, tokens * width, action_width)


class GatedCell(nn.Module):
    """One step of a gated recurrent unit, equations 5 to 8 of Cho et al. (2014).

    In plain operations where ``nn.GRUCell`` has a fused one, which ensembles could not batch over
    their members. The weights are those of ``nn.GRUCell``, in its order.

    Args:
        inputs: width of what is told at each step.
        width: of the hidden state.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.from_input = nn.Linear(inputs, 3 * width)
        self.from_hidden = nn.Linear(width, 3 * width)

    def forward(
        self, values: Float[Tensor, "n i"], hidden: Float[Tensor, "n w"]
    ) -> Float[Tensor, "n w"]:
        """The next hidden state."""
        return self.gate(self.told(values), hidden)

    def told(self, values: Float[Tensor, "n i"]) -> Float[Tensor, "n three_w"]:
        """What the input says to each gate, whatever the hidden state."""
        return linear(values, self.from_input.weight, self.from_input.bias)

    def gate(
        self, told: Float[Tensor, "n three_w"], hidden: Float[Tensor, "n w"]
    ) -> Float[Tensor, "n w"]:
        """The next hidden state, by what :meth:`told` says."""
        reset_in, keep_in, new_in = told.chunk(3, dim=-1)
        by = linear(hidden, self.from_hidden.weight, self.from_hidden.bias)
        reset_by, keep_by, new_by = by.chunk(3, dim=-1)
        keep = torch.sigmoid(keep_in + keep_by)
        new = torch.tanh(new_in + torch.sigmoid(reset_in + reset_by) * new_by)
        return keep * hidden + (1 - keep) * new


class GRU(Predictor):
    """``s + readout(h, s, a)`` with h run over the window from zero."""

    def __init__(self, config: GRUConfig, width: int, action_width: int) -> None:
        super().__init__()
        self.window = config.window
        self.entrance = nn.Linear(width + action_width, config.hidden)
        self.memory = GatedCell(config.hidden, config.hidden)
        self.readout = mlp(2 * config.hidden, (config.hidden,), width)
        with torch.no_grad():
            for parameter in self.readout[-1].parameters():
                parameter.mul_(0.1)

    def forward(
        self, latents: Float[Tensor, "n w k d"], actions: Float[Tensor, "n w a"]
    ) -> Float[Tensor, "n k d"]:
        """See :class:`Predictor`."""
        seen = self._enter(latents.flatten(2), actions)
        told = [self.memory.told(step) for step in functional.gelu(seen).unbind(1)]
        return self._next(latents[:, -1], seen[:, -1], told)

    def holds(
        self, latents: Float[Tensor, "n w k d"], actions: Float[Tensor, "n w a"]
    ) -> Float[Tensor, "n u"]:
        """The hidden state after consecutive steps; for looking at."""
        seen = self._enter(latents.flatten(2), actions)
        told = [self.memory.told(step) for step in functional.gelu(seen).unbind(1)]
        return self._run(told, torch.zeros_like(seen[:, 0]))

    def unroll(
        self, latents: Float[Tensor, "n w k d"], actions: Float[Tensor, "n w_minus_1_plus_h a"]
    ) -> Float[Tensor, "n h_plus_1 k d"]:
        """See :class:`Predictor`; each step enters once, though it is in several windows."""
        if torch.is_grad_enabled() or not steps_as(self, GRU, "forward"):
            return super().unroll(latents, actions)
        known, states = latents.shape[1], list(latents.unbind(1))
        told: list[Tensor] = []
        for step, action in enumerate(actions.unbind(1)):
            seen = self._enter(states[step].flatten(1), action)
            told.append(self.memory.told(functional.gelu(seen)))
            if step + 1 >= known:
                states.append(self._next(states[-1], seen, told[-self.window :]))
        return torch.stack(states[known - 1 :], dim=1)

    def _enter(
        self, flat: Float[Tensor, "*batch w"], actions: Float[Tensor, "*batch a"]
    ) -> Float[Tensor, "*batch u"]:
        values = torch.cat([flat, actions], dim=-1)
        return linear(values, self.entrance.weight, self.entrance.bias)

    def _next(
        self,
        present: Float[Tensor, "n k d"],
        seen: Float[Tensor, "n u"],
        told: Sequence[Float[Tensor, "n three_u"]],
    ) -> Float[Tensor, "n k d"]:
        """What follows the present, by what each step of the window says to the gates."""
        hidden = self._run(told, torch.zeros_like(seen))
        # The latest input goes past the gates as well: what moves now need not be remembered.
        change = self.readout(torch.cat([hidden, seen], dim=-1))
        return present + change.view_as(present)

    def _run(
        self, told: Sequence[Float[Tensor, "n three_u"]], hidden: Float[Tensor, "n u"]
    ) -> Float[Tensor, "n u"]:
        for step in told:
            hidden = self.memory.gate(step, hidden)
        return hidden


@register
@dataclass(frozen=True, kw_only=True)
class RecurrentLatentConfig(PredictorConfig):
    """The latent is the hidden state of a gated recurrent unit, which the actions drive.

    After eb_jepa's example for Two Rooms (arXiv 2602.03604) and PLDM (Sobal et al., 2025): nothing
    is hidden from the latent, so that a rollout is one matrix product a step. Unlike other
    predictors it makes the latent itself and not its change.

    Attributes:
        normalise: whether layer normalisation follows, for encoders that end in one.
    """

    normalise: bool = True

    def build(self, tokens: int, width: int, action_width: int) -> Predictor:
        """See :class:`PredictorConfig`."""
        return RecurrentLatent(self, tokens * width, action_width)


class RecurrentLatent(MarkovPredictor):
    """``norm(gru(a, s))``."""

    numbers_at_once = 2**17

    def __init__(self, config: RecurrentLatentConfig, width: int, action_width: int) -> None:
        super().__init__()
        self.cell = GatedCell(action_width, width)
        self.norm = nn.LayerNorm(width) if config.normalise else nn.Identity()

    def step(
        self, latents: Float[Tensor, "n k d"], actions: Float[Tensor, "n a"]
    ) -> Float[Tensor, "n k d"]:
        """See :class:`MarkovPredictor`."""
        return self.norm(self.cell(actions, latents.flatten(1))).view_as(latents)

    def unroll(
        self, latents: Float[Tensor, "n w k d"], actions: Float[Tensor, "n w_minus_1_plus_h a"]
    ) -> Float[Tensor, "n h_plus_1 k d"]:
        """See :class:`Predictor`.

        Where it only acts, as :class:`ActingRecurrent`, laid out for the length of this call.
        """
        if torch.is_grad_enabled() or is_rewritten(latents) or not recurs_laid_out(self):
            return super().unroll(latents, actions)
        # It imports this module.
        from forethought.world_model.acting_recurrent import ActingRecurrent

        return ActingRecurrent(self, units_for(latents)).unroll(latents, actions)


def recurs_laid_out(predictor: Predictor) -> TypeGuard[RecurrentLatent]:
    """Whether it is a recurrent latent whose steps are those of :class:`ActingRecurrent`."""
    is_one = isinstance(predictor, RecurrentLatent)
    return is_one and steps_as(predictor, RecurrentLatent, "forward", "step")
