"""What foresight is wrong by, and how far guardrails have to be widened for it.

Split conformal prediction (Vovk et al., 2005; Lei et al., 2018): on rollouts that nothing was
trained on, the imagined margin of a guardrail is held against the margin of what came. All but a
few of the differences lie below a bound; taken off the imagined margin, it leaves at most the true
one with probability ``1 - risk`` or more, whatever the model and its errors, so long as what comes
is like what was recorded. Each step of the horizon has a bound of its own.

A run is calibrated once and acts often, so the risk is kept given the calibration, with a stated
confidence (Vovk, 2012), and not only on average over calibrations.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from forethought.cost.chances import fewest_beyond
from forethought.cost.course import between
from forethought.cost.guardrail import Guardrail, reading_of, worst_within
from forethought.cost.sight import Sight
from forethought.types import ForethoughtError

CONFIDENCE = 0.95
"""That the rollouts which were drawn for a calibration were not too kind to it."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Held-out open-loop rollouts, beside what came.

    Guardrails of any task are calibrated on them, so they are kept with a run in place of bounds.

    Attributes:
        names: quantities that were read and recorded.
        imagined: ``(n, h+1, q)`` quantities read from imagined latents, the first from the present.
        recorded: ``(n, s, q)`` the same as recorded, at every world step from the present on.
        actions: ``(n, h, a)`` model actions, in world units.
        foreseen: ``(m, h+1, k, d)`` imagined latents of the first ``m`` rollouts, for conditions on
            latents.
        seen: ``(m, h+1, k, d)`` latents of what came.
    """

    names: tuple[str, ...]
    imagined: Float[Tensor, "n h_plus_1 q"]
    recorded: Float[Tensor, "n s q"]
    actions: Float[Tensor, "n h a"]
    foreseen: Float[Tensor, "m h_plus_1 k d"]
    seen: Float[Tensor, "m h_plus_1 k d"]

    @property
    def horizon(self) -> int:
        """Model steps that were imagined."""
        return self.actions.shape[1]

    def wrong(self) -> dict[str, Float[Tensor, "n h"]]:
        """How far off every quantity was at the end of each imagined step, by name."""
        steps = (self.recorded.shape[1] - 1) // self.horizon
        off = (self.imagined[:, 1:] - self.recorded[:, steps::steps]).abs()
        return {name: off[..., i] for i, name in enumerate(self.names)}

    def margins(
        self, guardrails: Sequence[Guardrail], sight: Sight
    ) -> tuple[dict[str, Float[Tensor, "n h"]], dict[str, Float[Tensor, "n h"]]]:
        """Margins as imagined, and as they came to be, by guardrail.

        Raises:
            ForethoughtError: a guardrail is about what was not recorded.
        """
        reading = reading_of(guardrails, sight)
        if unknown := [name for name in reading.probed if name not in self.names]:
            raise ForethoughtError(
                f"guardrails are about {unknown[0]!r}, the calibration holds {list(self.names)}. "
                "Calibrate again with data that hold it: `forethought calibrate RUN --data DATA`."
            )
        some = slice(len(self.foreseen)) if reading.readers else slice(None)
        actions = self.actions[some]
        place = {name: self.names.index(name) for name in reading.probed}
        imagined = {n: between(self.imagined[some, :, i], reading.steps) for n, i in place.items()}
        recorded = {n: self.recorded[some, :, i] for n, i in place.items()}
        foreseen = reading.course(imagined, self.foreseen, actions)
        came = reading.course(recorded, self.seen, actions)
        return (
            {g.name: worst_within(g.constraint.margin(foreseen), reading) for g in guardrails},
            {g.name: worst_within(g.constraint.margin(came), reading) for g in guardrails},
        )

    def bounds(self, guardrails: Sequence[Guardrail], sight: Sight) -> dict[str, Widening]:
        """What each guardrail is widened by.

        Raises:
            ForethoughtError: too few rollouts for a risk.
        """
        imagined, came = self.margins(guardrails, sight)
        return {
            one.name: Widening.of(one, imagined[one.name] - came[one.name], came[one.name])
            for one in guardrails
        }


@dataclass(frozen=True, kw_only=True)
class Widening:
    """How far one guardrail is widened.

    Attributes:
        bound: ``(h,)`` for each imagined step; how much too good it may look.
        spread: ``(h,)`` standard deviation of the errors.
        unit: standard deviation of the margins that came to be.
        risk: what the bound is for.
    """

    bound: Float[Tensor, " h"]
    spread: Float[Tensor, " h"]
    unit: float
    risk: float

    @classmethod
    def of(
        cls, rail: Guardrail, errors: Float[Tensor, "n h"], came: Float[Tensor, "n h"]
    ) -> Widening:
        """From how much better margins were imagined than they came to be."""
        bound = conformal_quantile(errors, rail.risk, name=rail.name)
        return cls(
            bound=bound if rail.calibrated else torch.zeros_like(bound),
            spread=errors.std(0, correction=0),
            unit=max(float(came.std(correction=0)), 1e-6),
            risk=rail.risk,
        )


def conformal_quantile(
    errors: Float[Tensor, "n h"],
    risk: float,
    *,
    confidence: float = CONFIDENCE,
    name: str = "guardrail",
) -> Float[Tensor, " h"]:
    """The bound that a further error exceeds with probability ``risk`` at most.

    Args:
        errors: independent draws, of each step.
        risk: between 0 and 1.
        confidence: that it is so, over the draw of the errors.
        name: what errors are of, for messages.

    Raises:
        ForethoughtError: too few errors to say so.
    """
    count = len(errors)
    beyond = fewest_beyond(count, risk, confidence)
    if beyond < 0:
        needed = math.ceil(math.log(1 - confidence) / math.log(1 - risk))
        raise ForethoughtError(
            f"{name!r}: a risk of {risk:g} takes {needed} held-out rollouts at least, there are "
            f"{count}. Calibrate on more data (`forethought calibrate RUN --data DATA`), or state "
            "a larger risk."
        )
    return errors.sort(dim=0).values[count - 1 - beyond]


def save_calibration(calibration: Calibration) -> bytes:
    """The calibration as the contents of a safetensors file."""
    parts = ("imagined", "recorded", "actions", "foreseen", "seen")
    tensors = {name: getattr(calibration, name).contiguous() for name in parts}
    return save(tensors, {"names": json.dumps(calibration.names)})


def load_calibration(path: Path) -> Calibration:
    """The inverse of :func:`save_calibration`.

    Raises:
        ForethoughtError: the file cannot be read.
    """
    try:
        with safe_open(path, "pt") as file:
            names = tuple(json.loads(file.metadata()["names"]))
            parts = file.keys()
            tensors = {name: file.get_tensor(name) for name in parts}
        return Calibration(names=names, **tensors)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ForethoughtError(
            f"{path}: the calibration cannot be read ({error}). Make it again: `forethought "
            "calibrate RUN --data DATA`."
        ) from error
