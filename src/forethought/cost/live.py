"""Bounds that follow what is seen: adaptive conformal inference while an agent acts.

Calibration promises only as much as the world is like the recordings. Each imagined margin whose
time has come is held against what is measured; a bound that was exceeded grows at once, and falls
back slowly while it holds (Gibbs and Candes, 2021; of the score itself, as Angelopoulos et al.,
2023), so that in the long run it is exceeded as often as the risk says, whatever the world does. It
never falls below what was calibrated.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor

from forethought.config import register
from forethought.cost.calibration import Widening
from forethought.cost.chances import at_least
from forethought.cost.sight import Bounds
from forethought.types import ForethoughtError


class CalibrationWarning(UserWarning):
    """Live errors leave what was calibrated; the message names the guardrail and the remedy."""


@register
@dataclass(frozen=True, kw_only=True)
class AdaptationConfig:
    """How bounds follow what is seen.

    Attributes:
        rate: growth of a bound that was exceeded, in standard deviations of the calibrated errors.
        recent: one-step comparisons that a warning is based on.
        alarm: a warning is raised where so many misses or more had at most this probability.
    """

    rate: float = 1.0
    recent: int = 200
    alarm: float = 1e-4


@dataclass(frozen=True, kw_only=True)
class LiveBounds:
    """The bounds of every guardrail of ``b`` agents; seeing errors returns new ones.

    Attributes:
        config: how they follow; None to leave them as calibrated.
        calibrated: what each guardrail was widened by to begin with.
        grown: ``(b, h)`` what came to that, by guardrail.
        misses: of the latest one-step comparisons, which were missed.
        warned: guardrails that were warned of.
    """

    config: AdaptationConfig | None
    calibrated: Mapping[str, Widening]
    grown: Mapping[str, Float[Tensor, "b h"]]
    misses: Mapping[str, tuple[bool, ...]] = field(default_factory=dict)
    warned: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls, calibrated: Mapping[str, Widening], num_agents: int, config: AdaptationConfig | None
    ) -> LiveBounds:
        """As calibrated."""
        grown = {n: torch.zeros(num_agents, w.horizon) for n, w in calibrated.items()}
        return cls(config=config, calibrated=calibrated, grown=grown)

    def bounds(self, name: str, horizon: int, steps: int = 1) -> Bounds:
        """Of a guardrail, for imagined steps of so many model steps each.

        Raises:
            ForethoughtError: the calibration does not reach so far.
        """
        widening = self.calibrated[name]
        if horizon * steps > widening.horizon:
            raise ForethoughtError(
                f"guardrail {name!r} is calibrated for {widening.horizon} model steps, the "
                f"planner imagines {horizon * steps}. Lower its horizon, or calibrate further: "
                f"`forethought calibrate RUN --data DATA --horizon {horizon * steps}`."
            )
        every, known = slice(steps - 1, horizon * steps, steps), widening.bounds
        return Bounds(
            near=known.near[every],
            far=known.far[every],
            reach=known.reach[every],
            grown=self.grown[name][:, None, every],
            unit=known.unit,
        )

    def learn(
        self,
        imagined: Mapping[str, Float[Tensor, "b h"]],
        came: Mapping[str, Float[Tensor, "b 1"]],
    ) -> LiveBounds:
        """After comparisons of what was imagined with what came.

        Args:
            imagined: margins by guardrail, as they were imagined one step ago, two, and so on, for
                as many as there are.
            came: margins as they are.
        """
        if self.config is None:
            return self
        grown, misses = dict(self.grown), dict(self.misses)
        for name in imagined:
            # Bounds live on the CPU, wherever the model is.
            margins, measured = imagined[name].cpu(), came[name].cpu()
            widening, steps = self.calibrated[name], margins.shape[1]
            bounds, before = self.bounds(name, steps), grown[name][:, :steps]
            missed = bounds.widen(margins[:, None])[:, 0] > measured
            step = self.config.rate * widening.spread[:steps]
            after = before + step * (missed.float() - widening.risk)
            grown[name] = torch.cat([after.clamp_min(0), grown[name][:, steps:]], dim=1)
            plainly = (margins - measured > bounds.of(margins))[:, 0]
            recent = (*misses.get(name, ()), *plainly.tolist())[-self.config.recent :]
            misses[name] = recent
        return replace(self, grown=grown, misses=misses)._alarmed(self.config)

    def _alarmed(self, config: AdaptationConfig) -> LiveBounds:
        """Warns, once, of each guardrail whose calibrated bound fails more often than chance."""
        warned = set(self.warned)
        for name, recent in self.misses.items():
            count, risk = sum(recent), self.calibrated[name].risk
            if name not in warned and at_least(count, len(recent), risk) < config.alarm:
                warned.add(name)
                warnings.warn(
                    f"guardrail {name!r}: of the latest {len(recent)} one-step predictions {count} "
                    f"were further off than calibrated, where {risk:.1%} should be. The world has "
                    "left what was recorded; bounds are widened while this lasts. Record it as it "
                    "is now, and calibrate again.",
                    CalibrationWarning,
                    stacklevel=4,
                )
        return replace(self, warned=frozenset(warned))
