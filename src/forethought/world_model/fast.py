"""World models computed faster: on the same weights, with the units that suit the processor best.

``accelerate`` tries every kind of units that the processor has, keeps those whose imagination
agrees with the world model's own, and takes the fastest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from forethought.allocation import keep_freed_memory
from forethought.config import register, to_json
from forethought.perception.perception import Perception
from forethought.types import ForethoughtError, Past
from forethought.world_model.acting import ActingTransformer
from forethought.world_model.acting_recurrent import ActingRecurrent
from forethought.world_model.graphs import GraphedPredictor
from forethought.world_model.layout import count_laid_out, laid_out
from forethought.world_model.lewm import LeWMEncoder
from forethought.world_model.native import NativeUnits, compiler
from forethought.world_model.predictors import Predictor, recurs_laid_out
from forethought.world_model.transformers import PatchTransformer, acts_laid_out
from forethought.world_model.tuning import (
    Judge,
    Kind,
    Limits,
    Memory,
    TuningReport,
    cache_folder,
    tune,
)
from forethought.world_model.units import PackedUnits, PlainUnits, Units
from forethought.world_model.world_model import WorldModel

THROUGHOUT = (LeWMEncoder, PatchTransformer)
"""Networks whose states may be in the precision of the units; of others only products are."""


@register
@dataclass(frozen=True, kw_only=True)
class FastConfig:
    """How an agent may compute faster, and how exact it must stay.

    Imaginations are compared with those of the world model as it was trained, on random candidates
    from a random observation: the energies are squared distances of where they end from places
    where other candidates end.

    Attributes:
        exact: whether all must be in float32.
        compiled: whether a C compiler may be used, where there is one; it takes a few seconds.
        elites: share of the best tenth that must be found among the best tenth.
        error: root mean squared error of the energies, relative to them, that may be; of what is
            in float32 never more than 1e-4.
        candidates: sequences that are imagined at once, about as many as the planner's.
        horizon: model steps of each.
        cached: whether times measured earlier may be used, from the folder ``forethought`` in the
            user's cache.

    Raises:
        ForethoughtError: a share or a number that makes no sense.
    """

    exact: bool = False
    compiled: bool = True
    elites: float = 0.95
    error: float = 0.02
    candidates: int = 300
    horizon: int = 5
    cached: bool = True

    def __post_init__(self) -> None:
        if not (0 <= self.elites <= 1 and self.error > 0):
            raise ForethoughtError(
                f"FastConfig: elites={self.elites}, error={self.error}; expected a share from 0 to "
                "1 and a positive error."
            )
        if self.candidates < 10 or self.horizon < 1:
            raise ForethoughtError(
                f"FastConfig: candidates={self.candidates}, horizon={self.horizon}; expected ten "
                "candidates or more, so that a tenth of them is one, and a step or more."
            )


class FastWorldModel(WorldModel):
    """A world model computed with faster units. It is made by :func:`accelerate`.

    Its weights are copies. When those of the world model that it was made from have changed, it
    refuses to answer; but PyTorch counts no changes through ``.data`` or by optimisers with
    ``fused=True``, which go unnoticed. Where gradients are asked for, that world model answers
    itself.

    Args:
        source: the world model that it was made from.
        perception: of it, computed with faster units.
        predictor: of it, computed with faster units.
    """

    report: TuningReport
    """What was tried, and what was chosen."""

    def __init__(self, source: WorldModel, perception: Perception, predictor: Predictor) -> None:
        nn.Module.__init__(self)
        parts = {**source._modules, "perception": perception, "predictor": predictor}
        vars(self).update({**vars(source), "_modules": parts})
        # In a tuple, so that it is no part of the module: its weights are not to be counted twice.
        self._source, self._made_of = (source,), _versions(source)

    def encode(self, observation: Mapping[str, Tensor]) -> Float[Tensor, "*batch k d"]:
        """See :class:`WorldModel`.

        Raises:
            ForethoughtError: the weights have changed.
        """
        self._check()
        encode = self._source[0].encode if _followed(*observation.values()) else super().encode
        return encode(observation)

    def futures(
        self,
        latents: Float[Tensor, "n k d"],
        actions: Float[Tensor, "n h a"],
        *,
        past: Past | None = None,
        z: Float[Tensor, "n h z"] | None = None,
        numbers: Float[Tensor, "n h v"] | None = None,
    ) -> Float[Tensor, "m n h_plus_1 k d"]:
        """See :class:`WorldModel`.

        Raises:
            ForethoughtError: the weights have changed.
        """
        self._check()
        earlier = () if past is None else (past.latents, past.actions)
        followed = _followed(latents, actions, *earlier, z, numbers)
        roll = self._source[0].futures if followed else super().futures
        return roll(latents, actions, past=past, z=z, numbers=numbers)

    def _check(self) -> None:
        if _versions(self._source[0]) != self._made_of:
            raise ForethoughtError(
                "the weights have changed since this world model was accelerated, and it would "
                "answer as before; call accelerate() again, or make a new agent."
            )


def accelerate(world_model: WorldModel, config: FastConfig | None = None) -> FastWorldModel:
    """The world model, computed with the fastest units that agree with it.

    Linear layers are laid out anew wherever they are; causal transformers, whose steps share work
    besides, and recurrent latents go over as a whole. Trying the units takes some seconds, and less
    where they were measured before. The process keeps the memory that it frees from here on, see
    :mod:`forethought.allocation`.

    Args:
        world_model: finished, in acting mode.
        config: what may be done; None for the defaults.

    Raises:
        ForethoughtError: the world model is in training, or its weights are of a kind whose
            changes cannot be noticed.
    """
    config = config or FastConfig()
    _check(world_model)
    keep_freed_memory()
    kinds = _kinds(world_model, config)
    judge = Judge(world_model, candidates=config.candidates, horizon=config.horizon)
    limits = Limits(elites=config.elites, error=config.error)
    memory = Memory(_make(world_model, config), cache_folder()) if config.cached else None
    chosen, report = tune(kinds, judge, limits, memory)
    assert isinstance(chosen, FastWorldModel)
    chosen.report = replace(report, notes=_left_out(world_model))
    return chosen


def _kinds(world_model: WorldModel, config: FastConfig) -> list[Kind]:
    """All that the device may have; which of them it has shows when they are built."""

    def kind(name: str, units: Callable[[torch.dtype], Units], dtype: torch.dtype) -> Kind:
        exact = dtype == torch.float32
        return Kind(name=name, exact=exact, build=lambda: _computed(world_model, units(dtype)))

    kinds = {"plain": PlainUnits}
    if world_model.low.device.type == "cpu":
        kinds = {"packed": PackedUnits}
        if config.compiled and _anew(world_model.predictor):
            kinds["compiled"] = NativeUnits
    reference = FastWorldModel(world_model, world_model.perception, world_model.predictor)
    return [
        Kind(name="as trained", exact=True, build=lambda: reference),
        *(kind(f"{name} float32", units, torch.float32) for name, units in kinds.items()),
        *(
            kind(f"{name} bfloat16", units, torch.bfloat16)
            for name, units in kinds.items()
            if not config.exact
        ),
    ]


def _computed(world_model: WorldModel, units: Units) -> FastWorldModel:
    """The world model with all that units can take over."""
    predictor = world_model.predictor
    make = _anew(predictor)
    fast = make(units) if make else laid_out(predictor, units, throughout=THROUGHOUT)
    if world_model.low.device.type == "cuda":
        fast = GraphedPredictor(fast)
    perception = laid_out(world_model.perception, units, throughout=THROUGHOUT)
    return FastWorldModel(world_model, perception, fast)


def _anew(predictor: Predictor) -> Callable[[Units], Predictor] | None:
    """How a predictor is computed anew as a whole; None where only its linear layers are."""
    if acts_laid_out(predictor):
        return partial(ActingTransformer, predictor)
    if recurs_laid_out(predictor):
        return partial(ActingRecurrent, predictor)
    return None


def _left_out(world_model: WorldModel) -> tuple[str, ...]:
    """Parts in which fast units find nothing to do."""
    plain, notes = PlainUnits(torch.float32), []
    for name in ("perception", "predictor"):
        part = world_model.get_submodule(name)
        anew = isinstance(part, Predictor) and _anew(part)
        if not anew and not count_laid_out(laid_out(part, plain)):
            notes.append(f"{name}: {type(part).__name__} has no linear layers; left as it is")
    return tuple(notes)


def _make(world_model: WorldModel, config: FastConfig) -> dict[str, object]:
    """What times depend on besides the machine."""
    device = world_model.low.device
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "compiler": compiler() if config.compiled else None,
        "model": to_json(world_model.config),
        "signature": world_model.signature.to_json(),
        "candidates": config.candidates,
        "horizon": config.horizon,
    }


def _followed(*values: Tensor | None) -> bool:
    """Whether gradients are asked for of any of them; fast units would lose them."""
    asked = (value.requires_grad for value in values if isinstance(value, Tensor))
    return torch.is_grad_enabled() and any(asked)


def _versions(world_model: WorldModel) -> tuple[tuple[int, int], ...]:
    """Changes with every change of a weight, wherever it lies."""
    tensors = (*world_model.parameters(), *world_model.buffers())
    return tuple((tensor.data_ptr(), tensor._version) for tensor in tensors)


def _check(world_model: WorldModel) -> None:
    if world_model.training:
        raise ForethoughtError(
            "the world model is in training mode; call eval() when its weights are finished, then "
            "accelerate it."
        )
    tensors = (*world_model.parameters(), *world_model.buffers())
    if any(tensor.is_inference() for tensor in tensors):
        raise ForethoughtError(
            "the world model was made under torch.inference_mode(), so that changes of its weights "
            "cannot be noticed; load it outside, then accelerate it."
        )
