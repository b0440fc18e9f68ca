"""What may be said of how an agent acts: shared by commands, and kept beside what they measure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

if TYPE_CHECKING:
    from forethought.actor import GateConfig
    from forethought.model import Model
    from forethought.recipes import Acting


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """Numbers of the search; the recipe's where not said."""

    horizon: int | None = None
    """Model steps that the search looks ahead."""
    samples: int | None = None
    """Candidates in a round of the search."""
    iterations: int | None = None
    """Rounds of the search."""
    elites: int | None = None
    """Candidates that the next round is drawn around."""

    def applied(self, acting: Acting) -> Acting:
        """As a recipe acts, with the search that was asked for.

        Raises:
            ForethoughtError: its planner has no such number.
        """
        from forethought.configurator import Search

        return replace(acting, planner=Search(**asdict(self)).applied(acting.planner))


@dataclass(frozen=True, kw_only=True)
class ReflexOptions:
    """When the run's policy answers; never where not said."""

    reflexes: bool = False
    """Mode 1 alone: the distilled policy, and no search."""
    gated: bool = False
    """Mode 1 where spread and surprise are as low as in distillation, else Mode 2."""
    share: float = 0.98
    """Share of what was met in distillation that the gate lets pass, with --gated."""
    chunk: int = 1
    """Model steps of a reflex that are acted out before the next decision."""
    jitter: float = 0.0
    """Deviation, in units of half the box, of a push that each reflex is shaken by."""

    def gate(self, model: Model, run: Path) -> GateConfig | None:
        """When the policy answers; None for never.

        Raises:
            ForethoughtError: both modes were asked for, or the run has no policy.
        """
        from forethought.actor import GateConfig
        from forethought.types import ForethoughtError

        if not (self.reflexes or self.gated):
            return None
        if self.reflexes and self.gated:
            raise ForethoughtError(
                "give --reflexes for Mode 1 alone, or --gated for both, not both."
            )
        if model.policy is None:
            raise ForethoughtError(
                f"{run}: this run has no policy. Make one with `forethought distill {run} "
                "--world WORLD --out RUN2`."
            )
        if self.reflexes:
            return GateConfig.reflexes_only(chunk=self.chunk, jitter=self.jitter)
        return model.policy.gate(self.share, chunk=self.chunk, jitter=self.jitter)


@dataclass(frozen=True, kw_only=True)
class ActingOptions:
    """How the agent of a run is to act."""

    search: tyro.conf.OmitArgPrefixes[SearchOptions] = field(default_factory=SearchOptions)
    reflex: tyro.conf.OmitArgPrefixes[ReflexOptions] = field(default_factory=ReflexOptions)

    def to_json(self) -> dict[str, Any]:
        """What was said, as JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> ActingOptions:
        """The inverse of :meth:`to_json`.

        Raises:
            KeyError: a part is missing.
            TypeError: there are other fields than these.
        """
        search, reflex = SearchOptions(**content["search"]), ReflexOptions(**content["reflex"])
        return cls(search=search, reflex=reflex)
