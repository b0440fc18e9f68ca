"""The parts of a task file that say how an agent goes about it: planner, budget, mode, memory,
adaptation, and what it does where nothing else is left."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from forethought.actor import (
    CEM,
    ICEM,
    MPPI,
    BeamSearch,
    CategoricalCEM,
    Fallback,
    Gradient,
    Halving,
    Hold,
    LeastViolation,
    ParallelGradient,
    PredictiveSampling,
    ProjectedGradient,
    Retreat,
    Rung,
    Stop,
)
from forethought.agent import ReuseConfig
from forethought.configurator.parts import (
    Choice,
    Count,
    Name,
    Nothing,
    Number,
    Part,
    Share,
    hint,
    wrong,
)
from forethought.configurator.settings import Following, Gating, Recalling
from forethought.learning.adapting import AdaptingConfig
from forethought.types import ForethoughtError, Planner
from forethought.world_model.fast import FastConfig

PLANNERS: Mapping[str, Callable[[], Planner]] = {
    "cem": CEM,
    "icem": ICEM,
    "mppi": MPPI,
    "predictive_sampling": PredictiveSampling,
    "gradient": Gradient,
    "projected_gradient": ProjectedGradient,
    "parallel_gradient": ParallelGradient,
    "categorical_cem": CategoricalCEM,
    "beam_search": BeamSearch,
}
"""Planners that a task file may name."""


class RetreatPart(Part):
    """Goes back along the way that it came."""

    steps: Count = Retreat.steps


class FallbackPart(Choice):
    """What is done where no plan keeps within the guardrails; by its name where that is all."""

    stop: Nothing | None = None
    hold: Nothing | None = None
    least_violation: Nothing | None = None
    retreat: RetreatPart | None = None

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, content: Any) -> Any:
        return {content: {}} if isinstance(content, str) else content

    def build(self) -> Fallback:
        """The fallback."""
        if self.retreat is not None:
            return Retreat(steps=self.retreat.steps)
        if self.least_violation is not None:
            return LeastViolation()
        return Hold() if self.hold is not None else Stop()


class RungPart(Part):
    """Where candidates are judged on the way, and the share of them that goes on."""

    steps: Count
    share: Share = 0.5

    def build(self) -> Rung:
        """The rung."""
        return Rung(steps=self.steps, share=self.share)


class PlannerPart(Part):
    """What is to be different about the recipe's planner, or another one."""

    name: Name | None = None
    horizon: Count | None = None
    samples: Count | None = None
    iterations: Count | None = None
    elites: Count | None = None
    screened: Share | None = None
    halving: list[RungPart] = Field(default_factory=list)

    @field_validator("name")
    @classmethod
    def _known(cls, name: str | None) -> str | None:
        if name is not None and name not in PLANNERS:
            said = f"found the unknown planner {name!r}, expected {', '.join(PLANNERS)}."
            raise wrong(said + hint(name, PLANNERS))
        return name

    @field_validator("halving")
    @classmethod
    def _in_order(cls, rungs: list[RungPart]) -> list[RungPart]:
        Halving(planner=CEM(), rungs=tuple(one.build() for one in rungs))
        return rungs

    @model_validator(mode="after")
    def _sound(self) -> PlannerPart:
        if self.samples and self.elites and self.elites > self.samples:
            raise wrong(
                f"found {self.elites} elites of {self.samples} samples, expected no more elites "
                "than samples. Lower elites.",
                "elites",
            )
        return self


class ReusePart(Part):
    """When the plan goes on for another model step instead of a search."""

    surprise: Annotated[Number, Field(gt=0)]
    longest: Count

    def build(self) -> ReuseConfig:
        """The setting."""
        return ReuseConfig(surprise=self.surprise, longest=self.longest)


class BudgetPart(Part):
    """What a decision may take."""

    deadline_ms: Annotated[Number, Field(gt=0)] | None = None
    replan_every: Count | None = None
    reuse: ReusePart | None = None
    fast: Name | None = None

    @field_validator("fast")
    @classmethod
    def _known(cls, fast: str | None) -> str | None:
        if fast not in (None, "exact", "any"):
            raise wrong(
                f"found {fast!r}, expected exact (all in float32) or any (any precision that the "
                "model's energies agree with)."
            )
        return fast

    def build_fast(self) -> FastConfig | None:
        """How imagination is computed faster; None where it is not."""
        return None if self.fast is None else FastConfig(exact=self.fast == "exact")


class ReflexesPart(Part):
    """Reflexes alone."""

    chunk: Count = 1
    jitter: Annotated[Number, Field(ge=0)] = 0.0


class GatedPart(ReflexesPart):
    """Reflexes where they will do."""

    share: Share = 0.98


class ModePart(Choice):
    """When reflexes answer; by its name where that is all."""

    deliberate: Nothing | None = None
    gated: GatedPart | None = None
    reflexes: ReflexesPart | None = None

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, content: Any) -> Any:
        return {content: {}} if isinstance(content, str) else content

    def build(self) -> Gating | None:
        """When reflexes answer; None for never."""
        if self.gated is not None:
            said = self.gated
            return Gating(share=said.share, chunk=said.chunk, jitter=said.jitter)
        if self.reflexes is not None:
            return Gating(share=None, chunk=self.reflexes.chunk, jitter=self.reflexes.jitter)
        return None


class MemoryPart(Part):
    """Episodes that searches draw on."""

    path: Name
    label: Name | None = None

    def build(self, folder: Path) -> Recalling:
        """The setting, of a task file in this folder."""
        return Recalling(path=folder / self.path, label=self.label)


class AdaptationPart(Part):
    """How the agent follows its world; what is not said is as usual."""

    recorded: Name
    seconds_per_step: Annotated[Number, Field(gt=0)] | None = None
    camera_range: Annotated[int, Field(strict=True, ge=0)] | None = None
    recent: Count | None = None
    learning_rate: Annotated[Number, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _sound(self) -> AdaptationPart:
        try:
            self._config()
        except ForethoughtError as error:
            raise wrong(str(error)) from error
        return self

    def _config(self) -> AdaptingConfig:
        said = self.model_dump(exclude={"recorded"}, exclude_none=True)
        return AdaptingConfig(**said)

    def build(self, folder: Path) -> Following:
        """The setting, of a task file in this folder."""
        return Following(recorded=folder / self.recorded, config=self._config())
